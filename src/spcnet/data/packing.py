"""Writing a packed store from any data set (see `spcnet.data.store` for the form)."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spcnet.data.annotations import Dataset
from spcnet.data.regions import CropRule, region_rule
from spcnet.data.store import FORMAT, VERSION, Persons
from spcnet.errors import UserError
from spcnet.files import picture_bytes, whole_folder
from spcnet.geometry import Array, apply_affine, compose_affines
from spcnet.media.crops import reduce_by_area
from spcnet.skeletons import COCO17

SHARD_BYTES = 56_000_000
QUALITY = 92  # of the JPEG regions
# The region is this many crop sides wide: what a crop of scale 1.25 turned by 45 degrees reaches.
MARGIN = 1.77


def pack(
    dataset: Dataset,
    folder: str | os.PathLike[str],
    *,
    side: int = 256,
    crop: CropRule = "box",
    report: Callable[[int], None] = lambda done: None,
) -> None:
    """Cut every person out of the picture with a margin and write a store into a new folder.

    A person whose crop is wider than `side` pixels is reduced to that by area; smaller ones keep
    the picture's own pixels. A folder that exists or cannot be written is a `UserError`.
    """
    rows: list[dict[str, Any]] = []
    shards: list[dict[str, str | int]] = []
    offsets = [0]
    shard = bytearray()

    def close_shard(place: Path) -> None:
        name = f"regions-{len(shards):03d}.bin"
        (place / name).write_bytes(shard)
        shards.append({"file": name, "bytes": len(shard)})
        shard.clear()

    rule = region_rule(crop, dataset)
    with whole_folder(Path(folder)) as partial:
        for image, person in dataset.samples():
            centre, crop_side = rule(person, (image.shape[0], image.shape[1]))
            region, to_region, scale = _cut(image, centre, crop_side, side=side)
            jpeg = picture_bytes(Image.fromarray(region), "jpeg", quality=QUALITY)
            if shard and len(shard) + len(jpeg) > SHARD_BYTES:
                close_shard(partial)
            shard += jpeg
            offsets.append(offsets[-1] + len(jpeg))
            opinion = np.zeros((len(COCO17), 3))  # improbable everywhere where there is none
            if person.opinion is not None:
                opinion[:, :2] = apply_affine(to_region, person.opinion[:, :2])
                opinion[:, 2] = person.opinion[:, 2]
            rows.append(
                {
                    "keys": np.str_(person.image),
                    "points": apply_affine(to_region, person.points).astype(np.float32),
                    "states": person.states,
                    "centres": apply_affine(to_region, centre[None])[0].astype(np.float32),
                    "sides": np.float32(crop_side * scale),
                    "references": np.float32(scale * (person.reference or np.nan)),
                    "sizes": np.array(region.shape[:2]),
                    "opinions": opinion.astype(np.float32),
                }
            )
            report(len(rows))
        if not rows:
            raise UserError(f"{dataset.name} {dataset.split}: no persons to pack")
        close_shard(partial)
        columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        persons = Persons(**columns, offsets=np.asarray(offsets))
        np.savez(partial / "persons.npz", **vars(persons))
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
        (partial / "store.json").write_text(json.dumps(header, indent=1), encoding="utf-8")


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
