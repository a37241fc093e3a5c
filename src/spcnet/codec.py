"""What a pose network takes and says, stated once: crops before it, keypoints and scores after it.

It takes RGB crops, normalised by ImageNet's mean and deviation: the square about a person whose
side is `PADDING` times the longer side of the tight box. What lies outside the picture is 0 after
normalisation. It says one map a joint; a `Codec` holds what differs from model to model.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from spcnet.calibration import Calibration
from spcnet.errors import UserError
from spcnet.geometry import Array, crop_affine

if TYPE_CHECKING:
    from torch import Tensor

Refinement = Literal["none", "quarter", "dark", "mass"]
HeatmapKind = Literal["gaussian", "softmax", "softmax_absent"]
Square: TypeAlias = tuple[Array, float]  # its centre (2,) and side in pixels of the picture

PADDING = 1.25
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
OUTSIDE = tuple(round(255 * mean) for mean in MEAN)  # 0 after normalisation, to the nearest grey
SIZES = 16, 4096  # pixels of an input's side, least and most


def square_of_box(box: ArrayLike) -> Square:
    """The square crop about a tight box x0, y0, x1, y1.

    Its side is at least one pixel, so that a box of a single point still has a crop.
    """
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64)
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    return centre, max(1.0, PADDING * max(x1 - x0, y1 - y0))


def normalise(crops: "Tensor") -> "Tensor":
    """RGB of 0..255 (N, H, W, 3) as networks take it: (N, 3, H, W) float32, channels last."""
    import torch

    std = crops.new_tensor(STD, dtype=torch.float32).view(3, 1, 1)
    mean = crops.new_tensor(MEAN, dtype=torch.float32).view(3, 1, 1)
    images = (crops.permute(0, 3, 1, 2).float() / 255 - mean) / std
    return images.contiguous(memory_format=torch.channels_last)


def denormalise(images: "Tensor") -> "Tensor":
    """The inverse of `normalise`: (N, H, W, 3) uint8."""
    std, mean = (images.new_tensor(values).view(3, 1, 1) for values in (STD, MEAN))
    return ((images * std + mean).clamp(0, 1) * 255).permute(0, 2, 3, 1).byte()


def check_size(side: object) -> None:
    """Raise a `ValueError` where a network's input has no whole number of `SIZES` as its side."""
    low, high = SIZES
    if type(side) is not int or not low <= side <= high:
        raise ValueError(f"input_size must be whole pixels from {low} to {high}, got {side!r}")


def check_refinement(name: str) -> None:
    """Raise a `UserError` where a way of refining peaks is none."""
    known = get_args(Refinement)
    if name not in known:
        raise UserError(f"refinement must be one of {', '.join(known)}, got {name!r}")


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How crops of one model are cut and its raw outputs are read.

    Raises:
        ValueError: a value is of another type, or out of its range.
    """

    input_size: int  # side of the square input in pixels
    heatmap: HeatmapKind  # what the raw outputs are (see `spcnet.heatmaps.activate`)
    sigma: float  # of the training target in heatmap cells
    refinement: Refinement = "dark"  # of peaks below one cell (see `spcnet.heatmaps.decode`)
    calibration: Calibration | None = None  # from peak values to scores

    def __post_init__(self) -> None:
        check_size(self.input_size)
        most = self.input_size / 4  # cells across a heatmap
        if type(self.sigma) not in (int, float) or not 0 < self.sigma <= most:
            raise ValueError(
                f"sigma must be heatmap cells above 0 and at most {most:g}, got {self.sigma!r}"
            )
        for name, kinds in (("heatmap", HeatmapKind), ("refinement", Refinement)):
            if (value := getattr(self, name)) not in get_args(kinds):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(kinds))}, got {value!r}"
                )

    def affine(self, square: Square, rotation: float = 0.0) -> Array:
        """The affine (2, 3) from points of a picture to those of a square's crop.

        The content turns clockwise by `rotation` degrees.
        """
        return crop_affine(*square, self.input_size, rotation=rotation)

    @property
    def mass(self) -> float:
        """The sum of the target of one joint, a Gaussian of peak 1."""
        return 2 * math.pi * self.sigma**2

    def activate(self, raw: "Tensor") -> "Tensor":
        """A network's raw outputs (..., K, h, w) as heatmaps whose ideal peak is 1."""
        from spcnet.heatmaps import activate

        return activate(raw, kind=self.heatmap, sigma=self.sigma)

    def decode(self, heatmaps: "Tensor") -> "tuple[Tensor, Tensor]":
        """Points (..., K, 2) in pixels of the crop and peak values (..., K) of heatmaps."""
        from spcnet.heatmaps import cells_to_pixels, decode

        cells, peaks = decode(heatmaps, refinement=self.refinement, sigma=self.sigma)
        return cells_to_pixels(cells, self.input_size // heatmaps.shape[-1]), peaks

    def scores(self, peaks: Array) -> Array:
        """Peak values of any shape as scores in [0, 1]."""
        scores: Array = peaks.clip(0, 1) if self.calibration is None else self.calibration(peaks)
        return scores
