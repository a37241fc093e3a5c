"""The hourglass of Newell et al. (ECCV 2016) and the Dilated Hourglass Module (Section 3.2).

Both are the same recursion. One level is ``y = skip(x) + up(dec(inner(enc(down(x)))))``, where
the inner part is the next level, or one block at the bottom.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from spcnet.models.bottlenecks import Bottleneck, DilatedBottleneckA, DilatedBottleneckB


class StackedModule(nn.Module):
    """What a network stacks: (B, C, H, W) -> the outputs of its levels, innermost first.

    Attributes:
        divisor: of which H and W are multiples.
    """

    divisor: int


class Level(StackedModule):
    """One level of the recursion.

    A level that pools halves the resolution for everything inside it; one that does not keeps it.
    """

    def __init__(
        self,
        *,
        pools: bool,
        skip: nn.Module,
        encode: nn.Module,
        inner: "Level | nn.Module",
        decode: nn.Module,
    ) -> None:
        super().__init__()
        self.pools = pools
        self.skip = skip
        self.encode = encode
        self.inner = inner
        self.decode = decode

    def forward(self, x: Tensor) -> list[Tensor]:
        """The outputs y of the levels inside this one and of this one, innermost first."""
        down = self.encode(F.max_pool2d(x, 2) if self.pools else x)
        if isinstance(self.inner, Level):
            inside = self.inner(down)
            bottom = inside[-1]
        else:
            inside = []
            bottom = self.inner(down)
        up = self.decode(bottom)
        if self.pools:
            up = F.interpolate(up, scale_factor=2, mode="nearest")
        return [*inside, self.skip(x) + up]


class Hourglass(Level):
    """The baseline module: every level pools (64, 32, 16, 8, 4 at the paper's size).

    Shape: (B, C, H, W) -> the outputs of levels `depth`..1: at depth 4 of sizes H/8, H/4, H/2, H.
    """

    def __init__(self, channels: int, *, depth: int = 4) -> None:
        super().__init__(
            pools=True,
            skip=Bottleneck(channels),
            encode=Bottleneck(channels),
            inner=Hourglass(channels, depth=depth - 1) if depth > 1 else Bottleneck(channels),
            decode=Bottleneck(channels),
        )
        self.depth = depth
        self.divisor = 2**depth


class DilatedHourglass(Level):
    """Dilated Hourglass Module: only the first two levels pool, what lies below is dilated.

    At the paper's size the levels are 64, 32, 16, 16 and every block that works at 16 has
    dilation R: type B where a level below the second is encoded, type A elsewhere.

    Shape: (B, C, H, W) -> the outputs of levels `depth`..1: at depth 4 of sizes
    H/4, H/4, H/2, H.
    """

    POOLS = 2  # "only two downsampling operations"

    def __init__(self, channels: int, *, depth: int = 4, dilation: int = 2, level: int = 1) -> None:
        def dilated() -> nn.Module:
            return DilatedBottleneckA(channels, dilation=dilation)

        def plain() -> nn.Module:
            return Bottleneck(channels)

        coarsest = min(self.POOLS, depth)
        outside = plain if level <= coarsest else dilated  # works at this level's resolution
        inside = plain if level < coarsest else dilated  # works at the resolution below
        innermost = level == depth
        super().__init__(
            pools=level <= self.POOLS,
            skip=outside(),
            encode=inside()
            if level <= self.POOLS
            else DilatedBottleneckB(channels, dilation=dilation),
            inner=inside()
            if innermost
            else DilatedHourglass(channels, depth=depth, dilation=dilation, level=level + 1),
            decode=inside(),
        )
        self.depth = depth
        self.dilation = dilation
        self.divisor = 2 ** min(self.POOLS, depth)
