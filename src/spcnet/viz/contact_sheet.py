"""A sheet of small pictures with labelled skeletons, to look many persons over at once."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spcnet.geometry import Array
from spcnet.skeletons import Skeleton
from spcnet.viz.skeletons import SUBPIXEL_BITS, Colour, Style, draw_skeleton

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Lines as wide as a tile allows, whatever the person's size; what has score 0 is not drawn at all.
STYLE = Style(thickness=1.0, faint=0.0, sure=1.0)
HIDDEN = 0.5  # opacity of what ends in an occluded joint
RING = 0.019  # radius of an occluded joint's ring over the tile's side

GAP = 12
PAPER = (250, 250, 248)
INK = (32, 32, 32)
SOFT_INK = (96, 96, 96)
FONT_SIZE = 14
LINE = 19
HEADER = 2 * LINE + GAP
NARROWEST = 620  # that the heading fits into


def draw_labels(
    image: Array, points: Array, labelled: Array, visible: Array, skeleton: Skeleton
) -> Array:
    """A copy of a crop with a person's labels over it.

    A visible joint is a dot, an occluded one a ring on a faded limb; one without a label is left
    out, and so are its limbs.

    Args:
        image: RGB uint8 (H, W, 3).
        points: (K, 2) pixels of the crop.
        labelled: (K,) bool.
        visible: (K,) bool; a labelled joint that is not is occluded.
        skeleton: names and limbs of the K joints.

    Raises:
        ValueError: the shapes do not go together.
    """
    count = len(skeleton)
    if points.shape != (count, 2) or labelled.shape != (count,) or visible.shape != (count,):
        raise ValueError(
            f"points, labelled and visible must be ({count}, 2), ({count},) and ({count},), got "
            f"{points.shape}, {labelled.shape} and {visible.shape}"
        )
    labelled = labelled & np.isfinite(points).all(axis=1)
    if not labelled.any():
        return np.ascontiguousarray(image).copy()
    scores = np.where(labelled, np.where(visible, 1.0, HIDDEN), 0.0)
    # What is not labelled may lie anywhere, or nowhere.
    placed = np.where(labelled[:, None], points, points[labelled].mean(axis=0))
    canvas = draw_skeleton(image, placed, scores, skeleton, style=STYLE)
    for joint in np.flatnonzero(labelled & ~visible):
        colour = STYLE.of_side(skeleton.side(int(joint)))
        _ring(canvas, points[joint], colour, radius=max(3.5, RING * max(canvas.shape[:2])))
    return canvas


def contact_sheet(
    tiles: Sequence[Array],
    captions: Sequence[tuple[str, str]],
    *,
    columns: int,
    title: str,
) -> Array:
    """Tiles in rows, two lines of text under each, a heading that explains the marks.

    Args:
        tiles: square RGB uint8 (S, S, 3), all of one side.
        captions: two short lines for each tile; what is too long is cut in its middle.
        columns: tiles in a row.
        title: first line of the heading.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        ValueError: there are no tiles, they differ in shape, or the captions are too many or few.
    """
    if not tiles or len(tiles) != len(captions) or len({tile.shape for tile in tiles}) > 1:
        raise ValueError(
            f"wanted tiles of one shape and a caption each, got {len(tiles)} tiles of shapes "
            f"{sorted({tile.shape for tile in tiles})} and {len(captions)} captions"
        )
    side = tiles[0].shape[0]
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    width = max(NARROWEST, GAP + columns * (side + GAP))
    height = HEADER + GAP + rows * (side + 2 * LINE + GAP)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    draw.text((GAP, GAP), _fitted(draw, title, font, width - 2 * GAP), INK, font)
    marks = _legend(draw, font, GAP + LINE)
    for n, (tile, lines) in enumerate(zip(tiles, captions, strict=True)):
        x = GAP + n % columns * (side + GAP)
        y = HEADER + GAP + n // columns * (side + 2 * LINE + GAP)
        sheet.paste(Image.fromarray(tile), (x, y))
        for row, (line, ink) in enumerate(zip(lines, (INK, SOFT_INK), strict=True)):
            fitted = _fitted(draw, line, font, side)
            draw.text((x, y + side + 2 + row * LINE), fitted, ink, font)
    canvas = np.asarray(sheet).copy()
    for at, colour, visible in marks:
        (_dot if visible else _ring)(canvas, at, colour, radius=5.0)
    return canvas


def _legend(draw: ImageDraw.ImageDraw, font: Font, top: int) -> list[tuple[Array, Colour, bool]]:
    """Write the heading's second line, and give the marks to be drawn before its words."""
    entries = (
        (STYLE.left, True, "left"),
        (STYLE.right, True, "right"),
        (STYLE.centre, True, "middle"),
        (STYLE.left, False, "occluded"),
        (None, False, "not labelled: left out"),
    )
    marks, x = [], float(GAP)
    for colour, visible, text in entries:
        if colour is not None:
            marks.append((np.array([x + 7, top + LINE / 2]), colour, visible))
            x += 20
        draw.text((x, top), text, SOFT_INK, font)
        x += draw.textlength(text, font) + 22
    return marks


def _fitted(
    draw: ImageDraw.ImageDraw,
    text: str,
    font: Font,
    width: int,
) -> str:
    """Text no wider than so many pixels: names differ at their ends, so the middle goes."""
    kept = len(text)
    short = text
    while draw.textlength(short, font) > width and kept > 2:
        kept -= 1
        short = f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"
    return short


def _dot(canvas: Array, at: Array, colour: Colour, *, radius: float) -> None:
    """A visible joint."""
    _disc(canvas, at, radius + 1, STYLE.outline)
    _disc(canvas, at, radius - 0.5, colour)


def _ring(canvas: Array, at: Array, colour: Colour, *, radius: float) -> None:
    """An occluded joint: hollow, so that it differs from a dot without looking at shades."""
    _disc(canvas, at, radius + 1, STYLE.outline)
    _disc(canvas, at, radius, colour)
    _disc(canvas, at, radius - 2, STYLE.outline)


def _disc(canvas: Array, at: Array, radius: float, colour: Colour) -> None:
    """A filled circle with a sub-pixel middle, antialiased."""
    if not (np.abs(at) < 1e5).all():  # beyond what OpenCV's fixed point can hold
        return
    one = 2**SUBPIXEL_BITS
    x, y = (round(float(value) * one) for value in at)
    cv2.circle(canvas, (x, y), round(radius * one), colour, -1, cv2.LINE_AA, SUBPIXEL_BITS)
