"""Picture formats that Pillow alone does not read: HEIC, AVIF, JPEG XL, and cameras' raw files.

Each is read where the package that can is installed; otherwise the error says how it is installed.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from spcnet.errors import UserError
from spcnet.geometry import Array

RAW_SUFFIXES = frozenset({".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2"})


class TooManyPixels(UserError):
    """The header tells of more pixels than are taken."""


def too_many_pixels(found: str, max_pixels: int) -> TooManyPixels:
    """The error for a picture of which more pixels were found, in words, than are taken."""
    return TooManyPixels(
        f"{found} more than {max_pixels / 1_000_000:g} megapixels; reduce it first"
    )


@dataclass(frozen=True, kw_only=True)
class PlugIn:
    """A package that teaches Pillow a format.

    Attributes:
        format: what the format is called.
        suffix: by which Pillow knows it once it was taught.
        marks: one of which a file begins with, at its first byte or its fifth.
        package: as pip names it.
        module: what is imported.
        register: function of the module to be called; with none, importing it is enough.
    """

    format: str
    suffix: str
    marks: tuple[bytes, ...]
    package: str
    module: str
    register: str | None = None


PLUG_INS = (
    PlugIn(
        format="HEIC",
        suffix=".heic",
        marks=(b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1"),
        package="pillow-heif",
        module="pillow_heif",
        register="register_heif_opener",
    ),
    PlugIn(
        format="AVIF",
        suffix=".avif",
        marks=(b"ftypavif", b"ftypavis"),
        package="pillow-avif-plugin",
        module="pillow_avif",
    ),
    PlugIn(
        format="JPEG XL",
        suffix=".jxl",
        marks=(b"JXL ", b"\xff\x0a"),
        package="pillow-jxl-plugin",
        module="pillow_jxl",
    ),
)


def teach_format(path: Path) -> None:
    """Check that Pillow knows the format of a file, if a plug-in is known for it.

    By its first bytes: telephones give their HEIC files any name.

    Raises:
        UserError: the plug-in is not installed.
    """
    try:
        if not path.is_file():
            return  # opening a pipe would wait for ever
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return  # reading it will say why
    for plug_in in PLUG_INS:
        marked = head.startswith(plug_in.marks) or head[4:].startswith(plug_in.marks)
        if marked and plug_in.suffix not in Image.registered_extensions():
            try:
                module = importlib.import_module(plug_in.module)
            except ImportError:
                raise UserError(
                    f"{path}: reading {plug_in.format} needs {plug_in.package}: "
                    f"pip install {plug_in.package}"
                ) from None
            if plug_in.register is not None:
                getattr(module, plug_in.register)()


def read_raw(path: Path, *, max_pixels: int) -> Array:
    """A camera's raw file as RGB uint8 (H, W, 3), developed and upright as the camera says.

    Raises:
        TooManyPixels: the picture has more.
        UserError: rawpy is not installed, or the picture cannot be read.
    """
    try:
        rawpy = importlib.import_module("rawpy")
    except ImportError:
        raise UserError(
            f"{path}: reading {path.suffix} files needs rawpy: pip install rawpy"
        ) from None
    try:
        with rawpy.imread(str(path)) as raw:
            if raw.sizes.width * raw.sizes.height > max_pixels:
                found = f"{path}: {raw.sizes.width} x {raw.sizes.height} pixels is"
                raise too_many_pixels(found, max_pixels)
            return np.asarray(raw.postprocess())
    except UserError:
        raise
    except Exception as error:  # what a broken file makes a decoder raise is past listing
        raise UserError(f"{path}: cannot be read: {error or type(error).__name__}") from None
