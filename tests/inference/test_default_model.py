"""The bundled model on the rendered example pictures, whose joints are known."""

import json

import cv2
import numpy as np
import pytest
from conftest import EXAMPLES

from spcnet.inference.estimator import PoseEstimator
from spcnet.media.images import read_image


@pytest.fixture(scope="module")
def default() -> PoseEstimator:
    return PoseEstimator("default", device="cpu")


def tight_box(name: str) -> np.ndarray:
    """x0, y0, x1, y1 of an example's joints."""
    truth = json.loads((EXAMPLES / "joints.json").read_text())
    (number,) = (image["id"] for image in truth["images"] if image["file_name"] == name)
    (row,) = (row for row in truth["annotations"] if row["image_id"] == number)
    joints = np.array(row["keypoints"]).reshape(14, 3)[:, :2]
    return np.concatenate([joints.min(axis=0), joints.max(axis=0)])


@pytest.mark.parametrize("name", ["standing.jpg", "lunge.jpg"])
def test_a_picture_enlarged_eight_times_gives_the_same_joints(
    default: PoseEstimator, name: str
) -> None:
    image = read_image(EXAMPLES / name)
    small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    box = (tight_box(name) + 0.5) / 4 - 0.5
    (first,) = default.predict(small, [box])
    (second,) = default.predict(large, [(box + 0.5) * 8 - 0.5])
    back = (second.keypoints + 0.5) / 8 - 0.5
    cell = 1.25 * (box[2:] - box[:2]).max() / default.codec.input_size * 4
    # Below, two peaks can be nearly as high, and the least difference chooses between them.
    sure = first.scores > 0.7
    assert sure.sum() >= 8
    assert np.abs(back - first.keypoints)[sure].max() < 0.5 * cell


def test_locating_the_person_finds_what_a_box_would_show(default: PoseEstimator) -> None:
    image = read_image(EXAMPLES / "standing.jpg")
    (located,) = default.predict(image)
    (boxed,) = default.predict(image, [tight_box("standing.jpg")])
    size = np.ptp(boxed.keypoints, axis=0).max()
    assert np.abs(located.keypoints - boxed.keypoints).max(axis=1).mean() < 0.05 * size
