"""Whether joints were right, and what their scores said: for calibration and its plots."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from spcnet.calibration import Calibration, fit_calibration
from spcnet.codec import square_of_box
from spcnet.data.annotations import Dataset
from spcnet.data.regions import CropRule
from spcnet.errors import UserError
from spcnet.evaluation.evaluate import Evaluation, evaluate
from spcnet.geometry import Array, box_of_points
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.breakdown import Group, score_by_torso, torso_columns
from spcnet.metrics.protocols import GroundTruth, find_rule, joint_errors
from spcnet.skeletons import Skeleton


def joint_outcomes(found: Evaluation, joints: tuple[str, ...]) -> tuple[Array, Array]:
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
    points, scores = (in_order(values, joints, skeleton) for values in (found.points, found.scores))
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
    return score_by_torso(rule, in_order(found.points, joints, labels.skeleton), truth)


def presence(
    estimator: PoseEstimator,
    dataset: Dataset,
    *,
    report: Callable[[int], None] = lambda done: None,
) -> tuple[Array, Array]:
    """Scores of joints in and out of pictures that end at the hips.

    Each person's picture is cut through the middle of the hips, across or upright, whichever is
    nearer to a right angle with the torso; the half with the shoulders is kept, and cropped about
    the joints that are left in it.

    Args:
        estimator: gives the scores.
        dataset: persons whose shoulders and hips are labelled; others are passed over.
        report: called with the number of persons seen.

    Returns:
        (M,) scores of labelled joints, the hips aside, and (M,) bool, whether they are in the
        picture.

    Raises:
        UserError: there is no such person, or a picture cannot be read.
    """
    skeleton = dataset.skeleton
    hips = [n for n, joint in enumerate(skeleton.joints) if joint.endswith("hip")]
    cuts = _cut_at_hips(dataset, report)
    found: list[tuple[Array, Array]] = []
    while group := list(islice(cuts, estimator.batch_size)):
        squares = [square_of_box(box_of_points(cut.points[cut.inside])) for cut in group]
        _, scores = estimator.look([cut.image for cut in group], squares)
        scores = in_order(scores, estimator.skeleton.joints, skeleton)
        counted = np.stack([cut.labelled for cut in group]) & np.isfinite(scores)
        counted[:, hips] = False
        found.append((scores[counted], np.stack([cut.inside for cut in group])[counted]))
    if not found:
        raise UserError(f"{dataset.name} {dataset.split}: no person whose torso is labelled")
    scores, present = (np.concatenate(column) for column in zip(*found, strict=True))
    return scores, present


@dataclass(frozen=True)
class _Cut:
    """A picture that ends at the hips.

    Attributes:
        image: the half with the shoulders.
        points: (K, 2) joints in pixels of the half.
        labelled: (K,) bool.
        inside: (K,) bool, labelled joints that are still in the picture.
    """

    image: Array
    points: Array
    labelled: Array
    inside: Array


def _cut_at_hips(dataset: Dataset, report: Callable[[int], None]) -> Iterator[_Cut]:
    """Every person whose torso is labelled, and of whom three joints or more are left."""
    ends = torso_columns(dataset.skeleton)
    for seen, (image, person) in enumerate(dataset.samples(), start=1):
        report(seen)
        if not person.annotated[[*ends[0], *ends[1]]].all():
            continue
        shoulders, hips = (person.points[columns].mean(axis=0) for columns in ends)
        axis = int(np.argmax(np.abs(shoulders - hips)))  # 0: cut upright, 1: cut across
        low, high = np.zeros(2, dtype=int), np.array(image.shape[1::-1])
        line = int(np.clip(round(float(hips[axis])), 1, high[axis] - 1))
        (high if shoulders[axis] < hips[axis] else low)[axis] = line
        points = person.points - low
        inside = ((points >= -0.5) & (points <= high - low - 0.5)).all(axis=1) & person.annotated
        if inside.sum() >= 3:
            yield _Cut(image[low[1] : high[1], low[0] : high[0]], points, person.annotated, inside)


def in_order(values: Array, joints: tuple[str, ...], skeleton: Skeleton) -> Array:
    """Values (N, K, ...) of the estimator's joints in a skeleton's order; NaN of others."""
    columns = [joints.index(joint) if joint in joints else -1 for joint in skeleton.joints]
    ordered: Array = values[:, columns].copy()
    ordered[:, [column < 0 for column in columns]] = np.nan
    return ordered


def calibrate(
    estimator: PoseEstimator,
    datasets: Mapping[str, tuple[Dataset, CropRule]],
    *,
    protocol: str,
) -> tuple[Calibration, Array, Array]:
    """Fit an estimator's scores on persons that its network did not learn from.

    Args:
        estimator: gives its network's peak values from here on.
        datasets: the persons: by their title a data set and the rule of its crops.
        protocol: by which a joint is right.

    Returns:
        The calibration, and what it was fitted on: (M,) peak values, (M,) bool.

    Raises:
        UserError: as `evaluate`.
    """
    estimator.codec = replace(estimator.codec, calibration=None)
    parts, names = [], []
    for title, (dataset, crop) in datasets.items():
        found = evaluate(estimator, dataset, protocol=protocol, crop=crop)
        parts.append(joint_outcomes(found, estimator.skeleton.joints))
        names.append(f"{title}, {found.score.persons} persons")
    peaks, right = (np.concatenate(column) for column in zip(*parts, strict=True))
    text = (
        f"{'; '.join(names)}; {protocol} at {found.score.threshold:g}, {estimator.testing}"
        if len(names) > 1
        else f"{names[0]}, {protocol} at {found.score.threshold:g}, {estimator.testing}"
    )
    return fit_calibration(peaks, right, fitted_on=text), peaks, right
