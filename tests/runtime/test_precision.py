"""The numbers that a network is run in."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spcnet.checkpoints import load_checkpoint
from spcnet.codec import MEAN, STD
from spcnet.devices import has_bfloat16
from spcnet.errors import UserError
from spcnet.inference.estimator import PoseEstimator
from spcnet.models.network import PoseNetwork
from spcnet.runtime import precision as choosing
from spcnet.runtime.plain import TorchBackend
from spcnet.synthetic.figure import render_figure

BOX = [30, 20, 120, 140]
IMAGE = render_figure(1).image
able = pytest.mark.skipif(
    not has_bfloat16(torch.device("cpu")), reason="this CPU multiplies no bfloat16"
)


def plain(path: Path, crops: np.ndarray) -> torch.Tensor:
    """What the network of a checkpoint answers as it was built."""
    network, card = load_checkpoint(path)
    images = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        return card.codec.activate(network((images - mean) / std))


def test_the_fused_form_answers_as_the_network_does(tiny_checkpoint: Path) -> None:
    backend = TorchBackend(tiny_checkpoint, "cpu")
    side = backend.card.codec.input_size
    crops = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    expected = plain(tiny_checkpoint, crops)
    torch.testing.assert_close(backend(crops).heatmaps, expected, rtol=1e-4, atol=1e-4)
    assert isinstance(backend.network, PoseNetwork)
    assert backend.network is backend.network


@able
def test_bfloat16_finds_what_float_finds() -> None:
    exact, fast = (
        PoseEstimator("default", device="cpu", precision=precision)
        for precision in ("fp32", "bf16")
    )
    (expected,), (found,) = (estimator.predict(IMAGE, [BOX]) for estimator in (exact, fast))
    moved = np.linalg.norm(found.keypoints - expected.keypoints, axis=-1)
    assert 0 < np.median(moved) < 4  # of a person of 120 pixels
    assert "on cpu in bf16" in fast.describe()
    assert exact.describe().endswith("on cpu")


@able
def test_auto_takes_bfloat16_while_keypoints_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "TRUSTED_DISTANCE", 1000.0)
    told = PoseEstimator("default", device="cpu", precision="auto").describe()
    assert "on cpu in bf16 (75% of 8 figures' keypoints move by up to" in told
    monkeypatch.setattr(choosing, "TRUSTED_DISTANCE", 0.0)
    told = PoseEstimator("default", device="cpu", precision="auto").describe()
    assert "on cpu in fp32, as in bf16 75% of" in told


def test_without_the_hardware_it_stays_with_float(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "has_bfloat16", lambda device: False)
    told = PoseEstimator("default", device="cpu", precision="auto").describe()
    assert told.endswith("on cpu in fp32, as bf16 is no faster here")
    with pytest.raises(UserError, match=r"'int8'.*`spcnet export --int8` writes an .onnx file"):
        PoseEstimator("default", device="cpu", precision="int8")
    with pytest.raises(UserError, match="'bf16': cpu does not multiply bfloat16 in hardware"):
        PoseEstimator("default", device="cpu", precision="bf16")


def test_what_is_no_precision_is_told() -> None:
    with pytest.raises(UserError, match="one of fp32, bf16, int8, auto, got 'int4'"):
        PoseEstimator("default", device="cpu", precision="int4")  # type: ignore[arg-type]
