"""Augmentation, batched on the training device: one affine of points and one of RGB per person.

So sampling, jittering and normalising commute with what lies outside the picture, which stays 0.
Every draw is a function of (seed, epoch, person), never of the process, worker or batch.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from spcnet.codec import MEAN, STD
from spcnet.data.annotations import JointState
from spcnet.data.opinions import LEAST
from spcnet.data.store import Store, batch_of
from spcnet.data.wear import Neighbour, blur, compress, cut_off, draw_neighbour, known_joints, paste
from spcnet.geometry import Array, apply_affine, crop_affine, invert_affine

LUMA = np.array([0.299, 0.587, 0.114])
# A close-up is the box of two joints with a margin of these factors, and at least this share of
# the person's whole crop.
PART_PADDING = (1.25, 2.0)
SMALLEST_PART = 0.35
EDGE = 0.02  # of the crop's side
DARK = (0.25, 0.7)  # what is left of the light
WORN = (8, 40)  # quality of JPEG, from and below
SOFT = (1.5, 4.0)  # times that a crop out of focus is reduced
WINDOW = (0.35, 1.0)  # side of a crop of a picture without anybody, of the picture's


Share = Annotated[float, Field(ge=0, le=1)]
PartialShare = Annotated[float, Field(ge=0, lt=1)]


class Augmentation(BaseModel, frozen=True, extra="forbid"):
    """How far training crops stray from the plain one; the defaults are the paper's ranges.

    The paper gives ranges only. The draws (normal, clipped at the range; rotation with
    probability 0.6) are those of the Newell and pytorch-pose line.
    """

    rotation: float = Field(60, ge=0, le=180, description="largest angle, degrees; two deviations")
    rotation_probability: Share = Field(0.6, description="share of rotated crops")
    full_circle_probability: Share = Field(0, description="share that turns by any angle instead")
    scale: PartialShare = Field(0.25, description="the side is multiplied by 1 +- this")
    shift: PartialShare = Field(0, description="deviation of the middle, shares of the side")
    flip_probability: Share = Field(0.5, description="share of mirrored crops")
    part_probability: Share = Field(0, description="share of close-ups, about some of the joints")
    brightness: Share = Field(0, description="largest common shift of the channels, of full range")
    contrast: Share = Field(0, description="deviations from grey times 1 +- this")
    tint: Share = Field(0.2, description="each channel times its own 1 +- this")
    grey_probability: Share = Field(0, description="share of crops without colour")
    dark_probability: Share = Field(0, description="share of underexposed crops")
    blur_probability: Share = Field(0, description="share of crops out of focus")
    jpeg_probability: Share = Field(0, description="share of crops worn by JPEG")
    cut_probability: Share = Field(0, description="share of pictures that end within the person")
    neighbour_probability: Share = Field(0, description="share with another person pasted in")


NO_AUGMENTATION = Augmentation(rotation_probability=0, scale=0, flip_probability=0, tint=0)


@dataclass(frozen=True)
class Batch:
    """Training crops on the device."""

    images: Tensor  # (B, 3, S, S) float32, normalised; 0 outside the picture
    points: Tensor  # (B, K, 2) float32 crop pixels
    # (B, K) bool, joints of which something is known: visible, occluded or absent, or seen by
    # another model where there is no label.
    annotated: Tensor
    absent: Tensor  # (B, K) bool, those that are known not to be in the picture
    trust: Tensor  # (B, K) float32, how probable it is that this is right: 1 of a label
    # (B, K, 3) float32, a second opinion on labels: a point in crop pixels, and how probable it
    # was, before anything was seen, that it is right in place of the label.
    seconds: Tensor
    taught: Tensor  # (B,) float32, a teacher's share of the loss; NaN where nothing is said of it


def generator(*, seed: int, epoch: int, person: int, stream: int = 0) -> np.random.Generator:
    """The random numbers of one person in one epoch, for one of several purposes."""
    counter = [0, stream, person, 0]
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=counter))


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
    """Crops of some persons (B,) of a store, augmented and normalised on the device."""
    rows = [
        _draw(store, int(index), size=size, augmentation=augmentation, seed=seed, epoch=epoch)
        for index in indices
    ]
    persons = np.array([row.person for row in rows])
    canvas = batch_of(store, persons)
    for row, pixels in zip(rows, canvas, strict=True):
        if row.quality:
            height, width = store.persons.sizes[row.person]
            pixels[:height, :width] = compress(pixels[:height, :width], row.quality)
    samples = _sample(
        torch.from_numpy(canvas).to(device),
        torch.from_numpy(np.stack([row.kept for row in rows])).to(device),
        np.stack([row.affine for row in rows]),
        size,
    )
    for sample, row in zip(samples, rows, strict=True):
        if row.neighbour is not None:
            paste(sample, _sample_neighbour(store, row.neighbour, size, samples.device))
    colours = torch.from_numpy(np.stack([row.colour for row in rows]))
    images = colour_crops(samples, colours.to(samples))
    for row, image in zip(rows, images, strict=True):
        if row.blur:
            blur(image, row.blur)

    def stacked(name: str) -> Tensor:
        values = np.stack([row.labels[name] for row in rows])
        whole = values if values.dtype == bool else values.astype(np.float32)
        return torch.from_numpy(whole).to(images.device)

    taught = torch.from_numpy(store.taught[persons]).to(images)
    return Batch(images=images, taught=taught, **{name: stacked(name) for name in rows[0].labels})


@dataclass(frozen=True, kw_only=True)
class _Row:
    """What was drawn of one person of a batch, and where its joints come to lie."""

    person: int
    affine: Array  # (2, 3) from its region to the crop
    kept: Array  # (4,) x0, y0, x1, y1 of the region that is picture; the rest is outside
    colour: Array  # (3, 4) affine of RGB
    quality: int  # of JPEG, or 0
    blur: float  # how many times the crop is reduced and enlarged again, or 0
    neighbour: Neighbour | None
    labels: dict[str, Array]  # points, annotated, absent, trust and seconds, as of `Batch`


def _draw(
    store: Store, index: int, *, size: int, augmentation: Augmentation, seed: int, epoch: int
) -> _Row:
    """Everything about one person of a batch but its pixels; `index` as of `JoinedStores.drawn`."""
    person = index % len(store)
    persons = store.persons
    random = generator(seed=seed, epoch=epoch, person=index)
    wear = generator(seed=seed, epoch=epoch, person=index, stream=1)
    points, labelled, seen = known_joints(persons, person)
    opinions, absent = persons.opinions[person], persons.states[person] == JointState.ABSENT
    known = labelled | seen
    square = persons.centres[person], float(persons.sides[person])
    height, width = persons.sizes[person]
    kept = np.array([0, 0, width, height])
    if absent.any() and not known.any():
        # A square somewhere in a picture without anybody.
        (centre, side), share = square, wear.uniform(*WINDOW)
        square = centre + wear.uniform(-0.4, 0.4, size=2) * side * (1 - share), share * side
    elif wear.random() < augmentation.cut_probability:
        kept, square = cut_off(wear, points[known], kept, square)
    # Labels on the picture's edge lie a little beyond it at times.
    slack = EDGE * float(persons.sides[person])
    beyond = ((points < kept[:2] - slack) | (points > kept[2:] - 1 + slack)).any(axis=1)
    absent = absent | (known & beyond)
    if augmentation.part_probability:
        square = _draw_part(random, augmentation, *square, points[known & ~absent])
    affine, flipped = _draw_affine(random, augmentation, *square, size)
    colour = draw_colour(random, augmentation)
    if wear.random() < augmentation.dark_probability:
        colour = colour * wear.uniform(*DARK)
    quality = int(wear.integers(*WORN)) if wear.random() < augmentation.jpeg_probability else 0
    soft = wear.uniform(*SOFT) if wear.random() < augmentation.blur_probability else 0.0
    neighbour = None
    if wear.random() < augmentation.neighbour_probability:
        neighbour = draw_neighbour(wear, store, size, beside=person)
    doubt = np.where(labelled & (opinions[:, 2] >= LEAST), store.doubts[person], 0.0)
    labels = {
        "points": apply_affine(affine, points),
        "annotated": known | absent,
        "absent": absent,
        "trust": np.where(seen, opinions[:, 2], 1.0),
        "seconds": np.column_stack([apply_affine(affine, opinions[:, :2]), doubt * opinions[:, 2]]),
    }
    if flipped:
        permutation = list(store.skeleton.flip_permutation)
        labels = {name: value[permutation] for name, value in labels.items()}
    return _Row(
        person=person, affine=affine, kept=kept, colour=colour, quality=quality, blur=soft,
        neighbour=neighbour, labels=labels,
    )  # fmt: skip


def _sample_neighbour(
    store: Store, neighbour: Neighbour, size: int, device: torch.device
) -> Tensor:
    """The crop (5, S, S) of a neighbour: RGB, the mask of the picture, and what is pasted of it."""
    canvas = torch.from_numpy(batch_of(store, np.array([neighbour.person])))
    kept = torch.tensor([[0, 0, *store.persons.sizes[neighbour.person][::-1].tolist()]])
    sample = _sample(canvas.to(device), kept.to(device), neighbour.affine[None], size)
    return torch.cat([sample[0], neighbour.cover(size).to(sample)[None]])


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


def draw_colour(random: np.random.Generator, aug: Augmentation) -> Array:
    """An affine of RGB in 0..1, (3, 4): tint, then grey or not, then contrast and brightness."""
    tint = 1 + aug.tint * random.uniform(-1, 1, size=3)
    contrast = 1 + aug.contrast * random.uniform(-1, 1)
    brightness = aug.brightness * random.uniform(-1, 1)
    grey = random.random() < aug.grey_probability
    mix = np.tile(LUMA, (3, 1)) if grey else np.eye(3)
    linear = contrast * mix @ np.diag(tint)
    offset = np.full(3, 0.5 * (1 - contrast) + brightness)
    return np.column_stack([linear, offset])


def _sample(canvas: Tensor, kept: Tensor, affines: Array, size: int) -> Tensor:
    """Bilinear crops (B, 4, S, S) of RGB in 0..1 times a mask, and the mask itself.

    The mask is 1 inside the picture, whose corners x0, y0, x1, y1 are `kept` (B, 4), 0 outside,
    and blends between them as the pixels do.
    """
    count, height, width, _ = canvas.shape
    device = canvas.device
    xs, ys = (torch.arange(length, device=device) for length in (width, height))
    inside_x = (xs >= kept[:, 0:1]) & (xs < kept[:, 2:3])  # (B, W)
    inside_y = (ys >= kept[:, 1:2]) & (ys < kept[:, 3:4])  # (B, H)
    source = torch.empty(count, 4, height, width, device=device)
    source[:, 3] = inside_y.unsqueeze(2) & inside_x.unsqueeze(1)
    source[:, :3] = canvas.permute(0, 3, 1, 2)
    source[:, :3] *= source[:, 3:]
    to_region = torch.from_numpy(invert_affine(affines)).to(device, torch.float32)
    steps = torch.arange(size, dtype=torch.float32, device=device)
    crop = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)  # (S, S, 2)
    grid = torch.einsum("bij,hwj->bhwi", to_region[:, :, :2], crop)
    grid = grid + to_region[:, None, None, :, 2]  # region pixels
    extent = torch.tensor([width, height], device=device)
    samples = F.grid_sample(source, (2 * grid + 1) / extent - 1, align_corners=False)
    samples[:, :3] /= 255
    return samples


def colour_crops(samples: Tensor, colours: Tensor) -> Tensor:
    """Jitter and normalise: (B, 4, S, S) RGB and mask, (B, 3, 4) -> (B, 3, S, S)."""
    mean = torch.tensor(MEAN).to(samples)
    std = torch.tensor(STD).to(samples)
    affine = colours.clone()
    affine[:, :, 3] -= mean
    affine = affine / std.view(1, 3, 1)
    return torch.einsum("bij,bjhw->bihw", affine, samples).contiguous()
