"""The pictures that a model gets most wrong, to be looked at."""

from pathlib import Path

import numpy as np
from PIL import Image

from spcnet.codec import square_of_box
from spcnet.data.datasets import open_pictures
from spcnet.evaluation.evaluate import predict_dataset
from spcnet.evaluation.predictions import in_order
from spcnet.geometry import apply_affine, crop_affine
from spcnet.inference.estimator import PoseEstimator
from spcnet.media.crops import extract_crop
from spcnet.viz.contact_sheet import contact_sheet, draw_labels

WORST = 6
OFF = 0.08  # of the crop's side: an error that anyone sees
TILE = 256  # side of a picture in the sheet, pixels


def draw_worst(estimator: PoseEstimator, labels: Path) -> Image.Image:
    """A sheet of the persons with the largest mean errors, the joints that were found over them.

    Args:
        estimator: finds the joints.
        labels: a COCO JSON of the pictures' joints.

    Raises:
        UserError: the labels or a picture cannot be read.
    """
    opened = open_pictures("coco", labels, "all")
    found, _, persons = predict_dataset(estimator, opened)
    squares = [square_of_box(person.box) for person in persons]
    points = in_order(found, estimator.skeleton.joints, opened.skeleton)
    errors = np.linalg.norm(points - [person.points for person in persons], axis=2)
    errors /= np.array([[side] for _, side in squares])
    errors[~np.array([person.annotated for person in persons])] = np.nan
    known = np.isfinite(errors)
    means = np.nansum(errors, axis=1) / known.sum(axis=1).clip(1)
    worst = np.argsort(-means, kind="stable")[: min(WORST, int(known.any(axis=1).sum()))].tolist()
    all_joints = np.ones(len(estimator.skeleton), dtype=bool)
    tiles, captions = {}, []
    for row, (image, _) in enumerate(opened.samples()):
        if row in worst:
            affine = crop_affine(*squares[row], TILE)
            crop, joints = extract_crop(image, affine, TILE), apply_affine(affine, found[row])
            tiles[row] = draw_labels(crop, joints, all_joints, all_joints, estimator.skeleton)
    for row in worst:
        off = [opened.skeleton.joints[n].replace("_", " ") for n in np.where(errors[row] > OFF)[0]]
        captions.append((persons[row].image, ", ".join(off) or "all joints right"))
    title = f"joints that {estimator.path.stem} found; under each, those that are off"
    sheet = contact_sheet([tiles[row] for row in worst], captions, columns=3, title=title)
    return Image.fromarray(sheet)
