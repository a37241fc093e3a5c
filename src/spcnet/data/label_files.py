"""Files of labels and predictions: MATLAB, HDF5, numpy's archives, JSON, XML and text.

One that is missing, cut short or of another form is a `UserError` that names it.
"""

import gzip
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from spcnet.data.mat_files import check_mat
from spcnet.errors import UserError, dims, in_words, needs_extra
from spcnet.geometry import Array

T = TypeVar("T")

# Arrays of the stacked hourglass, and their axes after the persons'; None where they differ.
HOURGLASS = {
    "center": (2,), "imgname": None, "index": (), "normalize": (), "part": None, "person": (),
    "scale": (), "visible": None,
}  # fmt: skip
MOST_BYTES = 2 << 30  # that a file may unpack to: a few kilobytes can claim to be any number
# What content of another form than was expected makes Python raise where it is read.
MALFORMED = (AttributeError, LookupError, TypeError, ValueError, OverflowError, RecursionError)


def load_mat(path: Path, *, wanted: str, structs: bool = False) -> dict[str, Any]:
    """The variables of a ``.mat`` file, of version 7.3 (HDF5) too, with MATLAB's order of axes.

    `structs` gives structs as objects and squeezes axes of length 1; `wanted` is what the file
    should be, for messages.
    """
    import scipy.io

    if not path.is_file():
        raise UserError(f"{path}: no such file; wanted {wanted}")
    try:
        check_mat(path, most=MOST_BYTES)  # scipy believes whatever sizes a file states
        content = scipy.io.loadmat(
            str(path), struct_as_record=not structs, squeeze_me=structs, chars_as_strings=True
        )
    except NotImplementedError:  # version 7.3
        arrays = load_h5(path, wanted=wanted)
        if structs and not arrays:
            raise UserError(
                f"{path}: a struct of version 7.3; save it in MATLAB with -v7, wanted {wanted}"
            ) from None
        return {name: np.transpose(array) for name, array in arrays.items()}
    except Exception as error:  # what half a download makes scipy raise is past listing
        raise _broken(path, wanted, error) from None
    return {name: value for name, value in content.items() if not name.startswith("__")}


def load_h5(path: Path, *, wanted: str) -> dict[str, Array]:
    """The arrays at the top of an HDF5 file."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; wanted {wanted}")
    with needs_extra("h5", f"{path}: reading HDF5"):
        import h5py
    try:
        with h5py.File(path, "r") as file:
            # MATLAB's cells are references to elsewhere in the file.
            arrays = {
                text(name): item
                for name, item in file.items()
                if isinstance(item, h5py.Dataset) and h5py.check_ref_dtype(item.dtype) is None
            }
            _check_size(sum(item.nbytes for item in arrays.values()))
            return {name: item[()] for name, item in arrays.items()}
    except (OSError, RuntimeError, *MALFORMED) as error:
        raise _broken(path, wanted, error) from None


def load_npz(path: Path, *, wanted: str) -> dict[str, Array]:
    """The arrays of a ``.npz``."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(sum(entry.file_size for entry in archive.infolist()))
        with np.load(path, allow_pickle=False) as content:
            return dict(content)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; wanted {wanted}") from None
    except Exception as error:  # a broken archive fails in many ways
        reason = error if zipfile.is_zipfile(path) else "no .npz archive of numpy"
        raise _broken(path, wanted, reason) from None


def load_json(path: Path, *, wanted: str) -> Any:
    """A JSON file, plain or gzipped, in UTF-8, UTF-16 or UTF-32, with a byte order mark or not."""
    return _parsed(path, wanted, json.loads)


def load_text(path: Path, *, wanted: str) -> str:
    """A file of text in UTF-8, plain or gzipped."""
    return _parsed(path, wanted, lambda data: data.decode("utf-8-sig"))


def load_xml(path: Path, *, wanted: str) -> Element:
    """The root of an XML file; one that declares a document type, as entities need, is refused."""
    return _parsed(path, wanted, _xml_root)


