import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcnet.data.annotations import Annotation
from spcnet.errors import UserError
from spcnet.metrics.protocols import (
    PCK_RULES,
    GroundTruth,
    Rule,
    common_protocol,
    find_rule,
    protocol_names,
    score,
    score_curves,
)
from spcnet.skeletons import BODY19, COCO17, FLIC11, LSP14, MPII16, Skeleton

LEFT_SHOULDER, RIGHT_HIP, NECK, HEAD_TOP = (
    LSP14.index(j) for j in ("left_shoulder", "right_hip", "neck", "head_top")
)
COLUMNS = ["Head", "Sho", "Elb", "Wri", "Hip", "Knee", "Ank"]


def people(count: int) -> np.ndarray:
    """LSP's points whose torso reference is 100 long."""
    truth = np.random.default_rng(0).integers(0, 300, (count, 14, 2)).astype(float)
    truth[:, LEFT_SHOULDER] = [100, 100]
    truth[:, RIGHT_HIP] = [160, 180]
    return truth


def labels(
    points: np.ndarray, annotated: np.ndarray | None = None, skeleton: Skeleton = LSP14, **more: Any
) -> GroundTruth:
    known = np.ones(points.shape[:2], bool) if annotated is None else annotated
    return GroundTruth(points, known, skeleton, **more)


def truth_for(rule: Rule, count: int, seed: int = 0) -> GroundTruth:
    """Persons that any rule can score, with references of about 100 px."""
    skeleton = {"mpii": MPII16, "flic": FLIC11, "pck-": COCO17}.get(rule.name[:4], LSP14)
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 300, (count, len(skeleton), 2))
    annotated = rng.random(points.shape[:2]) < 0.9
    if skeleton.torso:
        torso = [skeleton.index(joint) for joint in skeleton.torso]
        points[:, torso[1]] = points[:, torso[0]] + [60, 80]
        annotated[:, torso] = True
    boxes = np.column_stack([np.zeros((count, 2)), rng.uniform(100, 300, (count, 2))])
    references = rng.uniform(80, 120, count)
    if rule.name.endswith("-joints"):
        neck, top = skeleton.index("neck"), skeleton.index("head_top")
        points[:, top, 0], points[:, top, 1] = (
            points[:, neck, 0] + references / 0.75,
            points[:, neck, 1],
        )
        annotated[:, [neck, top]] = True
    return GroundTruth(points, annotated, skeleton, boxes, references)


def off(truth: GroundTruth, seed: int = 1, spread: float = 60) -> np.ndarray:
    """Predictions some way off, a tenth of them nowhere."""
    rng = np.random.default_rng(seed)
    predicted = truth.points + rng.normal(0, spread, truth.points.shape) * rng.random(
        (len(truth.points), 1, 1)
    )
    predicted[rng.random(predicted.shape[:2]) < 0.1] = np.nan
    return predicted


# --- lspet-pck


def test_perfect_and_hopeless_predictions() -> None:
    truth = people(5)
    assert score("lspet-pck", truth, labels(truth)).mean == 100
    assert score("lspet-pck", truth + 1000, labels(truth)).mean == 0


def test_the_threshold_is_a_fifth_of_the_torso_and_inclusive() -> None:
    truth = people(1)
    assert score("lspet-pck", truth + [20, 0], labels(truth)).mean == 100
    assert score("lspet-pck", truth + [20.001, 0], labels(truth)).mean == 0


def test_only_annotated_joints_count_and_joints_weigh_alike() -> None:
    truth = people(4)
    annotated = np.ones((4, 14), bool)
    annotated[1:, NECK] = False  # the neck is annotated once, and predicted wrong there
    predicted = truth.copy()
    predicted[:, NECK] += 1000
    result = score("lspet-pck", predicted, labels(truth, annotated))
    assert result.joints["neck"] == 0
    assert result.mean == pytest.approx(100 * 13 / 14)
    assert result.mean_limbs == 100
    assert result.parts["Head"] == 50


