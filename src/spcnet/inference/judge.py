"""Whether joints were right, and what their scores said: for calibration and its plots."""

import numpy as np

from spcnet.calibration import Calibration, fit_calibration
from spcnet.data.annotations import Dataset
from spcnet.data.regions import CropRule
from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.evaluate import Evaluation, evaluate
from spcnet.metrics.protocols import GroundTruth, find_rule, joint_errors


def judge(found: Evaluation, joints: tuple[str, ...]) -> tuple[Array, Array]:
    """Score and rightness of every joint that counted.

    Args:
        found: an evaluation by a variant of PCK.
        joints: the estimator's.

    Returns:
        (M,) scores in [0, 1] and (M,) bool.

    Raises:
        UserError: the evaluation's protocol has no threshold.
    """
    rule = find_rule(found.score.protocol)
    skeleton = found.labels.skeleton
    columns = [joints.index(joint) if joint in joints else -1 for joint in skeleton.joints]
    points, scores = found.points[:, columns], found.scores[:, columns]
    truth = GroundTruth.of(found.labels.annotations, skeleton)
    errors = joint_errors(rule, points, truth)
    limit = found.score.threshold
    right = errors.errors < limit if rule.strict else errors.errors <= limit
    there = [skeleton.index(joint) for joint in errors.joints]
    return scores[:, there][errors.counted], right[errors.counted]


def calibrate(
    estimator: PoseEstimator, dataset: Dataset, *, protocol: str, crop: CropRule
) -> tuple[Calibration, Array, Array]:
    """Fit an estimator's scores on persons that its network did not learn from.

    Args:
        estimator: gives its network's peak values from here on.
        dataset: the persons.
        protocol: by which a joint is right.
        crop: the rule of the crops.

    Returns:
        The calibration, and what it was fitted on: (M,) peak values, (M,) bool.

    Raises:
        UserError: as `evaluate`.
    """
    estimator.calibration = None
    found = evaluate(estimator, dataset, protocol=protocol, crop=crop)
    peaks, right = judge(found, estimator.skeleton.joints)
    told = (
        f"{dataset.name} {dataset.split}, {found.score.persons} persons, {protocol} at "
        f"{found.score.threshold:g}, {estimator.testing()}"
    )
    return fit_calibration(peaks, np.asarray(right), told=told), peaks, right
