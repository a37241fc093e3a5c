"""Kinds of errors by hand: with a torso of 100 pixels 20 are right and 50 are jitter."""

import numpy as np
import pytest

from spcnet.metrics.kinds import KINDS, kinds_of
from spcnet.metrics.protocols import PCK_RULES, GroundTruth
from spcnet.skeletons import LSP14

RULE = PCK_RULES["torso-pck"]
LEFT, RIGHT = LSP14.index("left_wrist"), LSP14.index("right_wrist")


def persons(count: int = 2) -> np.ndarray:
    """Joints a thousand pixels apart, but for the torso."""
    points = np.arange(count * 14 * 2, dtype=float).reshape(count, 14, 2) * 1000
    points[:, LSP14.index("right_hip")] = points[:, LSP14.index("left_shoulder")] + [60, 80]
    return points


def kinds(predicted: np.ndarray, truth: np.ndarray, **options: object) -> list[str]:
    labels = GroundTruth(truth, options.pop("annotated", np.ones(truth.shape[:2], bool)), LSP14)  # type: ignore[arg-type]
    found = kinds_of(RULE, predicted, labels, **options)  # type: ignore[arg-type]
    column = found.joints.index("left_wrist")
    return [KINDS[kind] for kind in found.kinds[:, column]]


@pytest.mark.parametrize(
    ("off", "kind"),
    [(0, "good"), (20, "good"), (20.1, "jitter"), (50, "jitter"), (50.1, "miss"), (400, "miss")],
)
def test_how_far_off_a_joint_is(off: float, kind: str) -> None:
    truth = persons(1)
    predicted = truth.copy()
    predicted[:, LEFT] += [off, 0]
    assert kinds(predicted, truth) == [kind]


def test_a_wrist_on_the_other_side_is_an_inversion_where_that_is_labelled() -> None:
    truth = persons(2)
    predicted = truth.copy()
    predicted[:, LEFT] = truth[:, RIGHT] + [0, 15]
    assert kinds(predicted, truth) == ["inversion", "inversion"]
    annotated = np.ones((2, 14), bool)
    annotated[1, RIGHT] = False
    assert kinds(predicted, truth, annotated=annotated) == ["inversion", "miss"]


def test_a_wrist_on_somebody_else_is_a_swap_in_the_same_picture_alone() -> None:
    truth = persons(3)
    predicted = truth.copy()
    predicted[0, LEFT] = truth[1, LEFT]
    predicted[1, LEFT] = truth[0, RIGHT]  # the other's other side
    predicted[2, LEFT] = truth[0, LEFT]
    pictures = ["a", "a", "b"]
    assert kinds(predicted, truth, pictures=pictures) == ["swap", "swap", "miss"]
    assert kinds(predicted, truth) == ["miss", "miss", "miss"]


def test_a_joint_that_was_not_found_is_a_miss() -> None:
    truth = persons(1)
    predicted = truth.copy()
    predicted[:, LEFT] = np.nan
    assert kinds(predicted, truth, pictures=["a"]) == ["miss"]


def test_shares_weigh_joints_alike_and_add_up() -> None:
    truth = persons(4)
    predicted = truth.copy()
    predicted[0, LEFT] += [30, 0]
    predicted[1, LEFT] = truth[1, RIGHT]
    annotated = np.ones((4, 14), bool)
    annotated[2:, RIGHT] = False
    predicted[0, RIGHT] += [900, 0]
    found = kinds_of(RULE, predicted, GroundTruth(truth, annotated, LSP14))
    shares = found.shares()
    assert sum(shares.values()) == pytest.approx(100)
    assert shares["jitter"] == shares["inversion"] == pytest.approx(100 / 4 / 12)
    assert shares["miss"] == pytest.approx(100 / 2 / 12)
    assert shares["swap"] == 0
