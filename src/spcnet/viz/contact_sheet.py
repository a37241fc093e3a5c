"""A sheet of small pictures with labelled skeletons, to look many persons over at once."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spcnet.geometry import Array
from spcnet.skeletons import Skeleton
from spcnet.viz.skeletons import Colour, Style, draw_capsule, draw_skeleton

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
    """
    labelled = labelled & np.isfinite(points).all(axis=1)
    if not labelled.any():
        return np.ascontiguousarray(image).copy()
    scores = np.where(labelled, np.where(visible, 1.0, HIDDEN), 0.0)
    # What is not labelled may lie anywhere, or nowhere.
    placed = np.where(labelled[:, None], points, points[labelled].mean(axis=0))
    canvas = draw_skeleton(image, placed, scores, skeleton, style=STYLE)
    radius = max(3.5, RING * max(canvas.shape[:2]))
    near = (np.abs(points) < 1e5).all(axis=1)  # OpenCV's fixed point can hold no more
    for joint in np.flatnonzero(labelled & ~visible & near):
        _mark(canvas, points[joint], STYLE.of_side(skeleton.side(int(joint))), radius, hollow=True)
    return canvas


def circle_joints(image: Array, points: Array) -> None:
    """Draw white circles about points (P, 2) of a crop, where it is drawn to be looked at."""
    radius = round(0.05 * image.shape[0])
    for x, y in points[(np.abs(points) < 1e5).all(axis=1)].round().astype(int).tolist():
        for width, colour in ((4, STYLE.outline), (2, (255, 255, 255))):
            cv2.circle(image, (x, y), radius, colour, width, cv2.LINE_AA)


def contact_sheet(
    tiles: Sequence[Array], captions: Sequence[tuple[str, str]], *, columns: int, title: str
) -> Array:
    """Tiles in rows, two lines of text under each, a heading that explains the marks.

    Args:
        tiles: square RGB uint8 (S, S, 3), all of one side.
        captions: two short lines for each tile; what is too long is cut in its middle.
        columns: tiles in a row.
        title: first line of the heading.

    Returns:
        RGB uint8 (H, W, 3).
    """
    side = tiles[0].shape[0]
    columns = min(columns, len(tiles))
    width = max(NARROWEST, GAP + columns * (side + GAP))
    rows = -(-len(tiles) // columns)
    height = HEADER + GAP + rows * (side + 2 * LINE + GAP)
    canvas = np.full((height, width, 3), PAPER, np.uint8)
    font = ImageFont.load_default(FONT_SIZE)
    x, words = float(GAP), []
    for word, colour, hollow in (
        ("left", STYLE.left, False),
        ("right", STYLE.right, False),
        ("middle", STYLE.centre, False),
        ("occluded; joints without a label are left out", STYLE.left, True),
    ):
        _mark(canvas, np.array([x + 7, GAP + 1.5 * LINE]), colour, 5.0, hollow=hollow)
        words.append((x + 20, word))
        x += 42 + font.getlength(word)
    sheet = Image.fromarray(canvas)
    draw = ImageDraw.Draw(sheet)
    draw.font = font
    draw.text((GAP, GAP), _fitted(draw, title, width - 2 * GAP), INK)
    for x, word in words:
        draw.text((x, GAP + LINE), word, SOFT_INK)
    for n, (tile, lines) in enumerate(zip(tiles, captions, strict=True)):
        x = GAP + n % columns * (side + GAP)
        y = HEADER + GAP + n // columns * (side + 2 * LINE + GAP)
        sheet.paste(Image.fromarray(tile), (x, y))
        for row, (line, ink) in enumerate(zip(lines, (INK, SOFT_INK), strict=True)):
            draw.text((x, y + side + 2 + row * LINE), _fitted(draw, line, side), ink)
    return np.asarray(sheet)


def _mark(canvas: Array, at: Array, colour: Colour, radius: float, *, hollow: bool) -> None:
    """A dot, or a ring, which differs from it without looking at shades."""
    for grown, paint in ((1, STYLE.outline), (0, colour), (-2, STYLE.outline))[: 2 + hollow]:
        draw_capsule(canvas, at, at, radius + grown, paint)


def _fitted(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """Text no wider than so many pixels: names differ at their ends, so the middle goes."""
    kept, short = len(text), text
    while draw.textlength(short) > width and kept > 2:
        kept -= 1
        short = f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"
    return short
