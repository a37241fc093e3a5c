"""Live pictures: of a camera, or of a video that plays its part; always the newest one."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import cv2

from spcnet.errors import UserError
from spcnet.geometry import Array

T = TypeVar("T")
Pictures: TypeAlias = Generator[Array, None, None]

PATIENCE = 0.2  # seconds between two looks at whether to stop


class Latest(Generic[T]):
    """Hands the newest of something from one thread to others, who may miss what came between."""

    def __init__(self) -> None:
        self.closed = False  # whether nothing new will come
        self._changed = threading.Condition()
        self._value: T | None = None
        self._number = 0

    def put(self, value: T) -> None:
        """Replace what is there."""
        with self._changed:
            self._value = value
            self._number += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing new will come."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def after(self, number: int) -> tuple[int, T] | None:
        """What is newer than that number's (0 before the first), and its own; waits `PATIENCE`."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number or self.closed, PATIENCE)
            if self._number == number or self._value is None:
                return None
            return self._number, self._value


def camera_pictures(number: int) -> Pictures:
    """The pictures of the machine's n-th camera from 0, RGB uint8 (H, W, 3), until it fails."""
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        camera = cv2.VideoCapture(number)
    finally:
        cv2.utils.logging.setLogLevel(before)
    try:
        if not camera.isOpened():
            raise UserError(
                f"camera {number} cannot be opened: it is not there, in use, or not permitted; "
                "--camera names another, --source plays a video instead"
            )
        while True:
            there, picture = camera.read()
            if not there:
                raise UserError(f"camera {number} gives no more pictures")
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    finally:
        camera.release()


def played_pictures(path: Path) -> Pictures:
    """The pictures of a video at its own pace, over and over."""
    from spcnet.media.video_files import VideoReader  # a camera needs no PyAV

    while True:
        with VideoReader(path) as video:
            begin = time.monotonic()
            for at, picture in video.frames():
                time.sleep(max(0.0, begin + at - time.monotonic()))
                yield picture
            time.sleep(float(1 / video.rate))


def newest(pictures: Pictures, stop: Callable[[], bool]) -> Iterator[tuple[float, Array]]:
    """Of live pictures the newest each time, with the seconds since the first.

    They are taken in a thread of their own, so that none waits in a queue and gets old. What the
    generator raises comes after its last picture; whether to stop is asked while nothing comes too.
    """
    latest: Latest[tuple[float, Array]] = Latest()
    failures: list[Exception] = []

    def take() -> None:
        try:
            with closing(pictures):
                for picture in pictures:
                    latest.put((time.monotonic(), picture))
                    if latest.closed:
                        return
        except Exception as error:
            failures.append(error)
        finally:
            latest.close()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    number, begin = 0, None
    try:
        while not stop():
            found = latest.after(number)
            if found is not None:
                number, (at, picture) = found
                begin = at if begin is None else begin
                yield at - begin, picture
            elif latest.closed:
                break
    finally:
        latest.close()
        thread.join(timeout=2)
    if failures:
        raise failures[0]
