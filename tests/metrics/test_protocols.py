import math

import numpy as np
import pytest

from spcnet.metrics.pck import normalised_errors, percent_correct
from spcnet.metrics.protocols import lspet_pck
from spcnet.skeletons import LSP14

LEFT_SHOULDER, RIGHT_HIP, NECK = (LSP14.index(j) for j in ("left_shoulder", "right_hip", "neck"))


def people(count: int) -> np.ndarray:
    """Points whose torso reference is 100 long."""
    truth = np.random.default_rng(0).integers(0, 300, (count, 14, 2)).astype(float)
    truth[:, LEFT_SHOULDER] = [100, 100]
    truth[:, RIGHT_HIP] = [160, 180]
    return truth


def test_percent_correct_by_hand() -> None:
    errors = np.array([[0.1, 0.2, 0.5], [0.3, 0.2, 0.1]])
    counted = np.array([[True, True, False], [True, True, False]])
    scores = percent_correct(errors, counted, 0.2)
    assert scores[:2].tolist() == [50, 100]
    assert math.isnan(scores[2])


def test_errors_are_in_reference_lengths() -> None:
    errors = normalised_errors(
        np.array([[[3.0, 4.0], [np.nan, 0]]]), np.zeros((1, 2, 2)), np.array([10.0])
    )
    assert errors[0].tolist() == [0.5, math.inf]
    nothing = normalised_errors(np.ones((1, 2, 2)), np.zeros((1, 2, 2)), np.array([0.0]))
    assert np.isinf(nothing).all()


def test_perfect_and_hopeless_predictions() -> None:
    truth, everything = people(5), np.ones((5, 14), bool)
    assert lspet_pck(truth, truth, everything, LSP14).mean == 100
    assert lspet_pck(truth + 1000, truth, everything, LSP14).mean == 0


def test_the_threshold_is_a_fifth_of_the_torso_and_inclusive() -> None:
    truth, everything = people(1), np.ones((1, 14), bool)
    assert lspet_pck(truth + [20, 0], truth, everything, LSP14).mean == 100
    assert lspet_pck(truth + [20.001, 0], truth, everything, LSP14).mean == 0


def test_only_annotated_joints_count_and_joints_weigh_alike() -> None:
    truth = people(4)
    annotated = np.ones((4, 14), bool)
    annotated[1:, NECK] = False  # the neck is annotated once, and predicted wrong there
    predicted = truth.copy()
    predicted[:, NECK] += 1000
    score = lspet_pck(predicted, truth, annotated, LSP14)
    assert score.joints["neck"] == 0
    assert score.mean == pytest.approx(100 * 13 / 14)
    assert score.mean_limbs == 100
    assert score.parts["Head"] == 50


def test_persons_without_a_reference_joint_are_left_out() -> None:
    truth, annotated = people(3), np.ones((3, 14), bool)
    annotated[0, LEFT_SHOULDER] = annotated[1, RIGHT_HIP] = False
    predicted = truth.copy()
    predicted[:2] += 1000
    score = lspet_pck(predicted, truth, annotated, LSP14)
    assert (score.persons, score.mean) == (1, 100)


def test_a_score_is_plain_json() -> None:
    truth = people(2)
    annotated = np.ones((2, 14), bool)
    annotated[:, NECK] = False
    values = lspet_pck(truth, truth, annotated, LSP14).to_dict()
    assert values["joints"]["neck"] is None  # never scored; NaN is no JSON
    assert (values["mean"], values["parts"]["Head"]) == (100, 100)
    assert set(values) == {"protocol", "mean", "mean_limbs", "parts", "joints", "persons"}
    assert values["protocol"] == "lspet-pck"
    assert list(values["parts"]) == ["Head", "Sho", "Elb", "Wri", "Hip", "Knee", "Ank"]
    assert values["persons"] == 2
