"""Losses on heatmaps: the paper's squared error (eq. 6) and spatial cross-entropy."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from spcnet.heatmaps import HeatmapKind, gaussian_heatmaps, log_places, pixels_to_cells


def heatmap_loss(
    outputs: Sequence[Tensor],
    points: Tensor,
    annotated: Tensor,
    *,
    kind: HeatmapKind,
    sigma: float,
    stride: int,
) -> Tensor:
    """Loss (O,) of each supervised output; their sum is what is minimised (eq. 6).

    Args:
        outputs: O = S (+ 1) raw outputs (B, K, H, W).
        points: (B, K, 2) crop pixels.
        annotated: (B, K) bool; other joints weigh 0.
        kind: ``"gaussian"``, half the squared error over B*K*H*W, zero where a joint lies outside
            the crop; ``"softmax"``, cross-entropy over B*K of the joints inside;
            ``"softmax_absent"``, the same with one more place, which is right for those outside.
        sigma: of the target in cells.
        stride: of the heatmaps.
    """
    height, width = outputs[0].shape[-2:]
    cells = pixels_to_cells(points, stride)
    target = gaussian_heatmaps(cells, (height, width), sigma=sigma)  # (B, K, H, W)
    if kind == "gaussian":
        weight = annotated.to(target)[..., None, None]
        errors = [(weight * (output.float() - target) ** 2).sum() for output in outputs]
        return 0.5 * torch.stack(errors) / target.numel()
    absent = kind == "softmax_absent"
    inside = ((cells > -0.5) & (cells < cells.new_tensor([width, height]) - 0.5)).all(-1)
    share = target.flatten(-2)
    share = share / share.sum(-1, keepdim=True).clamp_min(1e-6)  # (B, K, H*W)
    if absent:
        share = F.pad(share * inside.unsqueeze(-1), (0, 1))
        share[..., -1] = (~inside).to(share)
    # Without a place for absent joints, one outside the crop has none to be found at.
    weight = (annotated & (inside | absent)).to(target)  # (B, K)
    entropies = [-(share * log_places(output.float(), absent=absent)).sum(-1) for output in outputs]
    return (weight * torch.stack(entropies)).sum((-1, -2)) / weight.numel()  # (O,)
