"""OpenVINO: files of ``spcnet export`` on the CPU, in float32 or bfloat16."""

from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from spcnet.errors import UserError, needs_extra
from spcnet.geometry import Array
from spcnet.runtime.contract import Precision
from spcnet.runtime.onnx_files import CROPS, OnnxModel, check_device
from spcnet.runtime.precision import choose_precision

TYPES = {"fp32": "f32", "bf16": "bf16"}


class OpenVino(OnnxModel):
    """A file of ``spcnet export`` in OpenVINO, with as many threads as torch uses.

    Convolutions that the file has in int8 stay so in any precision.
    """

    def __init__(self, path: Path, precision: str) -> None:
        with needs_extra("openvino", f"{path}: running it by OpenVINO"):
            import openvino
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        settings = {
            "INFERENCE_PRECISION_HINT": TYPES[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        core = openvino.Core()
        try:
            model = core.read_model(path)
            self._compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-200:]
            raise UserError(f"{path}: not an ONNX model that can be run: {reason}") from None
        framework = model.rt_info["framework"] if model.has_rt_info("framework") else {}
        super().__init__(
            path,
            "OpenVINO",
            metadata={name: str(value.value) for name, value in framework.items()},
            inputs={one.any_name: _sizes(one) for one in model.inputs},
            outputs={one.any_name: _sizes(one) for one in model.outputs},
        )
        self.precision = precision
        self._one_at_a_time = Lock()

    def run(self, names: list[str], crops: Array) -> list[Array]:
        with self._one_at_a_time:
            found = self._compiled({CROPS: crops})
        return [found[name] for name in names]


def _sizes(port: Any) -> list[int | None]:
    return [size.get_length() if size.is_static else None for size in port.partial_shape]


def open_file(path: Path, device: str, precision: Precision) -> OpenVino:
    """A file in the precision that was asked for; see `open_backend`."""
    check_device(device)
    run_in = cache(partial(OpenVino, path))
    chosen, text = choose_precision(precision, torch.device("cpu"), run_in)
    model = run_in(chosen)
    model.place += text
    return model
