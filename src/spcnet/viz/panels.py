"""What a network sees, beside what it says: heatmaps, skeletons, and the choice of levels.

The panels of Figures 1, 5 and 6 of the paper, and the weights A of the Selective Information
Module (eq. 2-4). Everything here takes arrays; nothing needs a display.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.skeletons import Skeleton
from spcnet.viz.skeletons import Colour, draw_skeleton

PANEL = 320  # side of a panel in the pixels of a PNG: crops of this side are drawn as they are
DPI = 200
GAP = 8  # pixels between panels
TITLE = 40  # pixels above the first row
MARGIN = 8
BAR = 76  # of a colour bar with its numbers
LEGEND = 36
FONT = 7.5  # points
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
    """How one model mixes its levels for one person.

    Attributes:
        crop: RGB uint8 (S, S, 3), what the model looked at, at any size.
        attention: (L, h, w) weights of the levels over the whole crop, coarsest level first; at
            each cell they sum to 1.
    """

    crop: Array
    attention: Array


def dim(crop: Array) -> Array:
    """A dark grey copy of an RGB uint8 (H, W, 3) picture, as a ground for colours."""
    grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
    return np.repeat((0.6 * grey).astype(np.uint8)[..., None], 3, axis=2)


def overlay_heatmaps(crop: Array, heatmaps: Array) -> Array:
    """The heatmaps of all joints over the dimmed crop.

    The joints' maps are combined by their maximum. Colour and opacity follow its square root, so
    that a doubtful joint, whose map is low and wide, is seen too.

    Args:
        crop: RGB uint8 (H, W, 3).
        heatmaps: (K, h, w) over the whole crop; what lies outside 0..1 is cut off.

    Returns:
        RGB uint8 (H, W, 3).
    """
    height, width = crop.shape[:2]
    roots = np.sqrt(heatmaps.max(axis=0).clip(0, 1)).astype(np.float32)
    strength = cv2.resize(roots, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    return _blend(dim(crop), _coloured(strength, HEATMAP_COLOURS), strength)


def choose_level(attention: Array) -> tuple[Array, Array]:
    """The level of the largest weight at each cell, and by how much it leads the second.

    Args:
        attention: (L, h, w) weights that sum to 1 over the levels.

    Returns:
        (h, w) indices into L, and (h, w) leads in [0, 1]; with one level the lead is its weight.
    """
    ordered = np.sort(attention, axis=0)
    second = ordered[-2] if len(ordered) > 1 else np.zeros_like(ordered[-1])
    return attention.argmax(axis=0), ordered[-1] - second


def overlay_levels(crop: Array, attention: Array) -> Array:
    """The level that each cell takes most of, over the dimmed crop.

    Colour names the level (`LEVEL_COLOURS`, coarsest first); opacity grows with the lead of its
    weight, up to `LEVEL_OPACITY`.

    Args:
        crop: RGB uint8 (H, W, 3).
        attention: (L, h, w) weights over the whole crop, coarsest level first.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        UserError: there are more levels than colours that can be distinguished.
    """
    height, width = crop.shape[:2]
    chosen, lead = choose_level(attention)
    palette = np.array(_level_colours(len(attention)), dtype=np.uint8)
    size = (width, height)
    # A level is never between two others, so cells keep their edges.
    colours = cv2.resize(palette[chosen], size, interpolation=cv2.INTER_NEAREST)
    opacity = cv2.resize(lead.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    return _blend(dim(crop), colours, LEVEL_OPACITY * opacity.clip(0, 1))


def level_names(sizes: Sequence[int]) -> list[str]:
    """What levels are called: numbered from the outermost, with their sizes in cells.

    Args:
        sizes: side of each level in cells, innermost (the highest number) first.
    """
    return [f"level {len(sizes) - n}: {size} x {size}" for n, size in enumerate(sizes)]


def draw_panels(rows: Sequence[Sequence[View]], models: Sequence[str]) -> Figure:
    """Input, and each model's heatmaps and skeleton: a row a person (Figures 1 and 5).

    Args:
        rows: for each person one view a model, in the order of `models`; the input is shown as
            the first model saw it.
        models: the models' names, for the titles.
    """
    titles = ["input"]
    for name in models:
        model = name if len(name) <= LONGEST_NAME else "…" + name[1 - LONGEST_NAME :]
        titles += [f"heatmaps, {model}", f"skeleton, {model}"]
    sheet = _Sheet(rows=len(rows), width=len(titles) * (PANEL + GAP) - GAP)
    for column, title in enumerate(titles):
        sheet.add_title(column * (PANEL + GAP), title)
    for n, views in enumerate(rows):
        pictures = [views[0].crop]
        for view in views:
            drawn = draw_skeleton(view.crop, view.keypoints, view.scores, view.skeleton)
            pictures += [overlay_heatmaps(view.crop, view.heatmaps), drawn]
        for column, picture in enumerate(pictures):
            sheet.add_panel(n, column * (PANEL + GAP)).imshow(picture, interpolation="none")
    return sheet.figure


def draw_heatmaps(view: View) -> Figure:
    """One person's skeleton, the joints' heatmaps together, and each joint's own."""
    small = (PANEL - GAP) // 2
    columns = math.ceil(len(view.heatmaps) / 2)
    together, joints = PANEL + GAP, 2 * (PANEL + GAP)
    sheet = _Sheet(rows=1, width=joints + columns * (small + GAP) - GAP)
    drawn = draw_skeleton(view.crop, view.keypoints, view.scores, view.skeleton)
    for left, title, picture in (
        (0, "skeleton", drawn),
        (together, "heatmaps", overlay_heatmaps(view.crop, view.heatmaps)),
    ):
        sheet.add_title(left, title)
        sheet.add_panel(0, left).imshow(picture, interpolation="none")
    sheet.add_title(joints, "heatmap and score of each joint")
    for n, (name, score) in enumerate(zip(view.skeleton.joints, view.scores, strict=True)):
        down, right = divmod(n, columns)
        place = joints + right * (small + GAP)
        panel = sheet.add_panel(0, place, top=down * (small + GAP), side=small)
        panel.imshow(overlay_heatmaps(view.crop, view.heatmaps[n : n + 1]), interpolation="none")
        panel.text(
            0.03, 0.96, f"{name} {score:.2f}", transform=panel.transAxes, va="top",
            fontsize=0.65 * FONT, color="white", parse_math=False,
        )  # fmt: skip
    return sheet.figure


