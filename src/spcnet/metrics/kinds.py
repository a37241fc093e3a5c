"""What is wrong with a joint that is not right (after Ronchi and Perona, ICCV 2017).

- good: within the protocol's threshold of its label;
- inversion: within it of the same person's other side, a left wrist on the right one;
- swap: within it of another labelled person's joint of that name, or of its other side;
- jitter: none of these, but within `JITTER` times the threshold;
- miss: anything else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spcnet.geometry import Array
from spcnet.metrics.protocols import GroundTruth, Rule, joint_errors

KINDS = ("good", "jitter", "inversion", "swap", "miss")
JITTER = 2.5  # times the threshold: half a torso where a fifth is right


@dataclass(frozen=True)
class Kinds:
    """The kinds of N persons' joints.

    Attributes:
        joints: names of the J joints that the protocol counts.
        kinds: (N, J) index into `KINDS`.
        counted: (N, J) bool; of others `kinds` means nothing.
    """

    joints: list[str]
    kinds: Array
    counted: Array

    def shares(self) -> dict[str, float]:
        """The share of each kind among the joints that count, percent.

        As the protocols weigh joints alike, so does this. What mending a kind would give is its
        share.
        """
        chances = self.counted.sum(axis=0)
        seen = chances > 0
        return {
            kind: float(
                np.mean(100 * ((self.kinds == n) & self.counted).sum(axis=0)[seen] / chances[seen])
            )
            for n, kind in enumerate(KINDS)
        }


def kinds_of(
    rule: Rule, predicted: Array, truth: GroundTruth, pictures: Sequence[str] | None = None
) -> Kinds:
    """The kind of every joint that a rule counts.

    Args:
        rule: a variant of PCK.
        predicted: (N, K, 2) pixels in the frame of the labels; NaN for a joint without any, which
            is a miss.
        truth: the labels.
        pictures: (N,) in which picture each person is; without them nobody has a neighbour, and
            a swap is a miss or jitter.

    Raises:
        UserError: as `joint_errors`.
    """
    found = joint_errors(rule, predicted, truth)
    columns = [truth.skeleton.index(joint) for joint in found.joints]
    sides = [truth.skeleton.flip_permutation[column] for column in columns]
    lengths = rule.length(truth)[:, None]  # (N, 1)

    def away(points: Array, known: Array) -> Array:
        """Distances (N, J) of the predictions to points (N, J, 2), infinite where unknown."""
        with np.errstate(invalid="ignore"):
            distances = np.linalg.norm(predicted[:, columns] - points, axis=-1) / lengths
        return np.where(known & np.isfinite(distances), distances, np.inf)

    limit = rule.threshold
    own = away(truth.points[:, columns], truth.annotated[:, columns])
    mirror = away(truth.points[:, sides], truth.annotated[:, sides] & (np.array(sides) != columns))
    others = np.full(own.shape, np.inf)
    for row, neighbours in _neighbours(pictures).items():
        for other in neighbours:
            for place in (columns, sides):
                points = truth.points[other, place]
                with np.errstate(invalid="ignore"):
                    gap = np.linalg.norm(predicted[row, columns] - points, axis=-1) / lengths[row]
                gap = np.where(truth.annotated[other, place] & np.isfinite(gap), gap, np.inf)
                others[row] = np.minimum(others[row], gap)
    right = found.errors < limit if rule.strict else found.errors <= limit
    kinds = np.select(
        [right, mirror <= limit, others <= limit, own <= JITTER * limit],
        [KINDS.index(kind) for kind in ("good", "inversion", "swap", "jitter")],
        KINDS.index("miss"),
    )
    return Kinds(found.joints, kinds, found.counted)


def _neighbours(pictures: Sequence[str] | None) -> dict[int, list[int]]:
    """For each person the others of the same picture."""
    of_picture: dict[str, list[int]] = {}
    for row, name in enumerate(pictures or []):
        of_picture.setdefault(name, []).append(row)
    return {
        row: [other for other in rows if other != row]
        for rows in of_picture.values()
        for row in rows
        if len(rows) > 1
    }
