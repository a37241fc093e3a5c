"""Scores as probabilities; cases worked out by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcnet.calibration import Calibration, fit_calibration, reliability
from spcnet.checkpoints import load_checkpoint, save_checkpoint
from spcnet.inference.estimator import PoseEstimator


def test_a_calibration_is_read_off_its_knots() -> None:
    curve = Calibration((0.1, 0.5, 0.9), (0.2, 0.4, 1.0))
    assert curve(np.array([[0.0, 0.1, 0.3], [0.5, 0.7, 2.0]])) == pytest.approx(
        np.array([[0.2, 0.2, 0.3], [0.4, 0.7, 1.0]])
    )
    assert curve(np.zeros(2)).dtype == np.float32


def test_fitted_shares_are_those_of_the_groups() -> None:
    """Peaks at four places, right 10, 30, 60 and 90 times in 100."""
    peaks = np.repeat([0.1, 0.3, 0.5, 0.8], 600)
    right = np.concatenate([np.arange(600) % 100 < share for share in (10, 30, 60, 90)])
    curve = fit_calibration(peaks, right)
    assert curve(np.array([0.1, 0.3, 0.5, 0.8])) == pytest.approx([0.1, 0.3, 0.6, 0.9], abs=0.02)
    assert curve(np.array([0.4])) == pytest.approx([0.45], abs=0.02)
    assert curve(np.array([0.0, 0.05])) == pytest.approx([0.0, 0.05], abs=0.01)  # nothing there


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200))
def test_a_calibration_rises_and_stays_between_0_and_1(joints: list[tuple[float, bool]]) -> None:
    peaks, right = (np.array(column) for column in zip(*joints, strict=True))
    curve = fit_calibration(peaks, right)
    assert np.all(np.diff(curve.peaks) > 0)
    found = curve(np.sort(peaks))
    assert np.all(np.diff(found) >= -1e-6)
    assert found.min() >= 0 and found.max() <= 1


def test_a_higher_peak_is_a_higher_score_even_where_as_many_are_right() -> None:
    random = np.random.default_rng(0)
    peaks = random.random(4000)
    right = random.random(4000) < np.minimum(peaks, 0.6)  # beyond 0.6 all are alike
    curve = fit_calibration(peaks, right)
    assert np.all(np.diff(curve(np.linspace(0, peaks.max(), 500))) > 0)
    assert curve(np.array([0.8])) == pytest.approx([0.6], abs=0.05)


def test_no_joints_make_no_calibration() -> None:
    with pytest.raises(ValueError, match="needs joints"):
        fit_calibration(np.array([]), np.array([]))


def test_reliability_by_hand() -> None:
    scores = np.array([0.05, 0.12, 0.18, 0.95, 1.0])
    right = np.array([False, True, False, True, False])
    found = reliability(scores, right)
    assert found.scores == pytest.approx([0.05, 0.15, 0.975])
    assert found.right == pytest.approx([0, 0.5, 0.5])
    assert found.counts.tolist() == [1, 2, 2]
    assert found.error == pytest.approx((0.05 + 2 * 0.35 + 2 * 0.475) / 5)


def test_a_checkpoint_keeps_its_calibration_and_scores_follow_it(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    network, card = load_checkpoint(tiny_checkpoint)
    assert card.codec.calibration is None
    curve = Calibration((0.0, 1.0), (0.25, 0.75), "some persons")
    path = tmp_path / "calibrated.safetensors"
    save_checkpoint(
        path, network.state_dict(), replace(card, codec=replace(card.codec, calibration=curve))
    )
    assert load_checkpoint(path)[1].codec.calibration == curve
    image = np.full((90, 80, 3), 128, np.uint8)
    plain, calibrated = (
        PoseEstimator(str(p), device="cpu").predict(image, [[5, 5, 70, 80]])[0]
        for p in (tiny_checkpoint, path)
    )
    assert np.array_equal(plain.keypoints, calibrated.keypoints)
    assert calibrated.scores == pytest.approx(0.25 + plain.scores / 2, abs=1e-6)


def test_probabilities_tell_the_peaks_that_they_came_from() -> None:
    curve = Calibration((0.0, 0.2, 0.7), (0.0, 0.5, 0.9))
    peaks = np.array([0.0, 0.1, 0.2, 0.45, 0.7])
    assert curve.peaks_of(curve(peaks)) == pytest.approx(peaks)
    assert curve.peaks_of(curve(np.array([0.9]))) == pytest.approx([0.7])  # flat beyond its end
