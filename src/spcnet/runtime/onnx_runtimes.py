"""What runs the ONNX files of ``spcnet export``: onnxruntime or OpenVINO."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol

import torch

from spcnet.errors import UserError, needs_extra
from spcnet.geometry import Array
from spcnet.runtime.onnx_sessions import open_session

OPENVINO: Final = "openvino"
OPENVINO_TYPES = {"fp32": "f32", "bf16": "bf16"}


class Runtime(Protocol):
    """A file that is ready to run.

    Attributes:
        name: of what runs it.
        metadata: of the file.
        inputs: by name the sizes, None where they are open.
        outputs: likewise.
    """

    name: str
    metadata: Mapping[str, str]
    inputs: Mapping[str, Sequence[Any]]
    outputs: Mapping[str, Sequence[Any]]

    def run(self, names: Sequence[str], given: Mapping[str, Array]) -> list[Array]:
        """The outputs of these names."""
        ...


class OnnxRuntime:
    """A `Runtime`: onnxruntime, on the CPU.

    Raises:
        UserError: as of `open_session`.
    """

    name = "onnxruntime"

    def __init__(self, path: Path) -> None:
        self._session = open_session(path)
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.inputs: Mapping[str, Sequence[Any]] = {
            one.name: one.shape for one in self._session.get_inputs()
        }
        self.outputs: Mapping[str, Sequence[Any]] = {
            one.name: one.shape for one in self._session.get_outputs()
        }

    def run(self, names: Sequence[str], given: Mapping[str, Array]) -> list[Array]:
        """See `Runtime`."""
        outputs: list[Array] = self._session.run(list(names), dict(given))
        return outputs


class OpenVino:
    """A `Runtime`: OpenVINO, on the CPU, with as many threads as torch uses.

    Args:
        path: of the file.
        precision: that it multiplies, of `OPENVINO_TYPES`; convolutions that the file has in int8
            stay so.

    Raises:
        UserError: OpenVINO is not installed, or the file is missing or none that it can run.
    """

    name = "OpenVINO"

    def __init__(self, path: Path, precision: str) -> None:
        with needs_extra("openvino", f"{path}: running it by OpenVINO"):
            import openvino
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        settings = {
            "INFERENCE_PRECISION_HINT": OPENVINO_TYPES[precision],
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
        self.metadata: Mapping[str, str] = {
            name: str(value.value) for name, value in framework.items()
        }
        self.inputs: Mapping[str, Sequence[Any]] = {
            one.any_name: _sizes(one) for one in model.inputs
        }
        self.outputs: Mapping[str, Sequence[Any]] = {
            one.any_name: _sizes(one) for one in model.outputs
        }
        self._one_at_a_time = Lock()

    def run(self, names: Sequence[str], given: Mapping[str, Array]) -> list[Array]:
        """See `Runtime`."""
        with self._one_at_a_time:
            found = self._compiled(dict(given))
        return [found[name] for name in names]


def _sizes(port: Any) -> list[int | None]:
    return [size.get_length() if size.is_static else None for size in port.partial_shape]
