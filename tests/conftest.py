import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from filelock import FileLock

from spcnet.calibration import Calibration
from spcnet.checkpoints import ModelCard, load_checkpoint, save_checkpoint
from spcnet.codec import Codec
from spcnet.data.datasets import SyntheticFigures
from spcnet.data.packing import pack
from spcnet.data.store import PackedStore
from spcnet.models.registry import create_model
from spcnet.skeletons import BODY19, LSP14, Skeleton

if TYPE_CHECKING:
    from onnx import ModelProto

EXAMPLES = Path(__file__).parents[1] / "examples"
RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; tests that need it are skipped where it is not named."""
    folder = os.environ.get("SPCNET_DATA")
    if not folder:
        pytest.skip("SPCNET_DATA is not set: it names a folder with lspet/, lsp/, mpii/ and flic/")
    return Path(folder)


@dataclass(frozen=True)
class Blobs:
    """A stand-in network with two joints: left_dot is red, right_dot is blue.

    What it finds is known beforehand, so that everything around a network can be tested.
    """

    stride = 4

    def forward_all(self, images: torch.Tensor) -> "Blobs.Outputs":
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        red, green, blue = (images * std + mean).unbind(1)
        maps = torch.stack([red - (green + blue) / 2, blue - (green + red) / 2], dim=1)
        return Blobs.Outputs([torch.nn.functional.avg_pool2d(maps, 4)])

    @dataclass(frozen=True)
    class Outputs:
        heatmaps: list[torch.Tensor]
        attention: None = None


def untrained(path: Path, skeleton: Skeleton) -> Path:
    """An untrained network in a file: right in form, wrong in what it predicts."""
    torch.manual_seed(0)
    arguments = {"stacks": 1, "channels": 16}
    network = create_model("spcnet_s1_w64", num_joints=len(skeleton), **arguments)
    card = ModelCard(
        variant="spcnet_s1_w64",
        arguments=arguments,
        skeleton=skeleton,
        codec=Codec(input_size=64, heatmap="softmax", sigma=1.0),
    )
    save_checkpoint(path, network.state_dict(), card)
    return path


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of LSP's joints."""
    return untrained(tmp_path_factory.mktemp("weights") / "tiny.safetensors", LSP14)


@pytest.fixture(scope="session")
def body_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the 19 joints."""
    return untrained(tmp_path_factory.mktemp("weights") / "body.safetensors", BODY19)


@dataclass(frozen=True)
class OnnxModels:
    """A small network as a checkpoint, as the traced graph and as both forms of ONNX files."""

    checkpoint: Path
    traced: "ModelProto"
    keypoints: Path
    heatmaps: Path


@pytest.fixture(scope="session")
def onnx_models(tmp_path_factory: pytest.TempPathFactory) -> OnnxModels:
    """An untrained network, calibrated, and sharp enough that its peaks are clear.

    Tracing takes long, so that the first of several workers does it for all.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    import onnx

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "an onnx folder"
    names = ("tiny.safetensors", "keypoints.onnx", "heatmaps.onnx", "traced.onnx")
    checkpoint, keypoints, heatmaps, traced = (folder / name for name in names)
    with FileLock(base.parent / "onnx.lock"):
        if not traced.exists():
            folder.mkdir(exist_ok=True)
            _export(checkpoint, keypoints, heatmaps, traced)
    return OnnxModels(checkpoint, onnx.load(str(traced)), keypoints, heatmaps)


def _export(checkpoint: Path, keypoints: Path, heatmaps: Path, traced: Path) -> None:
    from spcnet.export.graph import trace
    from spcnet.export.onnx_file import finish

    torch.manual_seed(0)
    arguments = {"stacks": 2, "channels": 8, "depth": 3}
    network = create_model("spcnet_s1_w64", num_joints=14, **arguments)
    assert isinstance(network.head, torch.nn.Conv2d)
    network.head.weight.data *= 30
    card = ModelCard(
        variant="spcnet_s1_w64",
        arguments=arguments,
        skeleton=LSP14,
        codec=Codec(
            input_size=64,
            heatmap="softmax",
            sigma=1.0,
            calibration=Calibration((0.02, 0.2, 0.7), (0.1, 0.5, 0.9)),
        ),
        licence="none",
    )
    save_checkpoint(checkpoint, network.state_dict(), card)
    network, card = load_checkpoint(checkpoint)
    graph = trace(network, card)
    keypoints.write_bytes(finish(graph, card, "keypoints").SerializeToString())
    heatmaps.write_bytes(finish(graph, card, "heatmaps").SerializeToString())
    traced.write_bytes(graph.SerializeToString())


@pytest.fixture(scope="session")
def figures(tmp_path_factory: pytest.TempPathFactory) -> PackedStore:
    """Twelve packed figures."""
    folder = tmp_path_factory.mktemp("stores") / "figures"
    pack(SyntheticFigures("1-12"), folder)
    return PackedStore(folder)


def dot_picture(
    size: tuple[int, int], left: tuple[float, float], right: tuple[float, float], radius: float
) -> np.ndarray:
    """A grey picture (height, width) with the red left_dot and the blue right_dot of `Blobs`."""
    height, width = size
    ys, xs = np.mgrid[:height, :width]
    image = np.full((height, width, 3), 128, dtype=np.uint8)
    for (x, y), colour in ((left, (255, 0, 0)), (right, (0, 0, 255))):
        image[(xs - x) ** 2 + (ys - y) ** 2 <= radius**2] = colour
    return image