def test_mean_limbs_is_over_twelve_joints() -> None:
    truth = people(4)
    predicted = truth.copy()
    predicted[:1, LSP14.index("left_knee")] += 1000
    predicted[:, [NECK, HEAD_TOP]] += 1000
    result = score("lspet-pck", predicted, labels(truth))
    assert result.mean_limbs == pytest.approx((11 * 100 + 75) / 12)
    assert result.mean == pytest.approx((11 * 100 + 75) / 14)


def test_persons_without_a_reference_joint_are_left_out() -> None:
    truth, annotated = people(3), np.ones((3, 14), bool)
    annotated[0, LEFT_SHOULDER] = annotated[1, RIGHT_HIP] = False
    predicted = truth.copy()
    predicted[:2] += 1000
    result = score("lspet-pck", predicted, labels(truth, annotated))
    assert (result.persons, result.mean) == (1, 100)


def test_a_score_is_plain_json() -> None:
    truth = people(2)
    annotated = np.ones((2, 14), bool)
    annotated[:, NECK] = False
    values = score("lspet-pck", truth, labels(truth, annotated)).to_dict()
    assert values["joints"]["neck"] is None  # never scored; NaN is no JSON
    assert (values["mean"], values["parts"]["Head"]) == (100, 100)
    assert set(values) == {
        "protocol", "mean", "mean_limbs", "parts", "joints", "persons", "left_out", "threshold",
        "auc", "at",
    }  # fmt: skip
    assert values["protocol"] == "lspet-pck"
    assert list(values["parts"]) == COLUMNS
    assert values["persons"] == 2
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_what_a_rule_does_not_have_is_not_in_its_json() -> None:
    truth = people(2)
    assert "mean_limbs" not in score("lsp-pc", truth, labels(truth)).to_dict()


# --- LSP


@pytest.mark.parametrize("protocol", ["lsp-pc", "lsp-oc", "lsp-pc-corrected"])
def test_lsp_counts_every_joint_whatever_its_flag(protocol: str) -> None:
    truth = people(4)
    predicted = truth.copy()
    predicted[:2, NECK] += 1000
    nothing = labels(truth, np.zeros((4, 14), bool))
    result = score(protocol, predicted, nothing)
    assert (result.protocol, result.persons, result.threshold) == (protocol, 4, 0.2)
    assert result.joints["neck"] == 50
    assert result.parts["Head"] == 75  # of neck and head top
    assert result.mean == pytest.approx((13 * 100 + 50) / 14)
    assert score(protocol, truth + [20, 0], nothing).mean == 100
    assert score(protocol, truth + [20.001, 0], nothing).mean == 0


def test_mpii_joints_are_scored_as_lsps_fourteen() -> None:
    truth = np.random.default_rng(0).uniform(0, 300, (3, 16, 2))
    predicted = truth.copy()
    predicted[:, [MPII16.index("pelvis"), MPII16.index("thorax")]] = np.nan
    result = score("lsp-pc", predicted, labels(truth, skeleton=MPII16))
    assert result.mean == 100
    assert set(result.joints) == set(LSP14.joints)


# --- MPII


def mpii_case() -> tuple[np.ndarray, GroundTruth]:
    """Four persons of reference length 100; the means of the three rules differ.

    The neck is labelled once and right, the head top four times and right once, the wrists once
    and wrong; every other joint four times and right.
    """
    points = np.random.default_rng(0).integers(0, 300, (4, 16, 2)).astype(float)
    annotated = np.ones((4, 16), bool)
    predicted = points.copy()
    neck, top = MPII16.index("neck"), MPII16.index("head_top")
    wrists = [MPII16.index("right_wrist"), MPII16.index("left_wrist")]
    annotated[1:, [neck, *wrists]] = False
    predicted[1:, top] += 1000
    predicted[:, wrists] += 1000
    predicted[:, [MPII16.index("pelvis"), MPII16.index("thorax")]] += 1000
    return predicted, labels(points, annotated, MPII16, references=np.full(4, 100.0))


