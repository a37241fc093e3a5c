"""Object keypoint similarity and its average precision, as COCO scores keypoints (`coco-oks`).

The rules are those of COCO's keypoint task (Lin et al., ECCV 2014; cocodataset.org): similarities
by per-joint constants, greedy matching by falling score, thresholds 0.50 to 0.95, precision at
101 recalls, at most 20 detections a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spcnet.errors import UserError, dims
from spcnet.geometry import Array
from spcnet.metrics.protocols import Score
from spcnet.skeletons import COCO17

SIGMAS = np.array(
    [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
     0.087, 0.087, 0.089, 0.089]
)  # fmt: skip
USUAL_SIGMA = 0.08  # of a joint that COCO does not have
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = 20
AREAS = {"all": (0, 1e10), "medium": (32**2, 96**2), "large": (96**2, 1e10)}


@dataclass(frozen=True)
class Persons:
    """The labels of N persons with K joints; COCO's have 17."""

    points: Array  # (N, K, 2) pixels
    annotated: Array  # (N, K) bool
    images: Array  # (N,) integers that tell the pictures apart
    areas: Array  # (N,) square pixels
    boxes: Array  # (N, 4) x0, y0, x1, y1
    crowds: Array  # (N,) bool, records that stand for a group


@dataclass(frozen=True)
class Detections:
    """M predicted persons."""

    points: Array  # (M, K, 2) pixels
    scores: Array  # (M,) higher is surer
    images: Array  # (M,) integers, as those of the labels


def similarity(points: Array, persons: Persons, sigmas: Array = SIGMAS) -> Array:
    """OKS (N,) in [0, 1] of each prediction (N, K, 2) with the person of the same row.

    A person without labelled joints is compared by how far the joints stray from the doubled box,
    which only serves to pass over the detection.
    """
    counted = persons.annotated
    apart = np.asarray(points, dtype=np.float64) - np.where(counted[..., None], persons.points, 0)
    bare = np.logical_not(counted.any(axis=1))
    if bare.any():
        corner, opposite = np.split(persons.boxes[bare, None], 2, axis=-1)  # (B, 1, 2) each
        reach = opposite - corner
        low, high = corner - reach, opposite + reach
        apart[bare] = np.maximum(0, low - points[bare]) + np.maximum(0, points[bare] - high)
        counted = counted | bare[:, None]
    # A joint without a prediction is a wrong one; what is not counted must not weigh in.
    right = np.where(counted, _alike(apart, persons.areas, sigmas), 0)
    similar: Array = right.sum(axis=1) / counted.sum(axis=1)
    return similar


def _alike(apart: Array, areas: Array, sigmas: Array) -> Array:
    """exp(-d^2 / (2 area (2 sigma)^2)) of distances (N, K, 2); 0 where one is no number."""
    exponents = np.einsum("nkc,nkc->nk", apart, apart)
    exponents /= -2 * (2 * sigmas) ** 2
    exponents /= areas[:, None] + np.spacing(1)
    return np.where(np.isnan(exponents), 0, np.exp(exponents))


def estimate_sigmas(first: Array, second: Array, annotated: Array, areas: Array) -> Array:
    """The constants (K,) of joints that were labelled twice, as COCO took its own (section 4).

    A constant is the deviation of a label over the root of the person's area. Two labels that
    stray alike are twice its square apart: sigma^2 = E[d^2 / (2 area)].

    Args:
        first: labels (N, K, 2), pixels.
        second: others' labels of the same persons.
        annotated: (N, K) bool, joints with both labels.
        areas: (N,) square pixels.

    Returns:
        NaN for joints that nobody labelled twice.
    """
    squares = ((first - second) ** 2).sum(axis=-1) / (2 * areas[:, None])
    counts = annotated.sum(axis=0)
    with np.errstate(invalid="ignore"):
        found: Array = np.sqrt(np.where(annotated, squares, 0).sum(axis=0) / counts)
    return found


def coco_oks(
    detections: Detections,
    persons: Persons,
    *,
    sigmas: Array = SIGMAS,
    joints: Sequence[str] = COCO17.joints,
    name: str = "coco-oks",
) -> Score:
    """AP of detections by COCO's rule, percent; parts are AP50, AP75, APM, APL and AR.

    `joints` of the score is the mean similarity of each joint alone, over the persons who are
    found at 0.5. `sigmas` (K,) are the constants of the joints, here called by a name.
    """
    for points in (detections.points, persons.points):
        if points.shape[1:] != (len(sigmas), 2):
            raise UserError(f"{name} wants points N x {len(sigmas)} x 2, got {dims(points.shape)}")
    ignored = persons.crowds | ~persons.annotated.any(axis=1)
    if ignored.all():
        raise UserError(f"{name}: no person has a labelled joint")
    detections = _best_of_each_picture(detections)
    rows, columns, values = _pairs(detections, persons, sigmas)
    known = np.isfinite(detections.points).all(axis=2, keepdims=True)
    low, high = (
        op(np.where(known, detections.points, fill), axis=1)
        for op, fill in ((np.min, np.inf), (np.max, -np.inf))
    )
    extent = np.maximum(high - low, 0).prod(axis=1)
    summary = {}
    by_joint: dict[str, float] = {}
    for area, (least, most) in AREAS.items():
        out_of_range = ignored | (persons.areas < least) | (persons.areas > most)
        matched, passed_over, partners = _match(
            rows, columns, values, detections.images, out_of_range, persons.crowds
        )
        passed_over |= ~matched & ((extent < least) | (extent > most))
        wanted = int((~out_of_range).sum())
        if area == "all":
            by_joint = _by_joint(detections, persons, partners, sigmas, joints)
        summary[area] = _precision(matched, passed_over, detections.scores, wanted)
    precision, recall = summary["all"]
    averaged = {
        "AP": precision,
        "AP50": precision[0],
        "AP75": precision[5],
        "APM": summary["medium"][0],
        "APL": summary["large"][0],
        "AR": recall,
    }
    parts = {name: 100 * float(np.mean(values)) for name, values in averaged.items()}
    return Score(name, parts.pop("AP"), parts, joints=by_joint, persons=int((~ignored).sum()))


