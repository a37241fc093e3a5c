"""Frames of a video or a camera as commands show and count them."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spcnet.geometry import Array
    from spcnet.inference.video import FramePoses

    Timed = tuple[float, Array]

LISTED = 8  # persons whose frames are counted one by one


def overlay(frame: "FramePoses") -> "Array":
    """A frame's picture with the skeletons of those who were found."""
    from spcnet.viz.skeletons import draw_skeleton

    picture = frame.image
    for pose in filter(None, frame.persons):
        picture = draw_skeleton(picture, pose.keypoints, pose.scores, pose.skeleton)
    return picture


def until(
    stop: Callable[[], bool], frames: "Iterable[Timed]", report: Callable[[int], None]
) -> "Iterator[Timed]":
    """The frames until a stop is wished, and never none; each is reported when it was worked on."""
    for count, frame in enumerate(frames, start=1):
        yield frame
        report(count)
        if stop():
            return


class Tally:
    """How many frames there were, how fast, and in how many of them each person was found."""

    def __init__(self) -> None:
        self.frames = 0
        self._empty = 0
        self._found: list[int] = []
        self._begin = time.monotonic()

    def add(self, frame: "FramePoses") -> None:
        """Count a frame."""
        self.frames += 1
        self._empty += not any(frame.persons)
        self._found += [0] * (len(frame.persons) - len(self._found))
        for number, pose in enumerate(frame.persons):
            self._found[number] += pose is not None

    def __str__(self) -> str:
        seconds = max(1e-6, time.monotonic() - self._begin)
        several = len(self._found) > 1
        found = [
            f"person {f'{n} ' if several else ''}found in {count}"
            for n, count in enumerate(self._found[:LISTED])
        ]
        if len(self._found) > LISTED:
            found.append(f"{len(self._found) - LISTED} more persons found")
        frames = f"{self.frames} frames, {self.frames / seconds:.1f} per second"
        return "; ".join([frames, *found, f"nobody in {self._empty}"])
