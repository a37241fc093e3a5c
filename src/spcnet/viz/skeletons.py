"""Skeletons drawn on pictures. Knows points and names, not models."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spcnet.errors import UserError, dims
from spcnet.geometry import Array
from spcnet.skeletons import FACE, Skeleton

Colour = tuple[int, int, int]
Span = tuple[float, float, float]  # left, right and middle height of a name

SUBPIXEL_BITS = 4
# Bounds of a limb's width, as shares of the picture's longer side and of the person's size.
THINNEST_IN_PICTURE, THINNEST_ON_PERSON = 0.002, 0.03
THICKEST_IN_PICTURE = 0.012
EDGE = 0.25  # width of an outline over that of a limb, or a dot
LINE = 1.15  # from one name to the next below it, over their height
LABEL = 2.8  # height of a joint's name over the width of a limb


@dataclass(frozen=True, kw_only=True)
class Style:
    """How skeletons look; RGB colours of Okabe and Ito, distinct with any colour vision.

    Attributes:
        left: colour of the person's left side.
        right: colour of the person's right side.
        centre: colour of the joints and limbs of neither side.
        outline: colour around lines and dots, so that they stand out on any ground.
        thickness: of a limb, as a share of the person's size, within what the picture can show.
        line_width: of a limb in pixels, instead.
        dot: width of a joint over that of a limb.
        face: widths in the face, whose joints lie close together, over those elsewhere.
        faint: least opacity, of a joint with score 0.
        sure: score from which a joint is drawn at full opacity.
        least: score below which a joint is left out, and the limbs that end in it.
        labels: whether the joints' names are written beside them.
    """

    left: Colour = (230, 159, 0)
    right: Colour = (86, 180, 233)
    centre: Colour = (245, 245, 245)
    outline: Colour = (20, 20, 20)
    thickness: float = 0.014
    line_width: float | None = None
    dot: float = 1.9
    face: float = 0.5
    faint: float = 0.12
    sure: float = 0.5
    least: float = 0.0
    labels: bool = False

    def of_side(self, side: str) -> Colour:
        """The colour of ``"left"``, ``"right"`` or ``"centre"``."""
        colour: Colour = getattr(self, side)
        return colour

    def opacity(self, score: float) -> float:
        """How strongly a joint of some score is drawn."""
        return self.faint + (1 - self.faint) * min(1.0, max(0.0, score / self.sure))


def draw_skeleton(
    image: Array, keypoints: Array, scores: Array, skeleton: Skeleton, *, style: Style | None = None
) -> Array:
    """A copy of a picture with one person's skeleton over it.

    Lines scale with the person, left and right differ in colour, and joints of low score fade.

    Args:
        image: RGB uint8 (H, W, 3).
        keypoints: (K, 2) image pixels.
        scores: (K,) in [0, 1].
        skeleton: names and limbs of the K joints.
        style: colours, widths, and what is left out.

    Raises:
        UserError: the image is none such.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(
            f"draw_skeleton takes RGB uint8 H x W x 3, got {image.dtype} {dims(image.shape)}; "
            "spcnet.media.images.load_picture makes it of grey, RGBA, uint16 and float"
        )
    style = style or Style()
    canvas = np.ascontiguousarray(image).copy()
    shown = scores >= style.least
    if not shown.any():
        return canvas
    thickness = style.line_width or _thickness(keypoints[shown], canvas, style)
    # Faint limbs first, so that sure ones lie on top, and joints over them.
    limbs = sorted(skeleton.limb_indices, key=lambda limb: min(scores[list(limb)]))
    drawn = [int(joint) for joint in np.argsort(scores) if shown[joint]]
    strokes = [(a, b, 1.0) for a, b in limbs if shown[a] and shown[b]]
    strokes += [(joint, joint, style.dot) for joint in drawn]
    for a, b, wide in strokes:
        narrow = style.face if skeleton.joints[a] in FACE and skeleton.joints[b] in FACE else 1.0
        _blend_line(
            canvas, keypoints[a], keypoints[b], narrow * wide * thickness,
            _colour(skeleton, a, b, style), style.outline,
            style.opacity(float(min(scores[a], scores[b]))),
        )  # fmt: skip
    return _with_names(canvas, keypoints, drawn, skeleton, style, thickness)


