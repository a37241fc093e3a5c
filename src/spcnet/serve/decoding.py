"""Pictures opened by processes of their own.

What a stranger's file makes a decoder do cannot be foreseen, and a thread in it cannot be stopped:
a process can, when it takes too long and when the service stops, and may crash alone.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import numpy as np

from spcnet.geometry import Array
from spcnet.serve.decoder import QUESTION
from spcnet.serve.errors import RequestError

PIPE = 2**20  # bytes; by the 65,536 that are usual the two would wait for each other often
START = "import sys; sys.path[:] = {}; from spcnet.serve.decoder import main; main({})"


class Decoders:
    """Processes that open pictures: as many as threads ask at once, kept for the next ones."""

    def __init__(self, *, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self._idle: list[subprocess.Popen[bytes]] = []
        self._busy: set[subprocess.Popen[bytes]] = set()
        self._closed = False
        self._lock = threading.Lock()

    def count_pixels(self, content: bytes, *, seconds: float) -> int:
        """Of a picture's file, by its header; a `RequestError` says why there are none."""
        with self._asked(content, seconds, pixels=False) as (answer, _):
            return int(answer["pixels"])

    def decode(self, content: bytes, *, seconds: float) -> Array:
        """A picture's file as RGB uint8 (H, W, 3); a `RequestError` says why there is none."""
        with self._asked(content, seconds, pixels=True) as (answer, rest):
            picture: Array = np.empty(answer["shape"], np.uint8)
            left = picture.reshape(-1).data
            while left:
                if not (count := rest.readinto(left)):  # type: ignore[attr-defined]
                    raise EOFError
                left = left[count:]
            return picture

    def warm(self) -> None:
        """Start the first process, so that the first picture does not wait for it."""
        self._give_back(self._take())

    def close(self) -> None:
        """End all processes; who waits for one is refused."""
        with self._lock:
            self._closed = True
            for process in (*self._idle, *self._busy):
                process.kill()
            while self._idle:
                _end(self._idle.pop())

    @contextmanager
    def _asked(
        self, content: bytes, seconds: float, *, pixels: bool
    ) -> Iterator[tuple[Any, IO[bytes]]]:
        """The first line of an answer, and where what follows it is read."""
        process = self._take()
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        whole = False
        try:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(QUESTION.pack(pixels, len(content)))
            process.stdin.write(content)
            process.stdin.flush()
            answer = json.loads(process.stdout.readline() or "null")
            if answer is None:
                raise EOFError
            if "refused" not in answer:
                yield answer, process.stdout
            whole = True
        except (OSError, EOFError):
            raise self._failure(seconds if late.is_set() else None) from None
        finally:
            timer.cancel()
            timer.join()
            if whole and not late.is_set():
                self._give_back(process)
            else:
                self._busy.discard(process)
                _end(process)
        if "refused" in answer:
            raise RequestError(*answer["refused"])

    def _failure(self, late: float | None = None) -> RequestError:
        if self._closed:
            return RequestError(503, "stopping", "the service is stopping")
        if late is not None:
            text = f"opening the picture took more than {late:g} seconds"
            text = f"{text}; reduce it, or save it again as a plain JPEG or PNG"
            return RequestError(422, "costly_picture", text)
        text = "the picture made its decoder crash; save it again as a plain JPEG or PNG"
        return RequestError(422, "broken_picture", text)

    def _take(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._closed:
                raise self._failure()
            process = self._idle.pop() if self._idle else self._start()
            self._busy.add(process)
            return process

    def _give_back(self, process: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            self._busy.discard(process)
            self._idle.append(process)
        if self._closed:
            self.close()

    def _start(self) -> "subprocess.Popen[bytes]":
        # Not by multiprocessing, which would run the program's own script again.
        return subprocess.Popen(
            [sys.executable, "-c", START.format(sys.path, self.max_pixels)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pipesize=PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the service alone
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # of a question that it did not read
            assert pipe is not None
            pipe.close()
