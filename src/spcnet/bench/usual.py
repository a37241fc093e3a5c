"""The usual way: an eager NCHW float32 stacked hourglass, and a loader that decodes every time.

Written afresh after the design that the well-known repositories share (Newell et al., ECCV 2016):
pre-activation residual blocks whose convolutions have biases, heatmaps of every stack, mean squared
error, RMSProp; every sample is a JPEG that a worker decodes, turns and crops, with its Gaussian
heatmaps drawn joint by joint. It is what others are measured against, so it is kept plain.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.regions import region_rule
from spcnet.geometry import IMAGENET_MEAN, IMAGENET_STD, Array, apply_affine, crop_affine

SIGMA = 1.0
REACH = 3  # of a drawn Gaussian, in standard deviations


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


class UsualHourglass(nn.Module):
    """One hourglass of four levels."""

    def __init__(self, width: int, depth: int = 4) -> None:
        super().__init__()
        self.upper = Residual(width, width)
        self.lower1 = Residual(width, width)
        self.lower2 = UsualHourglass(width, depth - 1) if depth > 1 else Residual(width, width)
        self.lower3 = Residual(width, width)

    def forward(self, x: Tensor) -> Tensor:
        low = self.lower3(self.lower2(self.lower1(F.max_pool2d(x, 2))))
        sum_: Tensor = self.upper(x) + F.interpolate(low, scale_factor=2)
        return sum_


class UsualNetwork(nn.Module):
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
        self.hourglasses = nn.ModuleList(UsualHourglass(width) for _ in range(stacks))
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


class UsualSamples(Dataset[tuple[Tensor, Tensor]]):
    """One person a sample: decode the picture, turn and crop it, draw the heatmaps.

    Args:
        pictures: annotated persons whose pictures are on the disk.
        size: side of the crops in pixels.
        count: samples; persons are taken again and again.
    """

    def __init__(self, pictures: AnnotatedPictures, *, size: int, count: int) -> None:
        rule = region_rule("box", pictures)
        self.size, self.count = size, count
        self.permutation = list(pictures.skeleton.flip_permutation)
        self.samples: list[tuple[Path, Array, Array, float]] = []
        for person in pictures.annotations:
            centre, side = rule(person, (0, 0))
            self.samples.append((pictures.picture(person), person.points, centre, side))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        import cv2

        path, points, centre, side = self.samples[index % len(self.samples)]
        random = np.random.default_rng(index)
        with Image.open(path) as opened:
            image = np.asarray(opened.convert("RGB"))
        flip = bool(random.random() < 0.5)
        rotation = float(np.clip(random.normal() * 30, -60, 60)) * (random.random() < 0.6)
        scale = float(np.clip(1 + 0.25 * random.normal(), 0.75, 1.25))
        affine = crop_affine(centre, side * scale, self.size, rotation=rotation, flip=flip)
        crop = cv2.warpAffine(image, affine, (self.size, self.size), flags=cv2.INTER_LINEAR)
        pixels = torch.from_numpy(crop).permute(2, 0, 1).float() / 255
        pixels = (pixels * torch.empty(3, 1, 1).uniform_(0.8, 1.2)).clamp_(0, 1)
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        pixels = (pixels - mean[:, None, None]) / std[:, None, None]
        moved = apply_affine(affine, points)
        if flip:
            moved = moved[self.permutation]
        cells = (moved + 0.5) / 4 - 0.5
        side_of_map = self.size // 4
        heatmaps = torch.from_numpy(np.stack([_draw(cell, side_of_map) for cell in cells]))
        return pixels, heatmaps


def _draw(cell: Array, size: int) -> Array:
    """A Gaussian patch on an empty map."""
    heatmap = np.zeros((size, size), dtype=np.float32)
    x, y = np.rint(cell).astype(int)
    reach = round(REACH * SIGMA)
    if not (-reach <= x < size + reach and -reach <= y < size + reach):
        return heatmap
    steps = np.arange(-reach, reach + 1)
    patch = np.exp(-(steps**2 + steps[:, None] ** 2) / (2 * SIGMA**2))
    left, top = max(0, x - reach), max(0, y - reach)
    right, bottom = min(size, x + reach + 1), min(size, y + reach + 1)
    heatmap[top:bottom, left:right] = patch[
        top - y + reach : bottom - y + reach, left - x + reach : right - x + reach
    ]
    return heatmap


def usual_loss(outputs: Sequence[Tensor], target: Tensor) -> Tensor:
    """Mean squared error, summed over the stacks."""
    return torch.stack([F.mse_loss(output, target) for output in outputs]).sum()
