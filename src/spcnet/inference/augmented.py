"""Test-time augmentation: maps averaged over the mirror image and over turned crops."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spcnet.geometry import Array
from spcnet.heatmaps import flip_heatmaps, turn_heatmaps
from spcnet.inference.pyramid import PYRAMIDS
from spcnet.runtime.backends import Backend
from spcnet.skeletons import Skeleton


@dataclass(frozen=True, slots=True)
class TestTimeAugmentation:
    """What of a person is looked at beside the one upright crop; as text it is words.

    Attributes:
        flip: its mirror image.
        scales: factors of its side in place of it, fused at image resolution, or None.
        rotations: degrees of crops that are turned clockwise, in place of it.
    """

    flip: bool = False
    scales: tuple[float, ...] | None = None
    rotations: tuple[float, ...] = (0.0,)

    def __bool__(self) -> bool:
        return self.flip or self.scales is not None or self.rotations != (0.0,)

    def __str__(self) -> str:
        parts = []
        if self.scales is not None:
            name = next((name for name, known in PYRAMIDS.items() if known == self.scales), None)
            parts.append(f"scales {name or ' '.join(f'{factor:g}' for factor in self.scales)}")
        if self.rotations != (0.0,):
            parts.append(f"rotations {' '.join(f'{angle:g}' for angle in self.rotations)}")
        if self.flip:
            parts.append("flip")
        return " and ".join(parts) or "no test-time augmentation"


@torch.inference_mode()
def averaged_maps(
    backend: Backend,
    crops: Callable[[float], Array],
    *,
    skeleton: Skeleton,
    testing: TestTimeAugmentation,
) -> tuple[Tensor, Tensor | None]:
    """Heatmaps (N, K, h, w) and attention (N, L, h, w) of upright crops, in one pass of each.

    Args:
        backend: runs the network.
        crops: uint8 (N, S, S, 3) that are turned clockwise by some degrees.
        skeleton: of the heatmaps.
        testing: maps of turned crops are turned back, and each cell's mean is over those that see
            it; scales are not looked at here.
    """
    flip = testing.flip
    if testing.rotations == (0.0,):
        return _mirrored(backend, crops(0.0), skeleton=skeleton, flip=flip)
    total: list[Tensor] = []
    covered: Tensor | float = 0.0  # by how many of the turned maps a cell is seen
    for rotation in testing.rotations:
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
