"""Predictions against labels, by any named protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spcnet.data.annotations import AnnotatedPictures
from spcnet.errors import UserError
from spcnet.evaluation.predictions import Predictions, align, check_listed
from spcnet.geometry import Array
from spcnet.metrics.oks import SIGMAS, USUAL_SIGMA, Detections, Persons, coco_oks
from spcnet.metrics.protocols import (
    OKS_RULES,
    Curves,
    GroundTruth,
    Score,
    find_rule,
    score,
    score_curves,
)
from spcnet.skeletons import COCO17, Skeleton


def score_predictions(
    predictions: Predictions,
    labels: AnnotatedPictures,
    *,
    protocol: str,
    threshold: float | None = None,
    stored_reference: bool = False,
    sigmas: Mapping[str, float] | None = None,
) -> Score:
    """Score predicted joints, in any order that can be matched to the labels.

    `threshold` overrides the protocol's own; `stored_reference` normalises by the lengths that the
    labels' file holds; `sigmas` are the joints' constants of the protocol ``oks``.

    Raises:
        UserError: the two do not belong together, or the protocol does not fit them.
    """
    chosen = threshold is not None or stored_reference
    check_options(protocol, labels.skeleton, chosen=chosen, sigmas=sigmas)
    if protocol in OKS_RULES:
        return _oks(predictions, labels, protocol, _constants(labels.skeleton, protocol, sigmas))
    points, truth = aligned(predictions, labels, protocol)
    return score(protocol, points, truth, threshold=threshold, stored_reference=stored_reference)


def curves_of_predictions(
    predictions: Predictions,
    labels: AnnotatedPictures,
    *,
    protocol: str,
    thresholds: Sequence[float] | None = None,
) -> Curves:
    """Percentages over thresholds of predicted joints; see `score_predictions`.

    A `UserError` for coco-oks, which has no such curves.
    """
    return score_curves(protocol, *aligned(predictions, labels, protocol), thresholds)


def check_options(
    protocol: str, skeleton: Skeleton, *, chosen: bool, sigmas: Mapping[str, float] | None
) -> None:
    """Check that a protocol fits a skeleton, a `chosen` threshold or length, and constants."""
    if protocol in OKS_RULES and chosen:
        raise UserError(f"{protocol} has neither a threshold nor a reference length to choose")
    if protocol in OKS_RULES:
        _constants(skeleton, protocol, sigmas)
    elif find_rule(protocol).joints(skeleton) and sigmas is not None:
        raise UserError(f"protocol {protocol!r} has no constants of joints; oks has")


def check_joints(protocol: str, skeleton: Skeleton, predicted: Sequence[str]) -> None:
    """A `UserError` where a joint that a protocol counts of a skeleton is not predicted."""
    counted = {"coco-oks": COCO17.joints, "oks": skeleton.joints}.get(protocol)
    counted = counted or find_rule(protocol).joints(skeleton)
    if lacking := [joint for joint in counted if joint not in predicted]:
        raise UserError(
            f"protocol {protocol!r} counts {', '.join(lacking)}, which are not predicted"
            + (f"; there are {', '.join(predicted)}" if predicted else ": no joint is a number")
        )


def aligned(
    predictions: Predictions, labels: AnnotatedPictures, protocol: str
) -> tuple[Array, GroundTruth]:
    """Predictions (N, K, 2) in the labels' order and frame, and these; see `score_predictions`."""
    skeleton = labels.skeleton
    points = align(predictions, labels).points
    known = ~np.isnan(points).all(axis=(0, 2))
    check_joints(protocol, skeleton, [skeleton.joints[n] for n in np.flatnonzero(known)])
    return points, GroundTruth.of(labels.annotations, skeleton)


def _constants(skeleton: Skeleton, protocol: str, given: Mapping[str, float] | None) -> Array:
    """COCO's constants, or those that are given for every joint of a skeleton."""
    if protocol == "coco-oks":
        if given is not None:
            raise UserError("coco-oks has COCO's own constants; others go with --protocol oks")
        if skeleton != COCO17:
            raise UserError(
                f"coco-oks scores COCO's 17 joints; these labels are {skeleton.name!r} "
                "(oks takes any skeleton with constants of your own, pck-box without)"
            )
        return SIGMAS
    remedy = (
        f'made by hand, {{"{skeleton.joints[-1]}": {USUAL_SIGMA}, ...}}, or by spcnet data sigmas; '
        f"{USUAL_SIGMA} is usual, and COCO's are {SIGMAS.min()} (eyes) to {SIGMAS.max()} (hips)"
    )
    if given is None:
        raise UserError(f"oks needs the joints' constants: --sigmas FILE, {remedy}")
    if lacking := [joint for joint in skeleton.joints if joint not in given]:
        raise UserError(f"oks: no constant for {', '.join(lacking)} of the labels; {remedy}")
    return np.array([given[joint] for joint in skeleton.joints])


def _oks(
    predictions: Predictions,
    labels: AnnotatedPictures,
    protocol: str,
    sigmas: Array,
) -> Score:
    """Detections need not be as many as the labelled persons, nor in their order."""
    if len(labels.categories) > 1:
        raise UserError(
            f"{protocol} scores one category, and these labels are of "
            f"{', '.join(sorted(labels.categories))}; keep the annotations of one"
        )
    predictions = predictions.of_categories(labels.categories).of_skeleton(labels.skeleton)
    check_joints(protocol, labels.skeleton, predictions.joints or labels.skeleton.joints)
    persons = labels.annotations
    if predictions.images is None:
        predictions = replace(align(predictions, labels), images=[p.image for p in persons])
    codes = _picture_codes(labels)
    images = _images_of(predictions, labels, codes)
    known = images >= 0
    predictions, images = predictions.take(np.flatnonzero(known).tolist()), images[known]
    confidences = predictions.confidences
    detections = Detections(
        points=predictions.points + (labels.counts_from - predictions.index_base),
        scores=np.ones(len(images)) if confidences is None else confidences,
        images=images,
    )
    truth = GroundTruth.of(persons, labels.skeleton)
    areas = np.array([person.area for person in persons], dtype=np.float64)  # None: NaN
    of_boxes = (truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(axis=1)
    everyone = Persons(
        points=truth.points,
        annotated=truth.annotated,
        images=np.array([codes[person.image] for person in persons]),
        areas=np.where(np.isnan(areas), of_boxes, areas),
        boxes=truth.boxes,
        crowds=np.array([person.crowd for person in persons]),
    )
    joints = labels.skeleton.joints
    return coco_oks(detections, everyone, sigmas=sigmas, joints=joints, name=protocol)


def _picture_codes(labels: AnnotatedPictures) -> dict[str, int]:
    """Numbers of the split's pictures by their names and ids, in the order of the ids."""
    codes: dict[str, int] = {}
    chosen = [picture for picture in labels.listed if picture.chosen]
    for picture in sorted(chosen, key=lambda of: (len(of.number), of.number)):
        codes[picture.number] = codes.setdefault(picture.name, len(codes))
    for person in labels.annotations:
        code = codes.setdefault(person.image, len(codes))
        if person.image_number is not None:
            codes.setdefault(str(person.image_number), code)
    return codes


def _images_of(
    predictions: Predictions, labels: AnnotatedPictures, codes: Mapping[str, int]
) -> Array:
    """The picture of each prediction, -1 of one that is in another split of the labels' file."""
    found = np.array([codes.get(image, -1) for image in predictions.images or ()])
    if not (found >= 0).any():
        raise UserError("no prediction is for a labelled picture; image_id or file_name must match")
    check_listed(predictions, labels)
    return found
