"""Whole pictures and the persons' boxes in them, ready for training a finder.

Packed once, they are placed at random sizes on canvases, one or four of them, with the boxes that
are left. Every draw is a function of (seed, epoch, picture).
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.augmentation import Augmentation, colour_crops, draw_colour, generator
from spcnet.data.label_files import load_json
from spcnet.data.store import drawn_rows
from spcnet.errors import UserError
from spcnet.files import whole_folder
from spcnet.geometry import Array, apply_affine, compose_affines, invert_affine

FORMAT = "spcnet-scenes"
VERSION = 2
LONGEST = 320  # pixels of a packed picture's longer side
SIZES = (0.6, 1.3)  # a picture's longer side on the canvas, of the canvas's
MOSAIC = 0.4  # share of canvases of four pictures
TURNED = 0.08  # share of pictures that lie on a side or stand on their head
LEFT = 0.35  # of a box's area: with less of it on the canvas a person is passed over
SMALLEST = 8.0  # pixels of a box's longer side: smaller ones are passed over


@dataclass(frozen=True)
class Picture:
    """One picture's boxes, x0, y0, x1, y1 in pixels of the packed picture."""

    boxes: Array  # (N, 4) persons
    crowds: Array  # (M, 4) regions about which nothing is known
    complete: bool  # every person in the picture has a box or is in a crowd


def pack_scenes(
    sources: Sequence[tuple[AnnotatedPictures, bool]],
    folder: str | os.PathLike[str],
    *,
    report: Callable[[int], None] = lambda done: None,
) -> None:
    """Write pictures and boxes into a new folder; one that exists is a `UserError`.

    Each source is a data set and whether all persons in its pictures have boxes.
    """
    from spcnet.media.crops import reduce_by_area
    from spcnet.media.images import read_image

    rows: list[dict[str, Any]] = []
    with whole_folder(Path(folder)) as partial:
        with (partial / "pictures.u8").open("wb") as stream:
            for number, (labels, complete) in enumerate(sources):
                warn = labels.size_warning()
                for path, persons, crowds in labels.by_picture():
                    image, affine = read_image(path), np.eye(2, 3)
                    if persons or crowds:
                        warn((persons or crowds)[0].image, image.shape[:2])
                    times = max(image.shape[:2]) / LONGEST
                    if times > 1:
                        image, affine = reduce_by_area(image, times)
                    stream.write(np.ascontiguousarray(image).tobytes())
                    row: dict[str, Any] = {"size": image.shape[:2], "complete": complete}
                    row["source"] = number
                    for kind, people in (("boxes", persons), ("crowds", crowds)):
                        moved = _moved_boxes(affine, np.array([p.box for p in people]))
                        row[kind] = moved.round(2).tolist()
                    rows.append(row)
                    report(len(rows))
        header = {"format": FORMAT, "version": VERSION, "sources": len(sources), "pictures": rows}
        (partial / "scenes.json").write_text(json.dumps(header), encoding="utf-8")


