"""Files as MATLAB writes them, for tests."""

from pathlib import Path

import h5py
import numpy as np


def as_matlab_73(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """HDF5 behind MATLAB's 512 bytes, the axes reversed as MATLAB writes them."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = array.T
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    with path.open("r+b") as stream:
        stream.write(header)
    return path
