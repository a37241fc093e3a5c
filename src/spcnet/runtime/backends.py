"""What runs a network: torch on any device, or onnxruntime or OpenVINO on the CPU.

`PoseEstimator` cuts crops and places points; a backend turns crops into heatmaps, or in the one
case of `OnnxKeypoints` straight into keypoints.
"""

from pathlib import Path
from typing import Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from spcnet.checkpoints import METADATA_KEY, ModelCard, load_checkpoint
from spcnet.codec import Codec, normalise
from spcnet.devices import find_device
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.models.network import PoseNetwork, channels_last
from spcnet.runtime.forward import check_figures, choose_precision, make_forward
from spcnet.runtime.fused import FusedNetwork, can_fuse
from spcnet.runtime.onnx_runtimes import OPENVINO, OnnxRuntime, OpenVino, Runtime
from spcnet.runtime.precision import Precision
from spcnet.runtime.precision import Runtime as RuntimeName

# The input and the outputs of ONNX files.
CROPS, KEYPOINTS, SCORES, HEATMAPS = "crops", "keypoints", "scores", "heatmaps"
PRECISION_KEY = "precision"  # beside the card in an ONNX file's metadata


class Backend(Protocol):
    """A network with its card, ready to run.

    Attributes:
        card: of the network.
        device: where its heatmaps are.
        place: device and runtime in words.
        precision: that it runs in: of `spcnet.runtime.fused.DTYPES`, or of an ONNX file.
    """

    card: ModelCard
    device: torch.device
    place: str
    precision: str

    def maps(self, crops: Array) -> tuple[Tensor, Tensor | None]:
        """What one pass over RGB uint8 crops (N, S, S, 3) yields.

        Returns:
            Heatmaps (N, K, h, w) float32, an ideal peak is 1; and the weights of the levels
            (N, L, h, w) float32, coarsest level first, or None where there are none.

        Raises:
            UserError: the backend gives no heatmaps.
        """
        ...

    @property
    def network(self) -> PoseNetwork:
        """That torch runs; it may be exchanged for another of the same joints.

        Raises:
            UserError: torch runs none.
        """
        ...

    @network.setter
    def network(self, network: PoseNetwork) -> None: ...

    def without_attention(self) -> UserError:
        """The error that its maps have no attention."""
        ...


class TorchBackend:
    """A checkpoint, run by torch: on a CPU in the form of `FusedNetwork`.

    A crop's way through it is `normalise`, `run`, and the codec's `activate`.

    Args:
        path: the ``.safetensors``.
        device: as for `spcnet.devices.find_device`.
        precision: that it runs in.

    Attributes:
        run: the network: normalised images to its last raw heatmaps and the attention.

    Raises:
        UserError: the device is not there or has no such precision, or the file is no whole
            checkpoint.
    """

    def __init__(self, path: Path, device: str, precision: Precision = "fp32") -> None:
        self.path = path
        self.device = find_device(device)
        network, self.card = load_checkpoint(path)
        network = network.to(self.device)
        if not can_fuse(network):
            network = channels_last(network)
        self.precision, text = choose_precision(
            precision, self.device, lambda tried: self._figures_keypoints(network, tried)
        )
        self.place = f"{self.device}{text}"
        self.run = make_forward(network, self.precision, consume=True)
        self._network = None if isinstance(self.run, FusedNetwork) else network

    @property
    def network(self) -> PoseNetwork:
        """The network as it was built; it is read again where its fused form took its place."""
        if self._network is None:
            self._network = load_checkpoint(self.path)[0].to(self.device)
        return self._network

    @network.setter
    def network(self, network: PoseNetwork) -> None:
        self._network = network
        self.run = make_forward(network, self.precision)

    def without_attention(self) -> UserError:
        """See `Backend`."""
        return UserError(f"model {self.card.variant!r} has no attention: it selects no levels")

    @torch.inference_mode()
    def maps(self, crops: Array) -> tuple[Tensor, Tensor | None]:
        """See `Backend`."""
        raw, attention = self.run(self.normalise(crops))
        return self.card.codec.activate(raw), None if attention is None else attention.float()

    def _figures(self) -> Tensor:
        """`check_figures`, normalised."""
        return self.normalise(check_figures(self.card.codec.input_size))

    def _figures_keypoints(self, network: PoseNetwork, precision: str) -> Array:
        """Keypoints (N, K, 2) of `check_figures` in sides of the crop, found in this precision."""
        raw, _ = make_forward(network, precision)(self._figures())
        return _keypoints(self.card.codec.activate(raw), self.card.codec)

    def normalise(self, crops: Array) -> Tensor:
        """uint8 (N, S, S, 3) as the network takes it: (N, 3, S, S) float32, channels last."""
        return normalise(torch.from_numpy(crops).to(self.device))


def _keypoints(heatmaps: Tensor, codec: Codec) -> Array:
    """Keypoints (N, K, 2) in sides of the crop of heatmaps (N, K, h, w)."""
    points: Array = codec.decode(heatmaps)[0].cpu().numpy()
    return points / codec.input_size


class OnnxModel:
    """What the two forms of ``spcnet export`` share.

    Args:
        path: of the file.
        runtime: that runs it.
        card: of the file.
        text: in which precision it does and why, if it is not the file's own.
    """

    device = torch.device("cpu")

    def __init__(self, path: Path, runtime: Runtime, card: ModelCard, text: str = "") -> None:
        self.path = path
        self.runtime = runtime
        self.card = card
        self.precision = runtime.metadata.get(PRECISION_KEY, "")
        self.place = f"cpu by {runtime.name} ({self.precision}){text}"

    @property
    def network(self) -> PoseNetwork:
        """See `Backend`; there is none."""
        raise UserError(
            f"{self.path}: torch does not run .onnx files; use the .safetensors that it was "
            "exported from"
        )

    @network.setter
    def network(self, network: PoseNetwork) -> None:
        assert self.network is not None  # raises

    def without_attention(self) -> UserError:
        """See `Backend`."""
        return UserError(
            f"{self.path}: an .onnx file gives no attention; use the .safetensors that it was "
            "exported from"
        )

    def _run(self, names: list[str], crops: Array) -> list[Array]:
        return self.runtime.run(names, {CROPS: np.ascontiguousarray(crops)})