def draw_levels(rows: Sequence[LevelView], sizes: Sequence[int]) -> Figure:
    """Which level each cell takes most of, and every level's weights: one row per person.

    Args:
        rows: one view a person.
        sizes: side of each level in cells, in the order of the weights.

    Raises:
        UserError: there are more levels than colours that can be distinguished.
    """
    colours = ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in _level_colours(len(sizes))]
    small = (PANEL - GAP) // 2
    columns = math.ceil(len(sizes) / 2)
    choice, weights = PANEL + GAP, 2 * (PANEL + GAP)
    end = weights + columns * (small + GAP) - GAP
    sheet = _Sheet(rows=len(rows), width=end + BAR, below=LEGEND)
    for left, title in (
        (0, "input"),
        (choice, "largest weight"),
        (weights, "weight of each level"),
    ):
        sheet.add_title(left, title)
    scale = Normalize(0, 1)
    for n, view in enumerate(rows):
        sheet.add_panel(n, 0).imshow(view.crop, interpolation="none")
        chosen = overlay_levels(view.crop, view.attention)
        sheet.add_panel(n, choice).imshow(chosen, interpolation="none")
        for level, (of_level, colour) in enumerate(zip(view.attention, colours, strict=True)):
            down, right = divmod(level, columns)
            left, top = weights + right * (small + GAP), down * (small + GAP)
            panel = sheet.add_panel(n, left, top=top, side=small)
            panel.imshow(of_level, cmap=WEIGHT_COLOURS, norm=scale, interpolation="none")
            _add_frame(panel, colour)
    sheet.add_bar(end, ScalarMappable(scale, WEIGHT_COLOURS))
    sheet.add_legend(dict(zip(level_names(sizes), colours, strict=True)))
    return sheet.figure


