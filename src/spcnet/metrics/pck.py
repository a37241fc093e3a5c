"""Percentage of correct keypoints, vectorised over persons."""

from collections.abc import Sequence

import numpy as np

from spcnet.geometry import Array


def normalised_errors(predicted: Array, truth: Array, reference: Array) -> Array:
    """Distances over a reference length.

    Args:
        predicted: (N, K, 2) points.
        truth: (N, K, 2) points.
        reference: (N,) lengths in the same unit.

    Returns:
        (N, K) float64; infinite where the reference is 0 or a prediction is not finite.
    """
    distances = np.linalg.norm(np.asarray(predicted, dtype=np.float64) - truth, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = distances / np.asarray(reference, dtype=np.float64)[:, None]
    return np.where(np.isfinite(errors), errors, np.inf)


def percent_correct(errors: Array, counted: Array, threshold: float) -> Array:
    """Share of correct joints, a joint at a time.

    Args:
        errors: (N, K) normalised errors.
        counted: (N, K) bool, the joints that count.
        threshold: largest error of a correct joint.

    Returns:
        (K,) percentages; NaN for a joint that never counts.
    """
    correct = ((errors <= threshold) & counted).sum(axis=0)
    total = counted.sum(axis=0)
    return np.where(total > 0, 100 * correct / np.maximum(total, 1), np.nan)


def mean_over(scores: Array, columns: Sequence[int]) -> float:
    """Plain mean of some joints' percentages, leaving out those that never counted."""
    chosen = scores[list(columns)]
    return float(np.nanmean(chosen)) if np.isfinite(chosen).any() else float("nan")
