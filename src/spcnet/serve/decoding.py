"""Pictures opened by processes of their own.

What a stranger's file makes a decoder do cannot be foreseen, and a thread in it cannot be stopped:
a process can, when it takes too long and when the service stops, and may crash alone.
"""

import json
import os
import subprocess
import sys
import threading
from time import monotonic
from typing import Any

import numpy as np

from spcnet.geometry import Array
from spcnet.serve.decoder import QUESTION
from spcnet.serve.errors import RequestError

HEADER_SECONDS, DECODE_SECONDS = 3.0, 10.0  # in which a picture is opened, or given up on
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
        return int(self._ask(content, seconds, pixels=False)[0]["pixels"])

    def decode(self, content: bytes, *, seconds: float = DECODE_SECONDS) -> Array:
        """A picture's file as RGB uint8 (H, W, 3); a `RequestError` says why there is none."""
        return self._ask(content, seconds, pixels=True)[1]

    def warm(self) -> None:
        """Start the first process, so that the first picture does not wait for it."""
        self._idle.append(self._start())

    def close(self) -> None:
        """End all processes; who waits for one is refused."""
        self._closed = True
        for process in self._all.copy():
            self._end(process)

    def _ask(self, content: bytes, seconds: float, *, pixels: bool) -> tuple[dict[str, Any], Array]:
        try:
            process = self._idle.pop()
        except IndexError:
            process = self._start()
        until = monotonic() + seconds
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            answer, picture = _asked(process, content, pixels)
        except (OSError, ValueError, EOFError):
            self._end(process)
            raise self._failure(seconds if monotonic() >= until else None) from None
        finally:
            timer.cancel()
            timer.join()
        if monotonic() < until and not self._closed:
            self._idle.append(process)
        else:
            self._end(process)
        if "refused" in answer:
            raise RequestError(*answer["refused"])
        return answer, picture

    def _failure(self, late: float | None) -> RequestError:
        if self._closed:
            return RequestError(503, "stopping", "the service is stopping")
        remedy = "save it again as a plain JPEG or PNG"
        if late is None:
            text = f"the picture made its decoder crash; {remedy}"
            return RequestError(422, "broken_picture", text)
        text = f"opening the picture took more than {late:g} seconds; reduce it, or {remedy}"
        return RequestError(422, "costly_picture", text)

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


def _asked(
    process: "subprocess.Popen[bytes]", content: bytes, pixels: bool
) -> tuple[dict[str, Any], Array]:
    """What a process answers, and the picture; an error where it ends."""
    asks, answers = process.stdin, process.stdout
    assert asks is not None and answers is not None
    asks.write(QUESTION.pack(pixels, len(content)))
    asks.write(content)
    asks.flush()
    answer = json.loads(answers.readline())
    picture: Array = np.empty(answer.get("shape", 0), np.uint8)
    if answers.readinto(picture.reshape(-1).data) < picture.size:  # type: ignore[attr-defined]
        raise EOFError
    return answer, picture
