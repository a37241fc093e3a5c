"""Whether joints were right, and what their scores said: for calibration and its plots."""

from dataclasses import replace

import numpy as np

from spcnet.calibration import Calibration, fit_calibration
from spcnet.data.annotations import Dataset
from spcnet.data.regions import CropRule
from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.evaluate import Evaluation, evaluate
from spcnet.metrics.breakdown import Group, score_by_torso
from spcnet.metrics.protocols import GroundTruth, find_rule, joint_errors
from spcnet.skeletons import Skeleton


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
    points, scores = (
        _in_order(values, joints, skeleton) for values in (found.points, found.scores)
    )
    truth = GroundTruth.of(found.labels.annotations, skeleton)
    errors = joint_errors(rule, points, truth)
    limit = found.score.threshold or rule.threshold
    right = errors.errors < limit if rule.strict else errors.errors <= limit
    there = [skeleton.index(joint) for joint in errors.joints]
    return scores[:, there][errors.counted], right[errors.counted]


def by_torso(found: Evaluation, joints: tuple[str, ...]) -> list[Group]:
    """An evaluation's scores by how far persons are from upright; see `score_by_torso`.

    Raises:
        UserError: as `score_by_torso`, or the evaluation's protocol is no variant of PCK.
    """
    labels = found.labels
    rule = find_rule(found.score.protocol)
    if found.score.threshold is not None:
        rule = replace(rule, threshold=found.score.threshold)
    truth = GroundTruth.of(labels.annotations, labels.skeleton)
    return score_by_torso(rule, _in_order(found.points, joints, labels.skeleton), truth)


def _in_order(values: Array, joints: tuple[str, ...], skeleton: Skeleton) -> Array:
    """Values (N, K, ...) of the estimator's joints in a skeleton's order; NaN of others."""
    columns = [joints.index(joint) if joint in joints else -1 for joint in skeleton.joints]
    ordered: Array = values[:, columns].copy()
    ordered[:, [column < 0 for column in columns]] = np.nan
    return ordered


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
