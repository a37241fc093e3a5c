"""Whether joints were right, and what their scores said: for calibration and its plots."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from spcnet.calibration import Calibration, fit_calibration
from spcnet.data.annotations import Annotation, Dataset, JointState
from spcnet.data.regions import CropRule, region_rule
from spcnet.errors import UserError, counted
from spcnet.evaluation.evaluate import Evaluation, evaluate, in_crops
from spcnet.evaluation.predictions import in_order
from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.breakdown import torso_columns
from spcnet.metrics.protocols import joint_errors


def joint_outcomes(found: Evaluation) -> tuple[Array, Array]:
    """Scores (M,) in [0, 1] and rightness (M,) bool of every joint that a variant of PCK counts."""
    errors = joint_errors(*found.judged())
    skeleton = found.labels.skeleton
    scores = in_order(found.scores, found.joints, skeleton)
    there = [skeleton.index(joint) for joint in errors.joints]
    return scores[:, there][errors.counted], errors.right[errors.counted]


def presence(
    estimator: PoseEstimator, dataset: Dataset, *, report: Callable[[int], None] = lambda done: None
) -> tuple[Array, Array]:
    """Scores (M,) of labelled joints, the hips aside, in pictures that end there; (M,) if in them.

    Each person's picture is cut through the middle of the hips, across or upright, whichever is
    nearer to a right angle with the torso; the half with the shoulders is kept, and cropped about
    the joints that are left in it. Persons whose shoulders and hips are not all labelled are
    passed over; a `UserError` where nobody is left. `report` gets the number of persons seen.
    """
    skeleton = dataset.skeleton
    cuts = _cut_at_hips(dataset, report)
    found = list(in_crops(estimator, cuts, region_rule("box", dataset)))
    if not found:
        raise UserError(f"{dataset.name} {dataset.split}: no person whose torso is labelled")
    _, scores, persons = zip(*found, strict=True)
    ordered = in_order(np.concatenate(scores), estimator.skeleton.joints, skeleton)
    states = np.stack([person.states for group in persons for person in group])
    counted = (states != JointState.MISSING) & np.isfinite(ordered)
    counted[:, torso_columns(skeleton)[1]] = False
    return ordered[counted], (states != JointState.ABSENT)[counted]


def _cut_at_hips(
    dataset: Dataset, report: Callable[[int], None]
) -> Iterator[tuple[Array, Annotation]]:
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
        inside = ((points >= -0.5) & (points <= high - low - 0.5)).all(axis=1)
        states = np.where(inside, JointState.VISIBLE, JointState.ABSENT) * person.annotated
        if (person.annotated & inside).sum() >= 3:
            half = image[low[1] : high[1], low[0] : high[0]]
            yield half, Annotation(person.image, points, states)


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
