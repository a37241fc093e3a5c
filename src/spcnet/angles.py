"""Angles of a body in the picture's plane, each with an interval.

Joint angles are those between two segments that meet, in degrees from 0 (folded together) to 180
(straight), without a sign: of the knee between thigh and shank, of the hip between trunk and thigh,
of the elbow between upper arm and forearm, of the shoulder between trunk and upper arm.

Segment angles are those of one segment to the vertical, in degrees from -180 to 180, positive
counterclockwise as one looks at the picture: 0 is a limb that hangs straight down, and a trunk that
stands upright. A mirror exchanges left and right, and the sign of segment angles.

They are angles of a projection: towards the camera everything is foreshortened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.skeletons import MIDDLES, Skeleton

_SIDES = ("left", "right")
# Two segments that meet in the middle joint.
JOINT_ANGLES: Mapping[str, tuple[str, str, str]] = {
    f"{side}_{name}": (f"{side}_{near}", f"{side}_{name}", f"{side}_{far}")
    for name, near, far in (
        ("knee", "hip", "ankle"), ("hip", "shoulder", "knee"),
        ("elbow", "shoulder", "wrist"), ("shoulder", "hip", "elbow"),
    )
    for side in _SIDES
}  # fmt: skip
# From the end at the body to the other; the trunk from the hips' middle to the shoulders'.
SEGMENTS: Mapping[str, tuple[str, str]] = {
    "trunk": ("pelvis", "thorax"),
    **{
        f"{side}_{name}": (f"{side}_{near}", f"{side}_{far}")
        for name, near, far in (
            ("thigh", "hip", "knee"), ("shank", "knee", "ankle"),
            ("upper_arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"),
        )
        for side in _SIDES
    },
}  # fmt: skip
_LACKING = {"ankle": "foot", "wrist": "hand", "foot": "foot", "hand": "hand"}
RIGHT = 0.2  # of the torso: a joint of score p is within that with probability p
SUREST = 0.99  # no joint is taken to be surer
DEVIATIONS = 1.645  # of a normal distribution: 90 % lie within


@dataclass(frozen=True)
class Angles:
    """Angles of A names; arrays of (..., A) degrees, NaN where two joints coincide."""

    names: tuple[str, ...]
    degrees: Array
    low: Array  # ends of an interval that holds nine of ten, if scores are calibrated
    high: Array  # a segment's may lie beyond -180 to 180
    scores: Array  # the lowest of the joints'


def angle_names(skeleton: Skeleton, wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """The angles that a skeleton's joints give, or those wanted of them; else a `UserError`."""
    joints = [*skeleton.joints, *_middles(skeleton)]
    known = {**JOINT_ANGLES, **SEGMENTS}
    given = tuple(name for name, of in known.items() if set(of) <= set(joints))
    for name in wanted:
        if name in given:
            continue
        lacking = _LACKING.get(name.rpartition("_")[2])
        reason = f"no joint of the {lacking} is found" if lacking else "there is no such angle"
        if name in known:
            missing = ", ".join(sorted(set(known[name]) - set(joints)))
            reason = f"skeleton {skeleton.name!r} lacks {missing}"
        raise UserError(f"angle {name!r}: {reason}; there are {', '.join(given) or 'none'}")
    return tuple(wanted) or given


def measure_angles(
    keypoints: Array, scores: Array, skeleton: Skeleton, names: Sequence[str] = ()
) -> Angles:
    """The angles of poses (..., K, 2) in pixels, x right and y down, with joint scores (..., K).

    By default all that the skeleton gives; see `angle_names`. A joint's error is taken to be normal
    and alike in both directions, as wide as its score says: within `RIGHT` of the torso's length
    with the probability that is the score. Intervals follow from that to first order.
    """
    names = angle_names(skeleton, names)
    points, sure = _with_middles(np.asarray(keypoints, float), np.asarray(scores, float), skeleton)
    if skeleton.torso is None:
        torso = np.full(np.shape(scores)[:-1], np.nan)
    else:
        torso = np.linalg.norm(points[skeleton.torso[0]] - points[skeleton.torso[1]], axis=-1)
    # P(|e| <= r) of a normal error in the plane is 1 - exp(-r^2 / 2 s^2).
    spread = {
        name: RIGHT * torso / np.sqrt(-2 * np.log1p(-np.clip(score, 1e-3, SUREST)))
        for name, score in sure.items()
    }
    columns = []
    moves: tuple[
        tuple[str, Array], ...
    ]  # joints, and how far one's move by a pixel turns the angle
    for name in names:
        if name in JOINT_ANGLES:
            near, middle, far = JOINT_ANGLES[name]
            one, other = points[near] - points[middle], points[far] - points[middle]
            degrees = np.abs(_turn(one, other))
            pulls = _pull(one), -_pull(other)
            moves = (near, pulls[0]), (far, pulls[1]), (middle, -(pulls[0] + pulls[1]))
            ends = 0.0, 180.0
        else:
            near, far = SEGMENTS[name]
            along = points[far] - points[near]
            degrees = _turn(np.array([0.0, -1.0 if name == "trunk" else 1.0]), along)
            moves = (near, _pull(along)), (far, _pull(along))
            ends = -np.inf, np.inf
        variance = sum((pull**2).sum(axis=-1) * spread[joint] ** 2 for joint, pull in moves)
        reach = np.minimum(DEVIATIONS * np.degrees(np.sqrt(variance)), 180.0)
        low, high = np.clip([degrees - reach, degrees + reach], *ends)
        joints = JOINT_ANGLES.get(name) or SEGMENTS[name]
        score = np.minimum.reduce([sure[joint] for joint in joints])
        columns.append((degrees, low, high, score))
    stacked = (np.stack(values, axis=-1) for values in zip(*columns, strict=True))
    return Angles(tuple(names), *stacked)


def _turn(one: Array, other: Array) -> Array:
    """Degrees in (-180, 180] from one vector (..., 2) to another, counterclockwise as seen.

    The picture's y points down, so that the usual sign is turned.
    """
    cross = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    dot = (one * other).sum(axis=-1)
    degrees: Array = np.degrees(np.arctan2(-cross, dot))
    nowhere = (np.abs(one).max(axis=-1) == 0) | (np.abs(other).max(axis=-1) == 0)
    return np.where(nowhere, np.nan, np.where(degrees == -180, 180.0, degrees))


def _pull(along: Array) -> Array:
    """How far a vector (..., 2) turns, in radians, when its end moves by a pixel in x and in y."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pull: Array = along[..., ::-1] * [-1.0, 1.0] / (along**2).sum(axis=-1, keepdims=True)
    return pull


def _middles(skeleton: Skeleton) -> dict[str, tuple[str, str]]:
    """The middles that the skeleton does not have itself, of joints that it has."""
    own = set(skeleton.joints)
    return {n: pair for n, pair in MIDDLES.items() if n not in own and set(pair) <= own}


def _with_middles(
    keypoints: Array, scores: Array, skeleton: Skeleton
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Points (..., 2) and scores (...) by name; a middle has the lower score of the two."""
    points = {joint: keypoints[..., n, :] for n, joint in enumerate(skeleton.joints)}
    sure = {joint: scores[..., n] for n, joint in enumerate(skeleton.joints)}
    for name, (one, other) in _middles(skeleton).items():
        points[name] = (points[one] + points[other]) / 2
        sure[name] = np.minimum(sure[one], sure[other])
    return points, sure
