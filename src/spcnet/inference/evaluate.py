"""Scoring a model on a data set by a named protocol."""

from collections.abc import Callable, Iterator

import numpy as np

from spcnet.data.annotations import Annotation, Dataset
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.protocols import Score, lspet_pck


def evaluate(
    estimator: PoseEstimator,
    dataset: Dataset,
    *,
    report: Callable[[int], None] = lambda done: None,
) -> Score:
    """`lspet-pck` of an estimator, each person cropped by the box of the annotated joints.

    Args:
        estimator: what to score.
        dataset: what to score on.
        report: called with the number of persons done.

    Raises:
        UserError: the estimator's skeleton is not the data set's, or a picture cannot be read.
    """
    if estimator.skeleton.joints != dataset.skeleton.joints:
        raise UserError(
            f"the model predicts {estimator.skeleton.name!r}, but {dataset.name} is annotated "
            f"with {dataset.skeleton.name!r}"
        )
    predicted, annotations = predict_dataset(estimator, dataset, report=report)
    return lspet_pck(
        predicted,
        np.stack([annotation.points for annotation in annotations]),
        np.stack([annotation.annotated for annotation in annotations]),
        dataset.skeleton,
    )


def predict_dataset(
    estimator: PoseEstimator,
    dataset: Dataset,
    *,
    report: Callable[[int], None] = lambda done: None,
) -> tuple[Array, list[Annotation]]:
    """Keypoints (N, K, 2) of every annotated person, in image pixels, and the annotations."""
    pictures: list[Array] = []
    annotations: list[Annotation] = []
    keypoints: list[Array] = []

    def look() -> Iterator[Array]:
        boxes = [annotation.box[None] for annotation in annotations[-len(pictures) :]]
        for (pose,) in estimator.predict_many(pictures, boxes):
            yield pose.keypoints
        pictures.clear()

    for image, annotation in dataset.samples():
        pictures.append(image)
        annotations.append(annotation)
        if len(pictures) == estimator.batch_size or len(annotations) == len(dataset):
            keypoints += look()
            report(len(annotations))
    if not keypoints:
        raise UserError(f"{dataset.name} {dataset.split}: no persons to score")
    return np.stack(keypoints), annotations
