"""The points of a body, and what all of its painting is measured and blended by."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Real: TypeAlias = NDArray[np.float64]
Pixels: TypeAlias = NDArray[np.float32]
OCCLUDED = 1
VISIBLE = 2
# Joints, in the Leeds Sports Pose order, then the further points that only drawing needs.
R_ANKLE, R_KNEE, R_HIP, L_HIP, L_KNEE, L_ANKLE = range(6)
R_WRIST, R_ELBOW, R_SHOULDER, L_SHOULDER, L_ELBOW, L_WRIST = range(6, 12)
NECK, HEAD_TOP, R_TOE, L_TOE, R_HEEL, L_HEEL, R_FIST, L_FIST, SKULL = range(12, 21)
JOINTS = 14
LEGS = (
    (R_HIP, R_KNEE, R_ANKLE, R_HEEL, R_TOE),
    (L_HIP, L_KNEE, L_ANKLE, L_HEEL, L_TOE),
)
ARMS = (
    (R_SHOULDER, R_ELBOW, R_WRIST, R_FIST),
    (L_SHOULDER, L_ELBOW, L_WRIST, L_FIST),
)
# What turns the left side of the body into each of its sides.
SIDES = (np.array([-1.0, 1.0, 1.0]), np.ones(3))
# Depth of flesh, in metres, that may lie between the viewer and a joint still called visible.
FLESH = np.array(
    [0.12, 0.11, 0.16, 0.16, 0.11, 0.12, 0.08, 0.09, 0.14, 0.14, 0.09, 0.08, 0.15, 0.2]
)


def soft_step(ramp: Pixels) -> Pixels:
    """Step from 0 to 1 over one unit around 0, so that edges come out antialiased."""
    return clipped(ramp + np.float32(0.5))


def norm_of(x: Pixels, y: Pixels) -> Pixels:
    """Return the length of vectors, several times as fast as `numpy.hypot`."""
    length: Pixels = np.sqrt(x * x + y * y)
    return length


def blend(below: Pixels, above: Pixels, share: Pixels) -> Pixels:
    return below + share * (above - below)


def clipped(ramp: Pixels) -> Pixels:
    """Clip to between 0 and 1, on small arrays faster than `numpy.clip`."""
    return np.minimum(np.maximum(ramp, 0), 1)
