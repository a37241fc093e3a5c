from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import dot_picture
from PIL import Image

from spcnet.data.annotations import AnnotatedPictures, Annotation
from spcnet.data.datasets import SyntheticFigures
from spcnet.errors import UserError
from spcnet.evaluation.evaluate import evaluate, predict_dataset
from spcnet.evaluation.predictions import Predictions, align, read_predictions
from spcnet.evaluation.scoring import score_predictions
from spcnet.evaluation.writing import write_predictions
from spcnet.inference.estimator import PoseEstimator
from spcnet.skeletons import COCO17, LSP14, MPII16


@pytest.fixture
def estimator(tiny_checkpoint: Path) -> PoseEstimator:
    return PoseEstimator(str(tiny_checkpoint), device="cpu", batch_size=3)


def test_predictions_are_those_of_the_estimator_for_each_box(estimator: PoseEstimator) -> None:
    figures = SyntheticFigures("1-5")
    points, scores, persons = predict_dataset(estimator, figures)
    assert (len(points), len(persons)) == (5, 5)
    image, person = list(figures.samples())[4]
    (pose,) = estimator.predict(image, [person.box])
    assert points[4] == pytest.approx(pose.keypoints, abs=1e-3)
    assert scores[4] == pytest.approx(pose.scores, abs=1e-5)


class Finds:
    """A finder that says these boxes of every picture."""

    def __init__(self, *boxes: list[float]) -> None:
        self.boxes = np.reshape(boxes, (-1, 4))

    def detect(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.boxes, np.full(len(self.boxes), 0.9)


def test_without_boxes_the_person_is_looked_for(estimator: PoseEstimator) -> None:
    figures = SyntheticFigures("1-3")
    estimator.finder = Finds([20, 20, 120, 140])
    points, scores, persons = predict_dataset(estimator, figures, crop=None)
    assert [person.image for person in persons] == [p.image for _, p in figures.samples()]
    image, _ = list(figures.samples())[2]
    (pose,) = estimator.predict(image)
    assert np.array_equal(points[2], pose.keypoints)
    assert np.array_equal(scores[2], pose.scores)
    found = evaluate(estimator, figures, protocol="lspet-pck", crop=None)
    assert found.score.persons == 3


def test_without_boxes_who_is_not_found_has_no_right_joint(estimator: PoseEstimator) -> None:
    figures = SyntheticFigures("1-3")
    estimator.finder = Finds()
    points, scores, persons = predict_dataset(estimator, figures, crop=None)
    assert np.isnan(points).all() and not scores.any() and len(persons) == 3
    found = evaluate(estimator, figures, protocol="lspet-pck", crop=None)
    assert (found.score.mean, found.score.persons) == (0.0, 3)


def test_of_several_in_a_picture_each_is_whom_their_box_meets_most(
    estimator: PoseEstimator, tmp_path: Path
) -> None:
    Image.fromarray(dot_picture((90, 120), (30, 40), (70, 50), 6)).save(tmp_path / "a.png")
    left, right = [10.0, 10.0, 50.0, 80.0], [70.0, 10.0, 110.0, 80.0]
    states = np.full(14, 2, np.uint8)
    people = [
        Annotation("a.png", np.linspace(box[:2], box[2:], 14), states, box=np.array(box))
        for box in (right, left, [0.0, 0.0, 4.0, 4.0])
    ]
    pictures = AnnotatedPictures("coco", "val", LSP14, people, images=tmp_path)
    estimator.finder = Finds([12, 12, 52, 82], [72, 12, 112, 82])
    points, _, _ = predict_dataset(estimator, pictures, crop=None)
    expected = estimator.predict(tmp_path / "a.png", [[72, 12, 112, 82], [12, 12, 52, 82]])
    assert points[:2] == pytest.approx(np.stack([pose.keypoints for pose in expected]), abs=1e-3)
    assert np.isnan(points[2]).all()


def test_crop_rules_reach_the_network(estimator: PoseEstimator, tmp_path: Path) -> None:
    Image.fromarray(dot_picture((90, 120), (30, 40), (70, 50), 6)).save(tmp_path / "a.png")
    points = np.linspace([20, 20], [60, 80], 16)
    person = Annotation(
        "a.png", points, np.full(16, 2, np.uint8), centre=np.array([40.0, 45.0]), scale=0.3
    )
    persons = AnnotatedPictures("mpii", "val", MPII16, [person], images=tmp_path)
    boxed, _, _ = predict_dataset(estimator, persons, crop="box")
    placed, _, _ = predict_dataset(estimator, persons, crop="mpii")
    expected, _ = estimator.look(
        [dot_picture((90, 120), (30, 40), (70, 50), 6)], [(np.array([40.0, 49.5]), 75.0)]
    )
    assert placed[0] == pytest.approx(expected[0], abs=1e-4)
    assert np.abs(placed - boxed).max() > 1


def test_another_skeletons_joints_are_compared_by_name(
    estimator: PoseEstimator, tmp_path: Path
) -> None:
    """14 joints of LSP are all that MPII's rules count; COCO's nose is not among them."""
    Image.fromarray(dot_picture((90, 120), (30, 40), (70, 50), 6)).save(tmp_path / "a.png")
    person = Annotation(
        "a.png", np.linspace([20, 20], [60, 80], 16), np.full(16, 2, np.uint8), reference=30.0
    )
    persons = AnnotatedPictures("mpii", "val", MPII16, [person], images=tmp_path)
    found = evaluate(estimator, persons, protocol="mpii-tompson")
    wrist = MPII16.index("left_wrist"), LSP14.index("left_wrist")
    error = np.linalg.norm(found.points[0, wrist[1]] - person.points[wrist[0]]) / 30
    assert found.score.joints["left_wrist"] == (100 if error < 0.5 else 0)
    assert set(found.score.joints) == set(LSP14.joints)
    own = replace(
        persons,
        skeleton=COCO17,
        annotations=[Annotation("a.png", np.zeros((17, 2)) + 5, np.full(17, 2, np.uint8))],
    )
    with pytest.raises(UserError, match="nose"):
        evaluate(estimator, own, protocol="pck-box")


@pytest.mark.parametrize("suffix", [".npz", ".mat", ".h5", ".json"])
@pytest.mark.parametrize(("name", "counts_from"), [("mpii", 0), ("lspet", 1)])
def test_written_predictions_score_the_same(
    estimator: PoseEstimator, tmp_path: Path, suffix: str, name: str, counts_from: int
) -> None:
    found = evaluate(estimator, SyntheticFigures("1-6"), protocol="lspet-pck", threshold=0.5)
    labels = replace(found.labels, name=name, counts_from=counts_from)
    path = tmp_path / f"predictions{suffix}"
    write_predictions(path, found.points, found.scores, labels, skeleton=estimator.skeleton)
    back = align(read_predictions(path, persons=6, joints=[14]), labels)
    assert back.points == pytest.approx(found.points, abs=1e-4)
    score = score_predictions(back, labels, protocol="lspet-pck", threshold=0.5)
    assert score == found.score
    assert 0 < score.mean < 100


def test_the_order_of_a_file_does_not_matter(estimator: PoseEstimator) -> None:
    found = evaluate(estimator, SyntheticFigures("1-6"), protocol="lspet-pck", threshold=0.5)
    order = [3, 1, 5, 0, 2, 4]
    shuffled = Predictions(
        found.points[order],
        joints=LSP14.joints,
        images=[found.labels.annotations[n].image for n in order],
    )
    score = score_predictions(shuffled, found.labels, protocol="lspet-pck", threshold=0.5)
    assert score == found.score
