"""Lay the example overlays side by side for the README.

    python tools/make_readme_picture.py --out docs/images/examples.png

Predicts on every picture of examples/ with a model and writes one PNG, all at one height.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from spcnet.inference.estimator import PoseEstimator
from spcnet.media.images import read_image
from spcnet.viz.skeletons import draw_skeleton

EXAMPLES = Path(__file__).parents[1] / "examples"


def main() -> None:
    """Read the arguments and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--height", type=int, default=420)
    arguments = parser.parse_args()

    estimator = PoseEstimator(arguments.model)
    panels = []
    for path in sorted(EXAMPLES.glob("*.jpg")):
        image = read_image(path)
        (pose,) = estimator.predict(image)
        drawn = draw_skeleton(image, pose.keypoints, pose.scores, pose.skeleton)
        width = round(image.shape[1] * arguments.height / image.shape[0])
        resized = Image.fromarray(drawn).resize((width, arguments.height), Image.Resampling.LANCZOS)
        panels.append(np.asarray(resized))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(panels, axis=1)).save(arguments.out, optimize=True)
    print(arguments.out)


if __name__ == "__main__":
    main()