class OnnxHeatmaps(OnnxModel):
    """A file of ``spcnet export --heatmaps``."""

    def maps(self, crops: Array) -> tuple[Tensor, None]:
        """See `Backend`; the file has no attention."""
        (found,) = self._run([HEATMAPS], crops)
        return torch.from_numpy(found), None


class OnnxKeypoints(OnnxModel):
    """A file of ``spcnet export``: it decodes and calibrates by itself."""

    def maps(self, crops: Array) -> tuple[Tensor, None]:
        """Not in the file.

        Raises:
            UserError: always.
        """
        raise self.without_heatmaps("maps=True")

    def keypoints(self, crops: Array) -> tuple[Array, Array]:
        """Keypoints (N, K, 2) in crop pixels and calibrated scores (N, K) of uint8 crops."""
        keypoints, scores = self._run([KEYPOINTS, SCORES], crops)
        return keypoints, scores

    def without_heatmaps(self, what: str) -> UserError:
        """The error that something needs heatmaps."""
        return UserError(
            f"{self.path}: {what} needs heatmaps, and this file gives keypoints alone; export "
            "the model again with `spcnet export --heatmaps`"
        )


def open_backend(
    path: Path, device: str, precision: Precision = "fp32", runtime: RuntimeName = "auto"
) -> Backend:
    """What runs a weights file.

    Args:
        path: a ``.safetensors`` or ``.onnx``.
        device: where; ``"openvino"`` is another way to name that runtime.
        precision: of the network.
        runtime: what runs it; by itself torch a ``.safetensors``, and onnxruntime an ``.onnx``.

    Raises:
        UserError: the device is not there or does not run such files or in this precision, what
            runs them is not installed, or the file is broken or none of this package.
    """
    if runtime not in (known := get_args(RuntimeName)):
        raise UserError(f"runtime must be one of {', '.join(known)}, got {runtime!r}")
    if device == OPENVINO:
        device, runtime = "auto", OPENVINO
    if path.suffix != ".onnx":
        if runtime not in ("auto", "torch"):
            raise UserError(
                f"runtime {runtime!r}: torch runs {path}; others run the .onnx that "
                "`spcnet export` makes of it"
            )
        return TorchBackend(path, device, precision)
    if runtime == "torch":
        raise UserError(
            f"runtime 'torch': torch does not run .onnx files; use the .safetensors that {path} "
            "was exported from"
        )
    if device not in ("auto", "cpu"):
        raise UserError(
            f"device {device!r}: an .onnx file runs on the cpu; a .safetensors runs elsewhere too"
        )
    if runtime == OPENVINO:
        return _on_openvino(path, precision)
    if precision not in ("fp32", "auto"):
        raise UserError(
            f"precision {precision!r}: {path} has its own; a .safetensors has others, and "
            f"runtime {OPENVINO!r} runs .onnx files in bf16 too"
        )
    return _open_onnx(path, OnnxRuntime(path))


def _on_openvino(path: Path, precision: Precision) -> "OnnxHeatmaps | OnnxKeypoints":
    """An ``.onnx`` file, run by OpenVINO in the precision that was asked for."""
    if precision == "int8":
        raise UserError(
            f"precision 'int8': {path} has its own; `spcnet export --int8` makes a file "
            "with another"
        )
    opened: dict[str, OnnxModel] = {}

    def keypoints(tried: str) -> Array:
        opened[tried] = model = _open_onnx(path, OpenVino(path, tried))
        codec = model.card.codec
        figures = check_figures(codec.input_size)
        if isinstance(model, OnnxKeypoints):
            return model.keypoints(figures)[0] / codec.input_size
        return _keypoints(model.maps(figures)[0], codec)

    chosen, text = choose_precision(precision, torch.device("cpu"), keypoints)
    runtime = opened[chosen].runtime if chosen in opened else OpenVino(path, chosen)
    model = _open_onnx(path, runtime, text)
    model.precision = chosen
    return model


def _open_onnx(path: Path, runtime: Runtime, text: str = "") -> "OnnxHeatmaps | OnnxKeypoints":
    card = _read_card(path, runtime)
    form = OnnxHeatmaps if HEATMAPS in runtime.outputs else OnnxKeypoints
    return form(path, runtime, card, text)


def _read_card(path: Path, runtime: Runtime) -> ModelCard:
    """The model card of a file that `spcnet export` wrote.

    Raises:
        UserError: it is none of those.
    """
    if METADATA_KEY not in runtime.metadata:
        raise UserError(f"{path}: holds no {METADATA_KEY} model card; not a file of spcnet export")
    try:
        card = ModelCard.from_json(runtime.metadata[METADATA_KEY])
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(f"{path}: its model card cannot be read: {error}") from None
    side, joints = card.codec.input_size, len(card.skeleton)
    inputs = {name: list(sizes[1:]) for name, sizes in runtime.inputs.items()}
    outputs = {name: list(sizes[1:2]) for name, sizes in runtime.outputs.items()}
    if inputs != {CROPS: [side, side, 3]} or outputs not in (
        {HEATMAPS: [joints]},
        {KEYPOINTS: [joints], SCORES: [joints]},
    ):
        raise UserError(f"{path}: its graph and its model card do not agree")
    return card
