"""Any picture file, PIL image or array a user may hand us, as RGB uint8 (H, W, 3).

EXIF orientation is honoured, transparency is laid on white, and greys of more than 8 bits are
scaled: by the range that the file states, or else by what its values need (`GreyRange`). Headers
are read before pixels: a decompression bomb is refused unread.
"""

import logging
import mimetypes
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from spcnet.errors import UserError, dims
from spcnet.files import check_file
from spcnet.geometry import Array
from spcnet.media.formats import RAW_SUFFIXES, TooManyPixels, clear_errors, read_raw, teach_format
from spcnet.media.limits import MAX_PIXELS
from spcnet.media.mending import JPEGS, load_pixels, open_picture, warnings_heard

log = logging.getLogger(__name__)

SENSOR_BITS = (8, 10, 12, 14, 16)  # of a grey, in files that have room for 16
MOST = 65535
MAX_SAMPLE_VALUE = 281  # TIFF's tag
BEYOND = 0.01  # share of pixels brighter than white from which white is another

# What strangers may send, and what files of one's own may be. Pillow reads more, some of it by
# starting other programs, and goes by a file's content, not by its name.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
OWN_FORMATS = (*FORMATS, "PPM", "JPEG2000", "TGA", "ICO", "PCX", "SGI", "DDS", "QOI", "ICNS", "DIB")
TAUGHT_FORMATS = ("HEIF", "AVIF", "JXL")  # where `teach_format` found their plug-ins

# EXIF orientations that begin a row, or a column, of the picture at an end of the file's.
MIRRORED_X, MIRRORED_Y = (2, 3, 6, 7), (3, 4, 7, 8)
TRANSPOSED = (5, 6, 7, 8)

JPEG_FACTORS = (1, 2, 4, 8)  # how many times smaller its decoder can make one
STRIPE = 4_000_000  # pixels that are converted together, about
MAX_SCANS = 50  # of a JPEG; encoders write some ten
_EOI, _SOS, _FIRST_WITH_LENGTH = 0xD9, 0xDA, 0xC0
# Within the coefficients a 0xff is followed by a zero or a restart marker.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)


@dataclass(slots=True)
class GreyRange:
    """What is white in greys whose files do not say: decided by the first of them, and kept.

    A few brighter pixels are white too; where more are brighter than that the range widens, as
    after a first picture that was taken in the dark.
    """

    # Black and white by the kind of numbers, whole ("u") or not ("f").
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def decide(self, greys: Array) -> tuple[float, float]:
        """Black and white of these greys (H, W).

        Sensors store their 10, 12 or 14 bits in files of 16: the fewest that hold the brightest
        pixel are taken for all there are. Other numbers are stretched, but for those of 0..1.
        """
        kind = "f" if greys.dtype.kind == "f" else "u"
        finite = greys[np.isfinite(greys)] if kind == "f" else greys
        if kind in self.ranges and np.mean(finite > self.ranges[kind][1]) <= BEYOND:
            return self.ranges[kind]
        if not finite.size:
            return 0.0, 1.0
        low, high = float(finite.min()), float(finite.max())
        if kind == "u" and low >= 0 and high <= MOST:
            low, high = 0.0, next(2.0**n - 1 for n in SENSOR_BITS if high < 2**n)
        elif low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        self.ranges[kind] = low, high
        return low, high


_RANGE: ContextVar[GreyRange | None] = ContextVar("greys", default=None)


@contextmanager
def greys_alike(greys: GreyRange) -> Iterator[None]:
    """Pictures that are read meanwhile, in this thread, share a range of greys."""
    before = _RANGE.set(greys)
    try:
        yield
    finally:
        _RANGE.reset(before)