def test_tompson_is_the_plain_mean_of_fourteen_joints() -> None:
    result = score("mpii-tompson", *mpii_case())
    assert result.mean == pytest.approx((10 * 100 + 100 + 25) / 14)
    assert result.parts["Head"] == 25
    assert (result.parts["Wri"], result.parts["Sho"]) == (0, 100)
    assert list(result.parts) == COLUMNS
    assert len(result.joints) == 14


@pytest.mark.parametrize(("protocol", "head"), [("mpii-official", 62.5), ("mpii-msra", 25)])
def test_official_and_msra_pool_all_joints(protocol: str, head: float) -> None:
    result = score(protocol, *mpii_case())
    # Labelled: 10 joints and the head top four times, the neck and two wrists once.
    assert result.mean == pytest.approx(100 * (40 + 1 + 1) / (44 + 3))
    assert result.parts["Head"] == head
    assert "thorax" not in result.joints


@pytest.mark.parametrize(
    ("protocol", "at_half"), [("mpii-tompson", 0), ("mpii-official", 100), ("mpii-msra", 100)]
)
def test_only_tompson_wants_less_than_half(protocol: str, at_half: float) -> None:
    points = np.random.default_rng(0).integers(0, 300, (2, 16, 2)).astype(float)
    truth = labels(points, skeleton=MPII16, references=np.array([100.0, 40.0]))
    at = points + np.array([[[50.0, 0]], [[0, 20.0]]])
    assert score(protocol, at, truth).mean == at_half
    assert score(protocol, at - [[[0.001, 0]], [[0, 0.001]]], truth).mean == 100
    assert score(protocol, at + [[[0.001, 0]], [[0, 0.001]]], truth).mean == 0


def test_mpii_leaves_out_persons_without_a_head() -> None:
    predicted, truth = mpii_case()
    predicted[3] += 1000
    references = np.array([100.0, 100, 100, np.nan])
    some = labels(truth.points, truth.annotated, MPII16, references=references)
    result = score("mpii-msra", predicted, some)
    assert result.persons == 3
    assert result.mean == pytest.approx(100 * (30 + 1 + 1) / (33 + 3))


@pytest.mark.parametrize("protocol", ["mpii-tompson", "mpii-official", "mpii-msra"])
def test_mpii_reports_a_tenth_too(protocol: str) -> None:
    points = np.random.default_rng(0).integers(0, 300, (4, 16, 2)).astype(float)
    truth = labels(points, skeleton=MPII16, references=np.full(4, 100.0))
    predicted = points.copy()
    predicted[:1] += [9.9, 0]
    predicted[1:] += [10.5, 0]  # within 0.11, not within 0.10
    result = score(protocol, predicted, truth)
    assert result.at == {"0.1": 25}
    assert result.mean == 100


def test_auc_is_over_steps_of_a_hundredth() -> None:
    """All joints are 0.105 off: wrong at 0 to 0.10, right at 0.11 to 0.50, so 39.5 of 50 steps."""
    points = np.random.default_rng(0).integers(0, 300, (4, 16, 2)).astype(float)
    truth = labels(points, skeleton=MPII16, references=np.full(4, 100.0))
    result = score("mpii-official", points + [10.5, 0], truth)
    assert result.auc == pytest.approx(100 * 39.5 / 50)
    # Over 0..0.2, 9.5 of 20 steps.
    result = score("mpii-official", points + [10.5, 0], truth, threshold=0.2)
    assert result.auc == pytest.approx(100 * 9.5 / 20)
    assert (result.mean, result.threshold) == (100, 0.2)


# --- FLIC


