"""Scoring a model on a data set by a named protocol."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np

from spcnet.data.annotations import AnnotatedPictures, Annotation, Dataset
from spcnet.data.regions import CropRule, region_rule
from spcnet.errors import UserError
from spcnet.evaluation.predictions import Predictions
from spcnet.evaluation.scoring import check_joints, score_predictions
from spcnet.geometry import Array, box_overlaps
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.protocols import Score

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
        protocol: a name of `spcnet.metrics.protocols.protocol_names`.
        crop: the rule by which persons are cropped; None leaves it to the estimator to find them.
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
        points=np.nan_to_num(points, nan=np.inf),  # what was not found is wrong, not left out
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
    """Persons in whole pictures, as `PoseEstimator.predict` finds them.

    Where a picture has one annotated person it is the main one that is found; of several, each is
    the one whose found box overlaps theirs most. Joints of who is not found are wrong, not left
    out.
    """
    for _, group in groupby(dataset.samples(), key=lambda sample: sample[1].image):
        samples = list(group)
        image, persons = samples[0][0], [person for _, person in samples]
        poses = estimator.predict(image, people="one" if len(persons) == 1 else "all")
        points = np.full((len(persons), len(estimator.skeleton), 2), np.nan, dtype=np.float32)
        scores = np.zeros(points.shape[:2], dtype=np.float32)
        for n, person in enumerate(persons):
            if len(persons) == 1:
                mine = poses[0] if poses else None
            else:
                shared = box_overlaps(person.box, [pose.box for pose in poses])[0]
                mine = poses[int(shared.argmax())] if shared.max(initial=0) > 0 else None
            if mine is not None:
                points[n], scores[n] = mine.keypoints, mine.scores
        yield points, scores, persons
