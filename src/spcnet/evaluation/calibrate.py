"""Whether joints were right, and what their scores said: for calibration and its plots."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from spcnet.calibration import Calibration, fit_calibration
from spcnet.data.annotations import Dataset
from spcnet.data.regions import CropRule
from spcnet.errors import counted
from spcnet.evaluation.evaluate import Evaluation, evaluate
from spcnet.evaluation.predictions import in_order
from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.protocols import joint_errors


def joint_outcomes(found: Evaluation) -> tuple[Array, Array]:
    """Scores (M,) in [0, 1] and rightness (M,) bool of every joint that a variant of PCK counts."""
    errors = joint_errors(*found.judged())
    skeleton = found.labels.skeleton
    scores = in_order(found.scores, found.joints, skeleton)
    there = [skeleton.index(joint) for joint in errors.joints]
    return scores[:, there][errors.counted], errors.right[errors.counted]


def calibrate(
    estimator: PoseEstimator, datasets: Mapping[str, tuple[Dataset, CropRule]], *, protocol: str
) -> tuple[Calibration, Array, Array]:
    """Fit an estimator's scores on persons that its network did not learn from.

    These are by their title a data set and the rule of its crops; `protocol` says when a joint is
    right. The estimator gives its network's peak values from here on. With the calibration comes
    what it was fitted on: peak values (M,) and whether joints were right (M,).
    """
    estimator.codec = replace(estimator.codec, calibration=None)
    found = {
        title: evaluate(estimator, dataset, protocol=protocol, crop=crop)
        for title, (dataset, crop) in datasets.items()
    }
    outcomes = zip(*map(joint_outcomes, found.values()), strict=True)
    peaks, right = (np.concatenate(column) for column in outcomes)
    names = [f"{title}, {counted(of.score.persons, 'person')}" for title, of in found.items()]
    threshold = next(iter(found.values())).score.threshold
    how = f"{protocol} at {threshold:g}, {estimator.testing}"
    fitted_on = f"{'; '.join(names)}{'; ' if len(names) > 1 else ', '}{how}"
    return fit_calibration(peaks, right, fitted_on=fitted_on), peaks, right
