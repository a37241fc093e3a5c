"""Files that appear under their names only when they are whole."""

import os
import platform
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from spcnet.errors import UserError

STALE_SECONDS = 24 * 3600
OWN_MARK = f".partial-{platform.node()}-"


def check_file(path: Path) -> None:
    """Check that something is a file with a content; a `UserError` says what it is instead."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # of a name with a zero byte
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        kind = "pipe" if stat.S_ISFIFO(status.st_mode) else "device"
        raise UserError(f"{path}: is a {kind}, not a file; write its content to a file first")
    if not status.st_size:
        raise UserError(f"{path}: the file is empty (0 bytes)")


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A file to write to, which takes the target's place when the block ends without an error.

    What Pillow and Matplotlib write is made in memory first (`picture_bytes`): of a full disk they
    notice nothing where the last piece of a file is cut short.

    Raises:
        OSError: it cannot be written.
    """
    partial = target.with_name(f".{target.name}{_mark()}")
    try:
        yield partial
        _to_disk(partial)
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


def refuse_existing(paths: Iterable[Path], by: str = "-o") -> None:
    """Check that none of the files to be written, which are named `by` an option, is there."""
    for path in paths:
        if os.path.lexists(path):
            raise UserError(f"{path}: already exists; --force overwrites it, {by} names another")


def make_writable(folder: Path) -> None:
    """Make a folder if it is not there, and check that files can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        remove_leftovers(folder)
    except OSError as error:
        in_its_place = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "results go into a folder, and this is a file" if in_its_place else error.strerror
        text = f"{folder}: cannot write here ({reason}); -o names another place"
        raise UserError(text) from None


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """A folder to write results to; where none came, it is left as it was found."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    make_writable(folder)
    try:
        yield
    finally:
        for path in made:
            with suppress(OSError):  # it is not empty: this is the usual end
                path.rmdir()


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder to write to, which appears under its name when the block ends without an error.

    Raises:
        UserError: there is one already, or it cannot be written.
    """
    if target.exists():
        raise UserError(f"{target}: already exists; remove it, or -o names a new folder")
    partial: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}{_mark()}-", dir=target.parent))
        yield partial
        for path in filter(Path.is_file, partial.rglob("*")):
            _to_disk(path)
        partial.chmod(0o755)
        os.replace(partial, target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror}") from None
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _mark() -> str:
    """Of names of what this process has not finished; several machines may write to one disk."""
    return f"{OWN_MARK}{os.getpid()}"


def _to_disk(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())  # a disk may say only now that it is full


def remove_leftovers(folder: Path, *, ours: bool = False) -> None:
    """Remove what processes of this machine that are gone left half written in a folder.

    Others' goes a day after it was last written to, or where the folder is `ours` alone, at once.
    """
    for path in folder.glob(".*.partial-*"):
        try:
            if _abandoned(path, seconds=0.0 if ours else STALE_SECONDS):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        except OSError:  # another process was quicker, or may not
            continue


def _abandoned(path: Path, *, seconds: float) -> bool:
    """Whether nobody will finish a file or folder whose name is like one of `_mark`."""
    of_us, mark, rest = path.name.rpartition(OWN_MARK)
    number = rest.partition("-")[0]
    if of_us and mark and number.isdecimal() and os.name == "posix":
        return not _runs(int(number))
    ours = re.fullmatch(r"\..+\.partial-(.+-\d+(-\w+)?|\w{8})", path.name)
    return ours is not None and time.time() - path.stat().st_mtime >= seconds


def _runs(process: int) -> bool:
    with suppress(OSError):  # where there is no /proc the next question is enough
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is somebody else's
        pass
    return True
