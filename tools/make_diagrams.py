"""Draw the two pictures of docs/how.md: the data's road, and the network.

    python tools/make_diagrams.py --out docs/images

The road shows what really happens to examples/standing.jpg. Both pictures bring their own ground,
so that they read alike on light and dark pages.
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, FancyBboxPatch, Rectangle

from spcnet.codec import square_of_box
from spcnet.geometry import apply_affine, crop_affine
from spcnet.heatmaps import decode, pixels_to_cells
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.views import cut_out
from spcnet.media.images import read_image
from spcnet.viz.skeletons import draw_skeleton

EXAMPLES = Path(__file__).parents[1] / "examples"
PICTURE = "standing.jpg"
JOINT = "left_knee"

GROUND = "#f6f5f1"
CARD = "#ffffff"
INK = "#1d2630"
QUIET = "#5a6570"
LINE = "#c9c6bd"
ACCENT = "#0b6a99"
TINT = "#dcebf3"
WARM = "#fbe7bd"
WARM_INK = "#7a5200"
BARS = 46.5  # height at which the bars of a module lie
LEVELS = ((1, 64), (2, 32), (3, 16), (4, 16))  # of a module, and their side in cells


def main() -> None:
    """Read the arguments and write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "spcnet", "text.color": INK})
    draw_road().savefig(folder / "road.jpg", dpi=180, facecolor=GROUND, pil_kwargs={"quality": 88})
    draw_network().savefig(folder / "network.svg", facecolor=GROUND, metadata={"Date": None})
    print(folder / "road.jpg", folder / "network.svg", sep="\n")


def draw_road() -> Figure:
    """From a picture and a box to joints in the picture, by what the default model does."""
    picture, box = read_image(EXAMPLES / PICTURE), _true_box()
    estimator = PoseEstimator(device="cpu")
    size = estimator.codec.input_size
    (pose,) = estimator.predict(picture, [box])
    crop, _ = cut_out(picture, np.array(box), size)
    heatmaps = estimator.heatmaps(picture, box)
    centre, side = square_of_box(box)
    in_crop = apply_affine(crop_affine(centre, side, size), pose.keypoints)

    figure = Figure(figsize=(7.6, 5.55))
    panels = figure.subplots(2, 3)
    figure.subplots_adjust(left=0.03, right=0.97, top=0.94, bottom=0.055, wspace=0.24, hspace=0.28)
    titles = ("1  picture and box", f"2  crop, {size} x {size}", "3  a heatmap a joint")
    titles += ("4  peak, finer than a cell", "5  joints in the crop", "6  joints in the picture")
    below = (
        "or searched for",
        "box, squared, x 1.25",
        f"{heatmaps.shape[1]} x {heatmaps.shape[2]}",
    )
    below += (JOINT.replace("_", " "), "a score each", "the same map, backwards")
    for axes, title, note in zip(panels.flat, titles, below, strict=True):
        axes.set_title(title, fontsize=11, fontweight="bold", loc="left", pad=5)
        axes.text(0, -0.035, note, fontsize=9.5, color=QUIET, va="top", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(LINE)

    x0, y0, x1, y1 = box
    _show(panels[0, 0], picture)
    frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color="#ffffff", linewidth=3)
    panels[0, 0].add_patch(frame)
    panels[0, 0].add_patch(
        Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=ACCENT, linewidth=1.8)
    )
    _show(panels[0, 1], crop)
    _show(panels[0, 2], _mosaic(heatmaps), cmap="viridis")
    _draw_peak(panels[1, 0], heatmaps[pose.skeleton.index(JOINT)], estimator, in_crop, pose)
    large = np.kron(crop, np.ones((4, 4, 1), dtype=np.uint8))
    _show(panels[1, 1], draw_skeleton(large, in_crop * 4 + 1.5, pose.scores, pose.skeleton))
    _show(panels[1, 2], draw_skeleton(picture, pose.keypoints, pose.scores, pose.skeleton))
    for row in panels:
        for here, there in pairwise(row):
            figure.add_artist(_arrow_between(here, there))
    return figure


def draw_network() -> Figure:
    """The stacks, the inside of one of them, and the Selective Information Module."""
    figure = Figure(figsize=(7.6, 8.6))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 76), ylim=(0, 86), xticks=[], yticks=[])
    axes.axis("off")
    _draw_stacks(axes)
    _draw_module(axes)
    _draw_selection(axes)
    return figure


