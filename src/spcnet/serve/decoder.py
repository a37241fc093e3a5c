"""The process in which pictures of strangers are opened; `spcnet.serve.decoding` asks it."""

import json
import os
import struct
import sys
from typing import Any

import numpy as np

from spcnet.errors import UserError
from spcnet.media.formats import TooManyPixels
from spcnet.media.images import NotAPicture, count_pixels, decode_image

QUESTION = struct.Struct(">?Q")  # whether pixels are wanted, and the bytes of the file that follows
REFUSALS = {
    TooManyPixels: (413, "too_many_pixels"),
    NotAPicture: (415, "not_a_picture"),
    UserError: (422, "broken_picture"),
}


def main(max_pixels: int) -> None:
    """Answer questions from the standard input, after a line: a line of JSON each, and pixels."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    answers.write(b"ready\n")
    answers.flush()
    while head := sys.stdin.buffer.read(QUESTION.size):
        wanted, size = QUESTION.unpack(head)
        answer, pixels = _answer(sys.stdin.buffer.read(size), wanted, max_pixels)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.write(pixels)
        answers.flush()
        del pixels  # not to be held until the next question


def _answer(content: bytes, wanted: bool, max_pixels: int) -> tuple[dict[str, Any], Any]:
    try:
        if not wanted:
            return {"pixels": count_pixels(content, max_pixels=max_pixels)}, b""
        picture = np.ascontiguousarray(decode_image(content, max_pixels=max_pixels))
        return {"shape": picture.shape}, picture.reshape(-1).data
    except UserError as error:
        kind = next(kind for kind in REFUSALS if isinstance(error, kind))
        return {"refused": (*REFUSALS[kind], str(error))}, b""
