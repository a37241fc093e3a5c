"""The usual way: an eager NCHW float32 stacked hourglass.

Written afresh after the design that the well-known repositories share (Newell et al., ECCV 2016):
pre-activation residual blocks whose convolutions have biases, heatmaps of every stack. It is what
others are measured against, so it is kept plain.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """BN, ReLU, 1x1; BN, ReLU, 3x3; BN, ReLU, 1x1; all with biases."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, half, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(half), nn.Conv2d(half, half, 3, padding=1)
        self.bn3, self.conv3 = nn.BatchNorm2d(half), nn.Conv2d(half, outputs, 1)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(self.relu(self.bn1(x)))
        out = self.conv2(self.relu(self.bn2(out)))
        out = self.conv3(self.relu(self.bn3(out)))
        sum_: Tensor = self.shortcut(x) + out
        return sum_


class ReferenceHourglass(nn.Module):
    """One hourglass of four levels."""

    def __init__(self, width: int, depth: int = 4) -> None:
        super().__init__()
        self.upper = Residual(width, width)
        self.lower1 = Residual(width, width)
        self.lower2 = ReferenceHourglass(width, depth - 1) if depth > 1 else Residual(width, width)
        self.lower3 = Residual(width, width)

    def forward(self, x: Tensor) -> Tensor:
        low = self.lower3(self.lower2(self.lower1(F.max_pool2d(x, 2))))
        sum_: Tensor = self.upper(x) + F.interpolate(low, scale_factor=2)
        return sum_


class ReferenceNetwork(nn.Module):
    """Stacked hourglasses: (B, 3, H, W) -> heatmaps (B, K, H/4, W/4) of every stack."""

    def __init__(self, *, joints: int, stacks: int = 8, width: int = 256) -> None:
        super().__init__()
        quarter, half = width // 4, width // 2
        self.stem = nn.Sequential(
            nn.Conv2d(3, quarter, 7, stride=2, padding=3),
            nn.BatchNorm2d(quarter),
            nn.ReLU(inplace=True),
            Residual(quarter, half),
            nn.MaxPool2d(2),
            Residual(half, half),
            Residual(half, width),
        )
        self.hourglasses = nn.ModuleList(ReferenceHourglass(width) for _ in range(stacks))
        self.features = nn.ModuleList(
            nn.Sequential(
                Residual(width, width),
                nn.Conv2d(width, width, 1),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
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
            features = self.features[n](hourglass(x))
            outputs.append(self.heads[n](features))
            if n < len(self.back1):
                x = x + self.back1[n](features) + self.back2[n](outputs[-1])
        return outputs