def _draw_stacks(axes: Axes) -> None:
    _heading(axes, 83, "SPCNet", "eight Dilated Hourglass Modules (DHM), one after the other")
    _box(axes, 3, 70, 9, 8, "image", "256 x 256", fill=CARD)
    _box(axes, 15.5, 70, 9, 8, "stem", "64 x 64", fill=CARD)
    for left, number in ((28, 1), (40, 2), (62, 8)):
        _box(axes, left, 70, 10, 8, f"DHM {number}", "64 x 64", fill=TINT, edge=ACCENT)
        _box(axes, left + 1, 62, 8, 4.6, "heatmaps", fill=WARM, edge=WARM_INK, size=8)
        _arrow(axes, (left + 5, 70), (left + 5, 66.6))
    for start, end in ((12, 15.5), (24.5, 28), (38, 40), (50, 53), (59, 62)):
        _arrow(axes, (start, 74), (end, 74))
    axes.text(56, 74, "...", ha="center", va="center", fontsize=13, color=QUIET)
    # What each stack predicts goes into the next one, as its features do.
    _arrow(axes, (37, 64.3), (41.5, 70), bend=0.25)
    axes.text(
        3, 64.3, "Each stack is taught, and\nhands its heatmaps on.", fontsize=9.5, color=QUIET,
        va="center",
    )  # fmt: skip


def _draw_module(axes: Axes) -> None:
    _heading(axes, 57, "Inside a DHM", "only two poolings; amber is dilated instead")
    middle, unit = 38.0, 7.4
    for depth, (level, cells) in enumerate(LEVELS):
        height = 12 * (cells / 64) ** 0.5
        fill, edge = (TINT, ACCENT) if cells > 16 else (WARM, WARM_INK)
        for sign in (-1, 1):
            left = middle + sign * (4 - depth) * unit - 2.4
            _bar(axes, left, BARS - height / 2, 4.8, height, fill, edge)
            axes.text(left + 2.4, BARS, str(cells), ha="center", va="center", fontsize=10)
            if depth:
                step = left - unit + 4.8 if sign < 0 else left + 4.8
                _arrow(axes, (step, BARS), (step + unit - 4.8, BARS))
        # The road around the inner levels.
        reach = (4 - depth) * unit
        low = 39.4 - 1.9 * (3 - depth)
        axes.plot(
            [middle - reach, middle - reach, middle + reach],
            [BARS - height / 2, low, low], color=LINE, linewidth=1.3, zorder=1,
        )  # fmt: skip
        _arrow(axes, (middle + reach, low), (middle + reach, BARS - height / 2), colour=QUIET)
        axes.text(
            middle + reach, BARS + height / 2 + 0.7, f"level {level}", ha="center", va="bottom",
            fontsize=8.5, color=QUIET,
        )  # fmt: skip
    _bar(axes, middle - 2.4, BARS - 3, 4.8, 6, WARM, WARM_INK)
    axes.text(middle, BARS, "16", ha="center", va="center", fontsize=10)
    _arrow(axes, (middle - unit + 2.4, BARS), (middle - 2.4, BARS))
    _arrow(axes, (middle + 2.4, BARS), (middle + unit - 2.4, BARS))


def _draw_selection(axes: Axes) -> None:
    _heading(axes, 28.5, "Selective Information Module", "each pixel chooses among the levels")
    for row, (level, cells) in enumerate(reversed(LEVELS)):
        y = 19.2 - 5.6 * row
        fill, edge = (TINT, ACCENT) if cells > 16 else (WARM, WARM_INK)
        _box(axes, 3, y, 19, 4.4, f"level {level} of all stacks, {cells} x {cells}", size=8.2,
             fill=fill, edge=edge)  # fmt: skip
        _box(axes, 26.5, y, 12.5, 4.4, "1x1, to 64 x 64", fill=CARD, size=8.2)
        _arrow(axes, (22, y + 2.2), (26.5, y + 2.2))
        _arrow(axes, (39, y + 2.2), (44, 13 + 0.55 * (1.5 - row)))
    _box(
        axes,
        44,
        8.2,
        14,
        9.6,
        "weighted sum",
        "each pixel's weights: a\nsoftmax over levels",
        fill=CARD,
    )
    _box(axes, 62.5, 9.2, 10.5, 7.6, "heatmaps", "64 x 64", fill=WARM, edge=WARM_INK)
    _arrow(axes, (58, 13), (62.5, 13))


def _heading(axes: Axes, y: float, title: str, note: str) -> None:
    heading = axes.text(3, y, title, fontsize=12.5, fontweight="bold", va="baseline")
    axes.annotate(
        note, (1, 0), xycoords=heading, xytext=(9, y), textcoords=("offset points", "data"),
        fontsize=9.5, color=QUIET, va="baseline",
    )  # fmt: skip


