"""Person boxes as maps of a network, and back.

A finder is a network of five maps at a quarter of the picture's size: the logit that a person's
middle lies in a cell, and the logarithms of the distances from the cell's centre to the left, top,
right and bottom side of that person's box, in units of `UNIT` pixels. Targets are those of TTFNet
(Liu et al., AAAI 2020): a Gaussian about each middle, as wide as the box, and distances wherever
the Gaussian is high.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CHANNELS = 5
UNIT = 16.0  # pixels of a distance whose logarithm is 0
SPREAD = 0.09  # deviation of the Gaussian, of the box's sides
NEAR = 0.5  # of the Gaussian: cells that are asked for the box
FARTHEST = 6.0  # logarithm of a distance: beyond it nothing is in a picture


def centres(size: tuple[int, int], *, stride: int, like: Tensor) -> Tensor:
    """The centres (H, W, 2) of cells in pixels, x and y, 0-based at pixel centres."""
    height, width = size
    ys = torch.arange(height, dtype=like.dtype, device=like.device) * stride + (stride - 1) / 2
    xs = torch.arange(width, dtype=like.dtype, device=like.device) * stride + (stride - 1) / 2
    return torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)


def target_maps(boxes: Tensor, size: tuple[int, int], *, stride: int) -> tuple[Tensor, Tensor]:
    """What a finder should say of one picture with boxes (N, 4), x0, y0, x1, y1 in pixels.

    Gives (H, W) Gaussians about the middles, 1 in the cell of each, and (H, W) the number of the
    box that a cell is asked for, -1 where it is asked for none; size and stride are the maps'.
    """
    height, width = size
    if not len(boxes):
        empty = boxes.new_zeros(size)
        return empty, empty.long() - 1
    middles, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    grid = centres(size, stride=stride, like=boxes)  # (H, W, 2)
    # The middle moves to its cell's centre, so that the Gaussian's peak is 1 in a cell.
    cells = ((middles - (stride - 1) / 2) / stride).round()
    cells = cells.clamp_min(0).minimum(cells.new_tensor([width - 1, height - 1]))
    peaks = cells * stride + (stride - 1) / 2
    spread = (SPREAD * sides).clamp_min(stride / 2)  # (N, 2)
    away = (grid[None] - peaks[:, None, None]) / spread[:, None, None]
    heat = torch.exp(-away.square().sum(-1) / 2)  # (N, H, W)
    # Of several persons about a cell it is asked for the smallest, which has the fewest cells.
    area = sides.prod(-1)
    order = area.argsort(descending=True)
    asked = torch.full(size, -1, dtype=torch.long, device=boxes.device)
    for n in order.tolist():
        asked[heat[n] >= NEAR] = n
    return heat.amax(0), asked


def boxes_of(distances: Tensor, *, stride: int) -> Tensor:
    """Boxes (..., 4, H, W) x0, y0, x1, y1 in pixels from maps of distances (..., 4, H, W)."""
    grid = centres((distances.shape[-2], distances.shape[-1]), stride=stride, like=distances)
    x, y = grid.unbind(-1)
    left, top, right, bottom = (UNIT * distances.clamp(max=FARTHEST).exp()).unbind(-3)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=-3)


def find_peaks(maps: Tensor, *, stride: int, most: int, least: float) -> tuple[Tensor, Tensor]:
    """The persons of one picture, at most `most` of scores from `least` on.

    Takes a finder's raw output (5, H, W) and gives boxes (N, 4) x0, y0, x1, y1 in pixels, surest
    first, and scores (N,) in [0, 1]; one for each cell that is as high as all around it.
    """
    heat = maps[0].sigmoid()
    highest = F.max_pool2d(heat[None, None], 3, stride=1, padding=1)[0, 0]
    peaks = torch.where(heat == highest, heat, torch.zeros_like(heat)).flatten()
    scores, cells = peaks.topk(min(most, len(peaks)))
    there = scores >= least
    boxes = boxes_of(maps[1:], stride=stride).flatten(1)[:, cells[there]].T
    return boxes, scores[there]
