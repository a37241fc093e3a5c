"""Scores that mean something: peak values of heatmaps as probabilities of being right.

A calibration is a rising curve from a joint's peak value to the share of joints with such a peak
that were right, fitted on persons that the network did not learn from. It never changes which of
two joints is the surer.
"""

from dataclasses import dataclass
from numbers import Real

import numpy as np

from spcnet.geometry import Array

KNOTS = 24
BINS = 10


@dataclass(frozen=True)
class Calibration:
    """A rising, piecewise linear curve; a `ValueError` where its values are none."""

    peaks: tuple[float, ...]  # (M,) peak values, ascending
    shares: tuple[float, ...]  # (M,) how often such a joint is right, in [0, 1], not descending
    fitted_on: str = ""  # on what, and by which rule a joint is right

    def __post_init__(self) -> None:
        if not all(isinstance(value, Real) for value in (*self.peaks, *self.shares)):
            raise ValueError("a calibration's peaks and shares must be numbers")
        peaks, shares = np.asarray(self.peaks, float), np.asarray(self.shares, float)
        if peaks.shape != shares.shape or peaks.ndim != 1 or not len(peaks):
            raise ValueError("a calibration has as many shares as peaks, and at least one")
        if not np.isfinite(peaks).all() or (np.diff(peaks) <= 0).any():
            raise ValueError("a calibration's peaks must be finite and rise")
        if not ((shares >= 0) & (shares <= 1)).all() or (np.diff(shares) < 0).any():
            raise ValueError("a calibration's shares must lie in 0..1 and not fall")

    def __call__(self, peaks: Array) -> Array:
        """Probabilities (float32) of peak values of any shape; flat beyond the ends."""
        probabilities: Array = np.interp(peaks, self.peaks, self.shares).astype(np.float32)
        return probabilities

    def peaks_of(self, probabilities: Array) -> Array:
        """The peak values (float32) that probabilities came from, as far as the curve rises."""
        peaks: Array = np.interp(probabilities, self.shares, self.peaks).astype(np.float32)
        return peaks


def fit_calibration(peaks: Array, right: Array, *, fitted_on: str = "") -> Calibration:
    """The curve that fits best among those that rise (isotonic regression), by some knots.

    Where the best one is flat a single knot stays, so that a higher peak is a higher score; the
    last rise goes on to the highest peak. Below the lowest knot it falls to 0 at a peak of 0:
    joints that are not in the picture, which nobody labels, have lower peaks than any that it is
    fitted on. Takes peak values (N,) and whether each joint was right (N,).
    """
    from scipy.optimize import isotonic_regression  # half a second, for fitting alone

    if len(peaks) == 0:
        raise ValueError("a calibration needs joints")
    order = np.argsort(peaks, kind="stable")
    # Groups of equally many, so that a knot is never a single joint.
    groups = np.array_split(order, min(KNOTS, len(order)))
    middles = np.array([peaks[group].mean() for group in groups]).round(6)
    shares = np.array([right[group].mean() for group in groups])
    rising = isotonic_regression(shares, weights=[len(group) for group in groups]).x.round(4)
    rising, of_knot = np.unique(rising, return_inverse=True)
    middles = np.array([middles[of_knot == n].mean() for n in range(len(rising))]).round(6)
    keep = np.concatenate([[True], np.diff(middles) > 0])
    middles, rising = middles[keep], rising[keep]
    if len(middles) > 1 and peaks.max() > middles[-1]:
        slope = (rising[-1] - rising[-2]) / (middles[-1] - middles[-2])
        end = min(1.0, rising[-1] + slope * (peaks.max() - middles[-1]))
        middles, rising = np.append(middles, peaks.max()), np.append(rising, round(end, 4))
    if middles[0] > 0:  # where a heatmap is 0 it has seen nothing
        middles, rising = np.append(0.0, middles), np.append(0.0, rising)
    return Calibration(tuple(middles.tolist()), tuple(rising.tolist()), fitted_on)


@dataclass(frozen=True)
class Reliability:
    """How often joints of some score were right; arrays (B,) of the bins that hold any."""

    scores: Array  # mean score of the bin's joints
    right: Array  # share of them that was right
    counts: Array

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of the two, by the counts (Guo 2017)."""
        return float(np.average(np.abs(self.scores - self.right), weights=self.counts))


def reliability(scores: Array, right: Array, *, bins: int = BINS) -> Reliability:
    """Joints of some scores (N,) in bins of equal width over [0, 1]; right is (N,) bool."""
    which = np.minimum((np.asarray(scores) * bins).astype(int), bins - 1)
    there = np.unique(which)
    members = [which == n for n in there]
    return Reliability(
        np.array([scores[m].mean() for m in members]),
        np.array([right[m].mean() for m in members]),
        np.array([int(m.sum()) for m in members]),
    )
