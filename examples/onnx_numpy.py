"""Keypoints of one person with numpy, Pillow and onnxruntime alone.

spcnet export -o model.onnx
python examples/onnx_numpy.py model.onnx photo.jpg 40 20 180 300    # the person's box: x0 y0 x1 y1
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

if len(sys.argv) != 7:
    sys.exit(__doc__)
model, picture, *box = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
card = json.loads(session.get_modelmeta().custom_metadata_map["spcnet"])
x0, y0, x1, y1 = map(float, box)
side = round(card["box_padding"] * max(x1 - x0, y1 - y0))
corner = np.round([(x0 + x1 + 1 - side) / 2, (y0 + y1 + 1 - side) / 2]).astype(int)
square = Image.new("RGB", (side, side), tuple(round(255 * mean) for mean in card["mean"]))
square.paste(ImageOps.exif_transpose(Image.open(picture)).convert("RGB"), tuple(-corner))
crop = square.resize((card["input_size"],) * 2, Image.Resampling.BILINEAR)
points, scores = session.run(["keypoints", "scores"], {"crops": np.asarray(crop)[None]})
points = (points[0] + 0.5) * side / card["input_size"] + corner - 0.5  # back into the picture
for joint, (x, y), score in zip(card["skeleton"]["joints"], points, scores[0], strict=True):
    print(f"{joint:15} {x:7.1f} {y:7.1f}  {score:.2f}")
