"""Writing a packed store from any data set (see `spcnet.data.store` for the form)."""

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from spcnet.data.annotations import Dataset
from spcnet.data.regions import CropRule, region_rule
from spcnet.data.store import FORMAT, VERSION, Persons
from spcnet.errors import UserError
from spcnet.files import whole_folder
from spcnet.geometry import Array, apply_affine, compose_affines
from spcnet.media.crops import reduce_by_area
from spcnet.skeletons import COCO17

SHARD_BYTES = 56_000_000
# The region is this many crop sides wide: what a crop of scale 1.25 turned by 45 degrees reaches.
MARGIN = 1.77


def pack(
    dataset: Dataset,
    folder: str | os.PathLike[str],
    *,
    side: int = 256,
    crop: CropRule = "box",
    quality: int = 92,
    report: Callable[[int], None] = lambda done: None,
) -> None:
    """Cut every person out of the picture with a margin and write a store.

    A person whose crop is wider than `side` pixels is reduced to that by area; smaller ones keep
    the picture's own pixels.

    Args:
        dataset: what to pack.
        folder: where to; must not exist yet.
        side: largest side of a person's crop, in pixels.
        crop: rule of the crops.
        quality: of the JPEG regions.
        report: called with the number of persons done.

    Raises:
        UserError: the folder exists, or cannot be written.
    """
    with whole_folder(Path(folder)) as partial:
        _write(dataset, partial, side=side, crop=crop, quality=quality, report=report)


def _write(
    dataset: Dataset,
    folder: Path,
    *,
    side: int,
    crop: CropRule,
    quality: int,
    report: Callable[[int], None],
) -> None:
    rows = []
    shards: list[dict[str, str | int]] = []
    offsets = [0]
    shard = bytearray()

    def close_shard() -> None:
        name = f"regions-{len(shards):03d}.bin"
        (folder / name).write_bytes(shard)
        shards.append({"file": name, "bytes": len(shard)})
        shard.clear()

    for region, row in _regions(dataset, side=side, crop=crop):
        buffer = io.BytesIO()
        Image.fromarray(region).save(buffer, format="JPEG", quality=quality)
        if shard and len(shard) + buffer.tell() > SHARD_BYTES:
            close_shard()
        shard += buffer.getvalue()
        offsets.append(offsets[-1] + buffer.tell())
        rows.append(row)
        report(len(rows))
    if not rows:
        raise UserError(f"{dataset.name} {dataset.split}: no persons to pack")
    close_shard()

    keys, points, states, centres, sides, references, sizes, opinions = (
        np.stack(column) for column in zip(*rows, strict=True)
    )
    persons = Persons(
        keys=keys,
        points=points.astype(np.float32),
        states=states,
        centres=centres.astype(np.float32),
        sides=sides.astype(np.float32),
        references=references.astype(np.float32),
        sizes=sizes,
        opinions=opinions.astype(np.float32),
        offsets=np.asarray(offsets),
    )
    np.savez(folder / "persons.npz", **vars(persons))
    header = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": dataset.name,
        "split": dataset.split,
        "persons": len(rows),
        "side": side,
        "crop": crop,
        "skeleton": dataset.skeleton.to_dict(),
        "shards": shards,
    }
    (folder / "store.json").write_text(json.dumps(header, indent=1))


def _regions(
    dataset: Dataset, *, side: int, crop: CropRule
) -> Iterator[tuple[Array, tuple[object, ...]]]:
    """Each person's region and its row of `Persons`, without the offset."""
    rule = region_rule(crop, dataset)
    for image, annotation in dataset.samples():
        height, width = image.shape[:2]
        centre, crop_side = rule(annotation, (height, width))
        region, to_region, scale = _cut(image, centre, crop_side, side=side)
        yield (
            region,
            (
                np.str_(annotation.image),
                apply_affine(to_region, annotation.points),
                annotation.states,
                apply_affine(to_region, centre[None])[0],
                np.float64(crop_side * scale),
                np.float64(scale * (annotation.reference or np.nan)),
                np.array(region.shape[:2]),
                _moved(annotation.opinion, to_region),
            ),
        )


def _moved(opinion: Array | None, to_region: Array) -> Array:
    """An opinion (17, 3) in pixels of the region; improbable everywhere where there is none."""
    if opinion is None:
        return np.zeros((len(COCO17), 3))
    return np.column_stack([apply_affine(to_region, opinion[:, :2]), opinion[:, 2]])


def _cut(image: Array, centre: Array, crop_side: float, *, side: int) -> tuple[Array, Array, float]:
    """The region about a square, the affine from the picture to it, and that affine's scale."""
    reach = MARGIN * crop_side / 2
    limit = np.array(image.shape[1::-1])
    # At least one pixel remains, even of a person annotated wholly outside the picture.
    low = np.clip(np.floor(centre - reach).astype(int), 0, limit - 1)
    high = np.clip(np.ceil(centre + reach).astype(int) + 1, low + 1, limit)
    region = image[low[1] : high[1], low[0] : high[0]]
    to_region = np.array([[1.0, 0, -low[0]], [0, 1.0, -low[1]]])
    scale = 1.0
    if crop_side > side:
        region, reduce = reduce_by_area(region, crop_side / side)
        scale = float(np.sqrt(abs(np.linalg.det(reduce[:, :2]))))
        to_region = compose_affines(reduce, to_region)
    return np.ascontiguousarray(region), to_region, scale
