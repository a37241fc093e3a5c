"""int8 against float, on networks whose numbers are known."""

import pytest
import torch
from torch import nn

from spcnet.devices import has_int8
from spcnet.models.fused import FusedNetwork
from spcnet.models.network import PoseNetwork
from spcnet.models.quantised import Int8Convolution, Range, measure_ranges, quantise
from spcnet.models.registry import create_model, variant_names

pytestmark = pytest.mark.skipif(
    not has_int8(torch.device("cpu")), reason="this CPU multiplies no int8"
)
GEOMETRY = ([0, 0], [1, 1], [1, 1])


def wide(variant: str) -> PoseNetwork:
    """A network of a variant, wide enough for int8, whose batch norms have something to fold."""
    torch.manual_seed(0)
    network = create_model(variant, num_joints=5, channels=64, stacks=2)
    network.train()
    with torch.no_grad():
        for _ in range(10):
            network(torch.randn(2, 3, 64, 64))
    return network.eval()


def test_numbers_are_rounded_and_cut_off_at_their_ends() -> None:
    x = torch.tensor([-9.0, -1.0, 0.0, 0.24, 0.26, 1.0, 99.0]).view(1, 7, 1, 1)
    assert quantise(x, Range(0.5, 0)).flatten().tolist() == [0, 0, 0, 0, 1, 2, 198]
    assert quantise(x, Range(0.5, 128)).flatten().tolist() == [110, 126, 128, 128, 129, 130, 255]


def test_a_convolution_by_hand() -> None:
    """Whole numbers that int8 holds exactly: no rounding at all."""
    weight = torch.tensor([[127.0, -2.0], [-127.0, 3.0]]).view(2, 2, 1, 1).repeat(16, 16, 1, 1)
    bias = torch.arange(32.0)
    x = (
        torch.randint(-100, 100, (2, 32, 3, 4))
        .float()
        .contiguous(memory_format=torch.channels_last)
    )
    expected = nn.functional.conv2d(x, weight, bias)
    convolution = Int8Convolution(weight, bias, GEOMETRY, Range(1.0, 128))
    torch.testing.assert_close(convolution(x), expected)
    other = torch.randn_like(expected).contiguous(memory_format=torch.channels_last)
    before = other.clone()
    torch.testing.assert_close(convolution.plus(x, other), expected + other)
    assert torch.equal(other, before)
    ended = Int8Convolution(weight, bias, GEOMETRY, Range(1.0, 128), relu=True)
    torch.testing.assert_close(ended.add_to(other, x), (expected + before).relu())


def test_ranges_are_of_what_goes_in() -> None:
    network = wide("spcnet_s2_w96")
    images = torch.randn(3, 3, 64, 64)
    ranges = measure_ranges(network, images)
    seen: list[torch.Tensor] = []
    block = network.stacks[0].module.skip
    block.conv2.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(images)
    assert ranges[block.conv2] == (pytest.approx(float(seen[0].max()) / 255), 0)
    assert ranges[network.collect[0].reduce].zero == 128  # residual sums have both signs
    assert network.head not in ranges  # a few joints: not worth it
    assert network.stem[0] not in ranges


@pytest.mark.parametrize("variant", variant_names())
def test_every_variant_gives_about_the_same_answers(variant: str) -> None:
    network = wide(variant)
    images = torch.randn(3, 3, 128, 64)
    with torch.no_grad():
        expected = network.forward_all(images)
    heatmaps, attention = FusedNetwork(network, ranges=measure_ranges(network, images))(images)
    wrong = heatmaps - expected.heatmaps[-1]
    assert wrong.abs().max() > 0
    assert wrong.std() < 0.06 * expected.heatmaps[-1].std()
    if expected.attention is not None:
        torch.testing.assert_close(attention, expected.attention, rtol=0, atol=0.06)
