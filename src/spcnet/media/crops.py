"""Cutting a crop out of a picture by one affine."""

import math

import cv2
import numpy as np

from spcnet.codec import OUTSIDE
from spcnet.geometry import SHARPEST, Array, apply_affine, compose_affines, invert_affine


def extract_crop(image: Array, affine: Array, size: int) -> Array:
    """The square crop (size, size, 3) that an affine takes from a picture (H, W, 3), RGB uint8.

    The affine (2, 3) leads from the picture's points to the crop's.
    Where the crop shrinks the picture more than twofold, the picture is first reduced by area, by
    2, 4, 8, ..., to between once and twice the crop's size: plain bilinear sampling would alias.
    The averaged squares are those of a JPEG's blocks, so that one that was read smaller gives
    nearly the same crop. Training does alike, whose persons are packed at no more than twice the
    input's side. Outside the picture lies `OUTSIDE`.
    """
    corners = np.array([[-1, -1], [size, -1], [-1, size], [size, size]])
    reach = apply_affine(invert_affine(affine), corners)
    shrink = 1 / np.sqrt(abs(np.linalg.det(affine[:, :2])))
    factor = 2 ** max(0, math.ceil(math.log2(shrink / SHARPEST) - 1e-6))
    limit = np.array(image.shape[1::-1])
    x0, y0 = np.clip(np.floor(reach.min(axis=0)).astype(int) - 1, 0, limit)
    x1, y1 = np.clip(np.ceil(reach.max(axis=0)).astype(int) + 1 + factor, 0, limit)
    if x0 >= x1 or y0 >= y1:
        return np.full((size, size, 3), OUTSIDE, dtype=np.uint8)
    x0, y0 = x0 - x0 % factor, y0 - y0 % factor
    to_region = np.array([[1.0, 0, -x0], [0, 1.0, -y0]])
    # Whole squares of pixels are averaged many times faster than parts of them.
    factor = min(factor, x1 - x0, y1 - y0)
    region = image[y0 : y1 - (y1 - y0) % factor, x0 : x1 - (x1 - x0) % factor]
    if factor > 1:
        region, reduce = reduce_by_area(region, factor)
        to_region = compose_affines(reduce, to_region)
    region_to_crop = compose_affines(affine, invert_affine(to_region))
    return cv2.warpAffine(
        np.ascontiguousarray(region),
        region_to_crop,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=OUTSIDE,
    )


def reduce_by_area(image: Array, factor: float) -> tuple[Array, Array]:
    """A picture made smaller by averaging areas, and the affine (2, 3) from the large to it."""
    height, width = image.shape[:2]
    new_width, new_height = max(1, round(width / factor)), max(1, round(height / factor))
    reduced = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_AREA)
    sx, sy = new_width / width, new_height / height
    affine = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2]])
    return reduced, affine
