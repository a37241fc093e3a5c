"""What every runtime does: uint8 crops in; heatmaps or keypoints, and attention, of one pass out.

A new runtime is one module with a function or class `open_file(path, device, precision)` that
gives a `Backend`, and its name in `Runtime` and `RUNTIMES`.
"""

from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from spcnet.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from spcnet.checkpoints import ModelCard
    from spcnet.codec import Codec
    from spcnet.geometry import Array
    from spcnet.models.network import PoseNetwork

Precision: TypeAlias = Literal["fp32", "bf16", "int8", "auto"]
Runtime: TypeAlias = Literal["auto", "torch", "onnxruntime", "openvino"]
# The module of each runtime, by the files that it runs; the first of them is "auto".
RUNTIMES = {
    ".safetensors": {"torch": "spcnet.runtime.plain"},
    ".onnx": {"onnxruntime": "spcnet.runtime.onnxruntime", "openvino": "spcnet.runtime.openvino"},
}


class Answer(NamedTuple):
    """What one pass over N crops yields: heatmaps, or what a file decoded of them itself."""

    heatmaps: "Tensor | None" = None  # (N, K, h, w) float32, an ideal peak is 1
    attention: "Tensor | None" = None  # weights (N, L, h, w) float32, coarsest level first
    decoded: "tuple[Array, Array] | None" = None  # what `decode` gives, in place of heatmaps

    def decode(self, codec: "Codec") -> "tuple[Array, Array]":
        """Keypoints (N, K, 2) in crop pixels and peak values (N, K), not calibrated."""
        if self.decoded is not None:
            return self.decoded
        assert self.heatmaps is not None
        points, peaks = codec.decode(self.heatmaps)
        return points.cpu().numpy(), peaks.cpu().numpy()


class Backend(ABC):
    """A weights file, ready to run."""

    path: Path
    card: "ModelCard"
    device: "torch.device"
    place: str  # device, runtime and how the precision was chosen, in words
    precision: str  # that it runs in; of an .onnx in onnxruntime the file's own
    gives_heatmaps = True  # or keypoints alone

    @abstractmethod
    def __call__(self, crops: "Array") -> Answer:
        """One pass over RGB uint8 crops (N, S, S, 3)."""

    @property
    def network(self) -> "PoseNetwork":
        """That torch runs; it may be exchanged for another of the same joints."""
        raise UserError(
            f"{self.path}: torch does not run {self.path.suffix} files; use the .safetensors that "
            "it was exported from"
        )

    @network.setter
    def network(self, network: "PoseNetwork") -> None:
        assert self.network is not None  # raises

    def without_attention(self) -> UserError:
        """The error that its answers have no attention."""
        return UserError(
            f"{self.path}: an {self.path.suffix} file gives no attention; use the .safetensors "
            "that it was exported from"
        )


def open_backend(
    path: Path, device: str, precision: Precision = "fp32", runtime: Runtime = "auto"
) -> Backend:
    """What runs a weights file on a device; ``"openvino"`` as one names that runtime."""
    known = ["auto", *(name for modules in RUNTIMES.values() for name in modules)]
    if runtime not in known:
        raise UserError(f"runtime must be one of {', '.join(known)}, got {runtime!r}")
    if device == "openvino":
        device, runtime = "auto", "openvino"
    modules = RUNTIMES[path.suffix]
    name = next(iter(modules)) if runtime == "auto" else runtime
    if name not in modules:
        raise UserError(
            f"runtime {name!r} does not run {path}; choose {' or '.join(modules)} (torch runs "
            ".safetensors files, the others the .onnx that `spcnet export` makes of them)"
        )
    backend: Backend = import_module(modules[name]).open_file(path, device, precision)
    return backend
