"""The parts of a dressed body, and which of its joints they hide."""

import numpy as np
from numpy.typing import NDArray

from spcnet.synthetic.body import ARMS, HEAD_TOP, JOINTS, LEGS, NECK, SKULL, TRUNK, Body
from spcnet.synthetic.clothes import Cloth, Outfit, rgb_planes
from spcnet.synthetic.painting import Head, Limb, Part, Scene, Torso

# Of a limb's three parts: start and end, as places in its chain of points, and radii in metres.
_ARM = ((0, 1, 0.06, 0.044), (1, 2, 0.044, 0.031), (2, 3, 0.033, 0.043))
_LEG = ((0, 1, 0.088, 0.062), (1, 2, 0.06, 0.041), (3, 4, 0.048, 0.039))
# Of what grows out of the head: both ends in its half-axes, and radii in metres.
_NOSE = ((0.0, 0.0, 0.9), (0.0, -0.2, 1.2), (0.014, 0.021))
_EARS = [((side, -0.08, -0.02), (side, -0.28, 0.0), (0.026, 0.018)) for side in (-1.0, 1.0)]
_LOOSE_HAIR = {
    "short": [],
    "tail": [((0.0, 0.4, -0.95), (0.0, -1.0, -1.5), (0.042, 0.022))],
    "bun": [((0.0, 0.62, -0.95), (0.0, 0.7, -1.0), (0.055, 0.055))],
}
# Depth of flesh, in metres, that may lie between the viewer and a joint still called visible.
_FLESH = np.array(
    [0.12, 0.11, 0.16, 0.16, 0.11, 0.12, 0.08, 0.09, 0.14, 0.14, 0.09, 0.08, 0.15, 0.2]
)


def body_parts(body: Body, outfit: Outfit, *, metre: float) -> list[Part]:
    limbs = [limb for side in (0, 1) for limb in _limbs(body, outfit, side=side, metre=metre)]
    return [_torso(body, outfit, metre=metre), *_head(body, outfit, metre=metre), *limbs]


def _torso(body: Body, outfit: Outfit, *, metre: float) -> Torso:
    bones, points = body.bones, body.points
    bottom = points[list(TRUNK[:2])].mean(axis=0) - body.pelvis[:, 1] * 0.075 * metre
    hip, shoulder = bones.hip + 0.045 * bones.girth, bones.shoulder
    waist = 0.125 * bones.girth
    return Torso(
        axis=np.array([bottom, points[NECK] + body.chest[:, 1] * 0.012 * metre]),
        radii=np.array([hip, hip, waist, 0.86 * shoulder, shoulder, 0.95 * shoulder]) * metre,
        depths=np.array([0.1, 0.115, 0.1, 0.125, 0.095, 0.08]) * bones.girth * metre,
        joints=TRUNK,
        pelvis=body.pelvis,
        chest=body.chest,
        outfit=outfit,
    )


def _head(body: Body, outfit: Outfit, *, metre: float) -> list[Part]:
    """Head and neck; nose, ears and loose hair, which tell front from back in profile too."""
    centre, head = body.points[SKULL], body.head
    half = np.array(body.bones[-3:]) * metre
    collar = body.points[NECK] - body.chest[:, 1] * 0.03 * metre
    neck = Limb(
        axis=np.array([collar, centre - head[:, 1] * 0.4 * half[1]]),
        radii=np.array([0.056, 0.05]) * (body.bones.girth * metre),
        cloth=Cloth(outfit.skin),
        joints=(NECK,),
        bias=-0.08 * metre,
    )
    # A nose is a little redder and darker than skin, or seen from the front it would vanish.
    lumps = [(_NOSE, outfit.skin * rgb_planes(0.92, 0.8, 0.78))]
    lumps += [(ear, outfit.skin) for ear in _EARS]
    lumps += [(loose, outfit.hair) for loose in _LOOSE_HAIR[outfit.hairstyle]]
    return [
        Head(
            axis=centre[None], frame=head, radii=half, joints=(HEAD_TOP,), skin=outfit.skin,
            hair=outfit.hair,
        ),
        neck,
        *(
            Limb(
                axis=centre + np.array(ends) @ (head * half).T,
                radii=np.array(radii) * metre,
                cloth=Cloth(colour),
                capped=True,
            )
            for (*ends, radii), colour in lumps
        ),
    ]  # fmt: skip


def _limbs(body: Body, outfit: Outfit, *, side: int, metre: float) -> list[Limb]:
    """The parts of one side's arm and leg."""
    return [
        Limb(
            axis=body.points[[chain[start], chain[end]]],
            radii=np.array(radii) * (body.bones.girth * metre),
            joints=chain[n:3][:2],
            bias=bias * metre,
            cloth=Cloth(last) if n == 2 else cloth,
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
