"""Devices: their names, numbers and memory."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from spcnet.errors import UserError


def find_device(name: str) -> torch.device:
    """The device of a name: ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda:1"``, ...

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError):
        there = [f"cuda:{n}" for n in range(torch.cuda.device_count())]
        raise UserError(
            f"device {name!r} is not available; choose {', '.join(['auto', 'cpu', *there])}"
        ) from None
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware; a CPU does by AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return (
        device.type == "cpu"
        and torch._C._has_mkldnn
        and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    )


def give_back_memory() -> None:
    """Return freed memory to the system; glibc's allocator keeps it otherwise."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another libc
            ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextmanager
def memory_suffices(remedy: str) -> Iterator[None]:
    """What does not fit into a device's memory is a `UserError`, which names the remedy."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).split(". ")[0]
    except RuntimeError as error:
        # The CPU's allocator has no exception of its own.
        if "can't allocate memory" not in str(error):
            raise
        reason = "the CPU's memory does not suffice"
    else:
        return
    raise UserError(f"out of memory ({reason}): {remedy}")
