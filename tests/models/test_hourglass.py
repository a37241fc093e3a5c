import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spcnet.models.bottlenecks import Bottleneck, DilatedBottleneckA, DilatedBottleneckB
from spcnet.models.hourglass import DilatedHourglass, Hourglass, Level

KINDS = {Bottleneck: "plain", DilatedBottleneckA: "A", DilatedBottleneckB: "B"}


class Affine(nn.Module):
    """A block that a hand can follow: ``factor * x + offset``."""

    def __init__(self, factor: float, offset: float = 0) -> None:
        super().__init__()
        self.factor, self.offset = factor, offset

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x + self.offset


def levels_of(module: Level) -> list[Level]:
    """The levels, outermost first."""
    inner = [module.inner] if isinstance(module.inner, Level) else []
    return [module, *(level for part in inner for level in levels_of(part))]


@pytest.mark.parametrize(
    ("module", "sizes"),
    [
        (Hourglass(8), [8, 16, 32, 64]),
        (DilatedHourglass(8), [16, 16, 32, 64]),
        (DilatedHourglass(8, dilation=3), [16, 16, 32, 64]),
        (Hourglass(8, depth=1), [64]),
        (DilatedHourglass(8, depth=1), [64]),
        (Hourglass(8, depth=3), [16, 32, 64]),
        (DilatedHourglass(8, depth=3), [16, 32, 64]),
        (DilatedHourglass(8, depth=5), [16, 16, 16, 32, 64]),
    ],
)
def test_outputs_of_the_levels_come_innermost_first(module: Level, sizes: list[int]) -> None:
    with torch.no_grad():
        outputs = module.eval()(torch.randn(1, 8, 64, 64))
    assert [tuple(y.shape) for y in outputs] == [(1, 8, size, size) for size in sizes]


@pytest.mark.parametrize("kind", [Hourglass, DilatedHourglass])
def test_levels_of_a_map_that_is_not_square(kind: type) -> None:
    with torch.no_grad():
        outputs = kind(8, depth=2)(torch.randn(2, 8, 8, 12))
    assert [tuple(y.shape) for y in outputs] == [(2, 8, 4, 6), (2, 8, 8, 12)]


@pytest.mark.parametrize(
    ("module", "divisor"),
    [
        (Hourglass(8), 16),
        (Hourglass(8, depth=2), 4),
        (DilatedHourglass(8), 4),
        (DilatedHourglass(8, depth=2), 4),
        (DilatedHourglass(8, depth=1), 2),
    ],
)
def test_divisor_is_the_least_size_that_pools_evenly(module: Level, divisor: int) -> None:
    assert module.divisor == divisor
    assert module.eval()(torch.randn(1, 8, divisor, divisor))[-1].shape == (1, 8, divisor, divisor)


@pytest.mark.parametrize("kind", [Hourglass, DilatedHourglass])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_module_has_three_blocks_a_level_and_one_at_the_bottom(kind: type, depth: int) -> None:
    module = kind(8, depth=depth)
    assert len(levels_of(module)) == depth
    blocks = [part for part in module.modules() if isinstance(part, Bottleneck)]
    assert len(blocks) == 3 * depth + 1  # 13 at the paper's depth of four


def test_every_block_of_the_hourglass_is_plain_and_every_level_pools() -> None:
    module = Hourglass(8)
    blocks = [part for part in module.modules() if isinstance(part, Bottleneck)]
    assert {type(block) for block in blocks} == {Bottleneck}
    assert {block.conv2.dilation for block in blocks} == {(1, 1)}
    assert [level.pools for level in levels_of(module)] == [True] * 4


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_blocks_of_the_dilated_hourglass_are_dilated_where_they_work_at_a_quarter(
    dilation: int,
) -> None:
    levels = levels_of(DilatedHourglass(8, dilation=dilation))
    rows = [(level.skip, level.encode, level.decode) for level in levels]
    assert [[KINDS[type(block)] for block in row] for row in rows] == [
        ["plain", "plain", "plain"],
        ["plain", "A", "A"],
        ["A", "B", "A"],
        ["A", "B", "A"],
    ]
    assert type(levels[-1].inner) is DilatedBottleneckA
    assert [level.pools for level in levels] == [True, True, False, False]
    for block in levels[0].modules():
        if isinstance(block, Bottleneck):
            expected = 1 if type(block) is Bottleneck else dilation
            assert block.conv2.dilation == (expected, expected)


def test_a_level_that_pools_computes_what_a_hand_does() -> None:
    level = Level(
        pools=True, skip=Affine(100), encode=Affine(2), inner=Affine(1, 1), decode=Affine(3)
    )
    x = torch.arange(16.0).view(1, 1, 4, 4)
    (y,) = level(x)
    # The pool leaves 5, 7, 13, 15; three times (twice it and one) is 33, 45, 81, 93.
    up = torch.tensor([[33, 33, 45, 45]] * 2 + [[81, 81, 93, 93]] * 2)
    assert torch.equal(y[0, 0], 100 * x[0, 0] + up)


def test_a_level_that_does_not_pool_wraps_the_one_inside_it() -> None:
    inner = Level(pools=True, skip=Affine(1), encode=Affine(1), inner=Affine(10), decode=Affine(1))
    outer = Level(pools=False, skip=Affine(100), encode=Affine(2), inner=inner, decode=Affine(3, 1))
    x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    inside, y = outer(x)
    assert inside[0, 0].tolist() == [[60, 62], [64, 66]]  # 2x + 10 * (2 * 3)
    assert y[0, 0].tolist() == [[181, 287], [393, 499]]  # 100x + 3 * inside + 1


@pytest.mark.parametrize("kind", [Hourglass, DilatedHourglass])
def test_two_levels_are_the_recursion_written_out(kind: type) -> None:
    torch.manual_seed(0)
    outer = kind(8, depth=2).eval()
    inner = outer.inner
    x = torch.randn(1, 8, 8, 8)
    half = outer.encode(F.max_pool2d(x, 2))
    quarter = inner.inner(inner.encode(F.max_pool2d(half, 2)))
    deep = inner.skip(half) + F.interpolate(inner.decode(quarter), scale_factor=2)
    whole = outer.skip(x) + F.interpolate(outer.decode(deep), scale_factor=2)
    with torch.no_grad():
        outputs = outer(x)
    torch.testing.assert_close(outputs, [deep, whole])
