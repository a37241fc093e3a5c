"""Test-time augmentation: maps averaged over the mirror image and over turned crops."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from spcnet.geometry import Array
from spcnet.heatmaps import flip_heatmaps, turn_heatmaps
from spcnet.runtime.backends import Backend
from spcnet.skeletons import Skeleton


@torch.inference_mode()
def averaged_maps(
    backend: Backend,
    crops: Callable[[float], Array],
    *,
    skeleton: Skeleton,
    flip: bool,
    rotations: tuple[float, ...],
) -> tuple[Tensor, Tensor | None]:
    """Heatmaps (N, K, h, w) and attention (N, L, h, w) of upright crops, in one pass of each.

    Args:
        backend: runs the network.
        crops: uint8 (N, S, S, 3) that are turned clockwise by some degrees.
        skeleton: of the heatmaps.
        flip: average with the mirror images.
        rotations: degrees of the turned crops; their maps are turned back, and each cell's mean is
            over those that see it.
    """
    if rotations == (0.0,):
        return _mirrored(backend, crops(0.0), skeleton=skeleton, flip=flip)
    total: list[Tensor] = []
    covered: Tensor | float = 0.0  # by how many of the turned maps a cell is seen
    for rotation in rotations:
        pair = _mirrored(backend, crops(rotation), skeleton=skeleton, flip=flip)
        turned = [turn_heatmaps(maps, -rotation) for maps in pair if maps is not None]
        total = [a + b for a, b in zip(total, turned, strict=True)] if total else turned
        covered = covered + turn_heatmaps(torch.ones_like(turned[0][:1, :1]), -rotation)
    assert isinstance(covered, Tensor)
    heatmaps, *attention = [maps / covered.clamp_min(1e-6) for maps in total]
    return heatmaps, attention[0] if attention else None


def _mirrored(
    backend: Backend, crops: Array, *, skeleton: Skeleton, flip: bool
) -> tuple[Tensor, Tensor | None]:
    """The maps of crops, and with `flip` their mean with those of the mirror images."""
    heatmaps, attention = backend.maps(crops)
    if flip:
        back, attention_back = backend.maps(np.ascontiguousarray(crops[:, :, ::-1]))
        heatmaps = (heatmaps + flip_heatmaps(back, skeleton.flip_permutation)) / 2
        if attention is not None and attention_back is not None:
            attention = (attention + attention_back.flip(-1)) / 2
    return heatmaps, attention
