from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from spcnet.models.bottlenecks import Bottleneck, DilatedBottleneckA, DilatedBottleneckB

BLOCKS: dict[str, Callable[[], Bottleneck]] = {
    "plain": lambda: Bottleneck(6),
    "wider": lambda: Bottleneck(6, 10),
    "A": lambda: DilatedBottleneckA(6),
    "B": lambda: DilatedBottleneckB(6),
}


@pytest.fixture(params=BLOCKS)
def block(request: pytest.FixtureRequest) -> Bottleneck:
    torch.manual_seed(0)
    return BLOCKS[request.param]().eval()


def fill(layer: nn.Module, value: float | Tensor) -> None:
    assert isinstance(layer, nn.Conv2d)
    layer.weight.data[:] = value
    if layer.bias is not None:
        layer.bias.data.zero_()


@pytest.mark.parametrize("name", BLOCKS)
def test_only_a_projecting_block_changes_what_it_adds_to(name: str) -> None:
    block = BLOCKS[name]().eval()
    fill(block.conv3, 0.0)
    x = torch.randn(2, 6, 5, 7)
    if name in ("plain", "A"):
        assert torch.equal(block(x), x)
    else:
        assert isinstance(block.shortcut, nn.Conv2d)
        assert block.shortcut.kernel_size == (1, 1)
        expected = torch.einsum("oi,bihw->bohw", block.shortcut.weight[..., 0, 0], x)
        expected = expected + block.shortcut.bias[:, None, None]
        torch.testing.assert_close(block(x), expected)


def test_convolutions_before_a_norm_have_no_bias(block: Bottleneck) -> None:
    assert block.conv1.bias is None
    assert block.conv2.bias is None
    assert block.conv3.bias is not None


def test_block_keeps_the_size_and_halves_the_channels_inside(block: Bottleneck) -> None:
    out_channels = block.conv3.out_channels
    assert block.conv1.out_channels == block.conv2.out_channels == out_channels // 2
    assert block(torch.randn(2, 6, 5, 9)).shape == (2, out_channels, 5, 9)


@pytest.mark.parametrize(
    ("dilation", "centre", "corner"),
    [(1, 9, 4), (2, 9, 4), (3, 1, 4)],  # taps of the 3x3 inside a 5x5 map
)
def test_block_computes_what_a_hand_does(dilation: int, centre: int, corner: int) -> None:
    block = Bottleneck(2, dilation=dilation).eval()
    fill(block.conv1, 1.0)
    fill(block.conv2, 1.0)
    fill(block.conv3, torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
    x = torch.ones(1, 2, 5, 5)
    x[:, 1] = 3  # the sum over channels is 4
    y = block(x)[0]
    assert y[:, 2, 2].tolist() == pytest.approx([1 + 4 * centre, 3 + 8 * centre], rel=1e-4)
    assert y[:, 0, 0].tolist() == pytest.approx([1 + 4 * corner, 3 + 8 * corner], rel=1e-4)


def test_negative_features_add_nothing_but_the_shortcut() -> None:
    block = Bottleneck(2).eval()
    fill(block.conv3, 1.0)
    x = -torch.rand(1, 2, 4, 4) - 0.1  # pre-activation: the first ReLU stops it
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kind", [DilatedBottleneckA, DilatedBottleneckB])
def test_the_3x3_reaches_as_far_as_its_dilation(kind: type[Bottleneck], dilation: int) -> None:
    block = kind(4, dilation=dilation).eval()
    for layer in (block.conv1, block.conv2, block.conv3):
        fill(layer, 1.0)
    x = torch.rand(1, 4, 11, 11, requires_grad=True)
    block(x)[0, :, 5, 5].sum().backward()
    assert x.grad is not None
    reach = (5 - dilation, 5, 5 + dilation)
    seen = {tuple(cell) for cell in (x.grad[0] != 0).any(0).nonzero().tolist()}
    assert seen == {(i, j) for i in reach for j in reach}


def test_dilated_blocks_have_dilation_two_unless_told() -> None:
    assert DilatedBottleneckA(4).conv2.dilation == (2, 2)
    assert DilatedBottleneckB(4).conv2.dilation == (2, 2)
    assert Bottleneck(4).conv2.dilation == (1, 1)
