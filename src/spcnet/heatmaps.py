"""Heatmaps: points to Gaussians and back (eq. 5 and 7 of the paper).

Cell (i, j) of a heatmap of stride s has its centre at input pixel ``s * i + (s - 1) / 2``, so a
mirrored heatmap is the heatmap of the mirrored image, with no shift.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from spcnet.codec import HeatmapKind, Refinement, check_refinement

# Deviation of the blur by which "mass" gathers what lies near, of the map's longer side: it covers
# as much as a disc of what a joint may be off, 0.2 of a torso that is a third of the crop.
REACH = 0.045


def pixels_to_cells(points: Tensor, stride: int) -> Tensor:
    """Input pixels to heatmap cells, both 0-based at their centres; any shape ending in 2."""
    return (points - (stride - 1) / 2) / stride


def cells_to_pixels(points: Tensor, stride: int) -> Tensor:
    """Heatmap cells to input pixels: the inverse of `pixels_to_cells`."""
    return points * stride + (stride - 1) / 2


def gaussian_heatmaps(cells: Tensor, size: tuple[int, int], *, sigma: float) -> Tensor:
    """Gaussians of peak 1 about exact sub-cell points, not cut off (eq. 5).

    Points (..., K, 2) in heatmap cells, which may lie outside the map, give (..., K, H, W) in
    their dtype and on their device; `sigma` is the standard deviation in cells.
    """
    height, width = size
    xs = torch.arange(width, dtype=cells.dtype, device=cells.device)
    ys = torch.arange(height, dtype=cells.dtype, device=cells.device)
    along_x = torch.exp(-((xs - cells[..., 0:1]) ** 2) / (2 * sigma**2))  # (..., K, W)
    along_y = torch.exp(-((ys - cells[..., 1:2]) ** 2) / (2 * sigma**2))  # (..., K, H)
    return along_y.unsqueeze(-1) * along_x.unsqueeze(-2)


def activate(outputs: Tensor, *, kind: HeatmapKind, sigma: float) -> Tensor:
    """A network's raw outputs as heatmaps whose ideal peak is 1.

    A network trained by squared error gives heatmaps itself (``"gaussian"``). One trained by
    spatial cross-entropy gives logits: their softmax over the map (``"softmax"``), or over the map
    and one more place for "not in the picture" whose logit is 0 (``"softmax_absent"``), is scaled
    by ``2 * pi * sigma**2``, the sum of the Gaussian of peak 1, so that all kinds read alike.

    Shape: (..., K, H, W) -> the same, float32 or wider.
    """
    outputs = outputs if outputs.dtype == torch.float64 else outputs.float()
    if kind == "gaussian":
        return outputs
    places = log_places(outputs, absent=kind == "softmax_absent").exp()
    cells = outputs.shape[-2] * outputs.shape[-1]
    return places[..., :cells].view_as(outputs) * (2 * math.pi * sigma**2)


def log_places(logits: Tensor, *, absent: bool) -> Tensor:
    """Logarithms of the probabilities of every cell, and at last of "not in the picture".

    Shape: (..., H, W) -> (..., H * W), or with `absent` (..., H * W + 1).
    """
    flat = logits.flatten(-2)
    if absent:
        flat = F.pad(flat, (0, 1))  # a logit of 0
    return flat.log_softmax(-1)


def flip_heatmaps(heatmaps: Tensor, permutation: Sequence[int]) -> Tensor:
    """Heatmaps of the mirrored image: columns reversed, left and right channels swapped.

    Shape: (..., K, H, W) -> the same.
    """
    order = torch.as_tensor(permutation, device=heatmaps.device)
    return heatmaps.flip(-1).index_select(-3, order)


def turn_heatmaps(heatmaps: Tensor, degrees: float) -> Tensor:
    """Heatmaps turned about their middle, clockwise as seen on the screen, bilinear, 0 outside.

    Quarter turns move whole cells. Square maps only.

    Shape: (N, K, S, S) -> the same.
    """
    angle = math.radians(degrees)
    # Where each cell of the result comes from: turned back.
    back = [[math.cos(angle), math.sin(angle), 0.0], [-math.sin(angle), math.cos(angle), 0.0]]
    theta = heatmaps.new_tensor(back).expand(len(heatmaps), 2, 3)
    grid = F.affine_grid(theta, list(heatmaps.shape), align_corners=False)
    return F.grid_sample(heatmaps, grid, align_corners=False)


def gather_mass(heatmaps: Tensor, *, sigma: float) -> Tensor:
    """What lies about each cell: a blur by `REACH` of the map's longer side.

    Scaled so that a Gaussian of peak 1 and the target's `sigma`, in cells, keeps its peak.

    Shape: (..., H, W) -> the same.
    """
    reach = REACH * max(heatmaps.shape[-2:])
    return _smooth(heatmaps, reach) * (1 + (reach / sigma) ** 2)


def decode(
    heatmaps: Tensor, *, refinement: Refinement = "quarter", sigma: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Arg max of each heatmap (eq. 7), refined below one cell.

    ``"mass"`` is another question than the others': not where the likeliest cell is, but about
    which point the most probability lies, near enough to count as right. It is what maximises the
    expected PCK where heatmaps are probabilities, and takes a broad hill before a narrow spike.

    Args:
        heatmaps: (..., K, H, W).
        refinement: ``"none"``; ``"quarter"``, a quarter cell towards the higher neighbour
            (Newell et al. 2016); ``"dark"``, the peak of a parabola through the logarithm of the
            smoothed map (Zhang et al., CVPR 2020); ``"mass"``, the peak of the map blurred by
            `REACH` of its side, by the same parabola.
        sigma: standard deviation of the target in cells, which sets DARK's smoothing.

    Returns:
        (..., K, 2) points (x, y) in heatmap cells and (..., K) peak values, those of ``"mass"`` of
        the blurred map, scaled so that a Gaussian of the target's sigma has 1.

    Raises:
        UserError: there is no such refinement.
    """
    check_refinement(refinement)
    height, width = heatmaps.shape[-2:]
    if refinement == "mass":
        heatmaps = gather_mass(heatmaps, sigma=sigma)
    scores, flat = heatmaps.flatten(-2).max(-1)
    peaks = torch.stack((flat % width, flat // width), dim=-1)  # (..., K, 2)
    cells = peaks.to(heatmaps.dtype)
    if refinement == "none":
        return cells, scores
    if refinement == "quarter":
        offset = _quarter_offset(heatmaps, peaks)
    elif refinement == "dark":
        offset = _parabola_offset(_smooth(heatmaps, sigma / 2), peaks)
    else:
        offset = _parabola_offset(heatmaps, peaks)
    # At the border a neighbour is missing, and there is nothing to refine that axis by.
    last = torch.tensor([width - 1, height - 1], device=peaks.device)
    between = (peaks > 0) & (peaks < last)
    return cells + torch.where(between, offset, torch.zeros_like(offset)), scores


def _neighbourhood(maps: Tensor, peaks: Tensor) -> Tensor:
    """The 3x3 cells about each peak, the border repeated outwards: (..., K, 3, 3)."""
    height, width = maps.shape[-2:]
    steps = torch.arange(-1, 2, device=maps.device)
    xs = (peaks[..., 0:1] + steps).clamp(0, width - 1)  # (..., K, 3)
    ys = (peaks[..., 1:2] + steps).clamp(0, height - 1)
    index = ys.unsqueeze(-1) * width + xs.unsqueeze(-2)  # (..., K, 3, 3)
    return maps.flatten(-2).gather(-1, index.flatten(-2)).view(index.shape)


def _quarter_offset(heatmaps: Tensor, peaks: Tensor) -> Tensor:
    around = _neighbourhood(heatmaps, peaks)
    slope = torch.stack(
        (around[..., 1, 2] - around[..., 1, 0], around[..., 2, 1] - around[..., 0, 1]), dim=-1
    )
    return 0.25 * slope.sign()


def _parabola_offset(smoothed: Tensor, peaks: Tensor) -> Tensor:
    around = _neighbourhood(smoothed, peaks).clamp_min(1e-10).log()
    centre = around[..., 1, 1]
    dx = (around[..., 1, 2] - around[..., 1, 0]) / 2
    dy = (around[..., 2, 1] - around[..., 0, 1]) / 2
    dxx = around[..., 1, 2] - 2 * centre + around[..., 1, 0]
    dyy = around[..., 2, 1] - 2 * centre + around[..., 0, 1]
    dxy = (around[..., 2, 2] - around[..., 2, 0] - around[..., 0, 2] + around[..., 0, 0]) / 4
    determinant = dxx * dyy - dxy**2
    peaked = (dxx < 0) & (determinant > 1e-12)
    safe = torch.where(peaked, determinant, torch.ones_like(determinant))
    offset = torch.stack((dxy * dy - dyy * dx, dxy * dx - dxx * dy), dim=-1) / safe.unsqueeze(-1)
    # A peak further than one cell from the arg max is noise, or the map's border.
    return torch.where(peaked.unsqueeze(-1), offset, torch.zeros_like(offset)).clamp(-1, 1)


def _smooth(heatmaps: Tensor, blur: float) -> Tensor:
    """A Gaussian blur of this deviation in cells, zero outside, separable."""
    radius = max(1, math.ceil(3 * blur))
    steps = torch.arange(-radius, radius + 1, dtype=heatmaps.dtype, device=heatmaps.device)
    kernel = torch.exp(-(steps**2) / (2 * blur**2))
    kernel = kernel / kernel.sum()
    maps = heatmaps.reshape(-1, 1, *heatmaps.shape[-2:])
    maps = F.conv2d(maps, kernel.view(1, 1, 1, -1), padding=(0, radius))
    maps = F.conv2d(maps, kernel.view(1, 1, -1, 1), padding=(radius, 0))
    return maps.view_as(heatmaps)
