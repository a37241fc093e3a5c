"""Poses through time: frames in, the followed persons' poses out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.motion import CUTOFF, steady
from spcnet.inference.pose import Pose
from spcnet.inference.smoothing import OneEuroFilter
from spcnet.inference.tracking import Followed, Tracker, tight_box
from spcnet.skeletons import Skeleton

STEADIED = "sides, gaps, Butterworth"  # the smoothing of results that `steadied` gave


@dataclass(frozen=True, slots=True)
class FramePoses:
    """One frame, RGB uint8 (H, W, 3), its time in seconds, and who was found in it.

    `persons` is one pose for each person who was followed so far, in the order of their boxes or of
    when the finder saw them first; None for those who are lost.
    """

    index: int
    time: float
    image: Array
    persons: list[Pose | None]

    def without_picture(self) -> "FramePoses":
        """The joints alone, of which an hour's fit in memory."""
        return replace(self, image=np.empty((0, 0, 3), np.uint8))

    def to_coco(self, video: str, size: tuple[int, int] | None = None) -> dict[str, Any]:
        """One image and its annotations, for `spcnet.inference.documents.CocoCollection`.

        Besides COCO's, the image has the number and the time of the frame, and an annotation the
        person's number as ``track_id``; those who are lost have none. `video` is the file's name,
        `size` the frame's (H, W) where the picture is not there.
        """
        height, width = size or self.image.shape[:2]
        place = {"video_id": 1, "frame_id": self.index, "time": round(self.time, 6)}
        image = {"id": 1, "file_name": video, "width": width, "height": height, **place}
        found = [(n, pose.to_coco()) for n, pose in enumerate(self.persons) if pose is not None]
        rows = [{**row, "track_id": number} for number, row in found]
        return {"images": [image], "annotations": rows}


def follow(
    estimator: PoseEstimator,
    frames: Iterable[tuple[float, Array]],
    *,
    boxes: ArrayLike | None = None,
    people: Followed = "one",
    smooth: bool = False,
    skeleton: str | Skeleton | None = None,
) -> Iterator[FramePoses]:
    """Follow persons through frames, lazily and one at a time; faulty boxes are an error.

    Args:
        estimator: predicts the poses.
        frames: pairs of a time in seconds and an RGB uint8 picture (H, W, 3), in order.
        boxes: (N, 4) tight person boxes x0, y0, x1, y1 in the first frame, each of which is
            followed as one person. Without them the estimator's finder looks for persons.
        people: which of the finder's persons: ``"one"``, the main one, ``"all"``, or a number of
            them at most, main ones first.
        smooth: pass each person's joints through a one-euro filter, which starts anew where the
            person was lost.
        skeleton: as for `PoseEstimator.predict`; persons are followed by the model's own joints.
    """
    view = estimator.view(skeleton)
    tracker = Tracker(estimator, boxes, people=people)
    filters: dict[int, OneEuroFilter] = {}
    for index, (time, image) in enumerate(frames):
        persons = tracker(image, time)
        if smooth:  # who is lost loses the filter too
            filters = {n: filters.get(n, OneEuroFilter()) for n, pose in enumerate(persons) if pose}
            persons = [pose and _smoothed(pose, time, filters[n]) for n, pose in enumerate(persons)]
        yield FramePoses(index, time, image, [pose and pose.seen_as(view) for pose in persons])


def joints_of(frames: Sequence[FramePoses], number: int, skeleton: Skeleton) -> tuple[Array, Array]:
    """Points (T, K, 2), NaN where the person is lost, and scores (T, K) of one person."""
    points = np.full((len(frames), len(skeleton), 2), np.nan)
    scores = np.zeros(points.shape[:2])
    for n, frame in enumerate(frames):
        if number < len(frame.persons) and (pose := frame.persons[number]) is not None:
            points[n], scores[n] = pose.keypoints, pose.scores
    return points, scores


def steadied(
    frames: Sequence[FramePoses], skeleton: Skeleton, *, cutoff: float = CUTOFF
) -> list[FramePoses]:
    """The frames of a whole video with each person's joints put right: see `motion.steady`.

    Boxes are the tight boxes of the joints as they are then. Pictures are passed through, and may
    have been left out by `without_picture`.
    """
    times = np.array([frame.time for frame in frames])
    persons: list[list[Pose | None]] = [[None] * len(frame.persons) for frame in frames]
    for number in range(max(map(len, persons), default=0)):
        points, scores = joints_of(frames, number, skeleton)
        points, scores = steady(points, scores, times, skeleton, cutoff=cutoff)
        for n in np.flatnonzero(np.isfinite(points).all(axis=(1, 2))).tolist():
            joints, sure = points[n].astype(np.float32), scores[n].astype(np.float32)
            pose = Pose(joints, sure, np.zeros(4), skeleton)
            persons[n][number] = replace(pose, box=tight_box(pose).astype(np.float32))
    return [replace(frame, persons=own) for frame, own in zip(frames, persons, strict=True)]


def with_pictures(
    frames: Iterable[FramePoses], pictures: Iterable[tuple[float, Array]] | None
) -> Iterator[FramePoses]:
    """Frames with the pictures that were left out, from another reading of the same video."""
    if pictures is None:
        yield from frames
        return
    for (_, image), frame in zip(pictures, frames, strict=False):  # the sound's end comes last
        yield replace(frame, image=image)


def _smoothed(pose: Pose, time: float, smooth: OneEuroFilter) -> Pose:
    size = max(1.0, float(np.ptp(pose.box.reshape(2, 2), axis=0).max()))
    return replace(pose, keypoints=smooth(pose.keypoints, time, size).astype(np.float32))
