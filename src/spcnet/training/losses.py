"""Losses on heatmaps: the paper's squared error (eq. 6) and spatial cross-entropy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from spcnet.codec import HeatmapKind
from spcnet.heatmaps import gaussian_heatmaps, log_places, pixels_to_cells


@dataclass(frozen=True)
class Taught:
    """What a teacher saw, for distillation (Hinton et al. 2015)."""

    places: Tensor  # (B, J, H, W) probabilities; what they lack of 1 is "not in the picture"
    share: float | Tensor  # of the loss that is the teacher's, of all persons or (B,) of each
    joints: Sequence[int] | None = None  # J channels of the network; by default all in order

    @property
    def channels(self) -> slice | list[int]:
        """The taught joints, as an index."""
        return slice(None) if self.joints is None else list(self.joints)

    def into(self, labels: Tensor, lessons: Tensor) -> Tensor:
        """Losses (O, B, K) of the labels with the lessons' share (O, B, J) of the taught joints."""
        share = self.share[:, None].to(labels) if isinstance(self.share, Tensor) else self.share
        mixed = labels.clone()
        own = (1 - share) * labels[..., self.channels]
        mixed[..., self.channels] = own + share * lessons.to(labels)
        return mixed


@dataclass(frozen=True)
class LabelNoise:
    """How often labels are believed to be wrong."""

    astray: float  # share of labels that may be anywhere
    swapped: float  # share of left-right pairs that are labelled the wrong way round
    mirror: Sequence[int]  # (K,) channel of each joint's mirror image; of the middle, its own


CERTAIN = LabelNoise(0.0, 0.0, ())


@dataclass(frozen=True)
class Doubts:
    """What is believed of each label before the network has its say."""

    trust: Tensor  # (B, K) that the label is meant at all, 1 of an annotator's; else it is anywhere
    points: Tensor  # (B, K, 2) crop pixels, a second opinion
    second: Tensor  # (B, K) that the second opinion is right in place of the label


def heatmap_loss(
    outputs: Sequence[Tensor],  # O = S (+ 1) raw outputs (B, K, H, W)
    points: Tensor,  # (B, K, 2) crop pixels
    annotated: Tensor,  # (B, K) bool; other joints weigh 0
    *,
    kind: HeatmapKind,
    sigma: float,  # of the target in cells
    stride: int,
    absent: Tensor | None = None,  # (B, K) bool, those that are as if they lay outside the crop
    noise: LabelNoise | None = None,
    doubts: Doubts | None = None,
    taught: Taught | None = None,
) -> Tensor:
    """Loss (O,) of each supervised output; their sum is what is minimised (eq. 6).

    Of ``"gaussian"``, half the squared error over B*K*H*W, whose target is zero where a joint lies
    outside the crop; of ``"softmax"``, cross-entropy over B*K of the joints inside; of
    ``"softmax_absent"``, the same with one more place, which is right for those outside. A
    cross-entropy forgives by noise and doubts what labels may have wrong; see `_forgiving`.
    """
    raw = torch.stack([output.float() for output in outputs])  # (O, B, K, H, W)
    height, width = raw.shape[-2:]
    # A weight of 0 does not take away what is no number.
    cells = pixels_to_cells(points.where(annotated[..., None], 0), stride)
    gone = torch.zeros_like(annotated) if absent is None else absent
    if kind == "gaussian":
        target = gaussian_heatmaps(cells, (height, width), sigma=sigma)  # (B, K, H, W)
        target = target * (~gone)[..., None, None]
        losses = annotated * (0.5 * ((raw - target) ** 2).mean((-1, -2)))  # (O, B, K)
        if taught is not None:
            astray = raw[:, :, taught.channels] - taught.places * (2 * math.pi * sigma**2)
            losses = taught.into(losses, 0.5 * (astray**2).mean((-1, -2)))
        return losses.sum((-1, -2)) / annotated.numel()
    knows_absent = kind == "softmax_absent"

    def shares(of: Tensor) -> tuple[Tensor, Tensor]:
        """Of each place (B, K, P), for points in cells; and whether these lie inside."""
        inside = ((of > -0.5) & (of < of.new_tensor([width, height]) - 0.5)).all(-1) & ~gone
        share = gaussian_heatmaps(of, (height, width), sigma=sigma).flatten(-2)
        share = share / share.sum(-1, keepdim=True).clamp_min(1e-6)  # (B, K, H*W)
        if knows_absent:
            share = F.pad(share * inside.unsqueeze(-1), (0, 1))
            share[..., -1] = (~inside).to(share)
        return share, inside

    share, inside = shares(cells)
    # Without a place for absent joints, one outside the crop has none to be found at.
    known = annotated & (inside | knows_absent)  # (B, K)
    places = log_places(raw, absent=knows_absent)  # (O, B, K, P)
    if noise is None and doubts is None:
        entropies = -(share * places).sum(-1)  # (O, B, K)
    else:
        second = None
        if doubts is not None:
            second, there = shares(pixels_to_cells(doubts.points, stride))
            doubts = replace(doubts, second=doubts.second * (there | knows_absent))
        entropies = _forgiving(places, share, known, noise or CERTAIN, doubts, second)
    losses = known * entropies  # (O, B, K)
    if taught is not None:
        lesson = taught.places.flatten(-2).to(places)
        if knows_absent:
            lesson = torch.cat([lesson, 1 - lesson.sum(-1, keepdim=True)], dim=-1).clamp_min(0)
        losses = taught.into(losses, -(lesson * places[:, :, taught.channels]).sum(-1))
    return losses.sum((-1, -2)) / known.numel()