def _box(
    axes: Axes, left: float, low: float, width: float, height: float, label: str, note: str = "", *,
    fill: str, edge: str = LINE, size: float = 10,
) -> None:  # fmt: skip
    _bar(axes, left, low, width, height, fill, edge)
    middle = left + width / 2, low + height / 2
    if not note:
        axes.text(*middle, label, ha="center", va="center", fontsize=size)
        return
    lines = note.count("\n") + 1
    axes.text(
        middle[0], middle[1] + 0.75 * lines + 0.25, label, ha="center", va="center", fontsize=size,
    )  # fmt: skip
    axes.text(
        middle[0], middle[1] - 1.35, note, ha="center", va="center", fontsize=size - 2, color=QUIET,
    )  # fmt: skip


def _bar(
    axes: Axes, left: float, low: float, width: float, height: float, fill: str, edge: str
) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (left, low), width, height, boxstyle="round,pad=0,rounding_size=0.7",
            facecolor=fill, edgecolor=edge, linewidth=1.1, zorder=2,
        )
    )  # fmt: skip


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    colour: str = INK,
    bend: float = 0.0,
) -> None:
    axes.annotate(
        "", end, start, zorder=3,
        arrowprops={
            "arrowstyle": "-|>,head_width=0.16,head_length=0.32", "color": colour, "linewidth": 1.1,
            "shrinkA": 0, "shrinkB": 0, "connectionstyle": f"arc3,rad={bend}",
        },
    )  # fmt: skip


def _arrow_between(here: Axes, there: Axes) -> ConnectionPatch:
    return ConnectionPatch(
        (1.04, 0.5), (-0.04, 0.5), "axes fraction", "axes fraction", axesA=here, axesB=there,
        arrowstyle="-|>,head_width=0.3,head_length=0.5", color=INK, linewidth=1.4,
        shrinkA=0, shrinkB=0,
    )  # fmt: skip


def _show(axes: Axes, image: np.ndarray, **options: str) -> None:
    """A picture in a square panel, its longer side filling it."""
    height, width = image.shape[:2]
    reach = max(height, width) / 2
    axes.imshow(image, interpolation="nearest" if options else "lanczos", **options)
    axes.set_xlim((width - 1) / 2 - reach, (width - 1) / 2 + reach)
    axes.set_ylim((height - 1) / 2 + reach, (height - 1) / 2 - reach)
    axes.set_facecolor(GROUND)
    axes.spines[:].set_visible(False)


def _mosaic(heatmaps: np.ndarray) -> np.ndarray:
    """Heatmaps (K, h, w) in a square of them with a line between; NaN where none is."""
    height, width = heatmaps.shape[1:]
    across = int(np.ceil(len(heatmaps) ** 0.5))
    mosaic = np.full((across * (height + 2) - 2, across * (width + 2) - 2), np.nan)
    for number, heatmap in enumerate(heatmaps):
        top, left = number // across * (height + 2), number % across * (width + 2)
        mosaic[top : top + height, left : left + width] = heatmap.clip(0) ** 0.5
    return mosaic


def _draw_peak(
    axes: Axes, heatmap: np.ndarray, estimator: PoseEstimator, in_crop: np.ndarray, pose: object
) -> None:
    """The cells about one joint's peak, the highest cell's middle and the refined point."""
    (coarse,), _ = decode(torch.from_numpy(heatmap)[None], refinement="none")
    joint = estimator.skeleton.index(JOINT)
    fine = pixels_to_cells(torch.from_numpy(in_crop[joint]), estimator.network.stride)
    axes.imshow(heatmap, cmap="viridis", interpolation="nearest")
    axes.set_xlim(coarse[0] - 3.5, coarse[0] + 3.5)
    axes.set_ylim(coarse[1] + 3.5, coarse[1] - 3.5)
    axes.plot(*coarse, "o", color="#ffffff", markersize=7, markeredgecolor=INK)
    axes.plot(*fine, "+", color="#d1341f", markersize=15, markeredgewidth=3)


def _true_box() -> list[float]:
    """The person's tight box in the example picture, x0, y0, x1, y1."""
    truth = json.loads((EXAMPLES / "joints.json").read_text())
    (image_id,) = [i["id"] for i in truth["images"] if i["file_name"] == PICTURE]
    (row,) = [row for row in truth["annotations"] if row["image_id"] == image_id]
    x, y, width, height = row["bbox"]
    return [x, y, x + width, y + height]


if __name__ == "__main__":
    main()
