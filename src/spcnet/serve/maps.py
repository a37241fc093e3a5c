"""Small maps as PNG data URIs, and the region of the picture that they lie over."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from spcnet.geometry import Array, square_of_box
from spcnet.serve.schema import Maps


def encode_maps(maps: Array, box: Array, *, padding: float) -> Maps:
    """Maps (N, h, w) with values in 0..1 as the service answers them.

    Args:
        maps: of the crop about a box; what lies outside 0..1 is cut off.
        box: the tight box.
        padding: side of the crop over the box's longer side.
    """
    count, height, width = maps.shape
    grey = np.rint(255 * maps.clip(0, 1)).astype(np.uint8).reshape(count * height, width)
    png = BytesIO()
    Image.fromarray(grey).save(png, format="PNG")
    (x, y), side = square_of_box(box, padding=padding)
    half = side / 2
    region = (x - half, y - half, x + half, y + half)
    return Maps(
        png="data:image/png;base64," + base64.b64encode(png.getvalue()).decode(),
        count=count,
        width=width,
        height=height,
        region=tuple(round(float(edge), 2) for edge in region),
    )
