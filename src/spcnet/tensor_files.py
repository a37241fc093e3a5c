"""Tensors in safetensors files."""

import errno
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
from spcnet.files import whole_file


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a ``.safetensors`` file, which appears under its name only when it is whole.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with whole_file(path) as partial:
            # In a folder of its own, for safetensors begins with a file of another name, which a
            # killed process leaves: `remove_leftovers` knows the folder, not that name.
            folder = partial.with_name(f"{partial.name}-folder")
            folder.mkdir(exist_ok=True)
            try:
                save_file(held, folder / path.name, metadata={"format": "pt", **metadata})
                os.replace(folder / path.name, partial)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            partial.chmod(0o644)  # safetensors makes files that only their owner can read
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error)) from None


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        UserError: it is missing or no whole safetensors file.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, file.metadata() or {}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """What is kept with the tensors of a safetensors file, which are not read."""
    with _opened(Path(path)) as file:
        metadata: dict[str, str] = file.metadata() or {}
        return metadata


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole .safetensors file ({error})") from None
