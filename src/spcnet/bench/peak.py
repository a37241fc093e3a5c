"""The most memory that a process has held."""

import re
import resource
import sys
from pathlib import Path

import torch


def peak_bytes(device: torch.device) -> int:
    """Of this process so far: resident on a CPU, on a GPU what torch allocated there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.is_file():  # what getrusage says may be the parent's
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if found:
            return 1024 * int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
