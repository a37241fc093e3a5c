"""Object keypoint similarity and its average precision, as COCO scores keypoints (`coco-oks`).

The rules are those of COCO's keypoint task (Lin et al., ECCV 2014; cocodataset.org): similarities
by per-joint constants, greedy matching by falling score, thresholds 0.50 to 0.95, precision at
101 recalls, at most 20 detections a picture.
"""

from dataclasses import dataclass

import numpy as np

from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.metrics.protocols import Score

SIGMAS = np.array(
    [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
     0.087, 0.087, 0.089, 0.089]
)  # fmt: skip
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = 20
AREAS = {"all": (0, 1e10), "medium": (32**2, 96**2), "large": (96**2, 1e10)}


@dataclass(frozen=True)
class Persons:
    """COCO's labels of N persons."""

    points: Array  # (N, 17, 2) pixels
    annotated: Array  # (N, 17) bool
    images: Array  # (N,) integers that tell the pictures apart
    areas: Array  # (N,) square pixels
    boxes: Array  # (N, 4) x0, y0, x1, y1
    crowds: Array  # (N,) bool, records that stand for a group


@dataclass(frozen=True)
class Detections:
    """M predicted persons."""

    points: Array  # (M, 17, 2) pixels
    scores: Array  # (M,) higher is surer
    images: Array  # (M,) integers, as those of the labels


def similarity(points: Array, persons: Persons) -> Array:
    """OKS (N,) in [0, 1] of each prediction (N, 17, 2) with the person of the same row.

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
    exponents = np.einsum("nkc,nkc->nk", apart, apart)
    exponents /= -2 * (2 * SIGMAS) ** 2
    exponents /= persons.areas[:, None] + np.spacing(1)
    # A joint without a prediction is a wrong one; what is not counted must not weigh in.
    right = np.where(counted & ~np.isnan(exponents), np.exp(exponents), 0)
    similar: Array = right.sum(axis=1) / counted.sum(axis=1)
    return similar


def coco_oks(detections: Detections, persons: Persons) -> Score:
    """AP of detections by COCO's rule, percent; parts are AP50, AP75, APM, APL and AR."""
    for points in (detections.points, persons.points):
        if points.shape[1:] != (17, 2):
            raise UserError(f"coco-oks wants points (N, 17, 2), got {points.shape}")
    ignored = persons.crowds | ~persons.annotated.any(axis=1)
    if ignored.all():
        raise UserError("coco-oks: no person has a labelled joint")
    detections = _best_of_each_picture(detections)
    rows, columns, values = _pairs(detections, persons)
    known = np.isfinite(detections.points).all(axis=2, keepdims=True)
    low, high = (
        op(np.where(known, detections.points, fill), axis=1)
        for op, fill in ((np.min, np.inf), (np.max, -np.inf))
    )
    extent = np.maximum(high - low, 0).prod(axis=1)
    summary = {}
    for name, (least, most) in AREAS.items():
        out_of_range = ignored | (persons.areas < least) | (persons.areas > most)
        matched, passed_over = _match(
            rows, columns, values, detections.images, out_of_range, persons.crowds
        )
        passed_over |= ~matched & ((extent < least) | (extent > most))
        wanted = int((~out_of_range).sum())
        summary[name] = _precision(matched, passed_over, detections.scores, wanted)
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
    return Score("coco-oks", parts.pop("AP"), parts, joints={}, persons=int((~ignored).sum()))


def _best_of_each_picture(detections: Detections) -> Detections:
    """The surest detections of every picture, by picture and falling score."""
    order = np.lexsort((-detections.scores, detections.images))
    images = detections.images[order]
    first = np.searchsorted(images, images)
    kept = order[np.arange(len(order)) - first < MAX_DETECTIONS]
    return Detections(detections.points[kept], detections.scores[kept], detections.images[kept])


def _pairs(detections: Detections, persons: Persons) -> tuple[Array, Array, Array]:
    """Every detection with every person of its picture, detection by detection, and their OKS."""
    by_image = np.argsort(persons.images, kind="stable")
    images = persons.images[by_image]
    begin = np.searchsorted(images, detections.images, side="left")
    count = np.searchsorted(images, detections.images, side="right") - begin
    rows = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    columns = by_image[np.repeat(begin, count) + within]
    chosen = Persons(**{name: values[columns] for name, values in vars(persons).items()})
    return rows, columns, similarity(detections.points[rows], chosen)


def _match(
    rows: Array, columns: Array, values: Array, images: Array, ignored: Array, crowds: Array
) -> tuple[Array, Array]:
    """Which detections find a person, and which of them count neither way: (T, M) bool.

    In every picture the surest detection chooses first, then the second, and so on; all pictures
    go through a round together. Persons that count are taken before those that are ignored, and
    the later of two that fit alike, as COCO's own code has it; a crowd may be found repeatedly.
    """
    matched = np.zeros((len(THRESHOLDS), len(images)), dtype=bool)
    passed_over = np.zeros_like(matched)
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
    return matched, passed_over


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
