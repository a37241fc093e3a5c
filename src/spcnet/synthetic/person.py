"""The parts of a dressed body, and which of its joints they hide."""

import numpy as np
from numpy.typing import NDArray

from spcnet.synthetic.body import (
    ARMS,
    HEAD_TOP,
    JOINTS,
    L_HIP,
    L_SHOULDER,
    LEGS,
    NECK,
    R_HIP,
    R_SHOULDER,
    SKULL,
    TRUNK,
    Body,
)
from spcnet.synthetic.clothes import Outfit, rgb_planes
from spcnet.synthetic.painting import Head, Limb, Part, Scene

# Of a limb's three parts: start and end, as places in its chain of points, and radii in metres.
_ARM = ((0, 1, 0.06, 0.044), (1, 2, 0.044, 0.031), (2, 3, 0.033, 0.043))
_LEG = ((0, 1, 0.088, 0.062), (1, 2, 0.06, 0.041), (3, 4, 0.048, 0.039))
# The trunk: ends, radii in metres, and the share from its first end that the shirt covers.
_TRUNK = (
    (R_HIP, L_HIP, 0.1, 0.1, 0.0),
    (R_SHOULDER, R_HIP, 0.09, 0.095, 0.75),
    (L_SHOULDER, L_HIP, 0.09, 0.095, 0.75),
    (NECK, None, 0.1, 0.12, 0.75),  # down to the hips' middle
    (R_SHOULDER, L_SHOULDER, 0.07, 0.07, 1.0),
)
# Depth of flesh, in metres, that may lie between the viewer and a joint still called visible.
_FLESH = np.array(
    [0.12, 0.11, 0.16, 0.16, 0.11, 0.12, 0.08, 0.09, 0.14, 0.14, 0.09, 0.08, 0.15, 0.2]
)


def body_parts(body: Body, outfit: Outfit, *, metre: float) -> list[Part]:
    limbs = [limb for side in (0, 1) for limb in _limbs(body, outfit, side=side, metre=metre)]
    return [*_trunk(body, outfit, metre=metre), *_head(body, outfit, metre=metre), *limbs]


def _trunk(body: Body, outfit: Outfit, *, metre: float) -> list[Limb]:
    points = body.points
    middle = points[[R_HIP, L_HIP]].mean(axis=0)
    return [
        Limb(
            axis=np.array([points[start], middle if end is None else points[end]]),
            radii=np.array(radii) * (body.bones.girth * metre),
            joints=TRUNK,
            colour=outfit.shirt if covered else outfit.trousers,
            bare=outfit.trousers,
            cut=covered or 1.0,
        )
        for start, end, *radii, covered in _TRUNK
    ]


def _head(body: Body, outfit: Outfit, *, metre: float) -> list[Part]:
    """Head and neck, and the nose, which tells front from back in profile too."""
    centre, frame = body.points[SKULL], body.head
    half = np.array(body.bones[-3:]) * metre
    head = Head(
        axis=centre[None], frame=frame, radii=half, joints=(HEAD_TOP,), skin=outfit.skin,
        hair=outfit.hair,
    )  # fmt: skip
    neck = Limb(
        axis=np.array([body.points[NECK], centre - frame[:, 1] * 0.4 * half[1]]),
        radii=np.array([0.056, 0.05]) * (body.bones.girth * metre),
        colour=outfit.skin,
        joints=(NECK,),
    )
    nose = Limb(
        axis=centre + np.array([(0.0, 0.0, 0.9), (0.0, -0.2, 1.2)]) @ (frame * half).T,
        radii=np.array([0.014, 0.021]) * metre,
        # A little redder and darker than skin, or seen from the front it would vanish.
        colour=outfit.skin * rgb_planes(0.92, 0.8, 0.78),
        capped=True,
    )
    return [head, neck, nose]


def _limbs(body: Body, outfit: Outfit, *, side: int, metre: float) -> list[Limb]:
    """The parts of one side's arm and leg."""
    return [
        Limb(
            axis=body.points[[chain[start], chain[end]]],
            radii=np.array(radii) * (body.bones.girth * metre),
            joints=chain[n:3][:2],
            bias=bias * metre,
            colour=last if n == 2 else cloth,
            bare=None if n == 2 else outfit.skin,
            cut=2 * covered - n,
            capped=n == 2,
        )
        for chain, spans, cloth, covered, last, bias in (
            (ARMS[side], _ARM, outfit.shirt, outfit.sleeve, outfit.skin, 0.02),
            (LEGS[side], _LEG, outfit.trousers, outfit.leg, outfit.shoes, 0.0),
        )
        for n, (start, end, *radii) in enumerate(spans)
    ]


def self_occluded(scene: Scene, parts: list[Part], body: Body) -> NDArray[np.bool_]:
    """Which joints (14,) other parts hide, or flesh thicker than their own."""
    joints = body.points[:JOINTS]
    columns, rows = np.rint(joints[:, :2]).astype(int).T
    numbers = scene.part[rows, columns]
    deep = scene.nearness[rows, columns] - joints[:, 2] > _FLESH * scene.metre
    own = [joint in parts[number].joints for joint, number in enumerate(numbers)]
    hidden: NDArray[np.bool_] = (numbers >= 0) & (deep | ~np.array(own))
    return hidden
