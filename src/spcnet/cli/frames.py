"""Frames of a video or a camera as commands show and count them."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from spcnet.errors import counted
from spcnet.files import replacing, writing

if TYPE_CHECKING:
    from spcnet.geometry import Array
    from spcnet.inference.video import FramePoses
    from spcnet.skeletons import Skeleton

    Timed = tuple[float, Array]

LISTED = 8  # persons whose frames are counted one by one
STDOUT = Path("-")


def overlay(frame: "FramePoses") -> "Array":
    """A frame's picture with the skeletons of those who were found."""
    from spcnet.viz.skeletons import draw_skeleton

    picture = frame.image
    for pose in filter(None, frame.persons):
        picture = draw_skeleton(picture, pose.keypoints, pose.scores, pose.skeleton)
    return picture


@contextmanager
def result_file(
    path: Path, name: str, size: tuple[int, int], info: dict[str, Any], skeleton: "Skeleton"
) -> "Iterator[Callable[[FramePoses], None]]":
    """Takes one frame after the other of a video or a camera of a name and (height, width).

    Where the block ends without an error, their result is written to a file or the standard output.
    """
    from spcnet.inference.documents import CocoCollection

    video = {"id": 1, "name": name, "width": size[1], "height": size[0]}
    frames = CocoCollection({"info": info, "videos": [video]}, skeleton)

    def add(frame: "FramePoses") -> None:
        with writing(path):  # or an error would name the video that is written meanwhile
            frames.add(frame.to_coco(name, size))

    with ExitStack() as stack:
        file: TextIO = sys.stdout
        if path != STDOUT:
            partial = stack.enter_context(replacing(path))
            file = stack.enter_context(partial.open("w", encoding="utf-8"))
        yield add
        frames.save(file)


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
        self.found: list[int] = []  # of each person, in how many
        self._begin = time.monotonic()

    def add(self, frame: "FramePoses") -> None:
        """Count a frame."""
        self.frames += 1
        self._empty += not any(frame.persons)
        self.found += [0] * (len(frame.persons) - len(self.found))
        for number, pose in enumerate(frame.persons):
            self.found[number] += pose is not None

    def __str__(self) -> str:
        seconds = max(1e-6, time.monotonic() - self._begin)
        several = len(self.found) > 1
        found = [
            f"person {f'{n} ' if several else ''}found in {count}"
            for n, count in enumerate(self.found[:LISTED])
        ]
        if len(self.found) > LISTED:
            found.append(f"{counted(len(self.found) - LISTED, 'more person')} found")
        frames = f"{counted(self.frames, 'frame')}, {self.frames / seconds:.1f} per second"
        return "; ".join([frames, *found, f"nobody in {self._empty}"])