def _level_colours(levels: int) -> tuple[Colour, ...]:
    if levels > len(LEVEL_COLOURS):
        raise UserError(
            f"{levels} levels are too many to tell apart by colour; there are colours for "
            f"{len(LEVEL_COLOURS)}"
        )
    return LEVEL_COLOURS[:levels]


def _blend(ground: Array, colours: Array, opacity: Array) -> Array:
    """RGB uint8 colours over a ground, by an opacity (H, W) in [0, 1]."""
    share = opacity[..., None]
    mixed: Array = np.rint((1 - share) * ground + share * colours).astype(np.uint8)
    return mixed


def _coloured(values: Array, name: str) -> Array:
    """Values (H, W) in [0, 1] as RGB uint8 of a colour map."""
    coloured: Array = mpl.colormaps[name](values, bytes=True)[..., :3]
    return coloured


class _Sheet:
    """A figure of square panels, laid out by hand to the pixel: a row a person, titles on top.

    A layout engine would leave white between panels that are all of one shape. Places are pixels,
    from the left and the top of the row.
    """

    def __init__(self, *, rows: int, width: int, below: int = 0) -> None:
        self.width = 2 * MARGIN + width
        self.height = TITLE + rows * (PANEL + GAP) - GAP + MARGIN + below
        size = (self.width / DPI, self.height / DPI)
        self.figure = Figure(figsize=size, dpi=DPI, facecolor="white")

    def add_title(self, left: int, text: str) -> None:
        self.figure.text(
            *self._at(left, TITLE - 12), text, fontsize=FONT, color=INK, parse_math=False
        )

    def add_panel(self, row: int, left: int, *, top: int = 0, side: int = PANEL) -> Axes:
        bottom = TITLE + row * (PANEL + GAP) + top + side
        place = (*self._at(left, bottom), side / self.width, side / self.height)
        panel = self.figure.add_axes(place)
        panel.set_axis_off()
        return panel

    def add_bar(self, left: int, scale: ScalarMappable) -> None:
        """One scale for all rows, beside the first."""
        bar = self.add_panel(0, left + 14)
        bar.set_axis_on()
        place = bar.get_position()
        bar.set_position((place.x0, place.y0, 14 / self.width, place.height))
        self.figure.colorbar(scale, cax=bar, ticks=[0, 0.5, 1])
        bar.tick_params(labelsize=FONT, labelcolor=INK, length=2, width=0.5, pad=2)
        bar.spines["outline"].set_visible(False)

    def add_legend(self, colours: Mapping[str, str]) -> None:
        """Names and their colours, in one line below the panels."""
        self.figure.legend(
            handles=[Patch(color=colour, label=name) for name, colour in colours.items()],
            loc="lower left",
            bbox_to_anchor=self._at(0, self.height - 8),
            ncols=len(colours),
            fontsize=FONT,
            labelcolor=INK,
            frameon=False,
            borderpad=0,
            borderaxespad=0,
            handlelength=1,
            handleheight=1,
            handletextpad=0.5,
            columnspacing=1.5,
        )

    def _at(self, left: int, down: int) -> tuple[float, float]:
        """A place in pixels as shares of the figure, which count from the bottom."""
        return (MARGIN + left) / self.width, 1 - down / self.height


def _add_frame(panel: Axes, colour: str) -> None:
    """The colour of a level around its weights."""
    frame = Rectangle((0, 0), 1, 1, transform=panel.transAxes, fill=False, edgecolor=colour)
    frame.set(linewidth=1.5, clip_on=False)
    panel.add_patch(frame)
