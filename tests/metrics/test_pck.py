import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcnet.metrics.pck import area_under_curve, mean_over, normalised_errors, percent_correct


def test_errors_are_in_reference_lengths() -> None:
    errors = normalised_errors(
        np.array([[[3.0, 4.0], [np.nan, 0]], [[6.0, 8.0], [0, np.inf]]]),
        np.zeros((2, 2, 2)),
        np.array([10.0, 20.0]),
    )
    assert errors.tolist() == [[0.5, math.inf], [0.5, math.inf]]


def test_errors_without_a_length_are_infinite() -> None:
    nothing = normalised_errors(np.ones((1, 2, 2)), np.zeros((1, 2, 2)), np.array([0.0]))
    assert np.isinf(nothing).all()
    assert np.isinf(normalised_errors(np.ones((1, 2, 2)), np.ones((1, 2, 2)), np.zeros(1))).all()


def test_whole_numbers_do_not_overflow() -> None:
    near, far = np.zeros((1, 1, 2), np.uint8), np.full((1, 1, 2), 200, np.uint8)
    assert normalised_errors(near, far, np.array([100])).tolist() == [[pytest.approx(2 * 2**0.5)]]


def test_percent_correct_by_hand() -> None:
    errors = np.array([[0.1, 0.2, 0.5], [0.3, 0.2, 0.1]])
    counted = np.array([[True, True, False], [True, True, False]])
    scores = percent_correct(errors, counted, [0.2, 0.3])
    assert scores.shape == (2, 3)
    assert scores[:, :2].tolist() == [[50, 100], [100, 100]]
    assert np.isnan(scores[:, 2]).all()


def test_an_error_at_the_threshold_is_right_unless_strict() -> None:
    errors, counted = np.array([[0.25], [0.5], [0.75]]), np.ones((3, 1), bool)
    thresholds = [0.25, 0.5, 0.6]
    loose, strict = (percent_correct(errors, counted, thresholds, strict=s) for s in (False, True))
    third = pytest.approx(100 / 3)
    assert loose[:, 0].tolist() == [third, pytest.approx(200 / 3), pytest.approx(200 / 3)]
    assert strict[:, 0].tolist() == [0, third, pytest.approx(200 / 3)]


def test_infinite_errors_are_never_right() -> None:
    scores = percent_correct(np.array([[np.inf], [0.0]]), np.ones((2, 1), bool), [0.0, 1e9])
    assert scores[:, 0].tolist() == [50, 50]


@given(st.integers(0, 10_000), st.integers(1, 30), st.booleans())
def test_percent_correct_is_counting(seed: int, persons: int, strict: bool) -> None:
    rng = np.random.default_rng(seed)
    errors = rng.integers(0, 5, (persons, 3)) / 4
    counted = rng.random((persons, 3)) < 0.7
    for t, row in zip((0.25, 0.8), percent_correct(errors, counted, [0.25, 0.8], strict=strict)):  # noqa: B905
        for k in range(3):
            chosen = errors[counted[:, k], k]
            right = chosen < t if strict else chosen <= t
            if len(chosen):
                assert row[k] == pytest.approx(100 * right.mean())
            else:
                assert math.isnan(row[k])


def test_means_by_hand() -> None:
    scores = np.array([[10.0, 20, np.nan, 60], [0, 100, np.nan, 100]])
    assert mean_over(scores, [0, 1, 3]).tolist() == [30, pytest.approx(200 / 3)]
    # What never counted takes no part, neither in the sum nor in the number.
    assert mean_over(scores, [1, 2]).tolist() == [20, 100]
    weights = np.array([1, 3, 50, 0])
    assert mean_over(scores, [0, 1, 2, 3], weights).tolist() == [17.5, 75]
    assert np.isnan(mean_over(scores, [2])).all()
    assert np.isnan(mean_over(scores, [3], weights)).all()


def test_area_by_hand() -> None:
    assert area_under_curve(np.array([0, 0.25, 0.5]), np.array([0.0, 50, 100])) == 50
    # Half at once and the rest at a fifth of the way: 0.2 * 75 + 0.8 * 100.
    area = area_under_curve(np.array([0, 0.1, 0.5]), np.array([50.0, 100, 100]))
    assert area == pytest.approx(95)
    assert area_under_curve(np.linspace(0, 0.2, 21), np.full(21, 100.0)) == pytest.approx(100)
