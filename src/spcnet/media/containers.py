"""How long a video file says it is.

FFmpeg reads a file that was cut as far as it goes, and ends it as if it were whole. Most containers
tell in their outermost parts how many bytes follow.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # Matroska and WebM, RFC 8794 and 9559
# The outermost boxes of MP4 and QuickTime, ISO/IEC 14496-12; what else may follow is no box.
BOXES = frozenset(
    b"ftyp moov mdat free skip wide moof mfra sidx ssix styp uuid meta pnot udta emsg prft".split()
)


def missing_bytes(path: Path) -> int:
    """How many bytes a file is shorter than its container tells; 0 where it does not tell.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return max(0, max(_ends(file), default=0) - size)


def _ends(file: BinaryIO) -> Iterator[int]:
    """Where the outermost parts of the file end, as far as they tell."""
    head = file.read(12)
    if head[:4] == EBML:
        yield from _matroska_ends(file)
    elif head[:4] == b"RIFF":
        yield from _riff_ends(file)
    elif head[4:8] in BOXES:
        yield from _box_ends(file)


def _matroska_ends(file: BinaryIO) -> Iterator[int]:
    at = 0
    for name in (EBML, SEGMENT):
        file.seek(at)
        if file.read(4) != name:
            return
        first = file.read(1)
        if not first or not first[0]:
            return
        width = 9 - first[0].bit_length()  # of the number, in bytes: the first bit that is set
        unknown = (1 << 7 * width) - 1  # as of a recording that was not rewound
        length = int.from_bytes(first + file.read(width - 1)) & unknown
        if length == unknown:
            return
        at = file.tell() + length
        yield at


def _riff_ends(file: BinaryIO) -> Iterator[int]:
    """Of AVI; long ones are several RIFFs in a row."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF" or not length:
            return
        at += 8 + length + length % 2
        yield at - length % 2  # the last one's padding may be left out


def _box_ends(file: BinaryIO) -> Iterator[int]:
    at = 0
    while True:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:])
        if head[4:8] not in BOXES or length < 8:  # 0: to the end of the file
            return
        at += length
        yield at
