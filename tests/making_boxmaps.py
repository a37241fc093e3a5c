"""Maps as a finder that is right would say them."""

import torch

from spcnet.boxmaps import CHANNELS, UNIT, centres, target_maps

STRIDE = 4


def maps_of(boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Raw maps of a finder that is right: each box at the cell of its middle, and no other."""
    heat, asked = target_maps(boxes, size, stride=STRIDE)
    maps = torch.full((CHANNELS, *size), -8.0)
    grid = centres(size, stride=STRIDE, like=boxes)
    for y, x in (asked >= 0).nonzero().tolist():
        x0, y0, x1, y1 = boxes[asked[y, x]].tolist()
        cx, cy = grid[y, x].tolist()
        sides = torch.tensor([cx - x0, cy - y0, x1 - cx, y1 - cy])
        maps[1:, y, x] = (sides.clamp_min(0.1) / UNIT).log()
        maps[0, y, x] = torch.logit(heat[y, x].clamp(0.01, 0.99))
    return maps
