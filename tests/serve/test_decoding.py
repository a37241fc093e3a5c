"""Pictures are opened by processes that can be given up on."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serving import picture

from spcnet.media.images import decode_image
from spcnet.serve.decoder import PICTURE, QUESTION
from spcnet.serve.decoding import Decoders
from spcnet.serve.errors import RequestError

# Half a minute of header: Pillow goes through each of four million empty segments.
SLOW = b"\xff\xd8" + b"\xff\xe2\x00\x02" * 4_000_000


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    opened = Decoders(max_pixels=10_000)
    yield opened
    opened.close()


def refusal(
    decoders: Decoders, content: bytes, *, pixels: bool = True, seconds: float = 60.0
) -> tuple[int, str]:
    with pytest.raises(RequestError) as refused:
        (decoders.decode if pixels else decoders.count_pixels)(content, seconds=seconds)
    return refused.value.status, refused.value.code


def running(decoders: Decoders) -> list[int]:
    return [process.pid for process in decoders._all]


def test_pictures_and_refusals_are_those_of_this_process(decoders: Decoders) -> None:
    content = picture(40, 30, at=(7, 5), form="JPEG")
    assert decoders.count_pixels(content) == 1200
    assert np.array_equal(decoders.decode(content), decode_image(content))
    (first,) = running(decoders)
    for pixels in (False, True):
        assert refusal(decoders, picture(101, 100), pixels=pixels) == (413, "too_many_pixels")
        assert refusal(decoders, b"hello", pixels=pixels) == (415, "not_a_picture")
        assert refusal(decoders, b"", pixels=pixels) == (422, "broken_picture")
    assert refusal(decoders, content[:-30]) == (422, "broken_picture")
    assert running(decoders) == [first]
    assert decoders.decode(content).flags.writeable


@pytest.mark.parametrize("pixels", [False, True])
def test_a_picture_that_takes_too_long_is_given_up_on(decoders: Decoders, pixels: bool) -> None:
    content = picture()
    assert decoders.count_pixels(content) == 1200
    (first,) = running(decoders)
    assert refusal(decoders, SLOW, pixels=pixels, seconds=0.5) == (422, "costly_picture")
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert decoders.decode(content).shape == (30, 40, 3)  # by another process


def test_a_decoder_that_crashes_takes_nothing_with_it(decoders: Decoders) -> None:
    decoders.warm()
    (first,) = running(decoders)
    os.kill(first, signal.SIGKILL)
    assert refusal(decoders, picture()) == (422, "broken_picture")
    assert decoders.count_pixels(picture()) == 1200


def test_closing_does_not_wait_for_decoders(decoders: Decoders) -> None:
    with ThreadPoolExecutor() as threads:
        work = threads.submit(refusal, decoders, SLOW)
        while not running(decoders):
            time.sleep(0.01)
        pids = running(decoders)
        began = time.perf_counter()
        decoders.close()
        assert work.result(5) == (503, "stopping")
        assert time.perf_counter() - began < 5
    assert refusal(decoders, picture()) == (503, "stopping")
    assert running(decoders) == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_many_threads_have_a_process_each(decoders: Decoders) -> None:
    content = picture()
    together = threading.Barrier(3)

    def ask() -> int:
        together.wait()
        return decoders.count_pixels(content)

    with ThreadPoolExecutor(3) as threads:
        assert [work.result() for work in [threads.submit(ask) for _ in range(3)]] == [1200] * 3
    assert 1 <= len(running(decoders)) <= 3


def test_a_decoder_ends_with_the_service() -> None:
    decoders = Decoders(max_pixels=10_000)
    decoders.warm()
    (process,) = decoders._idle
    assert process.stdin is not None
    process.stdin.close()  # as the kernel does for a service that was killed
    assert process.wait(20) == 0
    assert process.stdout is not None
    process.stdout.close()


def test_what_a_library_prints_is_no_answer() -> None:
    # A child that prints before it answers: its standard output is not the answers' pipe.
    code = (
        "import os, sys; from spcnet.serve import decoder; decode = decoder.decode_image\n"
        "def loud(*given, **named):\n"
        "    os.write(1, b'noise'); return decode(*given, **named)\n"
        "decoder.decode_image = loud; decoder.main(10_000)"
    )
    content = picture()
    question = QUESTION.pack(PICTURE, len(content)) + content
    done = subprocess.run(
        [sys.executable, "-c", code], input=question, capture_output=True, check=True
    )
    ready, line, pixels = done.stdout.split(b"\n", 2)
    assert ready == b"ready" and line == b'{"shape": [30, 40, 3]}' and len(pixels) == 3600
    assert b"noise" in done.stderr