class NotAPicture(UserError):
    """What was given is of no format that can be read."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, of which only so many pixels may have been read as are needed."""

    pixels: Array  # (h, w, 3) RGB uint8
    shape: tuple[int, int]  # (H, W) that the picture has in its file, upright
    to_original: Array  # (2, 3), the affine from points of `pixels` to those of the picture

    @classmethod
    def of(cls, pixels: Array) -> "Picture":
        """All pixels (H, W, 3) of one."""
        return cls(pixels, (pixels.shape[0], pixels.shape[1]), np.eye(2, 3))

    @property
    def reduced(self) -> bool:
        """Whether it has fewer pixels than its file."""
        return self.pixels.shape[:2] != self.shape


ImageLike: TypeAlias = str | os.PathLike[str] | Image.Image | Array


def load_picture(image: ImageLike) -> Array:
    """A path, array or PIL image as RGB uint8 (H, W, 3); a `UserError` where it cannot be read."""
    if isinstance(image, np.ndarray):
        return rgb_from_array(image)
    if isinstance(image, Image.Image):
        with clear_errors(f"image of mode {image.mode!r}"):
            return rgb_from_pil(image)
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    got = type(image).__name__
    raise UserError(f"image must be a path, an RGB array or a PIL image, got {got}")


def read_image(path: str | os.PathLike[str]) -> Array:
    """Decode a picture file to RGB uint8 (H, W, 3).

    Raises:
        UserError: it is missing, empty, broken, too large, of no known format, or of one that
            needs a package which is not installed.
    """
    return read_reduced(path, lambda shape: 1).pixels


