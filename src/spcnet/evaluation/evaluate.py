"""Scoring a model on a data set by a named protocol."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, islice

import numpy as np

from spcnet.data.annotations import AnnotatedPictures, Annotation, Dataset
from spcnet.data.regions import CropRule, Region, region_rule
from spcnet.errors import UserError
from spcnet.evaluation.predictions import Predictions, in_order
from spcnet.evaluation.scoring import check_joints, check_options, score_predictions
from spcnet.geometry import Array, box_overlaps
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.protocols import GroundTruth, Rule, Score, find_rule

Samples = Iterator[tuple[Array, Annotation]]  # pictures, who is in them
Batches = Iterator[tuple[Array, Array, list[Annotation]]]  # keypoints, scores, whose they are


@dataclass(frozen=True)
class Evaluation:
    """What an estimator found on a data set, and how good it is.

    Points (N, K, 2) in image pixels and scores (N, K) in [0, 1] of the estimator's K joints, and
    the labels of the N persons in the same order.
    """

    score: Score
    points: Array
    scores: Array
    joints: tuple[str, ...]
    labels: AnnotatedPictures

    def judged(self) -> tuple[Rule, Array, GroundTruth]:
        """What a variant of PCK counts errors by: it, the labels' joints (N, K, 2), the labels."""
        rule = find_rule(self.score.protocol)
        rule = replace(rule, threshold=self.score.threshold or rule.threshold)
        skeleton = self.labels.skeleton
        points = in_order(self.points, self.joints, skeleton)
        return rule, points, GroundTruth.of(self.labels.annotations, skeleton)


def evaluate(
    estimator: PoseEstimator,
    dataset: Dataset,
    *,
    protocol: str,
    crop: CropRule | None = "box",
    threshold: float | None = None,
    sigmas: Mapping[str, float] | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Predict every annotated person of a data set and score the predictions.

    Joints are compared by their names. Persons are cropped by the rule `crop`; None leaves it to
    the estimator to find them. `threshold` overrides the protocol's own, `sigmas` are the joints'
    constants of ``oks``; `report` is called with the number of persons done.

    Raises:
        UserError: the protocol counts joints that the estimator does not predict, or does not fit
            the data set; or a picture cannot be read.
    """
    joints = estimator.skeleton.joints
    check_options(protocol, dataset.skeleton, chosen=threshold is not None, sigmas=sigmas)
    check_joints(protocol, dataset.skeleton, joints)
    points, scores, annotations = predict_dataset(estimator, dataset, crop=crop, report=report)
    base = getattr(dataset, "counts_from", 0)
    labels = AnnotatedPictures(
        dataset.name, dataset.split, dataset.skeleton, annotations, counts_from=base
    )
    predictions = Predictions(
        points=np.nan_to_num(points, nan=np.inf),  # what was not found is wrong, not left out
        index_base=base,
        joints=joints,
        confidences=scores.mean(axis=1),
    )
    score = score_predictions(
        predictions, labels, protocol=protocol, threshold=threshold, sigmas=sigmas
    )
    return Evaluation(score, points, scores, joints, labels)


def predict_dataset(
    estimator: PoseEstimator,
    dataset: Dataset,
    *,
    crop: CropRule | None = "box",
    report: Callable[[int], None] = lambda done: None,
) -> tuple[Array, Array, list[Annotation]]:
    """Keypoints (N, K, 2) in image pixels and scores (N, K) of every annotated person, and these.

    A `UserError` where there are no persons, or the crop rule does not fit them.
    """
    samples = dataset.samples()
    if crop is None:
        batches = _located(estimator, samples)
    else:
        batches = in_crops(estimator, samples, region_rule(crop, dataset))
    found: list[tuple[Array, Array]] = []
    annotations: list[Annotation] = []
    for points, scores, persons in batches:
        found.append((points, scores))
        annotations += persons
        report(len(annotations))
    if not found:
        raise UserError(f"{dataset.name} {dataset.split}: no persons to score")
    points, scores = (np.concatenate(part) for part in zip(*found, strict=True))
    return points, scores, annotations


def in_crops(estimator: PoseEstimator, samples: Samples, region: Region) -> Batches:
    """Persons in their crops, some at a time."""
    while batch := list(islice(samples, estimator.batch_size)):
        squares = [region(person, image.shape[:2]) for image, person in batch]
        pictures, persons = map(list, zip(*batch, strict=True))
        yield *estimator.look(pictures, squares), persons


def _located(estimator: PoseEstimator, samples: Samples) -> Batches:
    """Persons in whole pictures, as `PoseEstimator.predict` finds them; NaN where it does not.

    A lone one is the main person; of several, each is the one whose box overlaps theirs most.
    """
    for _, group in groupby(samples, key=lambda sample: sample[1].image):
        images, persons = zip(*group, strict=True)
        lone = len(persons) == 1
        poses = estimator.predict(images[0], people="one" if lone else "all")
        points = np.full((len(persons), len(estimator.skeleton), 2), np.nan, dtype=np.float32)
        scores = np.zeros(points.shape[:2], dtype=np.float32)
        for n, person in enumerate(persons):
            boxes = [pose.box for pose in poses]
            shared = np.ones(len(poses)) if lone else box_overlaps(person.box, boxes)[0]
            if shared.max(initial=0) > 0:
                mine = poses[int(shared.argmax())]
                points[n], scores[n] = mine.keypoints, mine.scores
        yield points, scores, list(persons)
