"""Onnxruntime: files of ``spcnet export`` on the CPU, and sessions of any ONNX model."""

from pathlib import Path
from typing import Any

import torch

from spcnet.errors import UserError, needs_extra
from spcnet.geometry import Array
from spcnet.runtime.contract import Precision
from spcnet.runtime.onnx_files import CROPS, OnnxModel, check_device


def open_session(source: Path | bytes, *, gpu: bool = False) -> Any:
    """A session of a file or its content, with as many threads as torch uses, not every core.

    It is on a GPU if that is wanted and onnxruntime has one.
    """
    name = "an ONNX model" if isinstance(source, bytes) else str(source)
    with needs_extra("onnx", f"{name}: running it"):
        import onnxruntime
    if isinstance(source, Path) and not source.is_file():
        raise UserError(f"{name}: no such file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    wanted = [*(["CUDAExecutionProvider"] if gpu else []), "CPUExecutionProvider"]
    there = [each for each in wanted if each in onnxruntime.get_available_providers()]
    content = source if isinstance(source, bytes) else str(source)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=there)
        # Texts that are no text are noticed where they are asked for.
        known = session.get_modelmeta().custom_metadata_map
        if known is None or not all(of.name for of in session.get_inputs() + session.get_outputs()):
            raise ValueError("its metadata, an input or an output has no name")
        return session
    except Exception as error:  # onnxruntime's errors have no base of their own
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name}: not an ONNX model that can be run: {reason}") from None


class OnnxRuntime(OnnxModel):
    """A file of ``spcnet export`` in onnxruntime, in its own precision; see `open_backend`."""

    def __init__(self, path: Path, device: str, precision: Precision) -> None:
        check_device(device)
        if precision not in ("fp32", "auto"):
            raise UserError(
                f"precision {precision!r}: {path} has its own; a .safetensors has others, and "
                "runtime 'openvino' runs .onnx files in bf16 too"
            )
        self._session = open_session(path)
        super().__init__(
            path,
            "onnxruntime",
            metadata=self._session.get_modelmeta().custom_metadata_map,
            inputs={one.name: one.shape for one in self._session.get_inputs()},
            outputs={one.name: one.shape for one in self._session.get_outputs()},
        )

    def run(self, names: list[str], crops: Array) -> list[Array]:
        outputs: list[Array] = self._session.run(names, {CROPS: crops})
        return outputs


open_file = OnnxRuntime
