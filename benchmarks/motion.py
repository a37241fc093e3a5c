"""What following through a video gets right, on rendered clips whose truth is known.

    python benchmarks/motion.py --clips 8 --seed 0

Identity switches are those of Bernardin and Stiefelhagen (2008): how often a person's number
changes. Before is following by boxes alone (`iou_tracking.py`), as spcnet had it at first.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import iou_tracking
import moving_figures as figures

from spcnet import PoseEstimator
from spcnet.inference.tracking import Tracker


def count_switches(estimator: PoseEstimator, clips: list[figures.Clip]) -> None:
    """Print identity switches, and how many people end with the number they began with."""
    trackers: dict[str, Callable[[], Callable[..., list]]] = {
        "before": lambda: _without_times(iou_tracking.Tracker(estimator, people="all")),
        "after": lambda: Tracker(estimator, people="all"),
    }
    for name, make in trackers.items():
        switches = kept = numbers = people = 0
        for clip in clips:
            tracker = make()
            tracks = [tracker(picture, time) for time, picture in clip.frames()]
            switches += figures.identity_switches(clip.points, tracks)
            ends = [figures.numbers_of(clip.points[n], tracks[n]) for n in (0, -1)]
            kept += sum(number == ends[1].get(person) for person, number in ends[0].items())
            numbers += len(tracks[-1])
            people += clip.points.shape[1]
        print(f"{name}: {switches} switches, {numbers} numbers for {people} people, {kept} of whom "
              "end with the number they began with")  # fmt: skip


def _without_times(tracker: iou_tracking.Tracker) -> Callable[..., list]:
    return lambda picture, time: tracker(picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--clips", type=int, default=8, help="of each kind")
    parser.add_argument("--frames", type=int, default=75, help="of each clip, 30 a second")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    estimator = PoseEstimator(options.model, device="cpu")
    seeds = range(options.seed, options.seed + options.clips)
    for kind in (figures.crossing, figures.passing_behind):
        print(f"{options.clips} clips of {kind.__name__.replace('_', ' ')}")
        count_switches(estimator, [kind(seed, options.frames) for seed in seeds])


if __name__ == "__main__":
    main()