def flic_case() -> tuple[np.ndarray, GroundTruth]:
    """Ten persons whose left shoulder and right hip are 100 apart, the other diagonal 200."""
    points = np.random.default_rng(0).integers(0, 300, (10, 11, 2)).astype(float)
    points[:, FLIC11.index("left_shoulder")] = [160, 100]
    points[:, FLIC11.index("right_hip")] = [100, 180]
    return points, labels(points, skeleton=FLIC11, references=np.full(10, 200.0))


def test_flic_is_the_mean_of_elbows_and_wrists() -> None:
    points, truth = flic_case()
    predicted = points.copy()
    predicted[:1, FLIC11.index("left_elbow")] += 1000
    predicted[:2, FLIC11.index("right_elbow")] += 1000
    predicted[:5, FLIC11.index("left_wrist")] += 1000
    predicted[:, [FLIC11.index("nose"), FLIC11.index("left_shoulder")]] = np.nan
    result = score("flic", predicted, truth)
    assert result.parts == {"Elbow": pytest.approx(85), "Wrist": pytest.approx(75)}
    assert result.mean == pytest.approx(80)
    assert set(result.joints) == {"left_elbow", "right_elbow", "left_wrist", "right_wrist"}


def test_the_other_diagonal_is_an_option() -> None:
    points, truth = flic_case()
    assert score("flic", points + [20, 0], truth).mean == 100
    assert score("flic", points + [20.1, 0], truth).mean == 0
    assert score("flic", points + [40, 0], truth, stored_reference=True).mean == 100
    assert score("flic", points + [40.1, 0], truth, stored_reference=True).mean == 0
    without = labels(points, skeleton=FLIC11)
    with pytest.raises(UserError, match=r"'flic': no person.*reference length.*stored lengths"):
        score("flic", points, without, stored_reference=True)


def test_flic_leaves_out_persons_whose_torso_is_not_labelled() -> None:
    points, truth = flic_case()
    annotated = truth.annotated.copy()
    annotated[3:, FLIC11.index("right_hip")] = False
    points[3:, FLIC11.index("right_hip")] = 0
    result = score("flic", points, labels(points, annotated, FLIC11))
    assert (result.persons, result.mean) == (3, 100)


# --- pck-box


def test_pck_box_is_in_longer_sides_of_the_box() -> None:
    own = Skeleton("own", ("tail", "nose"), ())
    points = np.array([[[10.0, 20], [200, 50]]] * 2)
    boxes = np.array([[0.0, 0, 200, 100], [0, 0, 50, 100]])
    truth = labels(points, skeleton=own, boxes=boxes)
    result = score("pck-box", points + [8, 0], truth)
    assert (result.mean, result.at, result.parts) == (50, {"0.1": 100}, {})
    assert (result.threshold, result.joints) == (0.05, {"tail": 50, "nose": 50})
    assert score("pck-box", points + np.array([[[10, 0]], [[0, 5]]]), truth).mean == 100
    assert score("pck-box", points + np.array([[[10.01, 0]], [[0, 5.01]]]), truth).mean == 0


def test_pck_box_takes_only_persons_with_a_box() -> None:
    points = np.zeros((2, 2, 2))
    own = Skeleton("own", ("tail", "nose"), ())
    boxes = np.array([[0.0, 0, 10, 10], [np.nan] * 4])
    assert score("pck-box", points, labels(points, skeleton=own, boxes=boxes)).persons == 1
    with pytest.raises(UserError, match="no person has a reference length"):
        score("pck-box", points, labels(points, skeleton=own))


# --- several data sets


def test_persons_of_several_data_sets_are_scored_by_limbs_where_all_have_them() -> None:
    assert common_protocol(LSP14, COCO17, MPII16, BODY19) == "torso-pck"
    own = Skeleton("own", ("tail", "nose"), ())
    assert common_protocol(LSP14, own) == common_protocol(own) == "pck-box"


# --- all rules


