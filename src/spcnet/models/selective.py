"""The Selective Information Module (Section 3.3, Figure 4) and the other fusions of Table 2.

`InformationCollection` gathers every level over all stacks; a fusion turns the collected levels
into one feature map. All fusions share one interface: levels in, fused features and the weights
of the levels (or None) out.
"""

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def add_up(levels: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape; unlike a stack's sum it keeps their memory layout."""
    return reduce(torch.add, levels)


class InformationCollection(nn.Module):
    """One level gathered over all stacks: concatenate, 1x1 convolution, BN, ReLU, upsample.

    The convolution of the concatenated stacks (S*C channels) is the sum of the convolutions of
    each with its slice of the kernel, so the concatenation is never held.

    Shape: S tensors (B, C, h, w) and a size (H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, *, stacks: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(stacks * channels, channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, stages: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        kernels = self.reduce.weight.chunk(len(stages), dim=1)  # S x (C, C, 1, 1)
        reduced = F.conv2d(stages[0], kernels[0])
        for stage, kernel in zip(stages[1:], kernels[1:], strict=True):
            reduced = reduced + F.conv2d(stage, kernel)
        collected = F.relu(self.norm(reduced))  # (B, C, h, w)
        if collected.shape[-2:] == size:
            return collected
        return F.interpolate(collected, size=size, mode="bilinear", align_corners=False)


class InformationDistribution(nn.Module):
    """Content-aware fusion of levels (eq. 2-4).

    Each pixel mixes the levels in its own proportions: a softmax over levels of a 1x1
    convolution of their sum.

    Shape: L tensors (B, C, H, W) -> fused (B, C, H, W), weights (B, L, H, W).
    """

    def __init__(self, channels: int, *, levels: int = 4) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, levels, kernel_size=1)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        total = add_up(levels)  # (B, C, H, W)
        weights = self.squeeze(total).softmax(dim=1)  # (B, L, H, W)
        fused = levels[0] * weights[:, 0:1]
        for n, level in enumerate(levels[1:], start=1):
            fused = fused + level * weights[:, n : n + 1]
        return fused, weights


def begin_squeeze_at_zero(network: nn.Module) -> None:
    """Let SIM weigh all levels alike at first, everywhere."""
    for module in network.modules():
        if isinstance(module, InformationDistribution):
            for parameter in module.squeeze.parameters():
                nn.init.zeros_(parameter)


class SumFusion(nn.Module):
    """Element-wise sum of the levels ("IC + Sum" of Table 2).

    Shape: L tensors (B, C, H, W) -> fused (B, C, H, W), None.
    """

    def __init__(self, channels: int, *, levels: int = 4) -> None:
        super().__init__()

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        return add_up(levels), None


class ConcatFusion(nn.Module):
    """Concatenation and a 1x1 convolution back to C channels ("IC + Concat" of Table 2).

    Shape: L tensors (B, C, H, W) -> fused (B, C, H, W), None.
    """

    def __init__(self, channels: int, *, levels: int = 4) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(levels * channels, channels, kernel_size=1)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        return self.reduce(torch.cat(tuple(levels), dim=1)), None