def _colour(skeleton: Skeleton, a: int, b: int, style: Style) -> Colour:
    """A limb that joins the two sides, or leaves the middle, belongs to the side it reaches."""
    sides = {skeleton.side(a), skeleton.side(b)} - {"centre"}
    return style.of_side(sides.pop() if len(sides) == 1 else "centre")


def _with_names(
    canvas: Array, keypoints: Array, joints: Sequence[int], skeleton: Skeleton, style: Style,
    thickness: float,
) -> Array:  # fmt: skip
    """The joints' names beside them, away from the person's middle and within the picture."""
    if not style.labels:
        return canvas
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    size = max(8.0, LABEL * thickness)
    font = ImageFont.load_default(size)
    middle = keypoints[joints, 0].mean()
    placed: list[Span] = []
    for joint in sorted(joints, key=lambda joint: keypoints[joint, 1]):
        x, y = (float(value) for value in keypoints[joint])
        name = skeleton.joints[joint]
        width = draw.textlength(name, font)
        left = x - style.dot * thickness - width if x < middle else x + style.dot * thickness
        left = min(max(left, 0), max(0, picture.width - width))
        lower = _free_height(y, left, left + width, placed, apart=LINE * size)
        y = lower if lower < picture.height - size else y  # rather covered than cut off
        placed.append((left, left + width, y))
        draw.text(
            (left, y), name, anchor="lm", font=font, fill=style.of_side(skeleton.side(joint)),
            stroke_width=round(max(1, size / 10)), stroke_fill=style.outline,
        )  # fmt: skip
    return np.asarray(picture)


def _free_height(
    y: float, left: float, right: float, placed: Sequence[Span], *, apart: float
) -> float:
    """The first height from y on where a name meets none of those that stand already."""
    for taken in sorted(taken for start, end, taken in placed if start < right and left < end):
        if abs(y - taken) < apart:
            y = taken + apart
    return y


def _thickness(keypoints: Array, canvas: Array, style: Style) -> float:
    """Of a limb in pixels: by the person's size, within what the picture can show."""
    extent = float(np.ptp(keypoints, axis=0).max())
    longest = max(canvas.shape[:2])
    # It is to be seen where the picture is shown whole, and not to cover a small person.
    thinnest = min(THINNEST_IN_PICTURE * longest, THINNEST_ON_PERSON * extent)
    thickest = THICKEST_IN_PICTURE * longest
    return max(1.0, float(np.clip(style.thickness * extent, thinnest, thickest)))


def _blend_line(
    canvas: Array, start: Array, end: Array, thickness: float, colour: Colour, outline: Colour,
    opacity: float,
) -> None:  # fmt: skip
    """An outlined round-capped line (a dot where start is end), blended into its surroundings."""
    edge = max(1.0, EDGE * thickness)
    reach = thickness + 2 * edge + 2
    limit = np.array(canvas.shape[1::-1])
    low = np.clip(np.floor(np.minimum(start, end) - reach), 0, limit).astype(int)
    high = np.clip(np.ceil(np.maximum(start, end) + reach) + 1, 0, limit).astype(int)
    if (low >= high).any():
        return
    region = canvas[low[1] : high[1], low[0] : high[0]]
    painted = region.copy()
    for extra, paint in ((edge, outline), (0.0, colour)):
        draw_capsule(painted, start - low, end - low, thickness / 2 + extra, paint)
    region[:] = cv2.addWeighted(painted, opacity, region, 1 - opacity, 0)


def draw_capsule(image: Array, start: Array, end: Array, radius: float, colour: Colour) -> None:
    """A filled capsule with sub-pixel ends and radius, antialiased."""
    across, along = end - start
    angles = np.arctan2(along, across) + np.linspace(np.pi / 2, 3 * np.pi / 2, 16)
    cap = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    outline = np.concatenate([start + cap, end - cap])
    fixed = np.rint(outline * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.fillConvexPoly(image, fixed, colour, lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS)
