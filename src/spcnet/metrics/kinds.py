"""What is wrong with a joint that is not right (after Ronchi and Perona, ICCV 2017).

- good: within the protocol's threshold of its label;
- inversion: within it of the same person's other side, a left wrist on the right one;
- swap: within it of another labelled person's joint of that name, or of its other side;
- jitter: none of these, but within `JITTER` times the threshold;
- miss: anything else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from spcnet.geometry import Array
from spcnet.metrics.protocols import GroundTruth, Rule, joint_errors

KINDS = ("good", "jitter", "inversion", "swap", "miss")
JITTER = 2.5  # times the threshold: half a torso where a fifth is right


@dataclass(frozen=True)
class Kinds:
    """The kinds of N persons' J joints that the protocol counts."""

    joints: tuple[str, ...]
    kinds: Array  # (N, J) index into `KINDS`
    counted: Array  # (N, J) bool; of others `kinds` means nothing

    def shares(self) -> dict[str, float]:
        """The share of each kind among the joints that count, percent; joints weigh alike."""
        chances = self.counted.sum(axis=0)
        seen = chances > 0
        hits = [((self.kinds == n) & self.counted).sum(axis=0) for n in range(len(KINDS))]
        shares = [float(np.mean(100 * hit[seen] / chances[seen])) for hit in hits]
        return dict(zip(KINDS, shares, strict=True))


def kinds_of(
    rule: Rule, predicted: Array, truth: GroundTruth, pictures: Sequence[str] = ()
) -> Kinds:
    """The kind of every joint that a rule counts; see `joint_errors`.

    Without the pictures (N,) that persons are in, nobody has a neighbour to be swapped with.
    """
    found = joint_errors(rule, predicted, truth)
    columns = np.array([truth.skeleton.index(joint) for joint in found.joints])
    sides = np.array(truth.skeleton.flip_permutation)[columns]

    def away(rows: Array, people: Array, place: Array) -> Array:
        """Distances (P, J) of some persons' predictions to labels, infinite where unknown."""
        labels, known = (of[np.ix_(people, place)] for of in (truth.points, truth.annotated))
        with np.errstate(invalid="ignore", divide="ignore"):
            gaps = np.linalg.norm(predicted[np.ix_(rows, columns)] - labels, axis=-1)
            gaps = gaps / found.lengths[rows, None]
        return np.where(known & np.isfinite(gaps), gaps, np.inf)

    everyone = np.arange(len(predicted))
    own = away(everyone, everyone, columns)
    mirror = np.where(sides != columns, away(everyone, everyone, sides), np.inf)
    of_picture: dict[str, list[int]] = {}
    for row, name in enumerate(pictures):
        of_picture.setdefault(name, []).append(row)
    pairs = [pair for rows in of_picture.values() for pair in permutations(rows, 2)]
    rows, neighbours = np.array(pairs, dtype=int).reshape(-1, 2).T
    others = np.full(own.shape, np.inf)
    for place in (columns, sides):
        np.minimum.at(others, rows, away(rows, neighbours, place))
    limit = rule.threshold
    kinds = np.select(
        [found.right, mirror <= limit, others <= limit, own <= JITTER * limit],
        [KINDS.index(kind) for kind in ("good", "inversion", "swap", "jitter")],
        KINDS.index("miss"),
    )
    return Kinds(found.joints, kinds, found.counted)