def test_every_rule_has_a_test_case_and_a_name() -> None:
    assert [*PCK_RULES, "coco-oks", "oks"] == protocol_names()
    assert {name: rule.threshold for name, rule in PCK_RULES.items()} == {
        "mpii-tompson": 0.5, "mpii-official": 0.5, "mpii-msra": 0.5, "mpii-tompson-joints": 0.5,
        "lsp-pc": 0.2, "lsp-oc": 0.2, "lsp-pc-corrected": 0.2,
        "lspet-pck": 0.2, "torso-pck": 0.2, "flic": 0.2, "pck-box": 0.05,
    }  # fmt: skip


@pytest.mark.parametrize("rule", PCK_RULES.values(), ids=PCK_RULES)
def test_perfect_predictions_have_everything_right(rule: Rule) -> None:
    truth = truth_for(rule, 6)
    result = score(rule.name, truth.points, truth)
    scored = [result.mean, *result.parts.values(), *result.joints.values(), *result.at.values()]
    assert scored == pytest.approx([100] * len(scored))
    # `<` has nothing right at 0, of the first step's area half.
    lost = 50 / (rule.threshold * 100) if rule.strict else 0
    assert result.auc == pytest.approx(100 - lost)


@pytest.mark.parametrize("rule", PCK_RULES.values(), ids=PCK_RULES)
def test_what_is_nowhere_is_wrong(rule: Rule) -> None:
    truth = truth_for(rule, 6)
    assert score(rule.name, np.full_like(truth.points, np.nan), truth).mean == 0


seeds = st.integers(0, 10_000)
rules = st.sampled_from(list(PCK_RULES.values()))


def parts_of(result: Any) -> list[float]:
    return [result.mean, result.auc, *result.parts.values(), *result.joints.values()]


@settings(deadline=None)
@given(rules, seeds)
def test_the_order_of_persons_does_not_matter(rule: Rule, seed: int) -> None:
    truth = truth_for(rule, 12, seed)
    predicted = off(truth, seed)
    order = np.random.default_rng(seed).permutation(12)
    turned = GroundTruth(
        truth.points[order],
        truth.annotated[order],
        truth.skeleton,
        truth.boxes[order],
        truth.references[order],
    )
    expected = parts_of(score(rule.name, predicted, truth))
    found = parts_of(score(rule.name, predicted[order], turned))
    assert found == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(rules, seeds, st.sampled_from([0.25, 2.0, 64.0]))
def test_the_size_of_pictures_does_not_matter(rule: Rule, seed: int, factor: float) -> None:
    """Powers of two, so that no error crosses the threshold by rounding."""
    truth = truth_for(rule, 12, seed)
    predicted = off(truth, seed)
    scaled = GroundTruth(
        truth.points * factor,
        truth.annotated,
        truth.skeleton,
        truth.boxes * factor,
        truth.references * factor,
    )
    expected = parts_of(score(rule.name, predicted, truth))
    found = parts_of(score(rule.name, predicted * factor, scaled))
    assert found == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(rules, seeds, st.lists(st.floats(0.001, 2), min_size=2, max_size=5))
def test_a_larger_threshold_never_scores_less(
    rule: Rule, seed: int, thresholds: list[float]
) -> None:
    truth = truth_for(rule, 12, seed)
    predicted = off(truth, seed)
    means = [
        score(rule.name, predicted, truth, threshold=threshold).mean
        for threshold in sorted(thresholds)
    ]
    assert np.diff(means).min() >= -1e-9


@settings(deadline=None)
@given(rules, seeds)
def test_a_curve_ends_at_the_score(rule: Rule, seed: int) -> None:
    truth = truth_for(rule, 12, seed)
    predicted = off(truth, seed)
    result = score(rule.name, predicted, truth)
    curves = score_curves(rule.name, predicted, truth)
    assert curves.thresholds[[0, -1]].tolist() == [0, rule.threshold]
    assert np.diff(curves.thresholds) == pytest.approx(0.01)
    assert curves.mean[-1] == result.mean
    ends = {name: values[-1] for name, values in (curves.parts | curves.joints).items()}
    assert ends == pytest.approx(result.parts | result.joints, nan_ok=True)
    at = score_curves(rule.name, predicted, truth, [0.1])
    assert at.mean.tolist() == [pytest.approx(result.at["0.1"])]


