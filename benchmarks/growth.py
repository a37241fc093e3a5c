"""How time and memory of inference grow: with stacks, sizes, batches, persons, pixels, pictures.

    python benchmarks/growth.py --out docs/images/growth.png

Draws a panel each and prints the numbers. What stands in one panel takes turns in one run, medians
of them; memory is the most that a fresh process held, torch included. Run it on an otherwise idle
machine: it takes some ten minutes, most of them for the folders. `--least` keeps only the smallest
cases.
"""

import argparse
import io
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from steps import memory, save_untrained

from spcnet.evaluation.speed import interleave, picture_file
from spcnet.inference.estimator import PoseEstimator
from spcnet.media.images import decode_image
from spcnet.models.registry import create_model
from spcnet.runtime.fused import FusedNetwork
from spcnet.viz.curves import STYLE

LARGE = "spcnet_s8_w256"
PANEL_SIZE = (2.9, 2.3)  # inches
PANELS_A_ROW = 3


@dataclass(frozen=True)
class Growth:
    """What a quantity comes to as something grows.

    Attributes:
        xlabel: what grows.
        ylabel: the quantity.
        title: names the setting.
        curves: for each name the sizes (N,), ascending and above 0, and the values (N,).
        linear: the axes are linear, not logarithmic.
    """

    xlabel: str
    ylabel: str
    title: str
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    linear: bool = False


@style.context(STYLE)
def draw_growth(panels: Sequence[Growth]) -> Figure:
    """A panel for each; on logarithmic axes what is linear is as steep as the dotted line."""
    columns = min(PANELS_A_ROW, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure((columns * PANEL_SIZE[0], rows * PANEL_SIZE[1]))
    for n, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, n + 1, xlabel=panel.xlabel, ylabel=panel.ylabel)
        axes.set_title(panel.title)
        for name, (sizes, values) in panel.curves.items():
            axes.plot(sizes, values, marker="o", markersize=2.5, label=name, clip_on=False)
        sizes = sorted({size for of_curve, _ in panel.curves.values() for size in of_curve})
        if panel.linear:
            axes.set_ylim(bottom=0)
            axes.set_xlim(left=0)
        else:
            of_first, values = next(iter(panel.curves.values()))
            line = [values[0] * size / of_first[0] for size in of_first]
            axes.plot(of_first, line, color="#999999", linewidth=0.8, linestyle=":", zorder=1)
            axes.set(xscale="log", yscale="log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(_shortly))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:,g}")
        if len(panel.curves) > 1:
            axes.legend()
    return figure


def _shortly(number: float, _: int) -> str:
    """A size in at most three digits or as it is: 0.25, 16.4, 10,000."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def milliseconds(calls: Mapping[float, Callable[[], object]], turns: int) -> list[float]:
    """Of each call, medians of interleaved turns."""
    return [1000 * median(each) for each in interleave(calls, turns=turns).values()]


def networks(
    cases: Mapping[float, tuple[str, dict[str, int], int, int]], turns: int
) -> list[float]:
    """Of fused float32 networks: a variant, its arguments, the batch and the pixels each."""
    calls: dict[float, Callable[[], object]] = {}
    for size, (variant, arguments, batch, pixels) in cases.items():
        fused = FusedNetwork(create_model(variant, num_joints=16, **arguments).eval())
        calls[size] = partial(fused, torch.rand(batch, 3, pixels, pixels))
    return milliseconds(calls, turns)


def by_stacks(model: str, turns: int, counts: Sequence[int]) -> list[Growth]:
    """Time and memory over the number of stacks."""
    times = networks({n: (LARGE, {"stacks": n}, 1, 256) for n in counts}, turns)
    held = []
    with tempfile.TemporaryDirectory() as folder:
        for n in counts:
            path = save_untrained(LARGE, Path(folder), stacks=n)
            held.append((memory(str(path)) / 1e6, path_size(path)))
            path.unlink(missing_ok=True)
    title = "width 256, 256 px, batch 1"
    of_memory = {
        "all in all": (counts, [total for total, _ in held]),
        "of it weights": (counts, [weights for _, weights in held]),
    }
    return [
        Growth("stacks", "ms", title, {"network": (counts, times)}),
        Growth("stacks", "MB", title, of_memory, linear=True),
    ]


def path_size(path: Path) -> float:
    """Megabytes of a model's weights in float32: twice its file or files."""
    files = path.parent.glob(f"{path.stem}*.safetensors")
    return 2 * sum(file.stat().st_size for file in files) / 1e6


def by_pixels(model: str, turns: int, sides: Sequence[int]) -> list[Growth]:
    """Time over the input's side, drawn over its pixels."""
    card = PoseEstimator(model, device="cpu").card
    cases = {s: (card.variant, dict(card.arguments), 1, s) for s in sides}
    pixels = [side**2 / 1000 for side in sides]
    title = f"{card.variant}, batch 1"
    return [
        Growth("input, 1000 pixels", "ms", title, {"network": (pixels, networks(cases, turns))})
    ]


