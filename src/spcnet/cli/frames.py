"""Frames of a video or a camera as commands show and count them."""

import time
from typing import TYPE_CHECKING

from spcnet.errors import counted

if TYPE_CHECKING:
    from spcnet.geometry import Array
    from spcnet.inference.video import FramePoses

LISTED = 8  # persons whose frames are counted one by one


def overlay(frame: "FramePoses") -> "Array":
    """A frame's picture with the skeletons of those who were found."""
    from spcnet.viz.skeletons import draw_skeleton

    picture = frame.image
    for pose in filter(None, frame.persons):
        picture = draw_skeleton(picture, pose.keypoints, pose.scores, pose.skeleton)
    return picture


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
            found.append(f"{counted(len(self._found) - LISTED, 'more person')} found")
        frames = f"{counted(self.frames, 'frame')}, {self.frames / seconds:.1f} per second"
        return "; ".join([frames, *found, f"nobody in {self._empty}"])
