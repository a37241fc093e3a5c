"""The process in which strangers' files are opened; `spcnet.serve.decoding` asks it."""

import json
import os
import struct
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from spcnet.errors import UserError
from spcnet.media.formats import TooManyPixels
from spcnet.media.images import NotAPicture, count_pixels, decode_image
from spcnet.serve.limits import VIDEO_PIXELS

QUESTION = struct.Struct(">cQ")  # what is wanted of the file that follows, and its bytes
HEADER, PICTURE, VIDEO = b"h", b"p", b"v"
REFUSALS = {
    TooManyPixels: (413, "too_many_pixels"),
    NotAPicture: (415, "not_a_picture"),
    UserError: (422, "broken_picture"),
}


def main(max_pixels: int) -> None:
    """Answer questions from the standard input, after a line: a line of JSON each, and pixels.

    Those before the last of a video say that there are ``more``.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    answers.write(b"ready\n")
    answers.flush()
    while head := sys.stdin.buffer.read(QUESTION.size):
        wanted, size = QUESTION.unpack(head)
        for answer, pixels in _answers(sys.stdin.buffer.read(size), wanted, max_pixels):
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.write(pixels)
            answers.flush()
        del pixels  # not to be held until the next question


def _answers(
    content: bytes, wanted: bytes, max_pixels: int
) -> Iterator[tuple[dict[str, Any], Any]]:
    try:
        if wanted == VIDEO:
            yield from _frames(content, min(max_pixels, VIDEO_PIXELS))
        elif wanted == HEADER:
            yield {"pixels": count_pixels(content, max_pixels=max_pixels)}, b""
        else:
            picture = np.ascontiguousarray(decode_image(content, max_pixels=max_pixels))
            yield {"shape": picture.shape}, picture.reshape(-1).data
    except UserError as error:
        kind = next(kind for kind in REFUSALS if isinstance(error, kind))
        status, code = REFUSALS[kind]
        if wanted == VIDEO and kind is UserError:
            status, code = 415, "not_a_video"
        yield {"refused": (status, code, str(error))}, b""


def _frames(content: bytes, max_pixels: int) -> Iterator[tuple[dict[str, Any], Any]]:
    from spcnet.media.video_files import VideoReader

    with VideoReader("the video", content=content, max_pixels=max_pixels) as video:
        head = {"size": video.size, "rate": float(video.rate), "frames": video.expected}
        yield {**head, "more": True}, b""
        for time, picture in video.frames():
            frame = {"time": time, "shape": picture.shape, "more": True}
            yield frame, picture.reshape(-1).data
        yield {"fault": video.fault}, b""
