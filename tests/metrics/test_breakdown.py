"""Groups by the torso's angle; cases worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spcnet.errors import UserError
from spcnet.metrics.breakdown import (
    compare_sources,
    score_by_torso,
    score_sources,
    torso_angles,
)
from spcnet.metrics.protocols import PCK_RULES, GroundTruth, score
from spcnet.skeletons import LSP14, Skeleton


def persons(*degrees: float) -> GroundTruth:
    """People of torso 100 px, turned clockwise on the screen by so much, all joints labelled."""
    upright = np.zeros((14, 2))
    place = {
        "right_ankle": (-20, 200), "right_knee": (-20, 150), "right_hip": (-20, 100),
        "left_hip": (20, 100), "left_knee": (20, 150), "left_ankle": (20, 200),
        "right_wrist": (-60, 80), "right_elbow": (-50, 40), "right_shoulder": (-30, 0),
        "left_shoulder": (30, 0), "left_elbow": (50, 40), "left_wrist": (60, 80),
        "neck": (0, -5), "head_top": (0, -50),
    }  # fmt: skip
    for joint, at in place.items():
        upright[LSP14.index(joint)] = at
    turned = []
    for angle in np.radians(degrees):
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        turned.append(upright @ turn.T + 300)
    points = np.stack(turned)
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    everyone = np.ones(points.shape[:2], dtype=bool)
    return GroundTruth(points, everyone, LSP14, boxes, np.full(len(points), np.nan))


def test_angles_from_upright() -> None:
    truth = persons(0, 25, -45, 90, 180, 181)
    assert torso_angles(truth) == pytest.approx([0, 25, 45, 90, 180, 179])
    truth.annotated[1, LSP14.index("left_hip")] = False
    assert np.isnan(torso_angles(truth)).tolist() == [False, True, False, False, False, False]


@pytest.mark.parametrize("protocol", ["lspet-pck", "pck-box", "mpii-msra"])
def test_sources_have_the_score_of_their_protocol(protocol: str) -> None:
    truth = persons(0, 10, -20, 40)
    truth = replace(truth, references=np.full(4, 60.0))
    truth.annotated[:3, LSP14.index("left_knee")] = False
    predicted = truth.points.copy()
    predicted[3, LSP14.index("left_knee")] += 500
    predicted[2, LSP14.index("left_ankle")] += 500
    found = score(protocol, predicted, truth)
    (group, _) = score_sources(PCK_RULES[protocol], {"": (predicted, truth)}, repeats=9)
    assert group.score == pytest.approx(found.headline)


def test_groups_add_up_to_the_score() -> None:
    truth = persons(0, 10, -20, 40, 100, 180)
    predicted = truth.points.copy()
    predicted[0, LSP14.index("left_knee")] += 500  # one limb of three upright people
    predicted[5] += 500  # nothing right of the one upside down
    predicted[3, LSP14.index("head_top")] += 500  # not a limb
    groups = score_by_torso(PCK_RULES["lspet-pck"], predicted, truth, repeats=200)
    assert [(group.name, group.persons) for group in groups] == [
        ("0-30", 3), ("30-60", 1), ("60-120", 1), ("120-180", 1),
    ]  # fmt: skip
    assert [group.score for group in groups] == pytest.approx([100 - 100 / 36, 100, 100, 0])
    low, high = groups[0].interval
    assert low == pytest.approx(100 - 3 * 100 / 36, abs=3) and high == 100
    whole, _ = score_sources(PCK_RULES["lspet-pck"], {"all": (predicted, truth)}, repeats=10)
    assert whole.score == score("lspet-pck", predicted, truth).mean_limbs


def test_people_whose_torso_is_not_labelled_are_a_group_of_their_own() -> None:
    truth = persons(0, 0)
    truth.annotated[1, LSP14.index("left_hip")] = (
        False  # the reference is left shoulder - right hip
    )
    groups = score_by_torso(PCK_RULES["lspet-pck"], truth.points, truth, repeats=10)
    assert [(g.name, g.persons) for g in groups if g.persons] == [("0-30", 1), ("not labelled", 1)]
    assert groups[-1].score == 100
    assert math.isnan(groups[1].score)  # nobody


def test_a_skeleton_without_hips_has_no_torso() -> None:
    truth = persons(0)
    dots = Skeleton("dots", tuple(f"dot{n}" for n in range(14)), ())
    with pytest.raises(UserError, match="no shoulders"):
        torso_angles(
            GroundTruth(truth.points, truth.annotated, dots, truth.boxes, truth.references)
        )


def test_sources_have_a_score_each_and_a_mean_in_which_they_count_alike() -> None:
    labels = labelled(30)
    truth = labels.points
    few = GroundTruth(truth[:3], np.ones((3, 14), bool), LSP14)
    wrong = truth.copy()
    wrong[:, LSP14.index("left_knee")] += 500
    groups = score_sources(
        PCK_RULES["torso-pck"], {"right": (truth, labels), "off": (wrong[:3], few)}, repeats=200
    )
    assert [(group.name, group.persons) for group in groups] == [
        ("right", 30), ("off", 3), ("mean", 33),
    ]  # fmt: skip
    assert [group.score for group in groups] == pytest.approx([100, 100 * 11 / 12, 100 * 23 / 24])
    assert groups[0].interval == (100, 100)
    half = wrong.copy()
    half[::2] = truth[::2]
    (spread, _) = score_sources(PCK_RULES["torso-pck"], {"half": (half, labels)}, repeats=500)
    assert spread.score == pytest.approx(100 * 11.5 / 12)
    low, high = spread.interval
    assert 100 * 11 / 12 < low < spread.score < high < 100


def labelled(persons: int) -> GroundTruth:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 300, (persons, 14, 2))
    truth[:, LSP14.index("right_hip")] = truth[:, LSP14.index("left_shoulder")] + [60, 80]
    return GroundTruth(truth, np.ones((persons, 14), bool), LSP14)


def test_what_is_hard_for_both_cancels_in_their_difference() -> None:
    labels = labelled(100)
    first, second = labels.points.copy(), labels.points.copy()
    for predicted in (first, second):
        predicted[:50] += 500  # half of the persons are nothing for either
    first[80:, LSP14.index("left_knee")] += 500
    rule = PCK_RULES["torso-pck"]
    (row,) = compare_sources(rule, {"one": (first, second, labels)}, repeats=500)
    assert row.persons == 100
    assert row.scores == pytest.approx((50 - 20 / 12, 50))
    assert row.difference == pytest.approx(20 / 12)  # 20 of 100 persons, one of 12 limbs
    low, high = row.interval
    spread = 100 / 12 * 1.96 * math.sqrt(0.2 * 0.8 / 100)  # of a share of a fifth
    assert (high - low) / 2 == pytest.approx(spread, rel=0.15)
    assert 0 < low < row.difference < high  # each alone has an interval of 10 points
    assert row.needed == math.ceil(100 * ((high - low) / 2 / row.difference) ** 2) < 100


def test_two_alike_need_more_persons_than_there_are() -> None:
    labels = labelled(20)
    same, other = labels.points.copy(), labels.points.copy()
    (row,) = compare_sources(PCK_RULES["torso-pck"], {"a": (same, same, labels)}, repeats=50)
    assert (row.difference, row.interval, row.needed) == (0, (0, 0), None)
    same[:3, LSP14.index("left_knee")] += 500
    other[10:14, LSP14.index("left_wrist")] += 500
    rows = compare_sources(
        PCK_RULES["torso-pck"], {"a": (same, other, labels), "b": (same, same, labels)}
    )
    assert [row.name for row in rows] == ["a", "b", "mean"]
    assert rows[0].interval[0] < 0 < rows[0].interval[1]
    assert rows[0].needed is not None and rows[0].needed > 20
    assert rows[2].difference == pytest.approx(rows[0].difference / 2)
