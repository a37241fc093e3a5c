"""How fast models predict on this machine: all take turns in one run, so see the same noise."""

import io
import tempfile
import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image

from spcnet.codec import square_of_box
from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator
from spcnet.synthetic.figure import render_figure

K = TypeVar("K", bound=Hashable)
MEGAPIXEL = (816, 1224)  # rows and columns


class Speed(NamedTuple):
    """Milliseconds per person, one in each picture; medians."""

    crop: float  # from a square of a picture in memory to its keypoints
    picture: float  # from a JPEG of a megapixel with its box


def measure_speed(
    estimators: Mapping[K, PoseEstimator],
    *,
    batch: int = 1,
    turns: int = 20,
    report: Callable[[int], None] = lambda done: None,
) -> dict[K, Speed]:
    """The speed of estimators, so many pictures at a time; reports are of ``1 + turns``."""
    content, box = picture_file(MEGAPIXEL)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.jpg"
        path.write_bytes(content)
        calls: dict[tuple[K, str], Callable[[], object]] = {}
        for name, each in estimators.items():
            picture = each.reader.read(path, box[None])
            squares = [square_of_box(box)] * batch
            calls[name, "crop"] = partial(each.crops, [picture] * batch, squares)
            calls[name, "picture"] = partial(_predict, each, [path] * batch, [box[None]] * batch)
        device = next(iter(estimators.values())).device
        taken = interleave(calls, turns=turns, device=device, report=report)
    spent = {key: 1000 * median(seconds) / batch for key, seconds in taken.items()}
    return {name: Speed(spent[name, "crop"], spent[name, "picture"]) for name in estimators}


def _predict(estimator: PoseEstimator, paths: list[Path], boxes: list[Array]) -> None:
    for _ in estimator.predict_many(paths, boxes):
        pass


def picture_file(shape: tuple[int, int]) -> tuple[bytes, Array]:
    """A JPEG of so many rows and columns, a figure in its middle; x0, y0, x1, y1 of the figure."""
    height, width = shape
    noise = np.random.default_rng(0).integers(90, 130, (height, width, 3), dtype=np.uint8)
    picture, side = Image.fromarray(noise), min(shape)
    left, top = (width - side) // 2, (height - side) // 2
    picture.paste(Image.fromarray(render_figure(0).image).resize((side, side)), (left, top))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=90)
    return content.getvalue(), np.array([left, top, left + side, top + side], dtype=float)


def interleave(
    contenders: Mapping[K, Callable[[], object]],
    *,
    turns: int,
    warmups: int = 1,
    device: torch.device | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> dict[K, list[float]]:
    """Seconds of each contender's turns: all are called once a turn, one after the other.

    The first turns are warmups and do not count, but are reported too. Where the device is a GPU, a
    turn ends when it has finished.
    """
    taken: dict[K, list[float]] = {name: [] for name in contenders}
    for turn in range(warmups + turns):
        for name, call in contenders.items():
            began = time.perf_counter()
            call()
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize(device)
            taken[name].append(time.perf_counter() - began)
        report(turn + 1)
    return {name: seconds[warmups:] for name, seconds in taken.items()}