class Scenes:
    """Random access to pictures and boxes that `pack_scenes` wrote; else a `UserError`."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        header = load_json(self.folder / "scenes.json", wanted="packed pictures")
        if (header.get("format"), header.get("version")) != (FORMAT, VERSION):
            raise UserError(f"{self.folder}: packed by another version; pack it again")
        rows = header["pictures"]
        self.sizes = np.array([row["size"] for row in rows])
        sources = [row["source"] for row in rows]
        # How many pictures each source has, and how many of an epoch are drawn from it.
        self.of_sources = np.bincount(sources, minlength=header["sources"]).tolist()
        self.draws = self.of_sources
        self.pictures = [
            Picture(_boxes(row["boxes"]), _boxes(row["crowds"]), row["complete"]) for row in rows
        ]
        counts = self.sizes.astype(np.int64).prod(axis=1) * 3
        self._offsets = np.concatenate([[0], np.cumsum(counts)])
        self._pixels = np.memmap(self.folder / "pictures.u8", dtype=np.uint8, mode="r")
        if len(self._pixels) != self._offsets[-1]:
            raise UserError(f"{self.folder}: cut short; pack it again")

    def __len__(self) -> int:
        return len(self.pictures)

    def drawn(self, random: np.random.Generator) -> Array:
        """The pictures of an epoch, as `spcnet.data.store.JoinedStores.drawn` gives persons."""
        return drawn_rows(random, self.of_sources, self.draws)

    def pixels(self, index: int) -> Array:
        """RGB uint8 (H, W, 3)."""
        begin, end = self._offsets[index : index + 2]
        return self._pixels[begin:end].reshape(*self.sizes[index], 3)


@dataclass(frozen=True)
class SceneBatch:
    """Canvases on the device."""

    images: Tensor  # (B, 3, S, S) float32, normalised; 0 outside the pictures
    boxes: list[Tensor]  # of each canvas (N, 4) float32 pixels
    passed: list[Tensor]  # of each canvas (M, 4): regions in which nothing is asked
    known: Tensor  # (B, S, S) bool: pixels of pictures in which every person has a box, and of none


def make_scene_batch(
    scenes: Scenes,
    indices: Array,
    *,
    size: int,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    epoch: int = 0,
    device: torch.device | str = "cpu",
) -> SceneBatch:
    """Canvases of pictures (B,) and others; without an augmentation each is whole and plain."""
    images, boxes, passed, known, colours = [], [], [], [], []
    strays = augmentation is not None
    for index in indices:
        random = generator(seed=seed, epoch=epoch, person=int(index), stream=2)
        canvas = torch.zeros(4, size, size)
        sure = np.ones((size, size), dtype=bool)
        there: list[Array] = []
        gone: list[Array] = []
        for number, window in _windows(random, scenes, int(index) % len(scenes), size, strays):
            affine = _draw_placing(random, scenes.sizes[number], window, strays)
            x0, y0, x1, y1 = window
            canvas[:, y0:y1, x0:x1] = _placed(scenes.pixels(number), affine, window)
            picture = scenes.pictures[number]
            extent = _moved_boxes(affine, np.array([[0, 0, *scenes.sizes[number][::-1]]]))
            visible = _clipped(extent, np.array(window))[0]
            whole = _moved_boxes(affine, picture.boxes)
            left = _clipped(whole, visible)
            seen = _areas(left) / np.maximum(_areas(whole), 1e-6) >= LEFT
            seen &= (left[:, 2:] - left[:, :2]).max(axis=1) >= SMALLEST
            there.append(left[seen])
            gone.append(left[~seen & (_areas(left) > 0)])
            gone.append(_clipped(_moved_boxes(affine, picture.crowds), visible))
            if not picture.complete:
                a, b, c, d = np.round(visible).astype(int).clip(0, size)
                sure[b:d, a:c] = False
        images.append(canvas)
        boxes.append(torch.from_numpy(np.concatenate(there)).to(device, torch.float32))
        passed.append(torch.from_numpy(np.concatenate(gone)).to(device, torch.float32))
        known.append(torch.from_numpy(sure))
        colours.append(draw_colour(random, augmentation) if augmentation else np.eye(3, 4))
    samples = torch.stack(images).to(device)
    return SceneBatch(
        colour_crops(samples, torch.from_numpy(np.stack(colours)).to(samples)),
        boxes,
        passed,
        torch.stack(known).to(device),
    )


def _windows(
    random: np.random.Generator, scenes: Scenes, index: int, size: int, strays: bool
) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Pictures of a canvas and the windows x0, y0, x1, y1 that they fill: one, or four."""
    if not strays or random.random() >= MOSAIC:
        return [(index, (0, 0, size, size))]
    x, y = random.integers(size // 3, 2 * size // 3, size=2).tolist()
    corners = [(0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)]
    others = random.integers(len(scenes), size=3).tolist()
    return list(zip([index, *others], corners, strict=True))


def _draw_placing(
    random: np.random.Generator, shape: Array, window: tuple[int, int, int, int], strays: bool
) -> Array:
    """The affine (2, 3) from a picture's pixels to the canvas, somewhere about its window."""
    height, width = (float(side) for side in shape)
    x0, y0, x1, y1 = window
    room = max(x1 - x0, y1 - y0)
    scale = room / max(height, width)
    turns, flip = 0, False
    slack = np.zeros(2)
    if strays:
        scale *= float(np.exp(random.uniform(*np.log(SIZES))))
        flip = bool(random.random() < 0.5)
        turns = int(random.integers(1, 4)) if random.random() < TURNED else 0
        slack = random.uniform(-0.5, 0.5, size=2)
    angle = np.pi / 2 * turns
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if flip:
        linear = linear @ np.diag([-1.0, 1.0])
    extent = np.abs(linear) @ [width, height]
    middle = np.array([x0 + x1 - 1, y0 + y1 - 1]) / 2
    # A smaller picture strays within its window, a larger one so far that it still fills it.
    middle = middle + slack * np.abs(np.array([x1 - x0, y1 - y0]) - extent)
    own = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.column_stack([linear, middle - linear @ own])


def _placed(pixels: Array, affine: Array, window: tuple[int, int, int, int]) -> Tensor:
    """What of a picture is in a window of the canvas: (4, h, w) RGB in 0..1, and its mask."""
    scale = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    if scale < 0.5:
        from spcnet.media.crops import reduce_by_area  # the one place where training needs OpenCV

        pixels, reduce = reduce_by_area(np.ascontiguousarray(pixels), 0.7 / scale)
        affine = compose_affines(affine, invert_affine(reduce))
    height, width = pixels.shape[:2]
    source = torch.ones(1, 4, height, width)
    source[0, :3] = torch.from_numpy(np.array(pixels)).permute(2, 0, 1) / 255
    back = torch.from_numpy(invert_affine(affine)).float()
    x0, y0, x1, y1 = window
    xs, ys = (torch.arange(*ends, dtype=torch.float32) for ends in ((x0, x1), (y0, y1)))
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)
    grid = grid @ back[:, :2].T + back[:, 2]
    extent = torch.tensor([width, height])
    return F.grid_sample(source, ((2 * grid + 1) / extent - 1)[None], align_corners=False)[0]


def _boxes(rows: list[list[float]]) -> Array:
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _moved_boxes(affine: Array, boxes: Array) -> Array:
    """Boxes (N, 4) under an affine of quarter turns: (N, 4)."""
    corners = apply_affine(affine, np.reshape(boxes, (-1, 2, 2)))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def _clipped(boxes: Array, window: Array) -> Array:
    low, high = np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])
    return np.concatenate([low, np.maximum(low, high)], axis=1)


def _areas(boxes: Array) -> Array:
    areas: Array = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return areas