def by_batch(model: str, turns: int, batches: Sequence[int]) -> list[Growth]:
    """Time a batch over its size."""
    card = PoseEstimator(model, device="cpu").card
    cases = {n: (card.variant, dict(card.arguments), n, card.codec.input_size) for n in batches}
    title = f"{card.variant}, {card.codec.input_size} px"
    return [Growth("crops a batch", "ms a batch", title, {"n": (batches, networks(cases, turns))})]


def by_persons(model: str, turns: int, counts: Sequence[int]) -> list[Growth]:
    """Time a picture over the persons in it."""
    estimator = PoseEstimator(model, device="cpu")
    content, box = picture_file((816, 1224))
    picture = decode_image(content)
    calls = {n: partial(estimator.predict, picture, np.tile(box, (n, 1))) for n in counts}
    title = "boxes in a picture of 1 megapixel"
    times = milliseconds(calls, turns)
    return [Growth("persons", "ms a picture", title, {"n": (counts, times)})]


def by_megapixels(model: str, turns: int, sizes: Sequence[float]) -> list[Growth]:
    """Time from a JPEG file to a pose, over its pixels."""
    estimator = PoseEstimator(model, device="cpu")
    with_box: dict[float, Callable[[], object]] = {}
    without: dict[float, Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            height = round(math.sqrt(size * 2e6 / 3))
            content, box = picture_file((height, round(1.5 * height)))
            path = Path(folder) / f"{size:g}.jpg"
            path.write_bytes(content)
            with_box[size] = partial(estimator.predict, path, box[None])
            without[size] = partial(estimator.predict, path)
        times = {"with its box": with_box, "without": without}
        curves = {name: (sizes, milliseconds(calls, turns)) for name, calls in times.items()}
    return [Growth("megapixels of a JPEG", "ms a picture", "one person", curves)]


def by_pictures(model: str, turns: int, counts: Sequence[int]) -> list[Growth]:
    """Time and memory of `spcnet predict` over the pictures in a folder, with boxes, JSON alone."""
    content, box = picture_file((816, 1224))
    x0, y0, x1, y1 = box.tolist()
    times, held = [], []
    for count in counts:
        with tempfile.TemporaryDirectory() as place:
            pictures, out, boxes = (Path(place) / name for name in ("in", "out", "boxes.json"))
            pictures.mkdir()
            first = pictures / "00000.jpg"
            first.write_bytes(content)
            names = [first.name]
            for n in range(1, count):
                names.append(f"{n:05}.jpg")
                os.link(first, pictures / names[-1])
            rows = [{"file_name": name, "bbox": [x0, y0, x1 - x0, y1 - y0]} for name in names]
            boxes.write_text(json.dumps(rows))
            command = [
                *(sys.executable, "-c", PREDICT, "predict", pictures, "-o", out),
                *("--boxes", boxes, "--save", "json", "--model", model, "--device", "cpu"),
            ]
            began = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            times.append(time.perf_counter() - began)
            held.append(int(re.findall(r"most (\d+) kB", done.stderr)[-1]) / 1000)
    title = "predict, boxes, JSON alone"
    return [
        Growth("pictures in a folder", "s", title, {"n": (counts, times)}),
        Growth("pictures in a folder", "MB", title, {"n": (counts, held)}),
    ]


# The command, and after it what its process held at most.
PREDICT = """
import re, sys
from pathlib import Path
from spcnet.cli.main import main
try:
    main()
finally:
    most = re.search(r"VmHWM:\\s*(\\d+ kB)", Path("/proc/self/status").read_text())
    print("most", most[1], file=sys.stderr)
"""

CASES: dict[str, tuple[Callable[..., list[Growth]], Sequence[float]]] = {
    "stacks": (by_stacks, (1, 2, 4, 8)),
    "pixels": (by_pixels, (128, 192, 256, 384, 512)),
    "batch": (by_batch, (1, 2, 4, 8, 16, 32)),
    "persons": (by_persons, (1, 2, 4, 8, 16)),
    "megapixels": (by_megapixels, (0.25, 1, 4, 12, 24)),
    "pictures": (by_pictures, (100, 1000, 10000)),
}


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--least", action="store_true", help="two small cases of each")
    parser.add_argument("--out", type=Path, help="a .png")
    options = parser.parse_args()
    panels = []
    for name in options.only:
        measure, sizes = CASES[name]
        if options.least:
            sizes = (2, 3) if name == "pictures" else sizes[:2]
        for panel in measure(options.model, options.turns, sizes):
            panels.append(panel)
            for curve, (xs, ys) in panel.curves.items():
                numbers = ", ".join(f"{x:g}: {y:.4g}" for x, y in zip(xs, ys, strict=True))
                print(f"{panel.xlabel}, {curve}, {panel.ylabel}: {numbers}", flush=True)
    if options.out is not None:
        picture = io.BytesIO()
        draw_growth(panels).savefig(picture, format="png")
        options.out.write_bytes(picture.getvalue())


if __name__ == "__main__":
    main()
