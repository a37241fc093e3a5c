"""ONNX models in onnxruntime."""

from pathlib import Path
from typing import Any

import torch

from spcnet.errors import UserError, needs_extra


def open_session(source: Path | bytes, *, gpu: bool = False) -> Any:
    """An onnxruntime session with as many threads as torch uses; by itself it takes every core.

    Args:
        source: an ``.onnx`` file, or what it holds.
        gpu: run it on a GPU where onnxruntime has one.

    Raises:
        UserError: onnxruntime is not installed, or the file is missing or none that it can run.
    """
    name = "an ONNX model" if isinstance(source, bytes) else str(source)
    with needs_extra("onnx", f"{name}: running it"):
        import onnxruntime
    if isinstance(source, Path) and not source.is_file():
        raise UserError(f"{name}: no such file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    there = set(onnxruntime.get_available_providers())
    wanted = [*(["CUDAExecutionProvider"] if gpu else []), "CPUExecutionProvider"]
    content = source if isinstance(source, bytes) else str(source)
    try:
        return onnxruntime.InferenceSession(
            content, options, providers=[provider for provider in wanted if provider in there]
        )
    except Exception as error:  # onnxruntime's errors have no base of their own
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name}: not an ONNX model that can be run: {reason}") from None
