"""How well persons are found, and how often where there is nobody.

`person-boxes`: a person counts as found by a box whose intersection over union with the labelled
one is at least 0.5, each box for one person at most. The headline is the recall of persons at
least a quarter of the picture high at the score above which 2 % of the pictures without anybody
get a box.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spcnet.geometry import Array, box_overlaps
from spcnet.metrics.protocols import Score

PROTOCOL = "person-boxes"
OVERLAP = 0.5
TALL = 0.25  # of the picture's height: persons that the headline is about
HEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.01)  # of the picture's: groups of persons
ALARMS = 0.02  # share of pictures without anybody that may get a box


@dataclass(frozen=True)
class FoundPersons:
    """One picture's boxes x0, y0, x1, y1, found and labelled."""

    boxes: Array  # (N, 4) found, surest first
    scores: Array  # (N,) theirs
    truth: Array  # (M, 4) labelled persons
    passed: Array  # (P, 4) regions about which nothing is known
    complete: bool  # every person in the picture is labelled or in such a region
    height: float  # of the picture in the boxes' pixels

    @property
    def empty(self) -> bool:
        """Nobody is in the picture."""
        return self.complete and not len(self.truth) and not len(self.passed)

    @property
    def best(self) -> float:
        """Score of the surest box; 0 without any."""
        return float(self.scores.max(initial=0.0))


def matched(found: FoundPersons) -> Array:
    """The score (M,) at which each labelled person is found; 0 where none of the boxes is it."""
    scores = np.zeros(len(found.truth))
    shared = box_overlaps(found.boxes, found.truth)
    for row in np.argsort(-found.scores, kind="stable"):
        free = np.where(scores == 0, shared[row], 0.0)
        if free.max(initial=0.0) >= OVERLAP:
            scores[int(free.argmax())] = found.scores[row]
    return scores


def threshold_at(found: Sequence[FoundPersons], alarms: float = ALARMS) -> float:
    """The lowest score above which so many pictures without anybody get a box; NaN without any."""
    best = np.sort(_false_alarms(found))[::-1]
    return float(best[min(len(best) - 1, int(alarms * len(best)))]) if len(best) else math.nan


def score_boxes(found: Sequence[FoundPersons]) -> Score:
    """See the module."""
    at, heights = _persons(found)
    tall, small = at[heights >= TALL], at[heights < TALL]
    threshold = threshold_at(found)
    limit = 0.3 if math.isnan(threshold) else threshold
    anybody = np.array([matched(picture).max() for picture in found if len(picture.truth)])
    parts = {
        "Tall": _share(tall > limit),
        "Small": _share(small > limit),
        "Any": _share(anybody > limit),
        "Tall@0.3": _share(tall > 0.3),
        "Alarms@0.3": _share(_false_alarms(found) > 0.3),
    }
    return Score(PROTOCOL, parts["Tall"], parts, {}, persons=len(at), threshold=limit)


def recall_by_height(
    found: Sequence[FoundPersons], threshold: float
) -> dict[str, tuple[int, float]]:
    """How many persons of some height there are, and the percentage found above a threshold."""
    at, heights = _persons(found)
    groups = {
        f"{low:.0%} to {min(high, 1):.0%} of the picture's": (low, high)
        for low, high in pairwise(HEIGHTS)
    }
    groups[f"at least {TALL:.0%}"] = (TALL, math.inf)
    chosen = {name: at[(heights >= low) & (heights < high)] for name, (low, high) in groups.items()}
    return {name: (len(of), _share(of > threshold)) for name, of in chosen.items() if len(of)}


@dataclass(frozen=True)
class Tradeoff:
    """What thresholds cost; arrays of T."""

    thresholds: Array  # ascending
    alarms: Array  # share of pictures without anybody that get a box
    misses: Array  # share of the tall persons that are not found

    def to_dict(self) -> dict[str, list[float]]:
        """Plain values for JSON."""
        return {name: np.round(values, 4).tolist() for name, values in vars(self).items()}


def tradeoff(found: Sequence[FoundPersons], steps: int = 100, *, also: float = 0.0) -> Tradeoff:
    """False alarms and missed tall persons over the threshold, 0 to 1; NaN where there are none.

    The threshold `also` is one of them, whatever the steps.
    """
    at, heights = _persons(found)
    thresholds = np.union1d(np.linspace(0, 1, steps + 1), also)
    alarms, hits = (
        np.array([_share(scores > step) / 100 for step in thresholds])
        for scores in (_false_alarms(found), at[heights >= TALL])
    )
    return Tradeoff(thresholds, alarms, 1 - hits)


def _persons(found: Sequence[FoundPersons]) -> tuple[Array, Array]:
    """The score at which each person of all pictures is found, and its share of the height."""
    heights = [(picture.truth[:, 3] - picture.truth[:, 1]) / picture.height for picture in found]
    return np.concatenate([matched(picture) for picture in found]), np.concatenate(heights)


def _false_alarms(found: Sequence[FoundPersons]) -> Array:
    """The best score in each picture without anybody."""
    return np.array([picture.best for picture in found if picture.empty])


def _share(values: Array) -> float:
    return float(100 * np.mean(values)) if len(values) else math.nan
