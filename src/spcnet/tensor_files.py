"""Tensors in safetensors files, in one or, under one name, in shards with an index.

The shards of ``model.safetensors`` are the usual ones: ``model.safetensors.index.json`` says which
file holds which tensor. Their names hold a digest of the content, so that a new set never mixes
with an old one: the index changes over in one step, and what it no longer names is removed then.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from spcnet.errors import UserError
from spcnet.files import INDEX, shard_of, whole_file

SHARD_BYTES = 15 * 2**20


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    *,
    largest: int | None = None,
) -> None:
    """Write tensors so that they appear under their name only when they are whole.

    Args:
        path: the ``.safetensors`` file.
        tensors: by name.
        metadata: kept with them.
        largest: bytes of a single file; more are written as shards, with ``path`` as their name.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    total = sum(tensor.nbytes for tensor in tensors.values())
    if largest is None or total <= largest:
        new = [path]
        _write_one(path, tensors, metadata)
    else:
        new = _write_shards(path, tensors, metadata, total)
    for file in {path, path.with_name(path.name + INDEX), *_shards_of(path)} - set(new):
        file.unlink(missing_ok=True)


def _write_one(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    try:
        with whole_file(path) as partial:
            # In a folder of its own, for safetensors begins with a file of another name, which a
            # killed process leaves: `remove_leftovers` knows the folder, not that name.
            folder = partial.with_name(f"{partial.name}-folder")
            folder.mkdir(exist_ok=True)
            try:
                save_file(dict(tensors), folder / path.name, metadata={"format": "pt", **metadata})
                os.replace(folder / path.name, partial)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            partial.chmod(0o644)  # safetensors makes files that only their owner can read
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error)) from None


def _write_shards(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], total: int
) -> list[Path]:
    """Write shards and, at last, their index; give all files."""
    groups: list[dict[str, Tensor]] = []
    room = 0
    digest = hashlib.blake2b(digest_size=4)
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
        if tensor.nbytes > room:
            groups.append({})
            room = SHARD_BYTES
        groups[-1][name] = tensor
        room -= tensor.nbytes
    places: dict[str, str] = {}
    for number, group in enumerate(groups, start=1):
        file = f"{path.stem}-{digest.hexdigest()}-{number:05d}-of-{len(groups):05d}.safetensors"
        _write_one(path.with_name(file), group, metadata)
        places |= dict.fromkeys(group, file)
    index = path.with_name(path.name + INDEX)
    with whole_file(index) as partial:
        content = {"metadata": {"total_size": total, **metadata}, "weight_map": places}
        partial.write_text(json.dumps(content, indent=1) + "\n")
    return [index, *(path.with_name(file) for file in dict.fromkeys(places.values()))]


def _shards_of(path: Path) -> list[Path]:
    """All shards beside it that were written under its name, whole sets or not."""
    return [file for file in path.parent.glob("*.safetensors") if shard_of(file.name) == path.name]


def tensor_files(path: Path) -> list[Path]:
    """The files behind a name: itself, or an index and its shards; none where there is neither.

    Raises:
        UserError: the index cannot be read.
    """
    if path.is_file():
        return [path]
    index = path.with_name(path.name + INDEX)
    if not index.is_file():
        return []
    return [
        index,
        *(path.with_name(file) for file in dict.fromkeys(_read_index(index)[0].values())),
    ]


def size_on_disk(path: Path) -> int:
    """Bytes of the files behind a name."""
    return sum(file.stat().st_size for file in tensor_files(path))


def _read_index(index: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Which file holds which tensor, and the metadata."""
    try:
        content = json.loads(index.read_text())
        places = {str(name): str(file) for name, file in content["weight_map"].items()}
        metadata = {str(key): str(value) for key, value in content["metadata"].items()}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{index}: not an index of .safetensors shards ({error})") from None
    if strange := [file for file in places.values() if Path(file).name != file]:
        raise UserError(f"{index}: names a file in another folder: {strange[0]}")
    return places, metadata


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file, or of its shards.

    Raises:
        UserError: a file is missing or is no whole safetensors file.
    """
    path = Path(path)
    files = tensor_files(path)
    if not files:
        raise UserError(f"{path}: no such file")
    if files == [path]:
        return _read_one(path)
    tensors: dict[str, Tensor] = {}
    for file in files[1:]:
        if not file.is_file():
            raise UserError(
                f"{path}: its part {file.name} is missing; copy all that {files[0].name} names"
            )
        tensors |= _read_one(file)[0]
    places, metadata = _read_index(files[0])
    if missing := sorted(places.keys() - tensors.keys()):
        raise UserError(f"{path}: its parts lack {len(missing)} tensors, such as {missing[0]}")
    return tensors, metadata


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """What is kept with the tensors of a single safetensors file, which are not read.

    Raises:
        UserError: it is no whole safetensors file.
    """
    with _opened(Path(path)) as file:
        metadata: dict[str, str] = file.metadata() or {}
        return metadata


def _read_one(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, file.metadata() or {}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole .safetensors file ({error})") from None
