"""Predictions against labels, by any named protocol."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spcnet.data.annotations import AnnotatedPictures
from spcnet.errors import UserError
from spcnet.evaluation.predictions import Predictions, align
from spcnet.geometry import Array
from spcnet.metrics.oks import Detections, Persons, coco_oks
from spcnet.metrics.protocols import Curves, GroundTruth, Score, find_rule, score, score_curves
from spcnet.skeletons import COCO17, Skeleton


def score_predictions(
    predictions: Predictions,
    labels: AnnotatedPictures,
    *,
    protocol: str,
    threshold: float | None = None,
    stored_reference: bool = False,
) -> Score:
    """Score predicted joints against labels.

    Args:
        predictions: of any order of persons and joints that can be matched to the labels.
        labels: the truth.
        protocol: a name of `spcnet.metrics.protocols.protocol_names`.
        threshold: another one than the protocol's own.
        stored_reference: normalise by the lengths that the labels' file holds.

    Raises:
        UserError: the two do not belong together, or the protocol does not fit them.
    """
    if protocol == "coco-oks":
        if threshold is not None or stored_reference:
            raise UserError("coco-oks has neither a threshold nor a reference length to choose")
        return _oks(predictions, labels)
    aligned = _aligned(predictions, labels, protocol)
    truth = GroundTruth.of(labels.annotations, labels.skeleton)
    return score(
        protocol, aligned.points, truth, threshold=threshold, stored_reference=stored_reference
    )


def curves_of_predictions(
    predictions: Predictions,
    labels: AnnotatedPictures,
    *,
    protocol: str,
    thresholds: Sequence[float] | None = None,
    stored_reference: bool = False,
) -> Curves:
    """Percentages over thresholds of predicted joints; see `score_predictions`.

    Raises:
        UserError: as `score_predictions`; coco-oks has no such curves.
    """
    aligned = _aligned(predictions, labels, protocol)
    truth = GroundTruth.of(labels.annotations, labels.skeleton)
    return score_curves(
        protocol, aligned.points, truth, thresholds, stored_reference=stored_reference
    )


def check_joints(protocol: str, skeleton: Skeleton, predicted: Sequence[str]) -> None:
    """Check that what is predicted holds every joint that a protocol counts.

    Args:
        protocol: the rule's name.
        skeleton: of the labels.
        predicted: names of the predicted joints.

    Raises:
        UserError: a joint that counts is not predicted, or the rule does not fit the skeleton.
    """
    counted = COCO17.joints if protocol == "coco-oks" else find_rule(protocol).joints(skeleton)
    lacking = [joint for joint in counted if joint not in predicted]
    if lacking:
        raise UserError(
            f"protocol {protocol!r} counts {', '.join(lacking)}, which are not predicted"
            + (f"; there are {', '.join(predicted)}" if predicted else ": no joint is a number")
        )


def _aligned(predictions: Predictions, labels: AnnotatedPictures, protocol: str) -> Predictions:
    aligned = align(predictions, labels)
    joints = enumerate(labels.skeleton.joints)
    there = [joint for n, joint in joints if not np.isnan(aligned.points[:, n]).all()]
    check_joints(protocol, labels.skeleton, there)
    return aligned


def _oks(predictions: Predictions, labels: AnnotatedPictures) -> Score:
    """Detections need not be as many as the labelled persons, nor in their order."""
    if labels.skeleton != COCO17:
        raise UserError(
            f"coco-oks scores COCO's 17 joints; these labels are {labels.skeleton.name!r} "
            "(pck-box takes any skeleton)"
        )
    predictions = predictions.of_skeleton(labels.skeleton)
    check_joints("coco-oks", labels.skeleton, predictions.joints or COCO17.joints)
    persons = labels.annotations
    codes: dict[str, int] = {}
    for person in persons:
        code = codes.setdefault(person.image, len(codes))
        if person.image_number is not None:
            codes[str(person.image_number)] = code
    if predictions.images is None:
        predictions = replace(align(predictions, labels), images=[p.image for p in persons])
    assert predictions.images is not None
    # Detections in pictures without any labelled person are not in the labels: COCO's rule
    # counts them wrong only where the picture belongs to the set.
    known = np.array([image in codes for image in predictions.images])
    if not known.any():
        raise UserError("no prediction is for a labelled picture; image_id or file_name must match")
    confidences = predictions.confidences
    return coco_oks(
        Detections(
            points=_shifted(predictions, labels)[known],
            scores=(np.ones(len(predictions)) if confidences is None else confidences)[known],
            images=np.array([codes[image] for image in predictions.images if image in codes]),
        ),
        Persons(
            points=np.stack([person.points for person in persons]),
            annotated=np.stack([person.annotated for person in persons]),
            images=np.array([codes[person.image] for person in persons]),
            areas=np.array([_area(person.area, person.box) for person in persons]),
            boxes=np.stack([person.box for person in persons]),
            crowds=np.array([person.crowd for person in persons]),
        ),
    )


def _shifted(predictions: Predictions, labels: AnnotatedPictures) -> Array:
    return predictions.points + (labels.counts_from - predictions.index_base)


def _area(area: float | None, box: Array) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1])) if area is None else area
