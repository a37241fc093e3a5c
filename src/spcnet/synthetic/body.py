"""Bodies in three dimensions: bones of human lengths, and joints within their limits."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Real: TypeAlias = NDArray[np.float64]

# Joints, in the Leeds Sports Pose order, then the further points that only drawing needs.
R_ANKLE, R_KNEE, R_HIP, L_HIP, L_KNEE, L_ANKLE = range(6)
R_WRIST, R_ELBOW, R_SHOULDER, L_SHOULDER, L_ELBOW, L_WRIST = range(6, 12)
NECK, HEAD_TOP, R_TOE, L_TOE, R_HEEL, L_HEEL, R_FIST, L_FIST, SKULL = range(12, 21)
JOINTS = 14
ARMS = ((R_SHOULDER, R_ELBOW, R_WRIST, R_FIST), (L_SHOULDER, L_ELBOW, L_WRIST, L_FIST))
LEGS = ((R_HIP, R_KNEE, R_ANKLE, R_HEEL, R_TOE), (L_HIP, L_KNEE, L_ANKLE, L_HEEL, L_TOE))
TRUNK = (R_HIP, L_HIP, R_SHOULDER, L_SHOULDER, NECK)
# What turns the left side of the body into each of its sides.
_SIDES = (np.array([-1.0, 1.0, 1.0]), np.ones(3))
X, Y, Z = range(3)


class Bones(NamedTuple):
    """Lengths in metres, by default the usual ones; `girth` multiplies all thicknesses."""

    torso: float = 0.52
    shoulder: float = 0.185
    hip: float = 0.105
    upper_arm: float = 0.3
    forearm: float = 0.26
    hand: float = 0.075
    thigh: float = 0.43
    shin: float = 0.42
    foot: float = 0.17
    neck: float = 0.075
    girth: float = 1.0
    skull_width: float = 0.103
    skull_height: float = 0.138
    skull_depth: float = 0.112


class JointAngles(NamedTuple):
    """Joint angles in degrees; rows of `arms` and `legs` are right, left.

    Arms are shoulder flexion, abduction, outward twist and elbow flexion. Legs are hip flexion,
    abduction, outward twist, knee flexion and pointing of the foot. The spine leans forward,
    leans sideways and twists. The head nods, tilts and turns.
    """

    arms: Real
    legs: Real
    spine: Real
    head: Real


class Body(NamedTuple):
    """Points (21, 3), and frames whose columns are the left, up and front axes of three parts."""

    points: Real
    pelvis: Real
    chest: Real
    head: Real
    bones: Bones


# The share by which a bone varies, where it is not 0.08.
_VARIES = {"shoulder": 0.1, "hip": 0.12, "neck": 0.15, "girth": 0.14, "skull_height": 0.05}
_ARM_LIMITS = np.array([[-50.0, 175.0], [0.0, 150.0], [-75.0, 85.0], [0.0, 145.0]])
_LEG_LIMITS = np.array([[-25.0, 115.0], [-8.0, 60.0], [-15.0, 40.0], [0.0, 140.0], [0.0, 55.0]])
_SPINE_LIMITS = np.array([[-15.0, 40.0], [-20.0, 20.0], [-25.0, 25.0]])
_HEAD_LIMITS = np.array([[-20.0, 25.0], [-15.0, 15.0], [-40.0, 40.0]])
# Right arm (4), left arm (4), right leg (5), left leg (5), spine (3), as of `JointAngles`.
_ACTIVITY_TABLE = """
stand     0  12 -15  15    0  12 -15  15    0  6 10   6  8    0  6 10   6  8    0  0   0
walk     35  10 -15  35  -25  10 -15  20  -18  4  6  25 25   30  4  6  12  5    5  0   8
run     -45  15 -20  90   50  12 -35  95   75  5  5  90 25  -18  5  5  45 35   14  0  10
star      0 130  20  10    0 130  20  10    5 35 15   6 30    5 35 15   6 30    0  0   0
wings     0  88   0  10    0  88   0  10    0  6 10   6  8   10 20 10   5  5    0  0   0
squat    80  15 -10  25   80  15 -10  25   90 28 20 110  0   90 28 20 110  0   28  0   0
cheer   160  25   0  25  160  25   0  25    0  6 10   6  8    0  6 10   6  8    0  0   0
kick    -20  55   0  35   20  70   0  30   85 12  8  15 35    0  6  8  15  5   -5  5  -8
flex      0  88  82  95    0  88  82  95   10 22 18  12  5   10 22 18  12  5    0  0   0
akimbo  -12  42 -65 100  -12  42 -65 100    0  6 10   6  8    0 14 15   8  5    0  0   0
throw    20 100  70  85   60  40  10  20  -15 12 15  20 25   45 10  8  40  5    5 -5 -15
jump    150  35  10  30  150  35  10  30   55 22 15  95 40   40 22 15 100 40    0  0   0
wave      0  12 -15  15   40 110  75  60    0  6 10   6  8    0  6 10   6  8    0  6   0
dance    30  60  10  20   10  95  10  15   80 40 30  95 40    0  6 10   6  8    0  8   0
"""
_ACTIVITIES = np.array([row.split()[1:] for row in _ACTIVITY_TABLE.split("\n")[1:-1]], np.float64)
_SPREAD = 13.0


def sample_body(rng: np.random.Generator) -> Body:
    return assemble(sample_bones(rng), _sample_pose(rng))


def sample_bones(rng: np.random.Generator) -> Bones:
    shares = ((length, _VARIES.get(name, 0.08)) for name, length in Bones()._asdict().items())
    return Bones(*(length * rng.uniform(1.0 - share, 1.0 + share) for length, share in shares))


def _sample_pose(rng: np.random.Generator) -> JointAngles:
    def vary(angles: Real, limits: Real, spread: float) -> Real:
        drawn = angles + spread * rng.standard_normal(angles.shape)
        return np.clip(drawn, limits[:, 0], limits[:, 1])

    row = _ACTIVITIES[rng.integers(len(_ACTIVITIES))]
    order = -1 if rng.random() < 0.5 else 1
    return JointAngles(
        arms=vary(row[:8].reshape(2, 4)[::order], _ARM_LIMITS, _SPREAD),
        legs=vary(row[8:18].reshape(2, 5)[::order], _LEG_LIMITS, _SPREAD * 0.7),
        spine=vary(row[18:] * (1, order, order), _SPINE_LIMITS, _SPREAD * 0.5),
        head=vary(np.zeros(3), _HEAD_LIMITS, _SPREAD),
    )


def assemble(bones: Bones, pose: JointAngles) -> Body:
    points = np.zeros((SKULL + 1, 3))
    chest = _turn(pose.spine)
    head = chest @ _turn(pose.head)
    points[NECK] = chest[:, 1] * bones.torso
    points[SKULL] = points[NECK] + chest[:, 1] * bones.neck + head[:, 1] * bones.skull_height
    points[HEAD_TOP] = points[SKULL] + head[:, 1] * bones.skull_height * 0.97
    for side, outward in enumerate(_SIDES):
        shoulder, *arm = ARMS[side]
        points[shoulder] = points[NECK] + chest @ (outward * (bones.shoulder, -0.045, 0.0))
        points[arm] = points[shoulder] + (_left_arm(bones, pose.arms[side]) * outward) @ chest.T
        hip, *leg = LEGS[side]
        points[hip] = outward * (bones.hip, 0.0, 0.0)
        points[leg] = points[hip] + _left_leg(bones, pose.legs[side]) * outward
    return Body(points, np.eye(3), chest, head, bones)


def _left_limb(angles: Real, bend: float, first: float, second: float) -> tuple[Real, Real, Real]:
    """Middle and end of two bones of these lengths, seen from their start; axes of the second."""
    flexion, abduction, twist = angles
    upper = turn(X, -flexion) @ turn(Z, abduction) @ turn(Y, twist)
    lower = upper @ turn(X, bend)
    middle = upper[:, 1] * -first
    return middle, middle + lower[:, 1] * -second, lower


def _left_arm(bones: Bones, angles: Real) -> Real:
    """Elbow, wrist and fist of a left arm, seen from its shoulder."""
    elbow, wrist, lower = _left_limb(angles[:3], -angles[3], bones.upper_arm, bones.forearm)
    return np.stack([elbow, wrist, wrist + lower[:, 1] * -bones.hand])


def _left_leg(bones: Bones, angles: Real) -> Real:
    """Knee, ankle, heel and toe of a left leg, seen from its hip."""
    knee, ankle, lower = _left_limb(angles[:3], angles[3], bones.thigh, bones.shin)
    foot = lower @ turn(X, angles[4])
    heel = ankle + foot @ (0.0, -0.045, -0.035)
    return np.stack([knee, ankle, heel, ankle + foot @ (0.0, -0.055, bones.foot)])


def place_body(body: Body, rng: np.random.Generator, *, size: int) -> tuple[Body, float]:
    """Turn the body before the viewer and fit it to the picture; also give pixels per metre."""
    view = _sample_view(body, rng) * np.array([[1.0], [-1.0], [1.0]])
    points = body.points @ view.T
    low, high = points[:JOINTS, :2].min(axis=0), points[:JOINTS, :2].max(axis=0)
    share = rng.uniform(0.55, 0.85)
    metre = float(share * size / (high - low).max())
    room = np.clip((size - (high - low) * metre) / 2 - 0.05 * size, 0.0, 0.1 * size)
    centre = (size - 1) / 2 + rng.uniform(-1.0, 1.0, 2) * room
    shift = np.append(centre - (low + high) / 2 * metre, 0.0)
    pelvis, chest, head = view @ body.pelvis, view @ body.chest, view @ body.head
    return Body(points * metre + shift, pelvis, chest, head, body.bones), metre


def _sample_view(body: Body, rng: np.random.Generator) -> Real:
    yaw = rng.uniform(-60.0, 60.0) + (180.0 if rng.random() < 0.2 else 0.0)
    facing = turn(X, rng.uniform(-18.0, 18.0)) @ turn(Y, yaw)
    points = body.points @ facing.T
    down = points[[R_HIP, L_HIP]].mean(axis=0) - points[[R_SHOULDER, L_SHOULDER]].mean(axis=0)
    upright = np.rad2deg(np.arctan2(-down[0], -down[1]))
    return turn(Z, upright + rng.uniform(0.0, 360.0)) @ facing


def _turn(angles: Real) -> Real:
    """Turn by a forward lean, a sideways lean and a twist, in degrees."""
    return turn(Y, angles[2]) @ turn(Z, angles[1]) @ turn(X, angles[0])


def turn(axis: int, degrees: float) -> Real:
    """The matrix that turns about an axis."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(np.deg2rad(degrees))
    matrix[second, first] = np.sin(np.deg2rad(degrees))
    matrix[first, second] = -matrix[second, first]
    return matrix
