"""Pictures whose pixels are whole although something beside them is damaged."""

import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"  # what its files begin with
PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf")  # and which way is up
JPEGS = ("JPEG", "MPO")  # what Pillow calls them
END = b"\xff\xd9"  # of one
# To a decoder that still waits for pixels these bytes are some; after the last it skips them.
PROBE = bytes((37 * n + 91) % 254 for n in range(256))
METADATA = "its metadata are damaged and were not read"

_ONE_AT_A_TIME = threading.RLock()  # `catch_warnings` is the whole process's


@contextmanager
def warnings_heard() -> Iterator[list[str]]:
    """What Pillow warns of meanwhile, as texts, whatever filters are set."""
    texts: list[str] = []
    with _ONE_AT_A_TIME, warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            yield texts
        finally:
            bomb = Image.DecompressionBombWarning  # pixels are counted by whoever opens it
            found = [one.message for one in heard if not issubclass(one.category, bomb)]
            texts += [" ".join(str(message).split()) for message in found]


def open_picture(source: Path | BytesIO, formats: tuple[str, ...]) -> tuple[Image.Image, list[str]]:
    """A picture of which the header was read, and what is damaged beside its pixels."""
    with warnings_heard() as heard:
        try:
            image = Image.open(source, formats=formats)
        except Image.DecompressionBombError:
            raise
        except Exception:
            if not _content(source, len(PNG)).startswith(PNG):
                raise
            image = Image.open(BytesIO(_pixel_chunks(_content(source))), formats=("PNG",))
            heard.append(METADATA)
    return image, heard


def load_pixels(
    image: Image.Image, source: Path | BytesIO, *size: int
) -> tuple[Image.Image, list[str]]:
    """A picture, of whose `draft` this was the size, with its pixels; and what its file lacks."""
    try:
        image.load()
        return image, []
    except Exception:
        if image.format == "PNG":
            image, _ = open_picture(BytesIO(_pixel_chunks(_content(source))), ("PNG",))
            image.load()
            return image, [METADATA]
        if image.format in JPEGS:
            data = _content(source)
            mended, probed = (_load_jpeg(data + more + END, *size) for more in (b"", PROBE))
            if mended.tobytes() == probed.tobytes():
                return mended, ["the file lacks its end marker; its pixels are all there"]
        raise


def _load_jpeg(data: bytes, *size: int) -> Image.Image:
    image, _ = open_picture(BytesIO(data), ("JPEG",))
    if size:
        image.draft(None, (size[0], size[1]))
    image.load()
    return image


def _content(source: Path | BytesIO, most: int = -1) -> bytes:
    """The first bytes, or all."""
    if isinstance(source, BytesIO):
        source.seek(0)
        return source.read(most)
    with source.open("rb") as file:
        return file.read(most)


def _pixel_chunks(data: bytes) -> bytes:
    """A PNG with nothing but what its pixels are made of."""
    kept, at = [PNG], len(PNG)
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 12 + length
        right = zlib.crc32(data[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end])
        if kind in PIXEL_CHUNKS and (right or kind[:1].isupper()):  # those are not optional
            kept.append(data[at:end])
        at = end
    return b"".join(kept)