@settings(deadline=None)
@given(rules, seeds)
def test_a_score_is_what_a_plain_loop_counts(rule: Rule, seed: int) -> None:
    truth = truth_for(rule, 8, seed)
    predicted = off(truth, seed)
    lengths = {
        "mpii": truth.references, "pck-": np.ptp(truth.boxes.reshape(-1, 2, 2), 1).max(1),
    }.get(rule.name[:4], np.full(8, 100.0))  # fmt: skip
    counted = rule.joints(truth.skeleton)
    right = dict.fromkeys(counted, 0)
    total = dict.fromkeys(counted, 0)
    for n in range(8):
        for joint in counted:
            k = truth.skeleton.index(joint)
            if truth.annotated[n, k] or rule.name.startswith("lsp-"):
                error = math.dist(predicted[n, k], truth.points[n, k]) / lengths[n]
                total[joint] += 1
                right[joint] += error <= rule.threshold
    shares = [100 * right[joint] / total[joint] for joint in counted if total[joint]]
    result = score(rule.name, predicted, truth)
    if rule.name in ("mpii-official", "mpii-msra"):
        expected = 100 * sum(right.values()) / sum(total.values())
    elif rule.name == "flic":
        pairs = [
            np.mean([100 * right[f"{side}_{end}"] / total[f"{side}_{end}"] for side in sides])
            for end in ("elbow", "wrist")
            for sides in [[s for s in ("left", "right") if total[f"{s}_{end}"]]]
        ]
        expected = float(np.mean(pairs))
    else:
        expected = float(np.mean(shares))
    assert result.mean == pytest.approx(expected)


# --- errors


def test_an_unknown_rule_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown protocol 'mpii-tomson'; did you mean 'mpii-tomp"):
        score("mpii-tomson", people(1), labels(people(1)))
    with pytest.raises(UserError, match="coco-oks"):
        find_rule("xyz")


def test_rules_do_not_fit_every_skeleton() -> None:
    flic = labels(np.zeros((1, 11, 2)), skeleton=FLIC11)
    with pytest.raises(UserError, match="'lsp-pc' scores neck, head_top, right_knee"):
        score("lsp-pc", flic.points, flic)
    bare = Skeleton("arms", ("left_elbow", "right_elbow", "left_wrist", "right_wrist"), ())
    arms = labels(np.zeros((1, 4, 2)), skeleton=bare)
    with pytest.raises(UserError, match="'arms' has no left shoulder and right hip"):
        score("flic", arms.points, arms)


def test_labels_without_lengths_are_told() -> None:
    truth = labels(np.zeros((2, 16, 2)), skeleton=MPII16)
    with pytest.raises(UserError, match="'mpii-msra': no person has a reference length"):
        score("mpii-msra", truth.points, truth)


@pytest.mark.parametrize("threshold", [0, -1, math.nan, math.inf])
def test_thresholds_are_positive_numbers(threshold: float) -> None:
    with pytest.raises(UserError, match="threshold must be a positive number"):
        score("lsp-pc", people(1), labels(people(1)), threshold=threshold)


def test_shapes_must_agree() -> None:
    with pytest.raises(UserError, match=r"must be 2 x 14 x 2 as the labels are, got 3 x 14 x 2"):
        score("lsp-pc", people(3), labels(people(2)))
    with pytest.raises(ValueError, match=r"points must be N x 14 x 2"):
        labels(np.zeros((2, 16, 2)))


