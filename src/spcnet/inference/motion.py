"""One person's joints through a whole video put right: sides, short gaps, trembling.

Points are (T, K, 2) pixels, NaN where a joint is not known, scores (T, K), times (T,) seconds. What
sees the whole video at once can do what `OneEuroFilter`, which is for live use, cannot: filter
without a lag, and undo what only the frames afterwards show to be wrong.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.signal import butter, sosfiltfilt

from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.skeletons import Skeleton

GAP = 0.3  # seconds: longer gaps stay empty
CUTOFF = 6.0  # Hz, as is usual in the analysis of gait
BREAK = 0.5  # of the person's size: who moved farther from one frame to the next is somebody else
SWAPS, RETURNS = (
    0.01,
    0.1,
)  # chances in a frame that left and right are exchanged, and are right again
ROUGHNESS = 0.02  # of the person's size: mean deviation from a steady speed
ROUGHEST = 0.2  # beyond which more deviation says no more


def steady(
    points: Array, scores: Array, times: Array, skeleton: Skeleton, *, cutoff: float = CUTOFF
) -> tuple[Array, Array]:
    """Points and scores with sides restored, gaps up to `GAP` filled, and trembling filtered.

    A filled joint has the lower of the scores beside the gap. Nothing is carried over a jump by
    more than `BREAK`, where another person was followed on, or the scene was cut.
    """
    points, scores = np.array(points, dtype=np.float64), np.array(scores, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(points).any(axis=(1, 2)))
    if not len(known):
        return points, scores
    sizes = _sizes(points[known])
    steps = np.linalg.norm(np.diff(points[known], axis=0), axis=-1)
    jumps = np.nan_to_num(np.nanmedian(steps, axis=1)) > BREAK * np.maximum(sizes[1:], sizes[:-1])
    edges = [0, *(known[1:][jumps]).tolist(), len(points)]
    rate = 1 / np.median(np.diff(times)) if len(times) > 1 else 0.0
    for begin, end in pairwise(edges):
        part = slice(begin, end)
        points[part], scores[part], _ = restore_sides(
            points[part], scores[part], times[part], skeleton
        )
        points[part], filled = fill_gaps(points[part], times[part])
        scores[part] = np.where(filled, _lower_beside(scores[part], filled), scores[part])
        points[part] = butterworth(points[part], rate, cutoff)
    return points, scores


def restore_sides(
    points: Array, scores: Array, times: Array, skeleton: Skeleton
) -> tuple[Array, Array, Array]:
    """Points and scores whose left and right are not exchanged, and where (T, K) they were.

    Each pair of joints is in one of two states s, right or exchanged. The most likely path
    (Viterbi, IEEE Transactions on Information Theory 13, 1967) has the least sum, over frames, of

        w |x_t - x_{t-1} - r (x_{t-1} - x_{t-2})| / b - log P(s_t | s_{t-1})

    where x are the joints as the states have them, r the ratio of the times between, b `ROUGHNESS`
    of the person's size and w the least score of both joints in the three frames: deviations from a
    steady speed follow Laplace's distribution, wider for unsure joints. A state changes with
    probability `SWAPS` to exchanged and `RETURNS` back. As two frames go into a third, the path's
    states are those of two frames. What is exchanged for most of the time cannot be known.
    """
    points, scores = np.array(points), np.array(scores)
    exchanged = np.zeros(scores.shape, dtype=bool)
    flip = skeleton.flip_permutation
    pairs = [(k, n) for k, n in enumerate(flip) if k < n]
    known = np.flatnonzero(np.isfinite(points).any(axis=(1, 2)))
    if len(known) < 3 or not pairs:
        return points, scores, exchanged
    costs = _deviations(points[known], scores[known], times[known], pairs)
    for pair, states in zip(pairs, _likeliest(costs).T, strict=True):
        rows = known[states][:, None]
        points[rows, pair], scores[rows, pair] = points[rows, pair[::-1]], scores[rows, pair[::-1]]
        exchanged[rows, pair] = True
    return points, scores, exchanged


def _deviations(
    points: Array, scores: Array, times: Array, pairs: Sequence[tuple[int, int]]
) -> Array:
    """Costs (T - 2, P, 2, 2) of each pair's deviation from a steady speed.

    The last two axes say whether the pair is exchanged between the first and the second of three
    frames, and between the second and the third.
    """
    both = np.array(pairs)
    x = np.stack([points[:, both], points[:, both[:, ::-1]]], axis=2)  # (T, P, 2 states, 2, 2)
    passed = np.maximum(np.diff(times), 1e-6)
    ratio = (passed[1:] / passed[:-1])[:, None, None, None]
    now = x[1:-1, :, 0]
    expected = now[:, :, None] + ratio[..., None] * (now[:, :, None] - x[:-2])
    away = np.linalg.norm(x[2:, :, None] - expected[:, :, :, None], axis=-1)  # (T - 2, P, 2, 2, 2)
    away = np.minimum(away / _sizes(points)[1:-1, None, None, None, None], ROUGHEST)
    sure = scores[:, both].min(axis=-1)
    sure = np.minimum(np.minimum(sure[2:], sure[1:-1]), sure[:-2])
    costs: Array = np.nan_to_num(away).sum(axis=-1) / ROUGHNESS * sure[..., None, None]
    return costs


def _likeliest(costs: Array) -> Array:
    """The likeliest states (T, P), True where exchanged, by costs (T - 2, P, 2, 2) of changes."""
    change = -np.log([[1 - SWAPS, SWAPS], [RETURNS, 1 - RETURNS]])
    first = -np.log(np.array([RETURNS, SWAPS]) / (RETURNS + SWAPS))  # where they settle
    s0, s1, s2 = np.ogrid[:2, :2, :2]
    steps = costs[:, :, s0 ^ s1, s1 ^ s2] + change  # (T - 2, P, 2, 2, 2)
    total = np.broadcast_to(first[:, None] + change, (costs.shape[1], 2, 2))  # of s_0 and s_1
    before = np.empty((*costs.shape[:2], 2, 2), dtype=bool)  # the best s_t-2 of s_t-1 and s_t
    for t, step in enumerate(steps):
        sums = total[..., None] + step
        before[t] = sums[:, 1] < sums[:, 0]
        total = sums.min(axis=1)
    states = np.empty((len(costs) + 2, costs.shape[1]), dtype=bool)
    last = total.reshape(-1, 4).argmin(axis=1)
    states[-2:] = last // 2, last % 2
    pairs = np.arange(costs.shape[1])
    for t in range(len(costs) - 1, -1, -1):
        states[t] = before[t, pairs, states[t + 1].astype(int), states[t + 2].astype(int)]
    return states


def fill_gaps(points: Array, times: Array, longest: float = GAP) -> tuple[Array, Array]:
    """Points whose gaps of at most so many seconds are filled, and which (T, K) were.

    A gap lasts from the frame before it to the one after; what is before the first or after the
    last frame of a joint is none. Between is a monotone cubic (PCHIP; Fritsch and Carlson, SIAM
    Journal on Numerical Analysis 17, 1980), which does not overshoot.
    """
    points = np.array(points, dtype=np.float64)
    filled = np.zeros(points.shape[:2], dtype=bool)
    for joint in range(points.shape[1]):
        known = np.flatnonzero(np.isfinite(points[:, joint]).all(axis=-1))
        for before, after in pairwise(known.tolist()):
            if after - before > 1 and times[after] - times[before] <= longest + 1e-9:
                filled[before + 1 : after, joint] = True
        if filled[:, joint].any():
            curve = PchipInterpolator(times[known], points[known, joint])
            points[filled[:, joint], joint] = curve(times[filled[:, joint]])
    return points, filled


def butterworth(points: Array, rate: float, cutoff: float = CUTOFF) -> Array:
    """Points through a low-pass filter of second order, forwards and backwards, so without a lag.

    `rate` is frames a second. Both passes together let half of the power through at the cutoff in
    Hz, for which each pass has a cutoff higher by 1 / (sqrt(2) - 1)^(1/4) = 1.247 (Winter,
    Biomechanics and Motor Control of Human Movement, 4th edition, section 3.4.4.2). Every run of
    known frames is filtered alone. Where the rate is too low for the cutoff, points stay.
    """
    if not cutoff > 0:
        raise UserError(f"a cutoff must be above 0 Hz, got {cutoff:g}")
    points = np.array(points, dtype=np.float64)
    each = cutoff / (np.sqrt(2) - 1) ** 0.25
    if each >= rate / 2:
        return points
    sections = butter(2, each, fs=rate, output="sos")
    for joint in range(points.shape[1]):
        known = np.isfinite(points[:, joint]).all(axis=-1).astype(int)
        edges = np.flatnonzero(np.diff(known, prepend=0, append=0)).reshape(-1, 2)
        for begin, end in edges:
            part = points[begin:end, joint]
            pad = min(int(rate), end - begin - 1)  # a second, reflected, so that ends do not swing
            points[begin:end, joint] = sosfiltfilt(sections, part, axis=0, padlen=pad)
    return points


def _sizes(points: Array) -> Array:
    """The longer side (T,) of the box about each frame's known points, at least a pixel."""
    sides = np.nanmax(points, axis=1) - np.nanmin(points, axis=1)
    return np.asarray(np.maximum(sides.max(axis=-1), 1.0))


def _lower_beside(scores: Array, filled: Array) -> Array:
    """Of each frame and joint the lower score of the nearest frames that are not filled."""
    frames = np.arange(len(scores))[:, None]
    before = np.maximum.accumulate(np.where(filled, 0, frames), axis=0)
    after = np.minimum.accumulate(np.where(filled, len(scores) - 1, frames)[::-1], axis=0)[::-1]
    pick = [np.take_along_axis(scores, at, axis=0) for at in (before, after)]
    return np.asarray(np.minimum(*pick))
