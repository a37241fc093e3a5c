import copy

import pytest
import torch
from torch import nn

from spcnet.devices import has_bfloat16
from spcnet.models.network import PoseNetwork
from spcnet.models.registry import create_model
from spcnet.models.selective import SumFusion
from spcnet.models.variants import variant_names
from spcnet.runtime import fused
from spcnet.runtime.fused import FusedNetwork, can_fuse
from spcnet.runtime.plain import make_forward


def trained(variant: str, **arguments: int | str) -> PoseNetwork:
    """A narrow network of a variant whose batch norms have something to fold."""
    torch.manual_seed(0)
    network = create_model(variant, num_joints=5, **{"channels": 16, **arguments})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.randn(4, 3, 64, 64))
    return network.eval()


@pytest.mark.parametrize("variant", variant_names())
def test_every_variant_gives_the_same_answers(variant: str) -> None:
    network = trained(variant)
    before = copy.deepcopy(network.state_dict())
    images = torch.randn(3, 3, 128, 64)
    with torch.no_grad():
        outputs = network.forward_all(images)
    heatmaps, attention = FusedNetwork(network)(images)
    torch.testing.assert_close(heatmaps, outputs.heatmaps[-1], rtol=1e-4, atol=1e-4)
    if outputs.attention is None:
        assert attention is None
    else:
        torch.testing.assert_close(attention, outputs.attention, rtol=1e-4, atol=1e-4)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("fusion", ["sum", "concat", "none"])
@pytest.mark.parametrize("module", ["dilated", "hourglass"])
@pytest.mark.parametrize("stacks", [1, 3])
def test_so_does_every_fusion(module: str, fusion: str, stacks: int) -> None:
    network = trained("spcnet_s2_w96", module=module, fusion=fusion, stacks=stacks)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
    found, attention = FusedNetwork(network)(images)
    assert attention is None
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("packed_bytes", [0, 10**9])
def test_batches_in_parts_and_other_layouts_change_nothing(
    monkeypatch: pytest.MonkeyPatch, packed_bytes: int
) -> None:
    monkeypatch.setattr(fused, "PACKED_BYTES", packed_bytes)
    monkeypatch.setattr(fused, "LAYOUTS", 2)
    monkeypatch.setattr(fused, "FEATURE_BYTES", 3 * 16 * 16 * 16 * 4)  # three images of 64 pixels
    network = trained("spcnet_s2_w96")
    fast = FusedNetwork(network)
    for batch, side in ((1, 64), (7, 64), (3, 128), (2, 64), (7, 64)):
        images = torch.randn(batch, 3, side, side)
        with torch.no_grad():
            expected = network.forward_all(images)
        heatmaps, attention = fast(images)
        torch.testing.assert_close(heatmaps, expected.heatmaps[-1], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(attention, expected.attention, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="this CPU multiplies no bfloat16")
def test_in_bfloat16_it_is_the_same_to_three_digits() -> None:
    network = trained("spcnet_s2_w96")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
    found, _ = FusedNetwork(network, dtype=torch.bfloat16)(images)
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < 0.03 * (expected.max() - expected.min())


def test_a_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 16; the nearest is 64 x 48"):
        FusedNetwork(trained("spcnet_s2_w96"))(torch.zeros(1, 3, 60, 50))


def test_others_networks_are_none_of_its_business() -> None:
    assert can_fuse(create_model("spcnet_s1_w64"))
    assert not can_fuse(nn.Conv2d(3, 3, 1))
    with torch.device("meta"):
        assert not can_fuse(create_model("spcnet_s1_w64"))


class Halved(SumFusion):
    """A user's own fusion: half of the sum."""

    def forward(self, levels: list[torch.Tensor]) -> tuple[torch.Tensor, None]:
        total, _ = super().forward(levels)
        return total / 2, None


def test_a_fusion_that_is_not_known_here_runs_as_it_was_built() -> None:
    network = trained("spcnet_s2_w96", fusion="sum")
    assert can_fuse(network)
    summed = network(torch.ones(1, 3, 64, 64))
    network.distribute = Halved(16, levels=4)
    assert not can_fuse(network)
    found, _ = make_forward(network, "fp32")(torch.ones(1, 3, 64, 64))
    assert torch.equal(found, network(torch.ones(1, 3, 64, 64)))
    assert not torch.allclose(found, summed, atol=1e-3)


def test_a_network_that_is_consumed_leaves_its_answers() -> None:
    network = trained("spcnet_s2_w96")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
    found, _ = FusedNetwork(network, consume=True)(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    kernels = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert sum(kernel.numel() for kernel in kernels) < 0.2 * sum(
        m.weight.numel() for m in trained("spcnet_s2_w96").modules() if isinstance(m, nn.Conv2d)
    )