def _xml_root(data: bytes) -> Element:
    def refuse(*declared: object) -> None:
        raise ValueError("it declares a document type (DOCTYPE); remove that line")

    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from None
    return builder.close()


def _parsed(path: Path, wanted: str, parse: Callable[[bytes], T]) -> T:
    try:
        _check_size(path.stat().st_size)
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            with gzip.open(path) as stream:
                data = stream.read(MOST_BYTES + 1)
            _check_size(len(data))
        return parse(data)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; wanted {wanted}") from None
    except (OSError, EOFError, zlib.error, *MALFORMED) as error:
        raise _broken(path, wanted, getattr(error, "strerror", None) or error) from None


@contextmanager
def reading(path: Path, wanted: str) -> Iterator[None]:
    """Around the parsing of a file's content: what is not of the form is a `UserError`."""
    try:
        yield
    except MALFORMED as error:
        raise UserError(f"{path}: not {wanted}: {in_words(error)}") from None


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise ValueError(f"it is or would unpack to {size / 1e9:.1f} GB or more")


def load_hourglass(
    path: Path, split: str, *, title: str, joints: int, parts: Mapping[int, str]
) -> tuple[dict[str, Array], str]:
    """The arrays of a ``train.h5`` or ``valid.h5`` of the stacked hourglass, and which part it is.

    It is the one of `parts` with that many persons, or else `split`, maybe ``"all"``. Another
    part, an array that lacks or one of another shape is a `UserError`.
    """
    arrays = load_h5(path, wanted=f"an h5 of the stacked hourglass for {title}")
    if lacking := [name for name in HOURGLASS if name not in arrays]:
        raise another_file(path, "an h5 of the stacked hourglass", arrays, ", ".join(lacking))
    shape = arrays["part"].shape
    if len(shape) != 3 or shape[1:] != (joints, 2):
        other = {(16,): "; this is MPII's file", (11,): "; this is FLIC's file"}
        raise UserError(
            f"{path}: part of {title} must be N x {joints} x 2, got {dims(shape)}"
            + other.get(shape[1:2], "")
        )
    count = shape[0]
    for name, shared in {**HOURGLASS, "visible": (joints,)}.items():
        array = arrays[name]
        if len(array.shape) < 1 or len(array) != count or shared not in (None, array.shape[1:]):
            wanted = "" if shared is None else f", wanted {dims((count, *shared))}"
            raise UserError(
                f"{path}: {name} of {count} persons has {dims(array.shape)} values{wanted}"
            )
        if shared is not None and not np.issubdtype(array.dtype, np.number):
            raise UserError(f"{path}: {name} holds {array.dtype}, wanted numbers")
        if name in ("center", "index", "person", "scale") and not np.isfinite(array).all():
            raise UserError(f"{path}: {name} holds {array[~np.isfinite(array)][0]}, wanted numbers")
    part = parts.get(shape[0], split if split in parts.values() else "all")
    if split not in (part, "all"):
        raise UserError(f"{path}: holds {title} {part}, not {split!r}")
    return arrays, part


def text(value: Any) -> str:
    """A name from an h5, which keeps bytes or padded integers."""
    if isinstance(value, np.ndarray):
        value = bytes(value.astype(np.uint8).tolist())
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value).split("\0")[0].encode("utf-8", "replace").decode()


def as_list(value: Any) -> list[Any]:
    """A struct array, a lone struct, a cell array or nothing, as a list."""
    return list(value.ravel()) if isinstance(value, np.ndarray) else [value]


def positive(length: Any) -> float | None:
    """A length, or None where it is none."""
    return float(length) if np.isfinite(length) and length > 0 else None


def another_file(path: Path, wanted: str, content: Iterable[str], lacking: str) -> UserError:
    """The error that a file is none of what was wanted, as it lacks something."""
    held = ", ".join(content) or "nothing"
    return UserError(f"{path}: not {wanted}: it holds {held}, wanted {lacking}")


def _broken(path: Path, wanted: str, error: object) -> UserError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return UserError(f"{path}: not {wanted}, or half a download: {reason}")