def test_annotations_are_stacked() -> None:
    points = people(2)
    persons = [
        Annotation("a", points[0], np.full(14, 2, np.uint8), reference=7.0),
        Annotation("b", points[1], np.array([0] + [1] * 13, np.uint8)),
    ]
    truth = GroundTruth.of(persons, LSP14)
    assert np.array_equal(truth.points, points)
    assert truth.annotated.sum(axis=1).tolist() == [14, 13]
    assert truth.boxes[0].tolist() == [*points[0].min(axis=0), *points[0].max(axis=0)]
    assert truth.references[0] == 7
    assert math.isnan(truth.references[1])
    with pytest.raises(UserError, match="no labelled persons"):
        GroundTruth.of([], LSP14)


# --- mpii-tompson-joints


@pytest.mark.parametrize("skeleton", [LSP14, MPII16, BODY19], ids=lambda s: s.name)
def test_a_head_size_from_joints_is_three_quarters_of_neck_to_head_top(skeleton: Skeleton) -> None:
    truth = np.random.default_rng(2).uniform(0, 300, (4, len(skeleton), 2))
    truth[:, skeleton.index("head_top")] = truth[:, skeleton.index("neck")] + [60, -80]  # 75
    annotated = np.ones(truth.shape[:2], bool)
    annotated[3, skeleton.index("head_top")] = False
    predicted = truth.copy()
    predicted[0, skeleton.index("left_knee")] += [37.4, 0]
    predicted[1, skeleton.index("left_knee")] += [0, 37.6]
    for other in set(skeleton.joints) & {"nose", "pelvis", "left_ear"}:
        predicted[:, skeleton.index(other)] += 1000
    result = score("mpii-tompson-joints", predicted, labels(truth, annotated, skeleton=skeleton))
    assert (result.persons, result.left_out, len(result.joints)) == (3, 1, 14)
    assert result.joints["left_knee"] == pytest.approx(100 * 2 / 3)
    assert result.mean == pytest.approx(100 * (13 + 2 / 3) / 14)


def test_no_head_size_from_joints_without_a_head() -> None:
    points = np.zeros((1, 17, 2))
    with pytest.raises(UserError, match="scores head_top, which skeleton 'coco17' does not have"):
        score("mpii-tompson-joints", points, labels(points, skeleton=COCO17))
    own = Skeleton("own", tuple(joint for joint in LSP14.joints if joint != "neck"), ())
    with pytest.raises(UserError, match="'own' has no neck to normalise by"):
        score("mpii-tompson-joints", points[:, :13], labels(points[:, :13], skeleton=own))


# --- torso-pck


@pytest.mark.parametrize("skeleton", [LSP14, MPII16, COCO17, BODY19], ids=lambda s: s.name)
def test_torso_pck_is_of_the_twelve_limb_joints_in_any_skeleton(skeleton: Skeleton) -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(0, 300, (6, len(skeleton), 2))
    left, right = skeleton.index("left_shoulder"), skeleton.index("right_hip")
    truth[:, right] = truth[:, left] + [60, 80]  # 100 long
    predicted = truth.copy()
    predicted[0, skeleton.index("left_wrist")] += [20.1, 0]
    predicted[1, skeleton.index("left_wrist")] += [19.9, 0]
    for other in set(skeleton.joints) & {"neck", "head_top", "nose", "pelvis", "left_ear"}:
        predicted[:, skeleton.index(other)] += 1000
    result = score("torso-pck", predicted, labels(truth, skeleton=skeleton))
    assert len(result.joints) == 12
    assert result.joints["left_wrist"] == pytest.approx(100 * 5 / 6)
    assert result.mean == result.headline == pytest.approx(100 * (11 + 5 / 6) / 12)


def test_torso_pck_is_the_limbs_mean_of_lspet_pck() -> None:
    truth = truth_for(PCK_RULES["lspet-pck"], 40)
    predicted = off(truth)
    both = [score(name, predicted, truth) for name in ("torso-pck", "lspet-pck")]
    assert both[0].mean == both[1].mean_limbs
    assert both[0].persons == both[1].persons
