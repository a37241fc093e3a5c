"""Pictures and videos opened by processes of their own.

What a stranger's file makes a decoder do cannot be foreseen, and a thread in it cannot be stopped:
a process can, when it takes too long and when the service stops, and may crash alone.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from time import monotonic
from typing import Any, TypeAlias

import numpy as np

from spcnet.geometry import Array
from spcnet.serve.decoder import HEADER, PICTURE, QUESTION, VIDEO
from spcnet.serve.errors import RequestError

# In which a picture, or the next of a video, is opened or given up on.
HEADER_SECONDS, DECODE_SECONDS = 3.0, 10.0
Answers: TypeAlias = Generator[tuple[dict[str, Any], Array], None, None]
PIPE = 2**20  # bytes; by the 65,536 that are usual the two would wait for each other often
START = "import sys; sys.path[:] = {}; from spcnet.serve.decoder import main; main({})"


class Decoders:
    """Processes that open pictures: as many as threads ask at once, kept for the next ones."""

    def __init__(self, *, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self._idle: list[subprocess.Popen[bytes]] = []
        self._all: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def count_pixels(self, content: bytes, *, seconds: float = HEADER_SECONDS) -> int:
        """Of a picture's file, by its header; a `RequestError` says why there are none."""
        return int(next(self._answers(HEADER, content, seconds))[0]["pixels"])

    def decode(self, content: bytes, *, seconds: float = DECODE_SECONDS) -> Array:
        """A picture's file as RGB uint8 (H, W, 3); a `RequestError` says why there is none."""
        return next(self._answers(PICTURE, content, seconds))[1]

    def video(self, content: bytes, *, seconds: float = DECODE_SECONDS) -> Answers:
        """A video's ``size`` (H, W), ``rate`` and count of ``frames`` or None; then its pictures.

        Each is RGB uint8 (H, W, 3) with its ``time`` in seconds, decoded when it is asked for and
        in so many seconds; the last one is empty, with the file's ``fault``. A `RequestError`
        says why there are none.
        """
        return self._answers(VIDEO, content, seconds)

    def warm(self) -> None:
        """Start the first process, so that the first picture does not wait for it."""
        self._idle.append(self._start())

    def close(self) -> None:
        """End all processes; who waits for one is refused."""
        self._closed = True
        for process in self._all.copy():
            self._end(process)

    def _answers(self, kind: bytes, content: bytes, seconds: float) -> Answers:
        """What a process says, and pixels; who does not say it in time, or to the end, is ended."""
        try:
            process = self._idle.pop()
        except IndexError:
            process = self._start()
        question: tuple[bytes, ...] = (QUESTION.pack(kind, len(content)), content)
        more = True
        try:
            while more:
                until = monotonic() + seconds
                timer = threading.Timer(seconds, process.kill)
                timer.start()
                try:
                    answer, picture = _asked(process, *question)
                except (OSError, ValueError, EOFError):
                    raise self._failure(kind, seconds if monotonic() >= until else None) from None
                finally:
                    timer.cancel()
                    timer.join()
                question, content, more = (), b"", answer.get("more", False)
                more |= monotonic() >= until
                if "refused" in answer:
                    raise RequestError(*answer["refused"])
                yield answer, picture
        finally:
            if more or self._closed:
                self._end(process)
            else:
                self._idle.append(process)

    def _failure(self, kind: bytes, late: float | None) -> RequestError:
        if self._closed:
            return RequestError(503, "stopping", "the service is stopping")
        what, plain = ("video", "MP4") if kind == VIDEO else ("picture", "JPEG or PNG")
        remedy = f"save it again as a plain {plain}"
        if late is None:
            text = f"the {what} made its decoder crash; {remedy}"
            return RequestError(422, f"broken_{what}", text)
        text = f"opening the {what} took more than {late:g} seconds; reduce it, or {remedy}"
        return RequestError(422, f"costly_{what}", text)

    def _start(self) -> "subprocess.Popen[bytes]":
        # Not by multiprocessing, which would run the program's own script again.
        process = subprocess.Popen(
            [sys.executable, "-c", START.format(sys.path, self.max_pixels)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pipesize=PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the service alone
        )
        self._all.add(process)
        if self._closed:  # meanwhile
            process.kill()
        assert process.stdout is not None
        process.stdout.readline()  # starting is not to count as opening a picture
        return process

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        process.wait()
        self._all.discard(process)


def _asked(process: "subprocess.Popen[bytes]", *question: bytes) -> tuple[dict[str, Any], Array]:
    """What a process answers, and the picture; an error where it ends."""
    asks, answers = process.stdin, process.stdout
    assert asks is not None and answers is not None
    for part in question:
        asks.write(part)
    asks.flush()
    answer = json.loads(answers.readline())
    picture: Array = np.empty(answer.get("shape", 0), np.uint8)
    if answers.readinto(picture.reshape(-1).data) < picture.size:  # type: ignore[attr-defined]
        raise EOFError
    return answer, picture
