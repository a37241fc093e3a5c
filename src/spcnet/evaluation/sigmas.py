"""Constants of OKS: read from a file, or estimated from persons who were labelled twice."""

from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from spcnet.data.annotations import AnnotatedPictures, Annotation
from spcnet.data.label_files import load_json
from spcnet.errors import UserError
from spcnet.geometry import box_overlaps
from spcnet.metrics.oks import estimate_sigmas

OVERLAP = 0.5


def read_sigmas(path: Path) -> dict[str, float]:
    """Constants of joints for ``oks``, from JSON such as ``{"left_foot": 0.089}``."""
    content = load_json(path, wanted="constants of joints, {JOINT: SIGMA}")
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: wanted constants of joints, {{JOINT: SIGMA}}")
    for joint, value in content.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10:
            raise UserError(f"{path}: {joint}: a constant is a number above 0, got {value!r:.40}")
    return {joint: float(value) for joint, value in content.items()}


def sigmas_of(first: AnnotatedPictures, second: AnnotatedPictures) -> dict[str, tuple[float, int]]:
    """Of every joint that both label, its constant, and of how many persons that is.

    In pictures of one name persons are the same whose boxes overlap most, and by half at least.
    Areas are the first's, or those of its boxes. A `UserError` where nobody, or a joint
    of nobody, was labelled by both, or all labels agree.
    """
    pairs = _pairs(first, second)
    joints = [joint for joint in first.skeleton.joints if joint in second.skeleton.joints]
    if not pairs or not joints:
        raise UserError(
            f"{len(pairs)} persons and {len(joints)} joints are labelled in both files; wanted are "
            "two people's labels of the same persons"
        )
    columns = [[labels.skeleton.index(joint) for joint in joints] for labels in (first, second)]
    points, known = (
        [np.stack([getattr(p, name)[columns[n]] for p in people])
         for n, people in enumerate(zip(*pairs, strict=True))]
        for name in ("points", "annotated")
    )  # fmt: skip
    both = known[0] & known[1]
    areas = np.array([person.area or _box_area(person) for person, _ in pairs])
    sigmas = estimate_sigmas(points[0], points[1], both, areas)
    counts = both.sum(axis=0)
    if lacking := [joint for joint, count in zip(joints, counts, strict=True) if not count]:
        raise UserError(f"nobody's {', '.join(lacking)} is labelled in both files")
    if not (sigmas > 0).all():
        raise UserError("the labels of a joint are the same in both files: were they copied?")
    each = zip(joints, sigmas.tolist(), counts.tolist(), strict=True)
    return {joint: (sigma, count) for joint, sigma, count in each}


def _box_area(person: Annotation) -> float:
    return float((person.box[2:] - person.box[:2]).prod())


def _pairs(
    first: AnnotatedPictures, second: AnnotatedPictures
) -> list[tuple[Annotation, Annotation]]:
    pictures: dict[str, tuple[list[Annotation], list[Annotation]]] = {}
    for n, labels in enumerate((first, second)):
        for person in labels.annotations:
            pictures.setdefault(person.image, ([], []))[n].append(person)
    pairs = []
    for people, others in pictures.values():
        if people and others:
            shared = np.stack([box_overlaps(p.box, [o.box for o in others])[0] for p in people])
            for row, column in zip(*linear_sum_assignment(shared, maximize=True), strict=True):
                if shared[row, column] >= OVERLAP:
                    pairs.append((people[row], others[column]))
    return pairs
