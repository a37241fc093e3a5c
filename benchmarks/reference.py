"""The usual way: an eager NCHW float32 stacked hourglass, which others are measured against.

It is plain, after the design that the well-known repositories share (Newell et al., ECCV 2016).
"""

import torch
from torch import Tensor, nn


def activated(inputs: int, outputs: int, size: int = 1) -> nn.Sequential:
    """BN, ReLU, and a convolution with biases."""
    convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), convolution)


class Residual(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.branch = nn.Sequential(
            activated(inputs, half), activated(half, half, 3), activated(half, outputs)
        )
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.shortcut(x), self.branch(x))


class ReferenceHourglass(nn.Module):
    """One hourglass of four levels."""

    def __init__(self, width: int, depth: int = 4) -> None:
        super().__init__()
        self.upper = Residual(width, width)
        self.lower = nn.Sequential(
            nn.MaxPool2d(2),
            Residual(width, width),
            ReferenceHourglass(width, depth - 1) if depth > 1 else Residual(width, width),
            Residual(width, width),
            nn.Upsample(scale_factor=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.upper(x), self.lower(x))


class ReferenceNetwork(nn.Module):
    """Stacked hourglasses: (B, 3, H, W) -> heatmaps (B, K, H/4, W/4) of every stack."""

    def __init__(self, *, joints: int, stacks: int = 8, width: int = 256) -> None:
        super().__init__()
        quarter, half = width // 4, width // 2
        self.stem = nn.Sequential(
            nn.Conv2d(3, quarter, 7, stride=2, padding=3),
            *(nn.BatchNorm2d(quarter), nn.ReLU(inplace=True)),
            *(Residual(quarter, half), nn.MaxPool2d(2)),
            *(Residual(half, half), Residual(half, width)),
        )
        self.hourglasses = nn.ModuleList(
            nn.Sequential(
                ReferenceHourglass(width),
                *(Residual(width, width), nn.Conv2d(width, width, 1)),
                *(nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
            )
            for _ in range(stacks)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, joints, 1) for _ in range(stacks))
        self.back1 = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks - 1))
        self.back2 = nn.ModuleList(nn.Conv2d(joints, width, 1) for _ in range(stacks - 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        outputs = []
        for n, hourglass in enumerate(self.hourglasses):
            features = hourglass(x)
            outputs.append(self.heads[n](features))
            if n < len(self.back1):
                x = x + self.back1[n](features) + self.back2[n](outputs[-1])
        return outputs
