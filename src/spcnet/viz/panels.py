"""What a network sees, beside what it says: heatmaps, skeletons, and the choice of levels.

The panels of Figures 1, 5 and 6 of the paper, and the weights A of the Selective Information
Module (eq. 2-4). Everything here takes arrays; nothing needs a display.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.skeletons import Skeleton
from spcnet.viz.skeletons import Colour, draw_skeleton

PANEL = 320  # side of a panel in the pixels of a PNG: crops of this side are drawn as they are
COLUMNS = 7  # of joints' heatmaps
DPI = 200
GAP = 8  # pixels between panels, and around them
TITLE = 40  # pixels above the first row
BAR = 68  # of a colour bar with its numbers
FONT = 7  # points
INK = "#333333"
LONGEST_NAME = 18  # letters of a model's name in a title; of a longer one the end is shown

HEATMAP_COLOURS = "plasma"  # its low end is no black, which would pass for shadow
WEIGHT_COLOURS = "cividis"
LEVEL_OPACITY = 0.8  # at a lead of 1, so that the picture still shows
# Okabe and Ito's, without the two that skeletons have for left and right.
LEVEL_COLOURS: tuple[Colour, ...] = (
    (213, 94, 0), (240, 228, 66), (0, 158, 115), (0, 114, 178), (204, 121, 167),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class View:
    """What one model says of one person.

    Attributes:
        crop: RGB uint8 (S, S, 3), what the model looked at, at any size.
        heatmaps: (K, h, w) over the whole crop; an ideal peak is 1.
        keypoints: (K, 2) pixels of the crop.
        scores: (K,) in [0, 1].
        skeleton: names and limbs of the K joints.
    """

    crop: Array
    heatmaps: Array
    keypoints: Array
    scores: Array
    skeleton: Skeleton


@dataclass(frozen=True, kw_only=True)
class LevelView:
    """How one model mixes its levels for one person, over the crop that it looked at.

    The weights (L, h, w) of the levels, coarsest first, sum to 1 at each cell.
    """

    crop: Array
    attention: Array


def dim(crop: Array) -> Array:
    """A dark grey copy of an RGB uint8 (H, W, 3) picture, as a ground for colours."""
    grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
    return np.repeat((0.6 * grey).astype(np.uint8)[..., None], 3, axis=2)


def overlay_heatmaps(crop: Array, heatmaps: Array) -> Array:
    """The largest of the joints' heatmaps (K, h, w) over a dimmed crop, both RGB uint8 (H, W, 3).

    Colour and opacity follow the square root of what lies in 0..1, so that a doubtful joint, whose
    map is low and wide, is seen too.
    """
    roots = np.sqrt(heatmaps.max(axis=0).clip(0, 1)).astype(np.float32)
    strength = cv2.resize(roots, crop.shape[1::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1)
    colours = mpl.colormaps[HEATMAP_COLOURS](strength, bytes=True)[..., :3]
    return _blend(dim(crop), colours, strength)


def overlay_levels(crop: Array, attention: Array) -> Array:
    """The level that each cell takes most of, over a dimmed crop, both RGB uint8 (H, W, 3).

    Colour names the level (`LEVEL_COLOURS`, coarsest first, as are the weights (L, h, w)); opacity
    grows with the lead of its weight over the second, up to `LEVEL_OPACITY`.

    Raises:
        UserError: there are more levels than colours that can be distinguished.
    """
    if len(attention) > len(LEVEL_COLOURS):
        raise UserError(
            f"{len(attention)} levels are too many to tell apart by colour; there are colours for "
            f"{len(LEVEL_COLOURS)}"
        )
    *_, second, first = [np.zeros_like(attention[0]), *np.sort(attention, axis=0)]
    palette = np.array(LEVEL_COLOURS, dtype=np.uint8)
    size = crop.shape[1::-1]
    # A level is never between two others, so cells keep their edges.
    colours = cv2.resize(palette[attention.argmax(axis=0)], size, interpolation=cv2.INTER_NEAREST)
    opacity = cv2.resize((first - second).astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    return _blend(dim(crop), colours, LEVEL_OPACITY * opacity.clip(0, 1))


def draw_panels(rows: Sequence[Sequence[View]], models: Sequence[str]) -> Figure:
    """Input, and each model's heatmaps and skeleton: a row a person (Figures 1 and 5).

    For each person there is one view a model; the input is shown as the first model saw it.
    """
    titles = ["input"]
    for name in models:
        model = name if len(name) <= LONGEST_NAME else "…" + name[1 - LONGEST_NAME :]
        titles += [f"heatmaps, {model}", f"skeleton, {model}"]
    pictures = [
        [views[0].crop, *(picture for view in views for picture in _seen(view))] for views in rows
    ]
    return _grid(pictures, titles)[0]


def draw_heatmaps(view: View) -> Figure:
    """One person's skeleton, the joints' heatmaps together, and each joint's own."""
    together, skeleton = _seen(view)
    joints = [overlay_heatmaps(view.crop, heatmap[None]) for heatmap in view.heatmaps]
    pictures = [skeleton, together, *joints]
    rows = [pictures[start : start + COLUMNS] for start in range(0, len(pictures), COLUMNS)]
    figure, panels = _grid(rows, ["skeleton", "heatmaps", "heatmap and score of each joint"])
    for panel, name, score in zip(panels[2:], view.skeleton.joints, view.scores, strict=True):
        panel.text(
            0.03, 0.97, f"{name} {score:.2f}", transform=panel.transAxes, va="top", fontsize=FONT,
            color="white", parse_math=False,
        )  # fmt: skip
    return figure


