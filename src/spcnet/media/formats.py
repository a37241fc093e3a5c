"""Picture formats that Pillow alone does not read: HEIC, AVIF, JPEG XL, and cameras' raw files.

Each is read where the package that can is installed; otherwise the error says how it is installed.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spcnet.errors import UserError
from spcnet.geometry import Array

RAW_SUFFIXES = frozenset({".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2"})

# A format, the suffix by which Pillow knows it once it was taught, the package and its module that
# teach it, and what a file begins with, at its first byte or its fifth.
PLUG_INS = (
    ("HEIC", ".heic", "pillow-heif", "pillow_heif",
     (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1")),
    ("AVIF", ".avif", "pillow-avif-plugin", "pillow_avif", (b"ftypavif", b"ftypavis")),
    ("JPEG XL", ".jxl", "pillow-jxl-plugin", "pillow_jxl", (b"JXL ", b"\xff\x0a")),
)  # fmt: skip


class TooManyPixels(UserError):
    """The header tells of more pixels, in words, than are taken."""

    def __init__(self, found: str, max_pixels: int) -> None:
        super().__init__(f"{found} more than {max_pixels / 1e6:g} megapixels; reduce it first")


@contextmanager
def clear_errors(name: str) -> Iterator[None]:
    """What a broken file makes a decoder raise, which is past listing, as a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(f"{name} cannot be read: {reason or type(error).__name__}") from None


def teach_format(path: Path) -> None:
    """Have Pillow know the format of a file, or say in a `UserError` which plug-in does.

    By its first bytes: telephones give their HEIC files any name.
    """
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return  # reading it will say why
    for form, suffix, package, module, marks in PLUG_INS:
        marked = head.startswith(marks) or head[4:].startswith(marks)
        if marked and suffix not in Image.registered_extensions():
            plug_in = _imported(module, f"{path}: reading {form} needs {package}", package)
            # Of the others importing them is enough.
            getattr(plug_in, "register_heif_opener", lambda: None)()


def read_raw(path: Path, *, max_pixels: int) -> Array:
    """A camera's raw file as RGB uint8 (H, W, 3), developed and upright as the camera says.

    Raises:
        TooManyPixels: the picture has more.
        UserError: rawpy is not installed, or the picture cannot be read.
    """
    rawpy = _imported("rawpy", f"{path}: reading {path.suffix} files needs rawpy", "rawpy")
    with clear_errors(f"{path}:"), rawpy.imread(str(path)) as raw:
        width, height = raw.sizes.width, raw.sizes.height
        if width * height > max_pixels:
            raise TooManyPixels(f"{path}: {width} x {height} pixels is", max_pixels)
        return np.asarray(raw.postprocess())


def _imported(module: str, need: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(f"{need}: pip install {package}") from None
