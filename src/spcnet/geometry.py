"""Points, boxes and affine crops.

Points are (x, y) on the last axis in 0-based pixel centres: the centre of the top-left pixel is
(0, 0). An affine is a 2x3 float64 matrix that maps image points to crop points.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

SHARPEST = 2  # times that bilinear sampling may shrink a picture; more of it would alias


def box_of_points(points: ArrayLike) -> Array:
    """The tight box (x0, y0, x1, y1) of (N, 2) points, float64."""
    points = np.asarray(points, dtype=np.float64)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def box_overlaps(one: ArrayLike, other: ArrayLike) -> Array:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4), x0, y0, x1, y1."""
    first, second = np.reshape(one, (-1, 1, 4)), np.reshape(other, (1, -1, 4))
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clip(0).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (first, second)]
    overlaps: Array = shared / np.maximum(areas[0] + areas[1] - shared, 1e-9)
    return overlaps


def crop_affine(
    centre: ArrayLike, side: float, size: int, *, rotation: float = 0.0, flip: bool = False
) -> Array:
    """The affine from image points to points of a square crop.

    Args:
        centre: (2,) image point that becomes the crop's middle.
        side: side of the square in image pixels.
        size: side of the crop in crop pixels.
        rotation: degrees the content turns clockwise as seen on the screen.
        flip: mirror the crop left to right, after the rotation.

    Returns:
        (2, 3) float64.
    """
    angle = np.deg2rad(rotation)
    cos, sin = np.cos(angle), np.sin(angle)
    linear = size / side * np.array([[cos, -sin], [sin, cos]])
    if flip:
        linear[0] = -linear[0]
    middle = (size - 1) / 2
    offset = middle - linear @ np.asarray(centre, dtype=np.float64)
    return np.column_stack([linear, offset])


def apply_affine(affine: ArrayLike, points: ArrayLike) -> Array:
    """Map points: affines (..., 2, 3) and points (..., N, 2) -> (..., N, 2) float64."""
    affine = np.asarray(affine, dtype=np.float64)
    points = np.asarray(points, dtype=np.float64)
    mapped: Array = points @ affine[..., :2].swapaxes(-1, -2) + affine[..., None, :, 2]
    return mapped


def invert_affine(affine: ArrayLike) -> Array:
    """The inverse of affines (..., 2, 3), float64."""
    affine = np.asarray(affine, dtype=np.float64)
    linear = np.linalg.inv(affine[..., :2])
    offset = -linear @ affine[..., 2:]
    return np.concatenate([linear, offset], axis=-1)


def compose_affines(outer: ArrayLike, inner: ArrayLike) -> Array:
    """The affine that applies `inner` first and `outer` second; (..., 2, 3) float64."""
    outer = np.asarray(outer, dtype=np.float64)
    inner = np.asarray(inner, dtype=np.float64)
    linear = outer[..., :2] @ inner[..., :2]
    offset = outer[..., :2] @ inner[..., 2:] + outer[..., 2:]
    return np.concatenate([linear, offset], axis=-1)
