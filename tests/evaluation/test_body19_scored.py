"""A network of the 19 joints is scored on data sets of fewer, by the joints' names."""

from pathlib import Path

import numpy as np
import pytest
from conftest import dot_picture
from PIL import Image

from spcnet.data.annotations import AnnotatedPictures, Annotation
from spcnet.evaluation.evaluate import evaluate
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.protocols import find_rule
from spcnet.skeletons import BODY19, COCO17, FLIC11, LSP14, MPII16, Skeleton


@pytest.fixture
def body(body_checkpoint: Path) -> PoseEstimator:
    return PoseEstimator(str(body_checkpoint), device="cpu")


def labelled(body: PoseEstimator, name: str, skeleton: Skeleton, folder: Path) -> AnnotatedPictures:
    """Labels that are what the network says, but for the left wrist, which is far off."""
    Image.fromarray(dot_picture((90, 120), (30, 40), (70, 50), 6)).save(folder / "a.png")
    box = np.array([10.0, 10.0, 80.0, 85.0])
    (pose,) = body.predict(folder / "a.png", [box])
    points = pose.seen_as(skeleton).keypoints.astype(float)
    points[skeleton.index("left_wrist")] += 500
    for joint in set(skeleton.joints) - set(BODY19.joints):
        points[skeleton.index(joint)] = -999  # counted, it would be wrong
    states = np.full(len(skeleton), 2, np.uint8)
    person = Annotation("a.png", points, states, reference=30.0, box=box, area=2000.0)
    return AnnotatedPictures(name, "val", skeleton, [person], images=folder)


@pytest.mark.parametrize(
    ("name", "skeleton", "protocol"),
    [
        ("lspet", LSP14, "lspet-pck"), ("lspet", LSP14, "torso-pck"), ("lspet", LSP14, "pck-box"),
        ("mpii", MPII16, "mpii-tompson"), ("mpii", MPII16, "mpii-official"),
        ("mpii", MPII16, "mpii-msra"), ("coco", COCO17, "pck-box"), ("flic", FLIC11, "flic"),
        ("flic", FLIC11, "pck-box"),
    ],
)  # fmt: skip
def test_joints_are_compared_by_name(
    body: PoseEstimator, tmp_path: Path, name: str, skeleton: Skeleton, protocol: str
) -> None:
    found = evaluate(body, labelled(body, name, skeleton, tmp_path), protocol=protocol)
    assert found.points.shape == (1, 19, 2)
    counted = set(find_rule(protocol).joints(skeleton))
    assert counted <= set(BODY19.joints)
    assert set(found.score.joints) == counted
    assert {j for j, v in found.score.joints.items() if v < 100} == {"left_wrist"} & counted
    assert found.score.joints["left_wrist"] == 0


def test_coco_oks_takes_the_17_of_the_19(body: PoseEstimator, tmp_path: Path) -> None:
    found = evaluate(body, labelled(body, "coco", COCO17, tmp_path), protocol="coco-oks")
    # 16 of 17 joints exact: the similarity is 16/17 = 0.94, right at 0.5..0.9, wrong at 0.95
    assert found.score.headline == pytest.approx(90)