def read_reduced(
    path: str | os.PathLike[str], spare: Callable[[tuple[int, int]], float]
) -> Picture:
    """Decode a picture file, a JPEG at a half, a quarter or an eighth of its size where that does.

    Its decoder then leaves out the finer cosines of each block, which is averaging in a third of
    the time. `spare` says of the upright shape (H, W) how many times smaller it may be.

    Raises:
        UserError: as of `read_image`, and what `spare` raises.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise UserError(f"{path}: is a folder, not a picture; name it alone, or the pictures in it")
    check_file(path)
    if path.suffix.lower() in RAW_SUFFIXES:
        return Picture.of(read_raw(path, max_pixels=MAX_PIXELS))
    with _opened(path, max_pixels=MAX_PIXELS) as image:
        if image.format not in JPEGS:
            return Picture.of(rgb_from_pil(_loaded(image, path)))
        width, height = image.size
        orientation = _orientation(image, path)
        shape = (width, height) if orientation in TRANSPOSED else (height, width)
        most = max(1.0, spare(shape))
        factor = max(factor for factor in JPEG_FACTORS if factor <= most)
        size = (max(1, width // factor), max(1, height // factor))
        drafted = image.draft(None, size)
        factor = 1 if drafted is None else round(width / drafted[1][2])
        pixels = rgb_from_pil(_loaded(image, path, *size))
    # The last pixels of the file's rows and columns stand for what there was left.
    beyond = np.array(pixels.shape[1::-1]) * factor - shape[::-1]
    begins = -beyond * [orientation in MIRRORED_X, orientation in MIRRORED_Y]
    middle = begins + (factor - 1) / 2  # of the first square of pixels
    return Picture(pixels, shape, np.column_stack([factor * np.eye(2), middle]))


def read_shape(path: Path) -> tuple[int, int]:
    """Height and width of an upright picture, by its header alone; raises as `read_image`."""
    check_file(path)
    with _opened(path, max_pixels=MAX_PIXELS) as image:
        # Of a PNG what stands behind its pixels would have them read.
        known = image.format != "PNG" or "exif" in image.info
        turned = known and _orientation(image, path) in TRANSPOSED
        return image.size if turned else (image.height, image.width)


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Array:
    """Decode the bytes of a picture file.

    Raises:
        NotAPicture: they are of none of `FORMATS`.
        TooManyPixels: the header tells of more; the pixels were not read.
        UserError: they are empty or broken.
    """
    source = BytesIO(data)
    with _opened(source, max_pixels=max_pixels, formats=FORMATS) as image:
        return rgb_from_pil(_loaded(image, source))


def count_pixels(data: bytes, *, max_pixels: int = MAX_PIXELS) -> int:
    """Width times height by the header alone; raises what `decode_image` does."""
    with _opened(BytesIO(data), max_pixels=max_pixels, formats=FORMATS) as image:
        return image.width * image.height


@contextmanager
def _opened(
    source: Path | BytesIO, *, max_pixels: int, formats: tuple[str, ...] | None = None
) -> Iterator[Image.Image]:
    """A picture of which the header was read, with clear errors for it and for its pixels."""
    path = source if isinstance(source, Path) else None
    name = f"{path}: " if path else ""
    with clear_errors(f"{path}:" if path else "the picture"):
        if path:
            teach_format(path)
        elif isinstance(source, BytesIO) and not source.getbuffer():
            raise UserError("the file is empty (0 bytes)")
        taught = tuple(form for form in TAUGHT_FORMATS if form in Image.OPEN)
        try:
            opened, damages = open_picture(source, formats or OWN_FORMATS + taught)
            with opened as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise TooManyPixels(f"{name}{width} x {height} pixels is", max_pixels)
                if (file := getattr(image, "fp", None)) and image.format in JPEGS:
                    place = file.tell()
                    file.seek(0)
                    _check_scans(file.read(), name)
                    file.seek(place)
                _report(source, damages)
                yield image
        except Image.DecompressionBombError:
            raise TooManyPixels(f"{name}it has", max_pixels) from None
        except UnidentifiedImageError:
            text = "not a picture that can be read; JPEG, PNG, WebP, TIFF, BMP and GIF are"
            if path and (mimetypes.guess_type(path)[0] or "").startswith("video/"):
                text = "seems to be a video, not a picture; `spcnet video` takes videos"
            raise NotAPicture(f"{name}{text}") from None


def _report(source: Path | BytesIO | None, damages: list[str]) -> None:
    """Warn of what is damaged in a file that is read nevertheless."""
    if isinstance(source, Path):
        for text in damages:
            log.warning("%s: read, but damaged: %s", source, text)


def _loaded(image: Image.Image, source: Path | BytesIO, *size: int) -> Image.Image:
    image, lacking = load_pixels(image, source, *size)
    _report(source, lacking)
    return image


def _orientation(image: Image.Image, source: Path | None = None) -> int:
    """EXIF's number of how a picture is to be turned; 1, not at all, where it cannot be read."""
    with warnings_heard() as damages:
        try:
            found = image.getexif().get(ExifTags.Base.Orientation, 1)
        except Exception as error:  # what broken tags make Pillow raise is past listing
            damages.append(f"its EXIF data cannot be read: {error}")
            found = 1
    _report(source, damages)
    return found if found in range(1, 9) else 1


def _check_scans(jpeg: bytes, name: str) -> None:
    """Refuse a JPEG of more than `MAX_SCANS`: each is gone through for the whole picture.

    379 kB may be 2,500 scans of 49 megapixels, which take half a minute.
    """
    if jpeg.count(bytes((0xFF, _SOS))) <= MAX_SCANS:  # thumbnails and what follows its end included
        return
    scans, at = 0, 0
    while found := _MARKER.search(jpeg, at):
        marker, at = found[1][0], found.end()
        if marker == _EOI:
            break
        scans += marker == _SOS
        if marker >= _FIRST_WITH_LENGTH:
            at += int.from_bytes(jpeg[at : at + 2], "big")
    if scans > MAX_SCANS:
        text = f"a JPEG of {scans} scans; at most {MAX_SCANS} are decoded: save it again"
        raise UserError(f"{name}{text} in an image editor")