def _forgiving(
    places: Tensor,
    share: Tensor,
    known: Tensor,
    noise: LabelNoise,
    doubts: Doubts | None,
    second: Tensor | None,
) -> Tensor:
    """Cross-entropies (O, B, K) of a mixture: labels are right, or anywhere, swapped, or others'.

    A label of which the network is sure that it is wrong pulls ever less, as its likelihood comes
    to be that of the other ways in which it may have come about; of a label and a second opinion,
    the one that it finds likelier counts. Shape: places (O, B, K, P), logarithms; share and second
    (B, K, P); known (B, K).
    """
    entropy: Tensor = -torch.xlogy(share, share).sum(-1)  # (B, K): the least there is to pay
    excess = -(share * places).sum(-1) - entropy
    if doubts is not None and second is not None:
        least = -torch.xlogy(second, second).sum(-1)
        other = -(second * places).sum(-1) - least
        excess = _mixed(excess, other, doubts.second)
    astray = noise.astray if doubts is None else 1 - (1 - noise.astray) * doubts.trust
    anywhere = math.log(share.shape[-1]) - entropy
    if doubts is not None or noise.astray:
        excess = _mixed(excess, anywhere.expand_as(excess), astray)
    if noise.swapped:
        mirror = list(noise.mirror)
        swapped = -(share[:, mirror] * places).sum(-1) - entropy[:, mirror]
        pairs = _mixed(excess + excess[..., mirror], swapped + swapped[..., mirror], noise.swapped)
        both = known & known[:, mirror]
        excess = torch.where(both, pairs / 2, excess)
    return excess + entropy


def _mixed(usual: Tensor, other: Tensor, share: float | Tensor) -> Tensor:
    """Negative log-likelihood where a share, or a share (B, K) each, is explained otherwise."""
    if isinstance(share, Tensor):
        # Where the share is 0 the logarithm's gradient would be no number.
        there = share.clamp(1e-6, 1 - 1e-6)
        mixed = -torch.logaddexp(torch.log1p(-there) - usual, there.log() - other)
        return torch.where(share > 0, mixed, usual)
    return -torch.logaddexp(math.log1p(-share) - usual, math.log(share) - other)
