"""Scores of groups of persons, with intervals: by how upright they are, or where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.metrics.protocols import HEAD_AND_NECK, GroundTruth, Rule, joint_errors
from spcnet.skeletons import Skeleton

TORSO_ANGLES = (0, 30, 60, 120, 180)  # degrees from upright; 180 is upside down
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Group:
    """The score of some persons.

    Attributes:
        name: which.
        persons: how many.
        score: plain mean over the joints, or over the limbs where the protocol reports these,
            percent; NaN where no joint counted.
        interval: of it, from resampled persons (bootstrap, 95 %).
    """

    name: str
    persons: int
    score: float
    interval: tuple[float, float]


def torso_columns(skeleton: Skeleton) -> tuple[list[int], list[int]]:
    """Channels of the two shoulders, and of the two hips.

    Raises:
        UserError: the skeleton has none.
    """
    columns = []
    for joint in ("shoulder", "hip"):
        names = [f"left_{joint}", f"right_{joint}"]
        if not set(names) <= set(skeleton.joints):
            raise UserError(f"skeleton {skeleton.name!r} has no {joint}s to take a torso from")
        columns.append([skeleton.index(name) for name in names])
    return columns[0], columns[1]


def torso_angles(truth: GroundTruth) -> Array:
    """How far each person's torso is from upright, degrees (N,); NaN where it is not labelled.

    The torso points from the middle of the hips to the middle of the shoulders; upright is 0, lying
    90, upside down 180.

    Raises:
        UserError: the skeleton has no hips or shoulders.
    """
    ends = []
    for columns in torso_columns(truth.skeleton):
        known = truth.annotated[:, columns].all(axis=1, keepdims=True)  # (N, 1)
        middle = truth.points[:, columns].mean(axis=1)
        ends.append(np.where(known, middle, np.nan))
    x, y = (ends[0] - ends[1]).T
    with np.errstate(invalid="ignore"):
        angles: Array = np.abs(np.degrees(np.arctan2(x, -y)))  # y points down
    length: Array = np.hypot(x, y)
    return np.where(length > 0, angles, np.nan)


def score_by_torso(
    rule: Rule,
    predicted: Array,
    truth: GroundTruth,
    *,
    edges: Sequence[float] = TORSO_ANGLES,
    repeats: int = 1000,
    seed: int = 0,
) -> list[Group]:
    """The scores of persons by how far their torso is from upright.

    Args:
        rule: a variant of PCK.
        predicted: (N, K, 2) pixels in the frame of the labels.
        truth: the labels.
        edges: of the groups, degrees, ascending; the last group holds its upper edge too.
        repeats: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        UserError: as `joint_errors` and `torso_angles`.
    """
    right, counted = _right(rule, predicted, truth)
    angles = torso_angles(truth)
    seen = counted.any(axis=1)
    groups = []
    for low, high in pairwise(edges):
        inside = (angles >= low) & ((angles < high) | ((high == edges[-1]) & (angles == high)))
        rows = np.flatnonzero(inside & seen)
        groups.append(_group(f"{low:g}-{high:g}", right[rows], counted[rows], repeats, seed))
    rows = np.flatnonzero(np.isnan(angles) & seen)
    if len(rows):
        groups.append(_group("not labelled", right[rows], counted[rows], repeats, seed))
    return groups


def score_sources(
    rule: Rule,
    sources: Mapping[str, tuple[Array, GroundTruth]],
    *,
    repeats: int = 1000,
    seed: int = 0,
) -> list[Group]:
    """The scores of persons of several data sets, and at last their mean, each counting alike.

    Args:
        rule: a variant of PCK.
        sources: by name the predictions (N, K, 2), in pixels of the labels, and the labels.
        repeats: of the bootstrap.
        seed: of the bootstrap; persons are resampled within their data set.

    Raises:
        UserError: as `joint_errors`.
    """
    groups, all_scores = [], []
    for number, (name, (predicted, truth)) in enumerate(sources.items()):
        right, counted = _right(rule, predicted, truth)
        rows = np.flatnonzero(counted.any(axis=1))
        scores = _resampled(right[rows], counted[rows], repeats, seed + number)
        groups.append(Group(name, len(rows), float(scores[0]), _interval(scores)))
        all_scores.append(scores)
    total = np.mean(all_scores, axis=0)
    persons = sum(group.persons for group in groups)
    return [*groups, Group("mean", persons, float(total[0]), _interval(total))]


def _right(rule: Rule, predicted: Array, truth: GroundTruth) -> tuple[Array, Array]:
    """Which joints (N, J) are right, and which count: the limbs' where the rule reports these."""
    found = joint_errors(rule, predicted, truth)
    right = found.errors < rule.threshold if rule.strict else found.errors <= rule.threshold
    columns = [
        n
        for n, joint in enumerate(found.joints)
        if not rule.limbs or joint not in HEAD_AND_NECK["Head"]
    ]
    return right[:, columns], found.counted[:, columns]


def _group(name: str, right: Array, counted: Array, repeats: int, seed: int) -> Group:
    persons = len(right)
    if not persons:
        return Group(name, 0, float("nan"), (float("nan"), float("nan")))
    scores = _resampled(right, counted, repeats, seed)
    return Group(name, persons, float(scores[0]), _interval(scores))


def _resampled(right: Array, counted: Array, repeats: int, seed: int) -> Array:
    """Scores (1 + repeats,) of the persons, and of as many drawn from them with replacement."""
    persons = len(right)
    random = np.random.default_rng(seed)
    # How often each person is drawn: the first row takes everyone once.
    times = np.vstack(
        [np.ones(persons), random.multinomial(persons, np.full(persons, 1 / persons), repeats)]
    )
    hits, chances = times @ (right & counted), times @ counted  # (1 + repeats, J)
    with np.errstate(invalid="ignore"):
        joints = np.where(chances > 0, 100 * hits / chances, np.nan)
    means: Array = np.nanmean(joints, axis=1)
    return means


def _interval(scores: Array) -> tuple[float, float]:
    low, high = np.quantile(scores[1:], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
