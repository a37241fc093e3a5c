"""Writing a packed store from any data set (see `spcnet.data.store` for the form)."""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from spcnet.data.annotations import Annotation, Dataset
from spcnet.data.crops import reduce_by_area
from spcnet.data.store import FORMAT, VERSION, Persons
from spcnet.errors import UserError
from spcnet.geometry import Array, apply_affine, square_of_box

SHARD_BYTES = 56_000_000
# The region is this many crop sides wide: what a crop of scale 1.25 turned by 45 degrees reaches.
MARGIN = 1.77


def pack(
    dataset: Dataset,
    folder: str | os.PathLike[str],
    *,
    side: int = 256,
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
        quality: of the JPEG regions.
        report: called with the number of persons done.

    Raises:
        UserError: the folder exists, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise UserError(f"{folder}: already exists; name a new folder or remove it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=folder.name + ".partial", dir=folder.parent))
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        _write(dataset, partial, side=side, quality=quality, report=report)
        partial.chmod(0o755)
        os.replace(partial, folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(
    dataset: Dataset, folder: Path, *, side: int, quality: int, report: Callable[[int], None]
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

    for region, row in _regions(dataset, side=side):
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

    keys, points, states, centres, sides, sizes = (
        np.stack(column) for column in zip(*rows, strict=True)
    )
    persons = Persons(
        keys=keys,
        points=points.astype(np.float32),
        states=states,
        centres=centres.astype(np.float32),
        sides=sides.astype(np.float32),
        sizes=sizes,
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
        "skeleton": dataset.skeleton.to_dict(),
        "shards": shards,
    }
    (folder / "store.json").write_text(json.dumps(header, indent=1))


def _regions(dataset: Dataset, *, side: int) -> Iterator[tuple[Array, tuple[object, ...]]]:
    """Each person's region and its row of `Persons`, without the offset."""
    for image, annotation in dataset.samples():
        region, to_region, crop_side = _cut(image, annotation, side=side)
        centre, _ = square_of_box(annotation.box)
        yield (
            region,
            (
                np.str_(Path(annotation.image).name),
                apply_affine(to_region, annotation.points),
                annotation.states,
                apply_affine(to_region, centre[None])[0],
                np.float64(crop_side),
                np.array(region.shape[:2]),
            ),
        )


def _cut(image: Array, annotation: Annotation, *, side: int) -> tuple[Array, Array, float]:
    """The region of one person, the affine to it, and the side of the crop in it."""
    centre, crop_side = square_of_box(annotation.box)
    reach = MARGIN * crop_side / 2
    limit = np.array(image.shape[1::-1])
    # At least one pixel remains, even of a person annotated wholly outside the picture.
    low = np.clip(np.floor(centre - reach).astype(int), 0, limit - 1)
    high = np.clip(np.ceil(centre + reach).astype(int) + 1, low + 1, limit)
    region = image[low[1] : high[1], low[0] : high[0]]
    to_region = np.array([[1.0, 0, -low[0]], [0, 1.0, -low[1]]])
    if crop_side > side:
        region, reduce = reduce_by_area(region, crop_side / side)
        scale = np.sqrt(abs(np.linalg.det(reduce[:, :2])))
        to_region = np.column_stack([reduce[:, :2], reduce[:, :2] @ to_region[:, 2] + reduce[:, 2]])
        crop_side *= float(scale)
    return np.ascontiguousarray(region), to_region, crop_side
