"""Whether joints were right or there at all, and what their scores said."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Blobs, dot_picture
from PIL import Image

from spcnet.calibration import auroc
from spcnet.data.annotations import AnnotatedPictures, Annotation
from spcnet.errors import UserError
from spcnet.evaluation.calibrate import presence
from spcnet.inference.estimator import PoseEstimator
from spcnet.skeletons import LSP14, Skeleton


def persons(
    tmp_path: Path, *, turned: bool = False, missing: str | None = None
) -> AnnotatedPictures:
    """One person of shoulders, hips, and dots beside the shoulders (left) and below (right)."""
    skeleton = Skeleton(
        "dots",
        ("left_dot", "right_dot", "left_shoulder", "right_shoulder", "left_hip", "right_hip"),
        (),
    )
    points = np.array([[30, 24], [44, 80], [40, 20], [50, 20], [40, 50], [50, 50.0]])
    image = dot_picture((100, 90), tuple(points[0]), tuple(points[1]), 5)
    if turned:  # upside down
        points = np.array([89, 99]) - points
        image = image[::-1, ::-1]
    Image.fromarray(np.ascontiguousarray(image)).save(tmp_path / "a.png")
    states = np.array([0 if joint == missing else 2 for joint in skeleton.joints], np.uint8)
    person = Annotation("a.png", points, states)
    return AnnotatedPictures("dots", "all", skeleton, [person], images=tmp_path)


@pytest.fixture
def estimator(tiny_checkpoint: Path) -> PoseEstimator:
    found = PoseEstimator(str(tiny_checkpoint), device="cpu", refinement="none")
    dots = Skeleton("dots", ("left_dot", "right_dot"), ())
    found.network, found.skeleton = Blobs(), dots  # type: ignore[assignment]
    object.__setattr__(found.card.codec, "heatmap", "gaussian")
    return found


@pytest.mark.parametrize("turned", [False, True])
def test_joints_below_the_hips_are_out_of_the_picture(
    estimator: PoseEstimator, tmp_path: Path, turned: bool
) -> None:
    scores, present = presence(estimator, persons(tmp_path, turned=turned))
    # The dots alone: the network does not predict shoulders, and hips do not count.
    assert present.tolist() == [True, False]
    assert scores[0] > 0.3 > 0.1 > scores[1]
    assert auroc(scores, present) == 1.0


def test_a_person_without_a_labelled_torso_is_passed_over(
    estimator: PoseEstimator, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no person whose torso is labelled"):
        presence(estimator, persons(tmp_path, missing="left_hip"))


def test_real_figures_are_judged_joint_by_joint(tiny_checkpoint: Path) -> None:
    from spcnet.data.datasets import SyntheticFigures

    estimator = PoseEstimator(str(tiny_checkpoint), device="cpu", batch_size=3)
    scores, present = presence(estimator, SyntheticFigures("1-8"))
    assert scores.shape == present.shape
    assert 20 < len(scores) <= 8 * (len(LSP14) - 2)
    assert 0.2 < present.mean() < 0.95
