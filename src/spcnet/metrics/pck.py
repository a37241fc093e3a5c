"""Percentage of correct keypoints, vectorised over persons."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from spcnet.geometry import Array


def normalised_errors(predicted: Array, truth: Array, reference: Array) -> Array:
    """Distances (N, K) of points (N, K, 2) over lengths (N,); infinite where they are no number."""
    apart = np.asarray(predicted, dtype=np.float64) - np.asarray(truth, dtype=np.float64)
    distances = np.sqrt((apart**2).sum(axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = distances / np.asarray(reference, dtype=np.float64)[:, None]
    return np.where(np.isfinite(errors), errors, np.inf)


def percent_correct(
    errors: Array, counted: Array, thresholds: ArrayLike, *, strict: bool = False
) -> Array:
    """Percentages (T, K) of joints whose errors (N, K) are within thresholds (T,).

    NaN for a joint that never counts. If `strict`, an error that equals the threshold is wrong.
    """
    ordered = np.sort(np.where(counted, errors, np.inf), axis=0)
    side: Literal["left", "right"] = "left" if strict else "right"
    at = np.asarray(thresholds, dtype=np.float64)
    correct = np.stack([np.searchsorted(column, at, side=side) for column in ordered.T], axis=1)
    total = counted.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, 100 * correct / total, np.nan)


def mean_over(scores: Array, columns: Sequence[int], weights: Array | None = None) -> Array:
    """Mean (T,) of joints' percentages (T, K) by weights (K,), without those that never counted."""
    chosen = scores[:, list(columns)]
    share = np.ones(len(columns)) if weights is None else weights[list(columns)]
    share = np.where(np.isfinite(chosen), share, 0.0)
    with np.errstate(invalid="ignore"):
        mean: Array = (np.nan_to_num(chosen) * share).sum(axis=1) / share.sum(axis=1)
    return mean


def area_under_curve(thresholds: Array, percentages: Array) -> float:
    """Area under a curve (T,) of percentages by trapezoids, both axes rescaled to 0..1; percent."""
    return float(np.trapezoid(percentages, thresholds) / (thresholds[-1] - thresholds[0]))
