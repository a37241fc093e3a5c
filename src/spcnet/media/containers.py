"""How long a video file says it is: FFmpeg ends one that was cut as if it were whole."""

import os
from io import BytesIO
from pathlib import Path

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # Matroska and WebM, RFC 8794 and 9559
# The outermost boxes of MP4 and QuickTime, ISO/IEC 14496-12; what else may follow is no box.
BOXES = frozenset(
    b"ftyp moov mdat free skip wide moof mfra sidx ssix styp uuid meta pnot udta emsg prft".split()
)


def missing_bytes(path: Path, content: bytes | None = None) -> int:
    """How many bytes a file, or its content, is shorter than its outermost parts say; 0 if not."""
    end = 0
    with path.open("rb") if content is None else BytesIO(content) as file:
        while length := _length(file.read(16)):
            end = file.seek(end + length)
        return max(0, end - file.seek(0, os.SEEK_END))


def _length(head: bytes) -> int:
    """Bytes of the part that begins so; 0 if it does not say."""
    if head[:4] == b"RIFF":  # AVI; long ones are several in a row
        length = int.from_bytes(head[4:8], "little")
        return length and length + 8
    if head[:4] in (EBML, SEGMENT) and any(head[4:5]):
        width = 9 - head[4].bit_length()  # of the number, in bytes: the first bit that is set
        unknown = (1 << 7 * width) - 1  # as of a recording that was not rewound
        length = int.from_bytes(head[4 : 4 + width]) & unknown
        return 0 if length == unknown else 4 + width + length
    if head[4:8] in BOXES:
        length = int.from_bytes(head[:4])
        return int.from_bytes(head[8:]) if length == 1 else length  # 0: to the end of the file
    return 0
