"""Test-time augmentation: what is averaged over, and the fusion of several scales.

Scales are those of Yang et al. (ICCV 2017) and Chu et al. (CVPR 2017): heatmaps of crops whose side
is multiplied by each factor are resized to their crop boxes and averaged on a canvas of the picture
(0 outside their crop), whose arg max is taken without refinement.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spcnet.codec import Square
from spcnet.errors import UserError
from spcnet.geometry import Array

# The paper does not list its six factors; these are the two lists that the field uses.
PYRAMIDS: dict[str, tuple[float, ...]] = {
    "pyranet": (0.8, 0.9, 1.0, 1.1, 1.2, 1.3),
    "chu": (0.7, 0.8, 0.9, 1.0, 1.1, 1.2),
}
FUSION_BYTES = 64 * 2**20  # of the largest piece of canvas that is held at once


@dataclass(frozen=True, slots=True)
class TestTimeAugmentation:
    """What of a person is looked at beside the one upright crop; as text it is words."""

    flip: bool = False  # its mirror image
    scales: tuple[float, ...] | None = None  # factors of its side, in place of it
    rotations: tuple[float, ...] = (0.0,)  # degrees of crops turned clockwise, in place of it

    def __bool__(self) -> bool:
        return self != TestTimeAugmentation()

    def __str__(self) -> str:
        parts = []
        if self.scales is not None:
            names = {factors: name for name, factors in PYRAMIDS.items()}
            factors = names.get(self.scales) or " ".join(f"{scale:g}" for scale in self.scales)
            parts.append(f"scales {factors}")
        if self.rotations != (0.0,):
            parts.append("rotations " + " ".join(f"{angle:g}" for angle in self.rotations))
        if self.flip:
            parts.append("flip")
        return " and ".join(parts) or "no test-time augmentation"


def parse_scales(scales: str | Sequence[float] | None) -> tuple[float, ...] | None:
    """Factors of the crop's side: of a name of `PYRAMIDS`, a text ``"0.8,1,1.2"``, or numbers."""
    if scales is None:
        return None
    if isinstance(scales, str) and scales in PYRAMIDS:
        return PYRAMIDS[scales]
    factors = _numbers(scales, 0.1, 10)
    if not factors:
        raise UserError(
            f"scales must be {', '.join(PYRAMIDS)} or factors from 0.1 to 10 such as 0.8,1.0,1.2, "
            f"got {scales!r}"
        )
    return factors


def parse_rotations(rotations: str | Sequence[float] | None) -> tuple[float, ...]:
    """Degrees that crops are turned by: of a text like ``"-30,0,30"``, or numbers; none is 0."""
    angles = (0.0,) if rotations is None else _numbers(rotations, -360, 360)
    if not angles:
        raise UserError(
            f"rotations must be degrees from -360 to 360 such as -30,0,30, got {rotations!r}"
        )
    return angles


def _numbers(values: str | Sequence[float], low: float, high: float) -> tuple[float, ...]:
    """Numbers, or those of a text; empty if one is none, or beyond the limits."""
    parts: Sequence[str | float] = values.split(",") if isinstance(values, str) else values
    try:
        found = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        return ()
    return found if all(low <= number <= high for number in found) else ()


def fuse(
    heatmaps: Tensor, squares: Sequence[Square], picture_size: tuple[int, int]
) -> tuple[Array, Array]:
    """Of maps (S, K, h, w) over S squares, the mean's arg max (K, 2) in image pixels, and values.

    The canvas is the union of the squares within the picture, gone through in bands of rows, so
    that a 40-megapixel photograph costs no more memory than a small one.
    """
    count, joints, rows, columns = heatmaps.shape
    low, high = _canvas(squares, picture_size)
    xs, ys = np.arange(low[0], high[0]), np.arange(low[1], high[1])
    maps = heatmaps.float()
    # Resized along x once: S maps (K, h, W).
    wide = [
        of_one @ torch.from_numpy(_weights(xs, centre[0], side, columns)).to(maps).T
        for of_one, (centre, side) in zip(maps, squares, strict=True)
    ]
    band = max(1, FUSION_BYTES // (4 * joints * len(xs)))
    best = torch.full((joints,), -torch.inf, device=maps.device)
    where = torch.zeros(joints, dtype=torch.long, device=maps.device)
    for begin in range(0, len(ys), band):
        part = ys[begin : begin + band]
        canvas = torch.zeros(joints, len(part), len(xs), device=maps.device)
        for of_one, (centre, side) in zip(wide, squares, strict=True):
            down = torch.from_numpy(_weights(part, centre[1], side, rows)).to(maps)
            canvas += down @ of_one
        values, flat = canvas.flatten(1).max(dim=1)
        better = values > best
        best = torch.where(better, values, best)
        where = torch.where(better, flat + begin * len(xs), where)
    found = where.cpu().numpy()
    points = np.stack([xs[found % len(xs)], ys[found // len(xs)]], axis=1).astype(np.float32)
    return points, (best / count).cpu().numpy()


def _canvas(squares: Sequence[Square], picture_size: tuple[int, int]) -> tuple[Array, Array]:
    """First and one past the last pixel (x, y) of the crops' union within the picture."""
    limit = np.array(picture_size[::-1])
    begin = np.min([centre - side / 2 for centre, side in squares], axis=0)
    end = np.max([centre + side / 2 for centre, side in squares], axis=0)
    low = np.clip(np.ceil(begin).astype(int), 0, limit - 1)
    return low, np.clip(np.floor(end).astype(int) + 1, low + 1, limit)


def _weights(pixels: Array, centre: float, side: float, cells: int) -> Array:
    """Bilinear weights (P, cells) of heatmap cells at image pixels; 0 outside the crop."""
    at = (pixels - centre) * (cells / side) + (cells - 1) / 2
    inside = (at >= -0.5) & (at <= cells - 0.5)
    at = at.clip(0, cells - 1)
    below = np.minimum(at.astype(int), max(cells - 2, 0))
    share = at - below
    weights = np.zeros((len(pixels), cells), dtype=np.float32)
    rows = np.arange(len(pixels))
    weights[rows, below] = (1 - share) * inside
    weights[rows, np.minimum(below + 1, cells - 1)] += share * inside
    return weights
