"""Augmentation, batched on the training device.

Geometry is one affine a person and colour is one affine of RGB a person, so that sampling,
jittering and normalising commute with what lies outside the picture, which stays 0. Every draw
is a function of (seed, epoch, person), never of the process, worker or batch.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spcnet.data.store import Store, batch_of
from spcnet.geometry import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Array,
    apply_affine,
    crop_affine,
    invert_affine,
)

LUMA = np.array([0.299, 0.587, 0.114])
# A close-up is the box of two joints with a margin of these factors, and at least this share of
# the person's whole crop.
PART_PADDING = (1.25, 2.0)
SMALLEST_PART = 0.35


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far training crops stray from the plain one; the defaults are the paper's ranges.

    The paper gives ranges only. The draws (normal, clipped at the range; rotation with
    probability 0.6) are those of the Newell and pytorch-pose line.

    Attributes:
        rotation: largest rotation in degrees; the standard deviation is half of it.
        rotation_probability: share of crops that are rotated.
        full_circle_probability: share of crops that turn by any angle instead.
        scale: the crop's side is multiplied by 1 - scale .. 1 + scale, standard deviation `scale`.
        shift: the crop's middle moves by a normal of this share of its side, a direction.
        flip_probability: share of mirrored crops.
        part_probability: share of close-ups, which are cropped about two of the joints instead.
        brightness: channels are shifted by a common uniform of +- this (of full range).
        contrast: deviations from grey are multiplied by a uniform of 1 +- this.
        tint: each channel is multiplied by its own uniform of 1 +- this.
        grey_probability: share of crops without colour.
    """

    rotation: float = 60.0
    rotation_probability: float = 0.6
    full_circle_probability: float = 0.0
    scale: float = 0.25
    shift: float = 0.0
    flip_probability: float = 0.5
    part_probability: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    tint: float = 0.2
    grey_probability: float = 0.0


NO_AUGMENTATION = Augmentation(rotation_probability=0, scale=0, flip_probability=0, tint=0)


@dataclass(frozen=True)
class Batch:
    """Training crops on the device.

    Attributes:
        images: (B, 3, S, S) float32, normalised; 0 outside the picture.
        points: (B, K, 2) float32 crop pixels.
        annotated: (B, K) bool, visible or occluded joints.
    """

    images: Tensor
    points: Tensor
    annotated: Tensor


def generator(*, seed: int, epoch: int, person: int) -> np.random.Generator:
    """The random numbers of one person in one epoch."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, person, 0]))


def make_batch(
    store: Store,
    indices: Array,
    *,
    size: int,
    augmentation: Augmentation = NO_AUGMENTATION,
    seed: int = 0,
    epoch: int = 0,
    device: torch.device | str = "cpu",
) -> Batch:
    """Crops of some persons of a store, augmented and normalised on the device.

    Args:
        store: where the persons are.
        indices: (B,) which ones.
        size: side of the crops.
        augmentation: how far to stray; by default not at all.
        seed: of the run.
        epoch: from which, with the seed and the person, all draws follow.
        device: where the crops are made.
    """
    canvas, filled = batch_of(store, indices)
    persons = store.persons
    permutation = list(store.skeleton.flip_permutation)
    affines, colours, points, states = [], [], [], []
    for index in indices:
        random = generator(seed=seed, epoch=epoch, person=int(index))
        square = persons.centres[index], float(persons.sides[index])
        if augmentation.part_probability:
            known = persons.points[index][persons.states[index] != 0]
            square = _draw_part(random, augmentation, *square, known)
        affine, flipped = _draw_affine(random, augmentation, *square, size)
        colours.append(_draw_colour(random, augmentation))
        moved = apply_affine(affine, persons.points[index])
        state = persons.states[index]
        if flipped:
            moved, state = moved[permutation], state[permutation]
        affines.append(affine)
        points.append(moved)
        states.append(state)
    images = _sample(
        torch.from_numpy(canvas).to(device),
        torch.from_numpy(filled).to(device),
        np.stack(affines),
        size,
    )
    return Batch(
        images=_colour(images, torch.from_numpy(np.stack(colours)).to(images)),
        points=torch.from_numpy(np.stack(points)).to(images),
        annotated=torch.from_numpy(np.stack(states) != 0).to(device),
    )


def _draw_part(
    random: np.random.Generator, aug: Augmentation, centre: Array, side: float, known: Array
) -> tuple[Array, float]:
    """The square of a person's crop, or of a close-up about two of the known joints (N, 2)."""
    wanted, padding = random.random() < aug.part_probability, random.uniform(*PART_PADDING)
    if not wanted or len(known) < 2:
        return centre, side
    low_high = np.sort(known[random.choice(len(known), size=2, replace=False)], axis=0)
    longer = float((low_high[1] - low_high[0]).max())
    return low_high.mean(axis=0), min(side, max(padding * longer, SMALLEST_PART * side))


