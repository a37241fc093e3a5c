"""Models beside each other, from a crop to keypoints: ms a crop, medians of turns in one run.

    python benchmarks/onnx_latency.py default default.onnx default-int8.onnx

Run it on an otherwise idle machine; OMP_NUM_THREADS sets the threads of torch and onnxruntime.
"""

import argparse
from functools import partial
from statistics import median

import numpy as np

from spcnet.bench.turns import take_turns
from spcnet.data.synthetic import render_figure
from spcnet.inference.estimator import PoseEstimator


def main() -> None:
    """Print one line a model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    arguments = parser.parse_args()
    figure = render_figure(0).image
    side = float(max(figure.shape[:2]))
    square = (np.array([side / 2, side / 2]), side)
    estimators = {model: PoseEstimator(model, device="cpu") for model in arguments.models}
    calls = {
        (model, batch): partial(estimator.look, [figure] * batch, [square] * batch)
        for model, estimator in estimators.items()
        for batch in arguments.batches
    }
    taken = take_turns({f"{m}, batch {b}": call for (m, b), call in calls.items()},
                       turns=arguments.turns)  # fmt: skip
    for (_, batch), (name, turns) in zip(calls, taken.items(), strict=True):
        seconds = median(turn.seconds for turn in turns)
        print(f"{name}: {1000 * seconds / batch:.1f} ms")


if __name__ == "__main__":
    main()