def rgb_from_pil(image: Image.Image) -> Array:
    """A PIL image of any mode as RGB uint8 (H, W, 3), upright by its EXIF orientation."""
    image.load()
    width, height = image.size
    orientation = _orientation(image)
    shape = (width, height) if orientation in TRANSPOSED else (height, width)
    rgb = np.empty((*shape, 3), np.uint8)
    steps = [-1 if orientation in mirrored else 1 for mirrored in (MIRRORED_Y, MIRRORED_X)]
    stored = rgb[:: steps[0], :: steps[1]]  # a view whose rows are those of the file
    if orientation in TRANSPOSED:
        stored = stored.swapaxes(0, 1)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        _fill_by_greys(stored, image)
        return rgb
    for rows, part in _stripes(image):
        if part.has_transparency_data:
            part = part.convert("RGBA")
            part = Image.alpha_composite(Image.new("RGBA", part.size, "white"), part)
        stored[rows] = np.asarray(part if part.mode == "RGB" else part.convert("RGB"))
    return rgb


def _rows(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture, of about `STRIPE` pixels each time."""
    step = max(1, STRIPE // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _stripes(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Rows of a picture, and that part of it."""
    for rows in _rows(image.height, image.width):
        whole = rows == slice(0, image.height)
        yield rows, image if whole else image.crop((0, rows.start, image.width, rows.stop))


def rgb_from_array(image: Array) -> Array:
    """An array as RGB uint8 (H, W, 3); a `UserError` names what is accepted."""
    accepted = "H x W, H x W x 1, H x W x 3 RGB or H x W x 4 RGBA of uint8, uint16 or float 0..1"
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise UserError(f"image must be {accepted}, got {dims(image.shape)}")
    if 0 in image.shape:
        raise UserError(f"image must have pixels, got {dims(image.shape)}")
    if image.dtype == np.uint16:
        image = _levels(image, 0, MOST)
    elif np.issubdtype(image.dtype, np.floating):
        low, high = image.min(), image.max()
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise UserError(
                f"image of floating point must be finite and lie in 0..1, got {low}..{high}"
            )
        image = np.rint(image * 255).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise UserError(f"image must be {accepted}, got {image.dtype}")
    if image.ndim == 2 or image.shape[2] == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.shape[2] == 4:
        return rgb_from_pil(Image.fromarray(image, mode="RGBA"))
    return np.ascontiguousarray(image)


def _stated_white(image: Image.Image) -> float | None:
    """What a TIFF's tag says is white, where it does."""
    with suppress(TypeError, ValueError):
        white = float(np.max(getattr(image, "tag_v2", {}).get(MAX_SAMPLE_VALUE, 0)))
        if 0 < white < np.inf:
            return white
    return None


def _fill_by_greys(rgb: Array, image: Image.Image) -> None:
    """Fill RGB uint8 (H, W, 3) by a picture whose greys have more than 8 bits."""
    kind = np.asarray(image.crop((0, 0, 1, 1))).dtype.newbyteorder("=")
    greys: Array = np.empty(rgb.shape[:2], kind)
    for rows, part in _stripes(image):
        greys[rows] = np.asarray(part)
    white = _stated_white(image)
    low, high = (0.0, white) if white else (_RANGE.get() or GreyRange()).decide(greys)
    for rows in _rows(*greys.shape):
        rgb[rows] = _levels(greys[rows], low, high)[..., None]


def _levels(greys: Array, low: float, high: float) -> Array:
    """Numbers from black to white as uint8; beyond white is white, what is not finite is black."""
    if greys.dtype == np.uint16:  # by a table in half the time
        return _levels(np.arange(MOST + 1), low, high)[greys]
    scaled = greys.astype(np.float32) - low
    if greys.dtype.kind == "f":
        scaled = np.nan_to_num(scaled, posinf=0.0, neginf=0.0)
    scaled *= 255 / max(high - low, 1e-30)
    levels: Array = np.rint(scaled.clip(0, 255)).astype(np.uint8)
    return levels