def _draw_affine(
    random: np.random.Generator, aug: Augmentation, centre: Array, side: float, size: int
) -> tuple[Array, bool]:
    rotation = float(np.clip(random.normal() * aug.rotation / 2, -aug.rotation, aug.rotation))
    rotation *= random.random() < aug.rotation_probability
    any_angle = random.uniform(-180, 180)
    if random.random() < aug.full_circle_probability:
        rotation = any_angle
    scale = 1 + float(np.clip(random.normal() * aug.scale, -aug.scale, aug.scale))
    shift = random.normal(size=2) * aug.shift * side
    flip = bool(random.random() < aug.flip_probability)
    return crop_affine(centre + shift, side * scale, size, rotation=rotation, flip=flip), flip


def _draw_colour(random: np.random.Generator, aug: Augmentation) -> Array:
    """An affine of RGB in 0..1, (3, 4): tint, then grey or not, then contrast and brightness."""
    tint = 1 + aug.tint * random.uniform(-1, 1, size=3)
    contrast = 1 + aug.contrast * random.uniform(-1, 1)
    brightness = aug.brightness * random.uniform(-1, 1)
    grey = random.random() < aug.grey_probability
    mix = np.tile(LUMA, (3, 1)) if grey else np.eye(3)
    linear = contrast * mix @ np.diag(tint)
    offset = np.full(3, 0.5 * (1 - contrast) + brightness)
    return np.column_stack([linear, offset])


def _sample(canvas: Tensor, filled: Tensor, affines: Array, size: int) -> Tensor:
    """Bilinear crops (B, 4, S, S) of RGB in 0..1 times a mask, and the mask itself.

    The mask is 1 inside the picture, 0 outside, and blends between them as the pixels do.
    """
    count, height, width, _ = canvas.shape
    device = canvas.device
    inside_x = torch.arange(width, device=device) < filled[:, 1:2]  # (B, W)
    inside_y = torch.arange(height, device=device) < filled[:, 0:1]  # (B, H)
    source = torch.empty(count, 4, height, width, device=device)
    source[:, :3] = canvas.permute(0, 3, 1, 2)  # 0 where no region lies
    source[:, 3] = inside_y.unsqueeze(2) & inside_x.unsqueeze(1)
    to_region = torch.from_numpy(invert_affine(affines)).to(device, torch.float32)
    steps = torch.arange(size, dtype=torch.float32, device=device)
    crop = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)  # (S, S, 2)
    grid = torch.einsum("bij,hwj->bhwi", to_region[:, :, :2], crop)
    grid = grid + to_region[:, None, None, :, 2]  # region pixels
    extent = torch.tensor([width, height], device=device)
    samples = F.grid_sample(source, (2 * grid + 1) / extent - 1, align_corners=False)
    samples[:, :3] /= 255
    return samples


def _colour(samples: Tensor, colours: Tensor) -> Tensor:
    """Jitter and normalise: (B, 4, S, S) RGB and mask, (B, 3, 4) -> (B, 3, S, S)."""
    mean = torch.tensor(IMAGENET_MEAN).to(samples)
    std = torch.tensor(IMAGENET_STD).to(samples)
    affine = colours.clone()
    affine[:, :, 3] -= mean
    affine = affine / std.view(1, 3, 1)
    return torch.einsum("bij,bjhw->bihw", affine, samples).contiguous()
