import numpy as np
import pytest

from spcnet.errors import UserError
from spcnet.inference.smoothing import OneEuroFilter


def run(points: np.ndarray, rate: float, size: float = 1.0, **options: float) -> np.ndarray:
    smooth = OneEuroFilter(**options)
    return np.stack([smooth(p, n / rate, size) for n, p in enumerate(points)])


def test_two_steps_by_hand() -> None:
    smooth = OneEuroFilter(min_cutoff=1.0, beta=2.0, d_cutoff=1.0)
    assert smooth(np.array([[0.0, 0.0]]), 5.0, 1.0).tolist() == [[0.0, 0.0]]
    # 0.1 s later 3 to the right and 4 down: the share of a 1 Hz filter is 1 / (1 + 1 / 0.2 pi).
    share = 1 / (1 + 1 / (2 * np.pi * 0.1))
    assert share == pytest.approx(0.385870, abs=1e-6)
    cutoff = 1 + 2 * share * 50  # the speed of the vector is 5 / 0.1
    assert cutoff == pytest.approx(39.58697, abs=1e-4)
    expected = 0.961348 * np.array([3.0, 4.0])
    assert smooth(np.array([[3.0, 4.0]]), 5.1, 1.0)[0] == pytest.approx(expected, abs=1e-4)


def test_what_stands_still_stays() -> None:
    points = np.tile([[12.5, -3.0], [0.0, 700.0]], (20, 1, 1))
    assert np.array_equal(run(points, rate=30), points)


def test_a_step_is_reached() -> None:
    points = np.zeros((60, 1, 2))
    points[1:] = 0.4
    smoothed = run(points, rate=30)[:, 0, 0]
    assert smoothed[1] > 0.2
    assert smoothed[-1] == pytest.approx(0.4, abs=0.004)


def test_trembling_shrinks_and_fast_motion_is_followed() -> None:
    noise = np.random.default_rng(0).normal(0, 0.005, (300, 4, 2))
    smoothed = run(noise, rate=30)
    assert smoothed[30:].std() < 0.6 * noise.std()
    # One person's size a second: a filter of the same rest cutoff alone lags five times as far.
    ramp = np.linspace(0, 3, 91)[:, None, None].repeat(2, axis=2)
    lag = (ramp - run(ramp, rate=30))[-1, 0, 0]
    assert 0 < lag < 0.2 * (ramp - run(ramp, rate=30, beta=0.0))[-1, 0, 0]


def test_each_point_has_its_own_speed() -> None:
    trembling = np.random.default_rng(1).normal(0, 0.005, (60, 1, 2))
    running = np.linspace(0, 9, 60)[:, None, None].repeat(2, axis=2)
    alone = run(trembling, rate=30)
    together = run(np.concatenate([trembling, running], axis=1), rate=30)
    assert np.array_equal(together[:, :1], alone)


def test_a_picture_four_times_as_large_gives_the_same() -> None:
    points = np.random.default_rng(2).normal(100, 5, (40, 14, 2))
    small = run(points, rate=30, size=80)
    assert run(4 * points, rate=30, size=320) == pytest.approx(4 * small)


def test_twice_the_frames_give_nearly_the_same_path() -> None:
    def path(rate: int) -> np.ndarray:
        times = np.arange(2 * rate + 1) / rate
        return run(np.sin(2 * times)[:, None, None].repeat(2, axis=2), rate=rate)

    assert path(120)[::2] == pytest.approx(path(60), abs=0.02)
    assert path(60)[::2] == pytest.approx(path(30), abs=0.02)


def test_time_that_stands_still_changes_nothing() -> None:
    smooth = OneEuroFilter()
    smooth(np.zeros((1, 2)), 1.0, 1.0)
    assert smooth(np.ones((1, 2)), 1.0, 1.0).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("wrong", [{"min_cutoff": 0.0}, {"d_cutoff": -1.0}, {"beta": -0.1}])
def test_parameters_out_of_range_are_told(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="above 0 and beta at least 0"):
        OneEuroFilter(**wrong)
