"""Sides, gaps and trembling over time, by hand and by property."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcnet.errors import UserError
from spcnet.inference.motion import butterworth, fill_gaps, restore_sides, steady
from spcnet.skeletons import BODY19, COCO17, LSP14, Skeleton

RATE = 30.0
SETTINGS = settings(max_examples=25, deadline=None)


def walk(frames: int = 90, *, hertz: float = 0.9, phase: float = 0.0, speed: float = 60.0,
         skeleton: Skeleton = LSP14) -> np.ndarray:  # fmt: skip
    """A person 200 px high who walks sideways; left and right limbs pass each other."""
    times = np.arange(frames) / RATE
    heights = {"ankle": 200, "knee": 150, "hip": 100, "wrist": 110, "elbow": 70, "shoulder": 40}
    swings = {"ankle": 35, "knee": 20, "hip": 4, "wrist": 30, "elbow": 15, "shoulder": 6}
    points = np.empty((frames, len(skeleton), 2))
    for k, joint in enumerate(skeleton.joints):
        side, _, name = joint.partition("_")
        turn = (0 if side == "left" else np.pi) + (np.pi if heights.get(name, 0) > 120 else 0)
        swing = swings.get(name, 0) * np.sin(2 * np.pi * hertz * times + phase + turn)
        face = {"left": 4.0, "right": -4.0}.get(side, 0.0) if name not in swings else 0.0
        points[:, k] = np.stack([100 + speed * times + swing + face,
                                 np.full(frames, heights.get(name, 10.0))], axis=1)  # fmt: skip
    return points


def at(frames: int) -> np.ndarray:
    return np.arange(frames) / RATE


def swap(points: np.ndarray, frames: np.ndarray, joints: tuple[str, ...], skeleton: Skeleton = LSP14
         ) -> np.ndarray:  # fmt: skip
    wrong = points.copy()
    for joint in joints:
        left, right = skeleton.index(f"left_{joint}"), skeleton.index(f"right_{joint}")
        wrong[np.ix_(frames, [left, right])] = points[np.ix_(frames, [right, left])]
    return wrong


@SETTINGS
@given(
    hertz=st.floats(0.0, 1.6), phase=st.floats(0, 6.3), speed=st.floats(-300, 300),
    noise=st.floats(0, 1.5), seed=st.integers(0, 99),
    skeleton=st.sampled_from([LSP14, COCO17, BODY19]),
)  # fmt: skip
def test_without_a_swap_sides_stay(
    hertz: float, phase: float, speed: float, noise: float, seed: int, skeleton: Skeleton
) -> None:
    points = walk(60, hertz=hertz, phase=phase, speed=speed, skeleton=skeleton)
    points += np.random.default_rng(seed).normal(0, noise, points.shape)
    scores = np.full(points.shape[:2], 0.9)
    restored, _, exchanged = restore_sides(points, scores, at(60), skeleton)
    assert not exchanged.any()
    assert np.array_equal(restored, points)


@SETTINGS
@given(
    begin=st.integers(2, 50), length=st.integers(1, 30), phase=st.floats(0, 6.3),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_legs_that_were_exchanged_for_a_while_are_restored(
    begin: int, length: int, phase: float, seed: int
) -> None:
    """Where they are apart at both ends of the while: of joints at one place nobody can say."""
    true = walk(90, phase=phase)
    end = begin + length
    apart = np.abs(true[:, 0, 0] - true[:, 5, 0])
    for edge in (begin, end):
        if apart[edge - 1 : edge + 2].min() < 25:
            return
    noisy = true + np.random.default_rng(seed).normal(0, 1.0, true.shape)
    wrong = swap(noisy, np.arange(begin, end), ("hip", "knee", "ankle"))
    scores = np.full((90, 14), 0.9)
    scores[begin:end, :6] = np.linspace(0.7, 0.95, 6)
    restored, moved, exchanged = restore_sides(wrong, scores, at(90), LSP14)
    assert np.array_equal(restored[:, [0, 5]], noisy[:, [0, 5]])  # ankles
    assert exchanged[begin:end][:, [0, 5]].all() and not exchanged[:, 6:].any()
    assert np.array_equal(moved[begin:end, 0], scores[begin:end, 5])


def test_one_pair_alone_is_restored_and_a_frame_without_the_person_is_passed_over() -> None:
    true = walk(60, phase=1.0)
    wrong = swap(true, np.arange(14, 18), ("wrist",))
    wrong[16] = np.nan
    restored, _, exchanged = restore_sides(wrong, np.ones((60, 14)), at(60), LSP14)
    rest = np.arange(60) != 16
    assert np.array_equal(restored[rest], true[rest])
    assert np.isnan(restored[16]).all()
    assert exchanged.sum() == 2 * 3


def test_unsure_joints_need_more_to_be_exchanged() -> None:
    true = walk(60, phase=1.0)
    wrong = swap(true, np.arange(14, 18), ("wrist",))
    scores = np.ones((60, 14))
    scores[:, [LSP14.index("left_wrist"), LSP14.index("right_wrist")]] = 0.02
    assert not restore_sides(wrong, scores, at(60), LSP14)[2].any()


def test_a_skeleton_without_sides_and_few_frames_stay() -> None:
    line = Skeleton("line", ("top", "end"), (("top", "end"),))
    points = np.random.default_rng(0).normal(size=(9, 2, 2))
    assert np.array_equal(restore_sides(points, np.ones((9, 2)), at(9), line)[0], points)
    assert not restore_sides(walk(2), np.ones((2, 14)), at(2), LSP14)[2].any()


def test_gaps_by_hand() -> None:
    points = np.arange(12.0)[:, None, None] * [[1.0, -2.0]]
    line = points.copy()
    points[3:5] = np.nan  # three steps from known to known
    points[7:11] = np.nan  # five
    made, filled = fill_gaps(points, np.arange(12.0), longest=3.0)
    assert np.flatnonzero(filled[:, 0]).tolist() == [3, 4]
    assert made[:7] == pytest.approx(line[:7])
    assert np.isnan(made[7:11]).all()
    points[0] = np.nan  # before the first frame there is no gap
    assert np.isnan(fill_gaps(points, np.arange(12.0), longest=99.0)[0][0]).all()


@SETTINGS
@given(begin=st.integers(1, 40), length=st.integers(1, 18), limit=st.floats(0.05, 0.5))
def test_a_gap_longer_than_the_limit_stays_and_no_other_frame_moves(
    begin: int, length: int, limit: float
) -> None:
    points = walk(60)
    points[begin : begin + length, 3] = np.nan
    made, filled = fill_gaps(points, at(60), limit)
    short = (length + 1) / RATE <= limit + 1e-9
    assert filled.sum() == (length if short else 0)
    assert np.isnan(made[begin : begin + length, 3]).all() == (not short)
    assert np.array_equal(made[~filled & np.isfinite(points[..., 0])],
                          points[~filled & np.isfinite(points[..., 0])])  # fmt: skip


def test_at_the_cutoff_half_of_the_power_passes_and_nothing_lags() -> None:
    rate, cutoff = 120.0, 6.0
    times = np.arange(2400) / rate
    middle = slice(600, 1800)

    def gain(hertz: float) -> float:
        wave = np.sin(2 * np.pi * hertz * times)[:, None, None]
        made = butterworth(wave, rate, cutoff)[middle, 0, 0]
        basis = np.exp(-2j * np.pi * hertz * times[middle])
        ratio = (made @ basis) / (wave[middle, 0, 0] @ basis)
        assert abs(np.angle(ratio)) < 1e-6
        return float(abs(ratio))

    assert 20 * np.log10(gain(cutoff)) == pytest.approx(-3.01, abs=0.05)
    assert gain(1.0) > 0.998 and gain(20.0) < 0.02


@SETTINGS
@given(value=st.floats(-1e4, 1e4), frames=st.integers(1, 80), rate=st.floats(1, 240))
def test_what_stands_still_stays(value: float, frames: int, rate: float) -> None:
    points = np.full((frames, 3, 2), value)
    assert butterworth(points, rate) == pytest.approx(points, abs=1e-6)


def test_a_rate_too_low_for_the_cutoff_leaves_points_and_a_cutoff_is_above_zero() -> None:
    noise = np.random.default_rng(0).normal(size=(30, 2, 2))
    assert np.array_equal(butterworth(noise, 12.0, 6.0), noise)
    assert not np.array_equal(butterworth(noise, 30.0, 6.0), noise)
    with pytest.raises(UserError, match="a cutoff must be above 0 Hz, got 0"):
        butterworth(noise, 30.0, 0.0)


def test_runs_between_gaps_are_filtered_alone() -> None:
    points = np.random.default_rng(0).normal(size=(60, 1, 2))
    points[25:35] = np.nan
    made = butterworth(points, RATE)
    assert np.array_equal(made[:25], butterworth(points[:25], RATE))
    assert np.isnan(made[25:35]).all()


def test_all_of_it_brings_points_nearer_to_the_truth() -> None:
    true = walk(90, phase=1.0)
    points = swap(true, np.arange(40, 52), ("hip", "knee", "ankle"))
    points += np.random.default_rng(0).normal(0, 1.5, true.shape)
    points[20:24] = np.nan
    scores = np.full((90, 14), 0.9)
    scores[24] = 0.5
    made, judged = steady(points, scores, at(90), LSP14)
    before = np.linalg.norm(points - true, axis=-1)
    after = np.linalg.norm(made - true, axis=-1)
    assert np.nanmean(after) < 0.5 * np.nanmean(before)
    assert after[20:24].max() < 8 and (judged[20:24] == 0.5).all()


def test_nothing_is_carried_over_a_jump_to_somebody_else() -> None:
    points = np.concatenate([np.tile(walk(1), (30, 1, 1)), np.tile(walk(1) + 900, (30, 1, 1))])
    made, _ = steady(points, np.ones((60, 14)), at(60), LSP14)
    assert made == pytest.approx(points, abs=1e-6)
    nobody = np.full((9, 14, 2), np.nan)
    assert np.isnan(steady(nobody, np.zeros((9, 14)), at(9), LSP14)[0]).all()
