"""The pictures of a folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from spcnet.errors import UserError
from spcnet.media.formats import RAW_SUFFIXES

# fmt: off
PICTURE_SUFFIXES = RAW_SUFFIXES | {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif",
    ".ppm", ".pgm", ".jp2", ".avif", ".heic", ".heif", ".jxl",
}
# fmt: on


def find_pictures(
    folder: Path,
    *,
    recursive: bool = False,
    passed_over: Callable[[str], bool] = lambda name: False,
) -> tuple[list[Path], list[str]]:
    """The pictures of a folder, by their suffix, in the order of their paths.

    Hidden files and folders are passed over, as are names of which `passed_over` says so. Links to
    folders are followed, but no folder is entered twice.

    Returns:
        Paths as seen from the folder, and a line for every sub-folder that cannot be read.

    Raises:
        UserError: the folder cannot be read, or no picture is found in it.
    """

    def pictures(unreadable: list[str], *, recursive: bool) -> Iterator[Path]:
        for path in _files(folder, unreadable, recursive=recursive):
            if path.suffix.lower() in PICTURE_SUFFIXES and not passed_over(path.name):
                yield path.relative_to(folder)

    unreadable: list[str] = []
    found = sorted(pictures(unreadable, recursive=recursive))
    if not found and unreadable:
        raise UserError(unreadable[0])
    if not found:
        below = any(pictures([], recursive=True))
        remedy = "; its sub-folders hold some: --recursive looks there" if below else ""
        suffixes = "names that end in .jpg, .png, .webp, .tif, .heic and the like"
        raise UserError(f"{folder}: no picture in this folder ({suffixes} are looked for){remedy}")
    return found, unreadable


def _files(folder: Path, unreadable: list[str], *, recursive: bool) -> Iterator[Path]:
    def failed(error: OSError) -> None:
        unreadable.append(f"{error.filename}: cannot be read: {error.strerror}")

    entered: set[tuple[int, int]] = set()
    for here, folders, names in os.walk(folder, onerror=failed, followlinks=True):
        status = os.stat(here)
        known = (status.st_dev, status.st_ino) in entered
        entered.add((status.st_dev, status.st_ino))
        deeper = recursive and not known
        folders[:] = sorted(name for name in folders if deeper and not name.startswith("."))
        if not known:
            yield from (Path(here, name) for name in names if not name.startswith("."))