def _seen(view: View) -> tuple[Array, Array]:
    """Heatmaps and skeleton over the crop."""
    drawn = draw_skeleton(view.crop, view.keypoints, view.scores, view.skeleton)
    return overlay_heatmaps(view.crop, view.heatmaps), drawn


def draw_levels(rows: Sequence[LevelView], sizes: Sequence[int]) -> Figure:
    """Which level each cell takes most of, and every level's weights: one row per person.

    The sizes are the sides of the levels in cells, in the order of the weights.

    Raises:
        UserError: there are more levels than colours that can be distinguished.
    """
    pictures = [
        [view.crop, overlay_levels(view.crop, view.attention), *view.attention] for view in rows
    ]
    # Numbered from the outermost, with their sizes in cells.
    names = [f"level {len(sizes) - n}: {size} x {size}" for n, size in enumerate(sizes)]
    titles = ["input", "largest weight", *names]
    figure, panels = _grid(pictures, titles, right=BAR)
    for n, panel in enumerate(panels):
        level = n % len(titles) - 2
        if level >= 0:  # in the colour that it has in the panel of the largest weights
            panel.set(xticks=[], yticks=[])
            panel.set_axis_on()
            panel.spines[:].set(color=np.divide(LEVEL_COLOURS[level], 255), linewidth=1.5)
    # One scale for all rows, beside the first.
    bar = panels[len(titles) - 1].inset_axes((1.04, 0, 0.045, 1))
    figure.colorbar(ScalarMappable(cmap=WEIGHT_COLOURS), cax=bar, ticks=[0, 0.5, 1])
    bar.tick_params(labelsize=FONT, labelcolor=INK, length=2, width=0.5, pad=2)
    bar.spines["outline"].set_visible(False)
    return figure


def _grid(
    rows: Sequence[Sequence[Array]], titles: Sequence[str], *, right: int = 0
) -> tuple[Figure, list[Axes]]:
    """Square pictures (H, W, 3), or weights (H, W), in rows with titles over the first.

    Laid out to the pixel, as a layout engine would leave white between panels; with room at the
    right. Gives their axes too, row by row.
    """
    columns = len(rows[0])
    width = columns * (PANEL + GAP) + GAP + right
    height = TITLE + len(rows) * (PANEL + GAP)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    places = figure.add_gridspec(
        len(rows), columns, left=GAP / width, right=1 - (GAP + right) / width,
        top=1 - TITLE / height, bottom=GAP / height, wspace=GAP / PANEL, hspace=GAP / PANEL,
    )  # fmt: skip
    panels = []
    for n, row in enumerate(rows):
        for column, picture in enumerate(row):
            panel = figure.add_subplot(places[n, column])
            panel.imshow(picture, cmap=WEIGHT_COLOURS, vmin=0, vmax=1, interpolation="none")
            panel.set_axis_off()
            panels.append(panel)
    for panel, title in zip(panels, titles, strict=False):
        panel.set_title(title, fontsize=FONT, color=INK, loc="left", parse_math=False)
    return figure, panels


def _blend(ground: Array, colours: Array, opacity: Array) -> Array:
    """RGB uint8 colours over a ground, by an opacity (H, W) in [0, 1]."""
    share = opacity[..., None]
    mixed: Array = np.rint((1 - share) * ground + share * colours).astype(np.uint8)
    return mixed
