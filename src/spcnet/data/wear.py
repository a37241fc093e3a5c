"""What happens to pictures of people: they end too early, are worn, and have neighbours in them."""

import io
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from spcnet.codec import Square, square_of_box
from spcnet.data.annotations import JointState, has_place
from spcnet.data.opinions import LEAST
from spcnet.data.store import Persons, Store
from spcnet.files import picture_bytes
from spcnet.geometry import Array, apply_affine, box_of_points, crop_affine

# Where a picture ends: directions (axis, whether the far side goes) and how often.
ENDS = ((1, True), (0, True), (0, False), (1, False))
END_SHARES = (0.55, 0.17, 0.17, 0.11)
KEPT = (0.35, 0.95)  # of the extent of the joints
FEWEST = 3  # joints that are left

NEIGHBOUR_SIDE = (0.7, 1.3)  # of a neighbour's crop, of the person's own
NEIGHBOUR_OFFSET = (0.25, 0.6)  # of its middle sideways, of the crop's side
THICKNESS = 0.2  # of a limb to either side, of the torso's length
PATCHES = 0.3  # share of neighbours of which a patch is pasted, as furniture might cover a person
PATCH = (0.15, 0.45)  # its sides, of the crop's


def known_joints(persons: Persons, person: int) -> tuple[Array, Array, Array]:
    """Where a person's joints are (K, 2), which are labelled (K,), and which another model saw."""
    states, opinions = persons.states[person], persons.opinions[person]
    labelled = has_place(states)
    seen = ~labelled & (states != JointState.ABSENT) & (opinions[:, 2] >= LEAST)
    return np.where(seen[:, None], opinions[:, :2], persons.points[person]), labelled, seen


def cut_off(
    random: np.random.Generator, points: Array, kept: Array, square: Square
) -> tuple[Array, Square]:
    """End the picture in the middle of a person with known joints (N, 2).

    Gives what of `kept` (4,) x0, y0, x1, y1 is picture now, and the padded square about what is
    left of the person; both as they were where fewer than `FEWEST` joints would be left.
    """
    axis, far = ENDS[random.choice(len(ENDS), p=END_SHARES)]
    share = random.uniform(*KEPT)
    if len(points) < FEWEST:
        return kept, square
    low, high = points[:, axis].min(), points[:, axis].max()
    line = round(low + share * (high - low) if far else high - share * (high - low))
    left = points[points[:, axis] < line - 0.5] if far else points[points[:, axis] > line - 0.5]
    if len(left) < FEWEST or not kept[axis] < line < kept[2 + axis]:
        return kept, square
    kept = kept.copy()
    kept[2 + axis if far else axis] = line
    box = box_of_points(left)
    box[2 + axis if far else axis] = line
    return kept, square_of_box(box)


def compress(pixels: Array, quality: int) -> Array:
    """RGB uint8 (H, W, 3) as JPEG leaves it."""
    jpeg = picture_bytes(Image.fromarray(pixels), "jpeg", quality=quality)
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as worn:
        return np.asarray(worn)


def blur(image: Tensor, times: float) -> None:
    """Reduce an image (C, S, S) so many times and enlarge it again, in place."""
    side = image.shape[-1]
    small = F.interpolate(
        image[None], size=round(side / times), mode="bilinear", align_corners=False, antialias=True
    )
    image.copy_(F.interpolate(small, size=side, mode="bilinear", align_corners=False)[0])


@dataclass(frozen=True)
class Neighbour:
    """Another person of the store, of whom a part is pasted into a crop."""

    person: int  # its number
    affine: Array  # (2, 3) from its region to the crop
    segments: Array  # (L, 2, 2) ends of what is pasted, crop pixels: limbs, or none for a patch
    radius: float  # to either side of the segments, crop pixels
    patch: Array  # (4,) x0, y0, x1, y1 of a patch, crop pixels

    def cover(self, size: int) -> Tensor:
        """How much of each pixel (S, S) is the neighbour's, in [0, 1]."""
        steps = torch.arange(size, dtype=torch.float32)
        if not len(self.segments):
            x0, y0, x1, y1 = self.patch.tolist()
            rows, columns = (steps >= y0) & (steps < y1), (steps >= x0) & (steps < x1)
            return torch.outer(rows.float(), columns.float())
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)  # (S, S, 2)
        ends = torch.from_numpy(self.segments).float()
        start, along = ends[:, 0], ends[:, 1] - ends[:, 0]  # (L, 2)
        away = grid[:, :, None] - start  # (S, S, L, 2)
        share = (away * along).sum(-1) / along.square().sum(-1).clamp_min(1e-6)
        gap = (away - share.clamp(0, 1).unsqueeze(-1) * along).norm(dim=-1).amin(-1)
        covered: Tensor = ((self.radius - gap) / 2 + 0.5).clamp(0, 1)
        return covered


def draw_neighbour(
    random: np.random.Generator, store: Store, size: int, *, beside: int
) -> Neighbour | None:
    """Another person than `beside` in a crop, or a patch of its picture; None of too few joints."""
    if len(store) < 2:
        return None
    person = (beside + 1 + int(random.integers(len(store) - 1))) % len(store)
    scale = random.uniform(*NEIGHBOUR_SIDE)
    offset = np.array([random.uniform(*NEIGHBOUR_OFFSET), random.uniform(-0.25, 0.25)])
    offset[0] *= random.choice([-1, 1])
    corner = random.uniform(0.05, 0.7, size=2)
    extent = random.uniform(*PATCH, size=2)
    patch = size * np.concatenate([corner, corner + extent])
    as_patch = random.random() < PATCHES
    persons = store.persons
    side = float(persons.sides[person]) / scale
    affine = crop_affine(persons.centres[person] - offset * side, side, size)
    if as_patch:
        return Neighbour(person, affine, np.empty((0, 2, 2)), 0.0, patch)
    points, labelled, seen = known_joints(persons, person)
    known = labelled | seen
    moved = apply_affine(affine, points)
    limbs = [(a, b) for a, b in store.skeleton.limb_indices if known[a] and known[b]]
    if len(limbs) < FEWEST:
        return None
    extent = moved[known].max(axis=0) - moved[known].min(axis=0)
    torso = float(extent.max()) / 3.5  # of an upright person's height
    return Neighbour(
        person, affine, np.stack([moved[list(limb)] for limb in limbs]), THICKNESS * torso, patch
    )


def paste(sample: Tensor, neighbour: Tensor) -> None:
    """Lay a neighbour (5, S, S) over a crop (4, S, S) of RGB and mask, in place."""
    share = neighbour[4] * neighbour[3]
    sample[3].copy_(torch.maximum(sample[3], share))
    sample[:3].lerp_(neighbour[:3], share)
