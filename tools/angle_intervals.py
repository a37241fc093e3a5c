"""How often the intervals of angles hold what the labels give, of a model on held-out persons.

    python tools/angle_intervals.py lspet:PATH/lspet:8061-8360 coco:PATH/mpii:val ...

Prints for each source, and for each range of the angles' scores over all sources: how many angles
there are, the share that lies within the interval, and the median width and error in degrees.
"""

import argparse
from itertools import pairwise

import numpy as np

from spcnet.angles import SEGMENTS, angle_names, measure_angles
from spcnet.evaluation.evaluate import predict_dataset
from spcnet.evaluation.sources import Source, parse_source
from spcnet.inference.estimator import PoseEstimator

SCORES = (0.0, 0.5, 0.8, 0.9, 1.01)


def outcomes(estimator: PoseEstimator, source: Source) -> np.ndarray:
    """Of every angle that the labels give (N, 4): score, error, width, and whether it is held."""
    labels = source.open()
    points, scores, persons = predict_dataset(estimator, labels)
    names = angle_names(estimator.skeleton)
    names = tuple(name for name in angle_names(labels.skeleton) if name in names)
    places = np.stack([person.points for person in persons])
    labelled = np.stack([person.annotated for person in persons]).astype(float)
    truth = measure_angles(places, labelled, labels.skeleton, names)
    found = measure_angles(points, scores, estimator.skeleton, names)
    error = truth.degrees - found.degrees
    turns = np.array([name in SEGMENTS for name in names])
    error = np.where(turns, (error + 180) % 360 - 180, error)
    held = (found.degrees + error <= found.high + 1e-6) & (
        found.degrees + error >= found.low - 1e-6
    )
    known = (truth.scores == 1) & np.isfinite(error)
    return np.stack([found.scores, np.abs(error), found.high - found.low, held], axis=-1)[known]


def row(name: str, found: np.ndarray) -> None:
    _, error, width, held = found.T
    print(
        f"{name:28} {len(found):6} angles, {100 * held.mean():5.1f} % held, width "
        f"{np.nanmedian(width):4.0f}, error {np.median(error):4.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    estimator = PoseEstimator(arguments.model)
    everything = []
    for source in map(parse_source, arguments.sources):
        everything.append(outcomes(estimator, source))
        row(source.title, everything[-1])
    found = np.concatenate(everything)
    for low, high in pairwise(SCORES):
        chosen = found[(found[:, 0] >= low) & (found[:, 0] < high)]
        if len(chosen):
            row(f"scores {low:.1f} to {min(high, 1):.1f}", chosen)
    row("all", found)


if __name__ == "__main__":
    main()
