"""The parts of a dressed body, and which of its joints they hide."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spcnet.synthetic.body import Body
from spcnet.synthetic.clothes import Cloth, Outfit
from spcnet.synthetic.painting import Head, Limb, Part, Scene, Torso
from spcnet.synthetic.points import ARMS, FLESH, JOINTS, L_HIP, LEGS, NECK, R_HIP, SKULL


def body_parts(body: Body, outfit: Outfit, *, metre: float) -> list[Part]:
    parts: list[Part] = [_torso(body, outfit, metre=metre)]
    parts += _head(body, outfit, metre=metre)
    parts += _features(body, outfit, metre=metre)
    for side in range(2):
        parts += _arm(body, outfit, side=side, metre=metre)
        parts += _leg(body, outfit, side=side, metre=metre)
    return parts


def _torso(body: Body, outfit: Outfit, *, metre: float) -> Torso:
    bones, points = body.bones, body.points
    hips = (points[R_HIP] + points[L_HIP]) / 2
    hip, shoulder = bones.hip + 0.045 * bones.girth, bones.shoulder
    waist = 0.125 * bones.girth
    return Torso(
        bottom=hips - body.pelvis[:, 1] * 0.075 * metre,
        top=points[NECK] + body.chest[:, 1] * 0.012 * metre,
        pelvis=body.pelvis,
        chest=body.chest,
        widths=np.array([hip, hip, waist, 0.86 * shoulder, shoulder, 0.95 * shoulder]) * metre,
        depths=np.array([0.1, 0.115, 0.1, 0.125, 0.095, 0.08]) * bones.girth * metre,
        corner=0.065 * metre,
        outfit=outfit,
    )


def _head(body: Body, outfit: Outfit, *, metre: float) -> list[Part]:
    centre, half = body.points[SKULL], body.bones.skull * metre
    thick = body.bones.girth * metre
    neck = Limb(
        body.points[NECK] - body.chest[:, 1] * 0.03 * metre,
        centre - body.head[:, 1] * 0.4 * half[1],
        radii=(0.056 * thick, 0.05 * thick),
        cloth=outfit.skin,
        joints=(NECK,),
        bias=-0.08 * metre,
    )
    return [Head(centre, body.head, half, outfit.skin, outfit.hair), neck]


def _features(body: Body, outfit: Outfit, *, metre: float) -> list[Part]:
    """Build nose, ears and loose hair, which tell front from back in profile too."""
    axes = body.head * (body.bones.skull * metre)

    def lump(
        start: tuple[float, float, float],
        end: tuple[float, float, float],
        radii: tuple[float, float],
        cloth: Cloth,
    ) -> Limb:
        places = body.points[SKULL] + np.array([start, end]) @ axes.T
        thick = (radii[0] * metre, radii[1] * metre)
        return Limb(places[0], places[1], radii=thick, cloth=cloth, capped=True)

    parts: list[Part] = [
        lump((0.0, 0.0, 0.9), (0.0, -0.2, 1.2), (0.014, 0.021), outfit.nose),
        lump((-1.0, -0.08, -0.02), (-1.0, -0.28, 0.0), (0.026, 0.018), outfit.skin),
        lump((1.0, -0.08, -0.02), (1.0, -0.28, 0.0), (0.026, 0.018), outfit.skin),
    ]
    if outfit.hairstyle == "tail":
        parts.append(lump((0.0, 0.4, -0.95), (0.0, -1.0, -1.5), (0.042, 0.022), outfit.hair))
    if outfit.hairstyle == "bun":
        parts.append(lump((0.0, 0.62, -0.95), (0.0, 0.7, -1.0), (0.055, 0.055), outfit.hair))
    return parts


def _arm(body: Body, outfit: Outfit, *, side: int, metre: float) -> list[Limb]:
    indices = ARMS[side]
    shoulder, elbow, wrist, fist = body.points[list(indices)]
    thick = body.bones.girth * metre
    upper = Limb(
        shoulder,
        elbow,
        radii=(0.06 * thick, 0.044 * thick),
        cloth=outfit.shirt,
        bare=outfit.skin,
        cut=2 * outfit.sleeve,
        joints=indices[:2],
        bias=0.02 * metre,
    )
    lower = replace(
        upper,
        start=elbow,
        end=wrist,
        radii=(0.044 * thick, 0.031 * thick),
        cut=2 * outfit.sleeve - 1,
        joints=indices[1:3],
    )
    hand = replace(
        lower,
        start=wrist,
        end=fist,
        radii=(0.033 * thick, 0.043 * thick),
        cloth=outfit.skin,
        joints=indices[2:3],
        capped=True,
    )
    return [upper, lower, hand]


def _leg(body: Body, outfit: Outfit, *, side: int, metre: float) -> list[Limb]:
    indices = LEGS[side]
    hip, knee, ankle, heel, toe = body.points[list(indices)]
    thick = body.bones.girth * metre
    upper = Limb(
        hip,
        knee,
        radii=(0.088 * thick, 0.062 * thick),
        cloth=outfit.trousers,
        bare=outfit.skin,
        cut=2 * outfit.leg,
        joints=indices[:2],
    )
    lower = replace(
        upper,
        start=knee,
        end=ankle,
        radii=(0.06 * thick, 0.041 * thick),
        cut=2 * outfit.leg - 1,
        joints=indices[1:3],
    )
    foot = replace(
        lower,
        start=heel,
        end=toe,
        radii=(0.048 * thick, 0.039 * thick),
        cloth=outfit.shoes,
        bare=None,
        joints=indices[2:3],
        capped=True,
    )
    return [upper, lower, foot]


def self_occluded(scene: Scene, parts: list[Part], body: Body) -> NDArray[np.bool_]:
    joints = body.points[:JOINTS]
    hidden = np.zeros(JOINTS, np.bool_)
    for joint, (column, row) in enumerate(np.rint(joints[:, :2]).astype(int)):
        number = int(scene.part[row, column])
        if number >= 0:
            flesh = float(scene.nearness[row, column] - joints[joint, 2])
            deep = flesh > FLESH[joint] * scene.metre
            hidden[joint] = deep or joint not in parts[number].joints
    return hidden
