"""SPCNet: a stem, stacked (dilated) hourglasses, and the Selective Information Module.

Xiao et al., "SPCNet: Spatial Preserve and Content-aware Network for Human Pose Estimation",
ECAI 2020. Sizes in comments are the paper's: 256x256 input, C = 256, S = 8 stacks, K joints.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from spcnet.models.bottlenecks import Bottleneck
from spcnet.models.hourglass import DilatedHourglass, Hourglass, StackedModule
from spcnet.models.selective import (
    ConcatFusion,
    InformationCollection,
    InformationDistribution,
    SumFusion,
)
from spcnet.registries import Registry

NO_FUSION = "none"
# Far beyond what anybody trains; a file's numbers are looked at before anything is built.
MOST = {"stacks": 64, "channels": 8192, "depth": 8, "dilation": 64}


class MakeModule(Protocol):
    """Builds a module of `depth` levels for any even number of channels."""

    def __call__(self, channels: int, *, depth: int, dilation: int) -> StackedModule: ...


class MakeFusion(Protocol):
    """Builds a fusion: levels, each (B, C, H, W) -> (B, C, H, W), and (B, L, H, W) or None."""

    def __call__(self, channels: int, *, levels: int) -> nn.Module: ...


def _hourglass(channels: int, *, depth: int, dilation: int) -> Hourglass:
    return Hourglass(channels, depth=depth)  # nothing in it is dilated


MODULES: Registry[MakeModule] = Registry(
    "module", {"hourglass": _hourglass, "dilated": DilatedHourglass}
)
FUSIONS: Registry[MakeFusion] = Registry(
    "fusion", {"selective": InformationDistribution, "sum": SumFusion, "concat": ConcatFusion}
)


@dataclass(frozen=True)
class Outputs:
    """Everything one forward pass predicts."""

    # Raw outputs (B, K, H/4, W/4), one per stack and, with a fusion, one of the fused features;
    # the last is the network's answer.
    heatmaps: list[Tensor]
    # The weights of the levels (B, L, H/4, W/4), coarsest first; None where the fusion has none.
    attention: Tensor | None


class Stem(nn.Sequential):
    """Image to features at a quarter of its size: (B, 3, 256, 256) -> (B, 256, 64, 64)."""

    def __init__(self, channels: int) -> None:
        quarter, half = max(8, channels // 4), channels // 2
        super().__init__(
            nn.Conv2d(3, quarter, kernel_size=7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(quarter),
            nn.ReLU(inplace=True),
            Bottleneck(quarter, half),
            nn.MaxPool2d(2),
            Bottleneck(half, half),
            Bottleneck(half, channels),
        )


class Stack(nn.Module):
    """One module with its supervision: features of every level, own features, heatmaps."""

    def __init__(self, module: StackedModule, channels: int, joints: int) -> None:
        super().__init__()
        self.module = module
        self.features = nn.Sequential(
            Bottleneck(channels),
            nn.Conv2d(channels, channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Conv2d(channels, joints, kernel_size=1)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        levels: list[Tensor] = self.module(x)  # 16, 16, 32, 64 wide
        features = self.features(levels[-1])  # (B, C, 64, 64)
        return levels, features, self.head(features)  # heatmaps (B, K, 64, 64)


class Feedback(nn.Module):
    """What one stack hands to the next: ``x + conv1x1(features) + conv1x1(heatmaps)``."""

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.of_features = nn.Conv2d(channels, channels, kernel_size=1)
        self.of_heatmaps = nn.Conv2d(joints, channels, kernel_size=1)

    def forward(self, x: Tensor, features: Tensor, heatmaps: Tensor) -> Tensor:
        merged: Tensor = x + self.of_features(features) + self.of_heatmaps(heatmaps)
        return merged


class PoseNetwork(nn.Module):
    """Stacked hourglasses, plain or dilated, with or without a fusion of their levels.

    ``module="dilated", fusion="selective"`` is SPCNet; ``module="hourglass", fusion="none"`` is
    the baseline; the other combinations are the arms of Tables 1 to 3.

    Args:
        num_joints: K, the number of heatmaps.
        stacks: S, the number of stacked modules.
        channels: C, the width of every feature map after the stem.
        module: of `MODULES`: ``"dilated"`` (DHM), ``"hourglass"``, or one of yours.
        depth: levels a module has.
        dilation: R of the dilated blocks.
        fusion: of `FUSIONS`: ``"selective"`` (SIM), ``"sum"``, ``"concat"``, or one of yours; or
            ``"none"``.

    Shape: (B, 3, H, W), normalised -> in training mode the list of all S (+ 1) raw outputs
    (B, K, H/4, W/4); in evaluation mode the last one. `forward_all` gives everything in both.

    Raises:
        ValueError: an argument is not one of those above; or, when called, H or W is not a
            multiple of `divisor`, and the message names the nearest that are.
    """

    stride = 4
    # In training, keep only each stack's input and compute the rest again for the gradient.
    checkpointing = False

    def __init__(
        self,
        *,
        num_joints: int,
        stacks: int = 8,
        channels: int = 256,
        module: str = "dilated",
        depth: int = 4,
        dilation: int = 2,
        fusion: str = "selective",
    ) -> None:
        super().__init__()
        if not MODULES.knows(module):
            raise ValueError(MODULES.unknown(module))
        if fusion != NO_FUSION and not FUSIONS.knows(fusion):
            raise ValueError(FUSIONS.unknown(fusion, NO_FUSION))
        counts = {"stacks": stacks, "channels": channels, "depth": depth, "dilation": dilation}
        for name, count in counts.items():
            if type(count) is not int or not 1 <= count <= MOST[name]:
                raise ValueError(f"{name} must be whole and from 1 to {MOST[name]}, got {count!r}")
        if channels % 2:
            raise ValueError(f"channels must be even, got {channels}")

        # Builds what is stacked, of any even number of channels.
        self.make_module: Callable[[int], StackedModule] = partial(
            MODULES[module], depth=depth, dilation=dilation
        )
        self.stem = Stem(channels)
        self.stacks = nn.ModuleList(
            Stack(self.make_module(channels), channels, num_joints) for _ in range(stacks)
        )
        self.feedbacks = nn.ModuleList(Feedback(channels, num_joints) for _ in range(stacks - 1))
        first = self.stacks[0]
        assert isinstance(first, Stack)
        self.divisor = self.stride * first.module.divisor

        self.collect = nn.ModuleList()
        self.distribute: nn.Module | None = None
        self.head: nn.Module | None = None
        if fusion != NO_FUSION:
            self.collect.extend(
                InformationCollection(channels, stacks=stacks) for _ in range(depth)
            )
            self.distribute = FUSIONS[fusion](channels, levels=depth)
            self.head = nn.Conv2d(channels, num_joints, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        heatmaps = self.forward_all(images).heatmaps
        return heatmaps if self.training else heatmaps[-1]

    def forward_all(self, images: Tensor) -> Outputs:
        """All raw outputs and the fusion's weights, whatever the mode."""
        check_size(images, self.divisor)
        x = self.stem(images)  # (B, C, 64, 64)
        heatmaps: list[Tensor] = []
        stages: list[list[Tensor]] = []  # per stack, the levels innermost first
        for n, stack in enumerate(self.stacks):
            levels, features, predicted = self._run(stack, x)
            stages.append(levels)
            heatmaps.append(predicted)
            if n < len(self.feedbacks):
                x = self.feedbacks[n](x, features, predicted)
        if self.distribute is None or self.head is None:
            return Outputs(heatmaps, None)
        size = (x.shape[-2], x.shape[-1])
        collected = [
            collect(level, size)
            for collect, level in zip(self.collect, zip(*stages, strict=True), strict=True)
        ]  # X1..X4, each (B, C, 64, 64)
        fused, attention = self.distribute(collected)
        return Outputs([*heatmaps, self.head(fused)], attention)

    def _run(self, stack: nn.Module, x: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """A stack's levels, features and heatmaps, with what its gradient needs kept or not."""
        outputs: tuple[list[Tensor], Tensor, Tensor]
        if self.checkpointing and self.training:
            outputs = checkpoint(
                stack,
                x,
                use_reentrant=False,
                context_fn=lambda: (nullcontext(), statistics_kept(stack)),
            )
            return outputs
        outputs = stack(x)
        return outputs


def check_size(images: Tensor, divisor: int) -> None:
    """Raise a `ValueError` where H or W of images (B, 3, H, W) is no multiple of the divisor."""
    height, width = images.shape[-2:]
    if height % divisor or width % divisor or not height or not width:
        nearest = " x ".join(
            str(max(1, round(side / divisor)) * divisor) for side in (height, width)
        )
        raise ValueError(
            f"input of {height} x {width} pixels does not fit: height and width must be "
            f"multiples of {divisor}; the nearest is {nearest}"
        )


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norms normalise as ever, but count no batch: it was counted the first time."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counted


def channels_last(network: PoseNetwork) -> PoseNetwork:
    """The same network with its kernels laid out channels last, which convolutions like."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return network
