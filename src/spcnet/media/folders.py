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
    folder: Path, *, recursive: bool = False, passed_over: Callable[[str], bool] | None = None
) -> tuple[list[Path], list[str]]:
    """The pictures of a folder, by their suffix, in the order of their paths.

    Hidden files and folders are passed over. Links to folders are followed, but no folder is
    entered twice.

    Args:
        folder: where to look.
        recursive: look in sub-folders as well.
        passed_over: says of a file's name that it is none of the pictures that are meant.

    Returns:
        Paths as seen from the folder, and a line for every sub-folder that cannot be read.

    Raises:
        UserError: the folder cannot be read, or no picture is found in it.
    """

    def is_picture(name: str) -> bool:
        meant = passed_over is None or not passed_over(name)
        return meant and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES

    unreadable: list[str] = []
    found = [
        path.relative_to(folder)
        for path in _files(folder, unreadable, recursive=recursive)
        if is_picture(path.name)
    ]
    if not found:
        if unreadable:
            raise UserError(unreadable[0])
        below = not recursive and any(
            is_picture(path.name) for path in _files(folder, [], recursive=True)
        )
        remedy = "; its sub-folders hold some: --recursive looks there" if below else ""
        suffixes = "names that end in .jpg, .png, .webp, .tif, .heic and the like"
        raise UserError(f"{folder}: no picture in this folder ({suffixes} are looked for){remedy}")
    return sorted(found), unreadable


def _files(folder: Path, unreadable: list[str], *, recursive: bool) -> Iterator[Path]:
    entered: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            status = here.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            names = sorted(name for name in os.listdir(here) if not name.startswith("."))
        except OSError as error:
            unreadable.append(f"{here}: cannot be read: {error.strerror}")
            continue
        paths = [here / name for name in names]
        folders = [path for path in paths if os.path.isdir(path)]
        yield from sorted(set(paths) - set(folders))
        if recursive:
            waiting += reversed(folders)
