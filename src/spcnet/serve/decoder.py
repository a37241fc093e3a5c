"""The process in which pictures of strangers are opened; `spcnet.serve.decoding` asks it."""

import json
import os
import struct
import sys
from typing import Any

import numpy as np

from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.media.formats import TooManyPixels
from spcnet.media.images import NotAPicture, count_pixels, decode_image

QUESTION = struct.Struct(">?Q")  # whether pixels are wanted, and the bytes of the file that follows


def main(max_pixels: int) -> None:
    """Answer questions from the standard input until it ends.

    An answer is a line of JSON, pixels or the shape of those that follow it, or why there are none.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    while head := sys.stdin.buffer.read(QUESTION.size):
        wanted, size = QUESTION.unpack(head)
        content = sys.stdin.buffer.read(size)
        picture: Array = np.empty(0, np.uint8)
        answer: dict[str, Any] = {}
        try:
            if wanted:
                picture = np.ascontiguousarray(decode_image(content, max_pixels=max_pixels))
                answer = {"shape": picture.shape}
            else:
                answer = {"pixels": count_pixels(content, max_pixels=max_pixels)}
        except UserError as error:
            answer = {"refused": _refusal(error)}
        del content
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.write(picture.reshape(-1).data)
        answers.flush()
        del picture


def _refusal(error: UserError) -> tuple[int, str, str]:
    if isinstance(error, TooManyPixels):
        return 413, "too_many_pixels", str(error)
    if isinstance(error, NotAPicture):
        return 415, "not_a_picture", str(error)
    return 422, "broken_picture", str(error)
