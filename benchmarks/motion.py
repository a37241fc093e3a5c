"""What following through a video gets right, on rendered clips whose truth is known.

    python benchmarks/motion.py --clips 4 --seed 0

Sides: of pairs whose joints are at least a twentieth of the person's height apart, the share that
lies nearer to the other side's truth. Jitter: the standard deviation of joints of somebody who
stands still. Lag: how far joints of somebody who walks are behind the raw ones, along their way.
All in pixels, of a person about 130 pixels high, at 30 frames a second; joints from score 0.5.

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
import numpy as np

from spcnet import PoseEstimator
from spcnet.inference.motion import steady
from spcnet.inference.smoothing import OneEuroFilter
from spcnet.inference.tracking import Tracker
from spcnet.skeletons import LSP14


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


def measure_joints(estimator: PoseEstimator, seeds: range, frames: int) -> None:
    """Print swapped sides, jitter and lag of joints as they are, one-euro's, and steadied."""
    rows = {"raw": [], "one-euro": [], "steadied": []}
    for seed in seeds:
        walker, stander = (
            figures.alone(seed, frames),
            figures.alone(seed, frames, stride=0.0, yaw=20.0),
        )
        walks, stands = (_ways(estimator, clip) for clip in (walker, stander))
        way = np.sign(walker.points[-1, 0, :, 0] - walker.points[0, 0, :, 0]).mean()
        for name, row in rows.items():
            points, sure = walks[name]
            behind = (walks["raw"][0] - points)[..., 0] * way
            still, held = stands[name]
            steadily = held.mean(axis=0) > 0.9
            spread = np.sqrt(np.nanvar(still, axis=0).sum(axis=-1))[steadily]
            row.append((swapped(points, walker.points[:, 0]), spread.mean(),
                        np.nanmean(behind[sure])))  # fmt: skip
    print("joints, mean of clips  sides swapped  jitter at rest  lag in motion")
    for name, row in rows.items():
        share, jitter, lag = np.nanmean(row, axis=0)  # a clip in which nobody is found has none
        print(f"{name:22} {100 * share:11.1f} %  {jitter:11.2f} px  {lag:10.2f} px")


def swapped(points: np.ndarray, truth: np.ndarray) -> float:
    """The share of pairs (T, 14, 2) that lie nearer to the other side's truth."""
    wrong = counted = 0
    for joint in ("ankle", "knee", "hip", "wrist", "elbow", "shoulder"):
        left, right = LSP14.index(f"left_{joint}"), LSP14.index(f"right_{joint}")
        pair = [left, right]
        apart = np.linalg.norm(truth[:, left] - truth[:, right], axis=-1)
        clear = apart > 0.05 * np.ptp(truth[..., 1], axis=1)
        direct, other = (
            np.linalg.norm(points[:, pair] - truth[:, of], axis=-1).sum(axis=1)
            for of in (pair, pair[::-1])
        )
        clear &= np.isfinite(direct)
        wrong += (other < direct)[clear].sum()
        counted += clear.sum()
    return wrong / max(1, counted)


def _ways(estimator: PoseEstimator, clip: figures.Clip) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Points (T, 14, 2) and which are sure, as they are and smoothed in two ways."""
    tracker = Tracker(estimator)
    poses = [tracker(picture, time)[0] for time, picture in clip.frames()]
    seen = [pose.seen_as(LSP14) if pose else None for pose in poses]
    size = np.ptp(clip.points[..., 1], axis=-1).mean()
    points = np.stack([p.keypoints if p else np.full((14, 2), np.nan) for p in seen])
    scores = np.stack([p.scores if p else np.zeros(14) for p in seen])
    smooth, live = OneEuroFilter(), points.copy()
    for n, pose in enumerate(seen):
        if pose is None:
            smooth = OneEuroFilter()
        else:
            live[n] = smooth(points[n], clip.times[n], size)
    made, _ = steady(points, scores, clip.times, LSP14)
    sure = scores >= 0.5
    return {"raw": (points, sure), "one-euro": (live, sure), "steadied": (made, sure)}


def _without_times(tracker: iou_tracking.Tracker) -> Callable[..., list]:
    return lambda picture, time: tracker(picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--clips", type=int, default=4, help="of each kind")
    parser.add_argument("--frames", type=int, default=75, help="of each clip, 30 a second")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    estimator = PoseEstimator(options.model, device="cpu")
    seeds = range(options.seed, options.seed + options.clips)
    measure_joints(estimator, seeds, options.frames)
    for kind in (figures.crossing, figures.passing_behind):
        print(f"{options.clips} clips of {kind.__name__.replace('_', ' ')}")
        count_switches(estimator, [kind(seed, options.frames) for seed in seeds])


if __name__ == "__main__":
    main()
