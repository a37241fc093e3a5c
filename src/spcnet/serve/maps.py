"""Small maps as PNG data URIs, and the region of the picture that they lie over."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from spcnet.geometry import Array
from spcnet.serve.schema import Maps


def encode_maps(maps: Array, region: Array) -> Maps:
    """Maps (N, h, w) with values in 0..1 as the service answers them.

    Args:
        maps: what lies outside 0..1 is cut off.
        region: (4,) x0, y0, x1, y1 in the picture that they lie over.
    """
    count, height, width = maps.shape
    grey = np.rint(255 * maps.clip(0, 1)).astype(np.uint8).reshape(count * height, width)
    x0, y0, x1, y1 = (round(float(edge), 2) for edge in region)
    png = BytesIO()
    Image.fromarray(grey).save(png, format="PNG")
    return Maps(
        png="data:image/png;base64," + base64.b64encode(png.getvalue()).decode(),
        count=count,
        width=width,
        height=height,
        region=(x0, y0, x1, y1),
    )
