"""Files that appear under their names only when they are whole."""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from spcnet.errors import UserError

STALE_SECONDS = 24 * 3600


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A file to write to, which takes the target's place when the block ends without an error.

    What Pillow and Matplotlib write is made in memory first (`picture_bytes`): of a full disk they
    notice nothing where the last piece of a file is cut short.

    Raises:
        OSError: it cannot be written.
    """
    # Several machines may write to one disk, and their processes have the same numbers.
    partial = target.with_name(f".{target.name}.partial-{platform.node()}-{os.getpid()}")
    try:
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())  # a disk may say only now that it is full
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """`whole_file` for a file of the user's.

    Raises:
        UserError: it cannot be written.
    """
    with writing(target), whole_file(target) as partial:
        yield partial


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Tells as the user's what the disk has against writing a file."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror or error}") from None


def picture_bytes(image: Any, form: str, **how: Any) -> bytes:
    """A Pillow image or a Matplotlib figure as the content of a file.

    Args:
        image: has `save` or `savefig`.
        form: such as ``"png"``.
        how: options of these.
    """
    content = BytesIO()
    write = image.savefig if hasattr(image, "savefig") else image.save
    write(content, format=form, **how)
    return content.getvalue()


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder to write to, which appears under its name when the block ends without an error.

    Raises:
        UserError: there is one already, or it cannot be written.
    """
    if target.exists():
        raise UserError(f"{target}: already exists; name a new folder or remove it")
    partial: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
        yield partial
        partial.chmod(0o755)
        os.replace(partial, target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror}") from None
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def remove_leftovers(folder: Path, *, older_than: float = STALE_SECONDS) -> None:
    """Remove what killed processes left half written in a folder.

    Args:
        folder: where to look, not below it.
        older_than: seconds since it was last written to; what is younger may be in the making.
    """
    for path in folder.glob(".*.partial*"):
        try:
            if time.time() - path.stat().st_mtime < older_than:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        except OSError:  # another process was quicker, or may not
            continue
