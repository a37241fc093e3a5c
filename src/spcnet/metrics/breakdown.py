"""Scores of groups of persons, with intervals: by how upright they are, or where they come from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.metrics.protocols import NECK_AND_TOP, GroundTruth, Rule, joint_errors
from spcnet.skeletons import Skeleton

TORSO_ANGLES = (0, 30, 60, 120, 180)  # degrees from upright; 180 is upside down
INTERVAL = (0.025, 0.975)  # quantiles
REPEATS = 1000  # of the bootstrap


@dataclass(frozen=True)
class Group:
    """The score of some persons."""

    name: str
    persons: int
    score: float  # percent, the protocol's mean, or that of the limbs where it has one
    interval: tuple[float, float]  # of it, from resampled persons (bootstrap, 95 %)


@dataclass(frozen=True)
class Difference:
    """The scores of two models on the same persons."""

    name: str
    persons: int
    scores: tuple[float, float]  # percent, as a `Group`'s
    difference: float  # of the second from the first, in points
    # Of it, 95 %: the same resampled persons count for both, so that what is hard for both cancels.
    interval: tuple[float, float]
    # Persons from which on the interval would leave out 0, if the difference stays; None where the
    # two score alike.
    needed: int | None


def torso_columns(skeleton: Skeleton) -> tuple[list[int], list[int]]:
    """Channels of the two shoulders, and of the two hips; a `UserError` where there are none."""
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
    90, upside down 180. A `UserError` where the skeleton has no hips or shoulders.
    """
    shoulders, hips = torso_columns(truth.skeleton)
    x, y = (truth.points[:, shoulders].mean(axis=1) - truth.points[:, hips].mean(axis=1)).T
    known = truth.annotated[:, shoulders + hips].all(axis=1) & (np.hypot(x, y) > 0)
    return np.where(known, np.abs(np.degrees(np.arctan2(x, -y))), np.nan)  # y points down


def score_by_torso(
    rule: Rule, predicted: Array, truth: GroundTruth, *, repeats: int = REPEATS
) -> list[Group]:
    """The scores of persons by how far their torso is from upright."""
    right, counted = _right(rule, predicted, truth)
    angles = torso_angles(truth)
    inside = {
        f"{low}-{high}": (angles >= low) & (angles < high) for low, high in pairwise(TORSO_ANGLES)
    }
    inside[list(inside)[-1]] |= angles == TORSO_ANGLES[-1]  # the last group holds it
    unknown = np.isnan(angles)
    if counted[unknown].any():
        inside["not labelled"] = unknown
    resampled = (_resampled(right[rows], counted[rows], repeats) for rows in inside.values())
    return [_group(name, *each) for name, each in zip(inside, resampled, strict=True)]


def score_sources(
    rule: Rule, sources: Mapping[str, tuple[Array, GroundTruth]], *, repeats: int = REPEATS
) -> list[Group]:
    """The scores of persons of several data sets, and at last their mean, each counting alike.

    A source is the predictions (N, K, 2), in pixels of the labels, and the labels. Persons are
    resampled within their data set.
    """
    resampled = [
        _resampled(*_right(rule, *source), repeats, seed)
        for seed, source in enumerate(sources.values())
    ]
    groups = [_group(name, *each) for name, each in zip(sources, resampled, strict=True)]
    persons, scores = zip(*resampled, strict=True)
    return [*groups, _group("mean", sum(persons), np.mean(scores, axis=0))]


def compare_sources(
    rule: Rule,
    sources: Mapping[str, tuple[Array, Array, GroundTruth]],
    *,
    repeats: int = REPEATS,
) -> list[Difference]:
    """The paired differences on several data sets, and at last on their mean (`score_sources`).

    A source is two models' predictions (N, K, 2) of the same persons, and their labels.
    """
    rows: list[tuple[str, int, Array, Array]] = []
    for seed, (name, (first, second, truth)) in enumerate(sources.items()):
        of_both = [_resampled(*_right(rule, p, truth), repeats, seed) for p in (first, second)]
        rows.append((name, of_both[0][0], of_both[0][1], of_both[1][1]))
    if len(rows) > 1:
        _, persons, *of_all = zip(*rows, strict=True)
        rows.append(("mean", sum(persons), *(np.mean(scores, axis=0) for scores in of_all)))
    return [_difference(*row) for row in rows]


def _difference(name: str, persons: int, first: Array, second: Array) -> Difference:
    differences = second - first
    low, high = np.quantile(differences[1:], INTERVAL).tolist()
    found = float(differences[0])
    # The interval shrinks with the root of the number of persons.
    needed = math.ceil(persons * ((high - low) / 2 / found) ** 2) if abs(found) > 1e-9 else None
    scores = float(first[0]), float(second[0])
    return Difference(name, persons, scores, found, (low, high), needed)


def _right(rule: Rule, predicted: Array, truth: GroundTruth) -> tuple[Array, Array]:
    """Joints (N, J) that are right, and that count: the limbs' where the rule reports these."""
    found = joint_errors(rule, predicted, truth)
    columns = [not rule.limbs or joint not in NECK_AND_TOP for joint in found.joints]
    counted = found.counted[:, columns]
    right = found.right[:, columns] & counted
    if rule.mean == "pooled":  # how many of all joints
        return right.sum(axis=1, keepdims=True), counted.sum(axis=1, keepdims=True)
    return right, counted


def _resampled(right: Array, counted: Array, repeats: int, seed: int = 0) -> tuple[int, Array]:
    """How many persons count; scores (1 + repeats,) of them and of as many drawn with replacement.

    Persons without a joint (N, J) that counts are left out.
    """
    seen = counted.any(axis=1)
    right, counted = right[seen], counted[seen]
    if not (persons := len(counted)):
        return 0, np.full(1 + repeats, np.nan)
    random = np.random.default_rng(seed)
    # How often each person is drawn: the first row takes everyone once.
    times = np.vstack(
        [np.ones(persons), random.multinomial(persons, np.full(persons, 1 / persons), repeats)]
    )
    hits, chances = times @ right, times @ counted  # (1 + repeats, J)
    with np.errstate(invalid="ignore"):
        joints = np.where(chances > 0, 100 * hits / chances, np.nan)
    return persons, np.nanmean(joints, axis=1)


def _group(name: str, persons: int, scores: Array) -> Group:
    low, high = np.quantile(scores[1:], INTERVAL).tolist()
    return Group(name, persons, float(scores[0]), (low, high))
