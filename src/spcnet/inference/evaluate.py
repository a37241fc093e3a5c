"""Scoring a model on a data set by a named protocol."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from spcnet.data.annotations import AnnotatedPictures, Annotation, Dataset
from spcnet.data.predictions import Predictions
from spcnet.data.regions import CropRule, region_rule
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.protocols import Score
from spcnet.scoring import check_joints, score_predictions

Batches = Iterator[tuple[Array, Array, list[Annotation]]]  # keypoints, scores, whose they are


@dataclass(frozen=True)
class Evaluation:
    """What an estimator found on a data set, and how good it is.

    Attributes:
        score: by the protocol that was asked for.
        points: (N, K, 2) keypoints in image pixels, of the estimator's skeleton.
        scores: (N, K) in [0, 1].
        labels: the N annotated persons, in the same order.
    """

    score: Score
    points: Array
    scores: Array
    labels: AnnotatedPictures


def evaluate(
    estimator: PoseEstimator,
    dataset: Dataset,
    *,
    protocol: str,
    crop: CropRule | None = "box",
    threshold: float | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Predict every annotated person of a data set and score the predictions.

    Args:
        estimator: what to score; where its joints are not the data set's, those of the same name
            are compared.
        dataset: what to score on.
        protocol: a name of `spcnet.metrics.protocols.PROTOCOLS`.
        crop: the rule by which persons are cropped; None leaves it to the estimator to find the
            one person of each picture.
        threshold: another one than the protocol's own.
        report: called with the number of persons done.

    Raises:
        UserError: the protocol counts joints that the estimator does not predict, or does not fit
            the data set; or a picture cannot be read.
    """
    joints = estimator.skeleton.joints
    check_joints(protocol, dataset.skeleton, joints)
    points, scores, annotations = predict_dataset(estimator, dataset, crop=crop, report=report)
    labels = AnnotatedPictures(
        name=dataset.name,
        split=dataset.split,
        skeleton=dataset.skeleton,
        annotations=annotations,
        counts_from=dataset.counts_from if isinstance(dataset, AnnotatedPictures) else 0,
    )
    predictions = Predictions(
        points=points,
        index_base=labels.counts_from,
        joints=joints,
        scores=scores,
        confidences=scores.mean(axis=1),
    )
    score = score_predictions(predictions, labels, protocol=protocol, threshold=threshold)
    return Evaluation(score, points, scores, labels)


def predict_dataset(
    estimator: PoseEstimator,
    dataset: Dataset,
    *,
    crop: CropRule | None = "box",
    report: Callable[[int], None] = lambda done: None,
) -> tuple[Array, Array, list[Annotation]]:
    """Keypoints (N, K, 2) in image pixels and scores (N, K) of every annotated person, and these.

    Raises:
        UserError: there are no persons, or the crop rule does not fit them.
    """
    batches = _located(estimator, dataset) if crop is None else _cropped(estimator, dataset, crop)
    annotations: list[Annotation] = []
    found: list[tuple[Array, Array]] = []
    for points, scores, persons in batches:
        found.append((points, scores))
        annotations += persons
        report(len(annotations))
    if not found:
        raise UserError(f"{dataset.name} {dataset.split}: no persons to score")
    points, scores = (np.concatenate(part) for part in zip(*found, strict=True))
    return points, scores, annotations


def _cropped(estimator: PoseEstimator, dataset: Dataset, crop: CropRule) -> Batches:
    """Persons in their crops, some at a time."""
    rule = region_rule(crop, dataset)
    samples = dataset.samples()
    while batch := list(islice(samples, estimator.batch_size)):
        pictures = [image for image, _ in batch]
        squares = [rule(person, image.shape[:2]) for image, person in batch]
        yield *estimator.look(pictures, squares), [person for _, person in batch]


def _located(estimator: PoseEstimator, dataset: Dataset) -> Batches:
    """Persons in whole pictures, of which nobody tells where they are."""
    for image, person in dataset.samples():
        poses = estimator.predict(image)
        if not poses:  # joints that were not found are wrong, not left out
            joints = len(estimator.skeleton)
            yield np.full((1, joints, 2), np.nan), np.zeros((1, joints)), [person]
            continue
        yield poses[0].keypoints[None], poses[0].scores[None], [person]
