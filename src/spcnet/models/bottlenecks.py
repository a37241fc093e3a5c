"""The three residual blocks of Figure 3, all pre-activation.

BN-ReLU-1x1(C/2), BN-ReLU-3x3(C/2), BN-ReLU-1x1(C), plus a shortcut. A convolution that a batch
norm follows directly has no bias.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """Conventional block (Figure 3c).

    The shortcut is the identity, or a 1x1 convolution when the channels change.

    Shape: (B, in_channels, H, W) -> (B, out_channels, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        *,
        dilation: int = 1,
        project: bool | None = None,
    ) -> None:
        super().__init__()
        out_channels = in_channels if out_channels is None else out_channels
        middle = out_channels // 2
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, middle, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(
            middle, middle, kernel_size=3, padding=dilation, dilation=dilation, bias=False
        )
        self.norm3 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, out_channels, kernel_size=1)
        if project is None:
            project = in_channels != out_channels
        self.shortcut: nn.Module = (
            nn.Conv2d(in_channels, out_channels, kernel_size=1) if project else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))  # (B, C/2, H, W)
        y = self.conv2(F.relu(self.norm2(y)))  # (B, C/2, H, W)
        y = self.conv3(F.relu(self.norm3(y)))  # (B, C, H, W)
        total: Tensor = self.shortcut(x) + y
        return total


class DilatedBottleneckA(Bottleneck):
    """Dilated block with an identity shortcut (Figure 3a): the 3x3 has dilation R."""

    def __init__(self, channels: int, *, dilation: int = 2) -> None:
        super().__init__(channels, dilation=dilation, project=False)


class DilatedBottleneckB(Bottleneck):
    """Dilated block with a 1x1 convolution on the shortcut (Figure 3b), as in DetNet."""

    def __init__(self, channels: int, *, dilation: int = 2) -> None:
        super().__init__(channels, dilation=dilation, project=True)