def _by_joint(
    detections: Detections,
    persons: Persons,
    partners: Array,
    sigmas: Array,
    joints: Sequence[str],
) -> dict[str, float]:
    """The mean similarity of each joint, percent, of detections and the persons they found."""
    found = np.flatnonzero(partners >= 0)
    people = partners[found]
    kept = ~persons.crowds[people]
    found, people = found[kept], people[kept]
    known = persons.annotated[people]
    apart = detections.points[found] - np.where(known[..., None], persons.points[people], 0)
    alike = np.where(known, _alike(apart, persons.areas[people], sigmas), 0).sum(axis=0)
    counts = known.sum(axis=0)
    each = zip(joints, alike, counts, strict=True)
    return {joint: 100 * float(sum_ / count) for joint, sum_, count in each if count}


def _best_of_each_picture(detections: Detections) -> Detections:
    """The surest detections of every picture, by picture and falling score."""
    order = np.lexsort((-detections.scores, detections.images))
    images = detections.images[order]
    first = np.searchsorted(images, images)
    kept = order[np.arange(len(order)) - first < MAX_DETECTIONS]
    return Detections(detections.points[kept], detections.scores[kept], detections.images[kept])


def _pairs(detections: Detections, persons: Persons, sigmas: Array) -> tuple[Array, Array, Array]:
    """Every detection with every person of its picture, detection by detection, and their OKS."""
    by_image = np.argsort(persons.images, kind="stable")
    images = persons.images[by_image]
    begin = np.searchsorted(images, detections.images, side="left")
    count = np.searchsorted(images, detections.images, side="right") - begin
    rows = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    columns = by_image[np.repeat(begin, count) + within]
    chosen = Persons(**{name: values[columns] for name, values in vars(persons).items()})
    return rows, columns, similarity(detections.points[rows], chosen, sigmas)


def _match(
    rows: Array, columns: Array, values: Array, images: Array, ignored: Array, crowds: Array
) -> tuple[Array, Array, Array]:
    """Which detections find a person, and which of them count neither way: (T, M) bool; whom (M,).

    The last is at the lowest threshold, -1 of those that find nobody.

    In every picture the surest detection chooses first, then the second, and so on; all pictures
    go through a round together. Persons that count are taken before those that are ignored, and
    the later of two that fit alike, as COCO's own code has it; a crowd may be found repeatedly.
    """
    matched = np.zeros((len(THRESHOLDS), len(images)), dtype=bool)
    passed_over = np.zeros_like(matched)
    partners = np.full(len(images), -1)
    taken = np.zeros((len(THRESHOLDS), len(ignored)), dtype=bool)
    ranks = (np.arange(len(images)) - np.searchsorted(images, images))[rows]
    for rank in range(int(ranks.max(initial=-1)) + 1):
        pairs = np.flatnonzero(ranks == rank)
        found = columns[pairs]
        first = np.diff(rows[pairs], prepend=-1) != 0  # of each detection
        starts, segment = np.flatnonzero(first), np.cumsum(first) - 1
        free = (~taken[:, found] | crowds[found]) & (values[pairs] >= THRESHOLDS[:, None])
        merit = np.where(free, values[pairs] + 2 * ~ignored[found], -1.0)
        best = free & (merit == np.maximum.reduceat(merit, starts, axis=1)[:, segment])
        choice = np.maximum.reduceat(np.where(best, np.arange(len(pairs)), -1), starts, axis=1)
        hit = choice >= 0
        person = found[np.where(hit, choice, 0)]
        taken[np.nonzero(hit)[0], person[hit]] = True
        matched[:, rows[pairs][starts]] = hit
        passed_over[:, rows[pairs][starts]] = hit & ignored[person]
        partners[rows[pairs][starts]] = np.where(hit[0], person[0], -1)
    return matched, passed_over, partners


def _precision(
    matched: Array, passed_over: Array, scores: Array, persons: int
) -> tuple[Array, Array]:
    """Precision (T, 101) at the recalls, and the highest recall (T,); NaN without persons."""
    precision = np.full((len(THRESHOLDS), len(RECALLS)), 0.0 if persons else np.nan)
    recall = np.full(len(THRESHOLDS), 0.0 if persons else np.nan)
    order = np.argsort(-scores, kind="stable")
    for t in range(len(THRESHOLDS)):
        right = np.cumsum(matched[t, order][~passed_over[t, order]])
        if persons and len(right):
            recall[t] = right[-1] / persons
            share = right / np.arange(1, len(right) + 1)
            envelope = np.maximum.accumulate(share[::-1])[::-1]
            at = np.searchsorted(right / persons, RECALLS, side="left")
            reached = at < len(right)
            precision[t, reached] = envelope[at[reached]]
    return precision, recall
