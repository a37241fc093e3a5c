"""Articulated synthetic figures with exact joints, drawn from numbers alone.

Real pose datasets need a download; these figures do not, so tests can train a small network on
them and anyone can try training on a bare machine. Each figure is a three-dimensional body with
human bone lengths and joint limits, seen in weak perspective from a random side and turned by a
random angle in the picture plane. Its parts are painted far to near over a cluttered background
that borrows the figure's own colours, then partly covered by foreground objects.

Left and right always belong to the person. Both sides wear the same clothes, so the only clues to
which is which are those of a photograph: face or hair, the way the feet, knees and elbows point,
and which way up the body is.

A joint counts as occluded when the painted surface at its pixel belongs to another part, or lies
nearer to the viewer than the flesh around the joint is thick.
"""

import colorsys
from dataclasses import KW_ONLY, dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Real: TypeAlias = NDArray[np.float64]
_Pixels: TypeAlias = NDArray[np.float32]

_OCCLUDED = 1
_VISIBLE = 2

# Joints, in the Leeds Sports Pose order, then the further points that only drawing needs.
_R_ANKLE, _R_KNEE, _R_HIP, _L_HIP, _L_KNEE, _L_ANKLE = range(6)
_R_WRIST, _R_ELBOW, _R_SHOULDER, _L_SHOULDER, _L_ELBOW, _L_WRIST = range(6, 12)
_NECK, _HEAD_TOP, _R_TOE, _L_TOE, _R_HEEL, _L_HEEL, _R_FIST, _L_FIST, _SKULL = range(12, 21)
_JOINTS = 14
_LEGS = (
    (_R_HIP, _R_KNEE, _R_ANKLE, _R_HEEL, _R_TOE),
    (_L_HIP, _L_KNEE, _L_ANKLE, _L_HEEL, _L_TOE),
)
_ARMS = (
    (_R_SHOULDER, _R_ELBOW, _R_WRIST, _R_FIST),
    (_L_SHOULDER, _L_ELBOW, _L_WRIST, _L_FIST),
)
# What turns the left side of the body into each of its sides.
_SIDES = (np.array([-1.0, 1.0, 1.0]), np.ones(3))

# Depth of flesh, in metres, that may lie between the viewer and a joint still called visible.
_FLESH = np.array(
    [0.12, 0.11, 0.16, 0.16, 0.11, 0.12, 0.08, 0.09, 0.14, 0.14, 0.09, 0.08, 0.15, 0.2]
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One drawn person: `image` (H, W, 3) RGB, `points` (14, 2) in pixels, `states` (14,).

    Points are x right, y down, with (0, 0) the centre of the top-left pixel. States are 1 for an
    occluded joint and 2 for a visible one.
    """

    image: NDArray[np.uint8]
    points: NDArray[np.float64]
    states: NDArray[np.uint8]


def render_figure(index: int, *, seed: int = 0, size: int = 160) -> Figure:
    """Draw figure number `index` of the endless series `seed` on a square picture.

    The figure depends on the arguments only, never on what was drawn before.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, index]))
    body, metre = _place(_sample_skeleton(rng), rng, size=size)
    outfit = _sample_outfit(rng)
    light = _sample_light(rng)
    scene = _Scene.over(_background(rng, outfit, size=size), metre=metre, light=light)
    _draw_distractors(scene, outfit, rng)
    parts = sorted(_body_parts(body, outfit, metre=metre), key=lambda part: part.key)
    for number, part in enumerate(parts):
        part.paint(scene, number=number)
    hidden = _self_occluded(scene, parts, body)
    hidden = _draw_foreground(scene, outfit, rng, points=body.points[:_JOINTS, :2], hidden=hidden)
    return Figure(
        image=_photograph(scene.colour, rng),
        points=body.points[:_JOINTS, :2].copy(),
        states=np.where(hidden, _OCCLUDED, _VISIBLE).astype(np.uint8),
    )


# ---- The body: metres, degrees; x to the person's left, y up, z to the front ------------------


@dataclass(frozen=True, slots=True)
class _Bones:
    torso: float
    shoulder: float
    hip: float
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shin: float
    foot: float
    neck: float
    girth: float
    skull: _Real


@dataclass(frozen=True, slots=True)
class _Pose:
    """Joint angles in degrees; rows of `arms` and `legs` are right, left.

    Arms are shoulder flexion, abduction, outward twist and elbow flexion. Legs are hip flexion,
    abduction, outward twist, knee flexion and pointing of the foot. The spine leans forward,
    leans sideways and twists. The head nods, tilts and turns.
    """

    arms: _Real
    legs: _Real
    spine: _Real
    head: _Real


@dataclass(frozen=True, slots=True)
class _Skeleton:
    """Points (21, 3), and frames whose columns are the left, up and front axes of three parts."""

    points: _Real
    pelvis: _Real
    chest: _Real
    head: _Real
    bones: _Bones


_ARM_LIMITS = np.array([[-50.0, 175.0], [0.0, 150.0], [-75.0, 85.0], [0.0, 145.0]])
_LEG_LIMITS = np.array([[-25.0, 115.0], [-8.0, 60.0], [-15.0, 40.0], [0.0, 140.0], [0.0, 55.0]])
_SPINE_LIMITS = np.array([[-15.0, 40.0], [-20.0, 20.0], [-25.0, 25.0]])
_HEAD_LIMITS = np.array([[-20.0, 25.0], [-15.0, 15.0], [-40.0, 40.0]])

# Right arm (4), left arm (4), right leg (5), left leg (5), spine (3), in the order of `_Pose`.
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


def _sample_skeleton(rng: np.random.Generator) -> _Skeleton:
    return _assemble(_sample_bones(rng), _sample_pose(rng))


def _sample_bones(rng: np.random.Generator) -> _Bones:
    def vary(length: float, share: float = 0.08) -> float:
        return length * rng.uniform(1.0 - share, 1.0 + share)

    return _Bones(
        torso=vary(0.52),
        shoulder=vary(0.185, 0.1),
        hip=vary(0.105, 0.12),
        upper_arm=vary(0.3),
        forearm=vary(0.26),
        hand=vary(0.075),
        thigh=vary(0.43),
        shin=vary(0.42),
        foot=vary(0.17),
        neck=vary(0.075, 0.15),
        girth=vary(1.0, 0.14),
        skull=np.array([vary(0.103), vary(0.138, 0.05), vary(0.112)]),
    )


def _sample_pose(rng: np.random.Generator) -> _Pose:
    def vary(angles: _Real, limits: _Real, spread: float) -> _Real:
        drawn = angles + spread * rng.standard_normal(angles.shape)
        return np.clip(drawn, limits[:, 0], limits[:, 1])

    row = _ACTIVITIES[rng.integers(len(_ACTIVITIES))]
    order = -1 if rng.random() < 0.5 else 1
    return _Pose(
        arms=vary(row[:8].reshape(2, 4)[::order], _ARM_LIMITS, _SPREAD),
        legs=vary(row[8:18].reshape(2, 5)[::order], _LEG_LIMITS, _SPREAD * 0.7),
        spine=vary(row[18:] * (1, order, order), _SPINE_LIMITS, _SPREAD * 0.5),
        head=vary(np.zeros(3), _HEAD_LIMITS, _SPREAD),
    )


def _assemble(bones: _Bones, pose: _Pose) -> _Skeleton:
    points = np.zeros((_SKULL + 1, 3))
    chest = _turn(pose.spine)
    head = chest @ _turn(pose.head)
    points[_NECK] = chest[:, 1] * bones.torso
    points[_SKULL] = points[_NECK] + chest[:, 1] * bones.neck + head[:, 1] * bones.skull[1]
    points[_HEAD_TOP] = points[_SKULL] + head[:, 1] * bones.skull[1] * 0.97
    for side, outward in enumerate(_SIDES):
        shoulder, *arm = _ARMS[side]
        points[shoulder] = points[_NECK] + chest @ (outward * (bones.shoulder, -0.045, 0.0))
        points[arm] = points[shoulder] + (_left_arm(bones, pose.arms[side]) * outward) @ chest.T
        hip, *leg = _LEGS[side]
        points[hip] = outward * (bones.hip, 0.0, 0.0)
        points[leg] = points[hip] + _left_leg(bones, pose.legs[side]) * outward
    return _Skeleton(points, np.eye(3), chest, head, bones)


def _left_arm(bones: _Bones, angles: _Real) -> _Real:
    """Give elbow, wrist and fist of a left arm, seen from its shoulder."""
    flexion, abduction, twist, bend = angles
    upper = _turn_x(-flexion) @ _turn_z(abduction) @ _turn_y(twist)
    lower = upper @ _turn_x(-bend)
    elbow = upper[:, 1] * -bones.upper_arm
    wrist = elbow + lower[:, 1] * -bones.forearm
    return np.stack([elbow, wrist, wrist + lower[:, 1] * -bones.hand])


def _left_leg(bones: _Bones, angles: _Real) -> _Real:
    """Give knee, ankle, heel and toe of a left leg, seen from its hip."""
    flexion, abduction, twist, bend, pointing = angles
    upper = _turn_x(-flexion) @ _turn_z(abduction) @ _turn_y(twist)
    lower = upper @ _turn_x(bend)
    knee = upper[:, 1] * -bones.thigh
    ankle = knee + lower[:, 1] * -bones.shin
    foot = lower @ _turn_x(pointing)
    heel = ankle + foot @ (0.0, -0.045, -0.035)
    return np.stack([knee, ankle, heel, ankle + foot @ (0.0, -0.055, bones.foot)])


def _turn(angles: _Real) -> _Real:
    """Turn by a forward lean, a sideways lean and a twist, in degrees."""
    return _turn_y(angles[2]) @ _turn_z(angles[1]) @ _turn_x(angles[0])


def _turn_x(degrees: float) -> _Real:
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])


def _turn_y(degrees: float) -> _Real:
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    return np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])


def _turn_z(degrees: float) -> _Real:
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


# ---- The view: pixels; x right, y down, z towards the viewer -----------------------------------


def _place(body: _Skeleton, rng: np.random.Generator, *, size: int) -> tuple[_Skeleton, float]:
    """Turn the body before the viewer and fit it to the picture; also give pixels per metre."""
    view = _sample_view(body, rng) * np.array([[1.0], [-1.0], [1.0]])
    points = body.points @ view.T
    low, high = points[:_JOINTS, :2].min(axis=0), points[:_JOINTS, :2].max(axis=0)
    share = rng.uniform(0.55, 0.85)
    metre = float(share * size / (high - low).max())
    room = np.clip((size - (high - low) * metre) / 2 - 0.05 * size, 0.0, 0.1 * size)
    centre = (size - 1) / 2 + rng.uniform(-1.0, 1.0, 2) * room
    shift = np.append(centre - (low + high) / 2 * metre, 0.0)
    pelvis, chest, head = view @ body.pelvis, view @ body.chest, view @ body.head
    return _Skeleton(points * metre + shift, pelvis, chest, head, body.bones), metre


def _sample_view(body: _Skeleton, rng: np.random.Generator) -> _Real:
    yaw = rng.uniform(-60.0, 60.0) + (180.0 if rng.random() < 0.2 else 0.0)
    facing = _turn_x(rng.uniform(-18.0, 18.0)) @ _turn_y(yaw)
    points = body.points @ facing.T
    down = points[[_R_HIP, _L_HIP]].mean(axis=0) - points[[_R_SHOULDER, _L_SHOULDER]].mean(axis=0)
    upright = np.rad2deg(np.arctan2(-down[0], -down[1]))
    return _turn_z(upright + rng.uniform(0.0, 360.0)) @ facing


# ---- Clothes -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cloth:
    """A colour, striped every `period` metres with `accent`; a period of 0 is plain.

    Colours are (3, 1, 1) and pictures (3, H, W) until the last, as numpy works fastest on planes.
    """

    colour: _Pixels
    accent: _Pixels
    period: float = 0.0

    def dye(self, metres: _Pixels) -> _Pixels:
        """Give the colours at positions along a limb."""
        if self.period == 0.0:
            return self.colour
        wave = np.sin(metres * np.float32(2 * np.pi / self.period))
        return _mix(self.colour, self.accent, _soft(wave * 3 - 0.5))


@dataclass(frozen=True, slots=True)
class _Outfit:
    skin: _Cloth
    hair: _Cloth
    shirt: _Cloth
    trousers: _Cloth
    shoes: _Cloth
    sleeve: float
    """Share of the arm that the shirt covers."""
    leg: float
    """Share of the leg that the trousers cover."""
    zipped: bool
    hairstyle: str

    @property
    def nose(self) -> _Cloth:
        """Skin a little redder and darker, or a nose seen from the front would vanish."""
        return _plain(self.skin.colour * _planes(0.92, 0.8, 0.78))


_SKINS = (
    (255, 219, 190),
    (240, 194, 158),
    (222, 166, 122),
    (184, 122, 82),
    (128, 80, 52),
    (90, 56, 38),
)
_HAIRS = ((38, 28, 24), (84, 52, 30), (150, 92, 44), (214, 170, 92), (176, 72, 36), (150, 148, 146))


def _sample_outfit(rng: np.random.Generator) -> _Outfit:
    def woven(chance: float) -> _Cloth:
        period = rng.uniform(0.07, 0.16) if rng.random() < chance else 0.0
        return _Cloth(_sample_dye(rng), _sample_dye(rng), period)

    return _Outfit(
        skin=_plain(_sample_natural(_SKINS, rng)),
        hair=_plain(_sample_natural(_HAIRS, rng)),
        shirt=woven(0.35),
        trousers=woven(0.12),
        shoes=_plain(_sample_dye(rng)),
        sleeve=float(rng.choice([0.22, 0.3, 0.95])),
        leg=float(rng.choice([0.3, 0.42, 0.95, 0.95])),
        zipped=bool(rng.random() < 0.3),
        hairstyle=str(rng.choice(["short", "short", "tail", "bun"])),
    )


def _sample_natural(tones: tuple[tuple[int, int, int], ...], rng: np.random.Generator) -> _Pixels:
    tone = np.array(tones[rng.integers(len(tones))]) * rng.uniform(0.9, 1.06)
    return _planes(*np.clip(tone + rng.normal(0.0, 5.0, 3), 0, 255))


def _sample_dye(rng: np.random.Generator) -> _Pixels:
    """Draw a colour as clothes have it: any hue, sometimes nearly grey."""
    saturation = rng.uniform(0.0, 0.2) if rng.random() < 0.25 else rng.uniform(0.35, 0.9)
    value = rng.uniform(0.2, 0.97)
    return _planes(*colorsys.hsv_to_rgb(rng.random(), saturation, value)) * 255


def _plain(colour: _Pixels) -> _Cloth:
    return _Cloth(colour, colour)


def _planes(red: float, green: float, blue: float) -> _Pixels:
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1)


# ---- Painting ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scene:
    """The picture so far, and per pixel which part shows there and how near its surface is."""

    colour: _Pixels
    part: NDArray[np.int16]
    nearness: _Pixels
    light: tuple[float, float, float]
    metre: float

    @classmethod
    def over(
        cls, background: _Pixels, *, metre: float, light: tuple[float, float, float]
    ) -> "_Scene":
        """Return a picture of nothing but its background, `metre` pixels to the metre."""
        shape = background.shape[1:]
        part, nearness = np.full(shape, -1, np.int16), np.zeros(shape, np.float32)
        return cls(background, part, nearness, light, metre)

    def window(self, low: _Real, high: _Real) -> "_Window | None":
        """Return the pixels between two corners, or None where they all lie outside the picture."""
        size = len(self.part)
        left, top = (max(int(edge) - 1, 0) for edge in low[:2])
        right, bottom = (min(int(edge) + 3, size) for edge in high[:2])
        if left >= right or top >= bottom:
            return None
        x = np.arange(left, right, dtype=np.float32)[None, :]
        y = np.arange(top, bottom, dtype=np.float32)[:, None]
        return _Window((slice(top, bottom), slice(left, right)), x, y)

    def lay(
        self,
        window: "_Window",
        *,
        distance: _Pixels,
        rim: _Pixels,
        colour: _Pixels,
        slope: tuple[_Pixels, _Pixels, _Pixels],
        nearness: _Pixels,
        number: int,
    ) -> None:
        """Blend a lit surface in.

        `distance` is the signed distance to its outline in pixels, `rim` the same for the parts
        of the outline that are darkened, `slope` the surface normal by its three components.
        """
        lit = slope[0] * self.light[0] + slope[1] * self.light[1] + slope[2] * self.light[2]
        shade = 0.62 + 0.45 * lit
        shade *= 1 - 0.22 * _soft(rim / 1.5 + 1.0)
        cover = _soft(-distance)
        paper = self.colour[:, *window.area]
        paper += cover * (colour * shade - paper)
        solid = cover > 0.5
        np.copyto(self.part[window.area], number, where=solid)
        np.copyto(self.nearness[window.area], nearness, where=solid)


@dataclass(frozen=True, slots=True)
class _Window:
    area: tuple[slice, slice]
    x: _Pixels
    y: _Pixels


class _Part(Protocol):
    """Something that can be painted; parts with a smaller `key` lie farther from the viewer."""

    @property
    def joints(self) -> tuple[int, ...]: ...

    @property
    def key(self) -> float: ...

    def paint(self, scene: _Scene, *, number: int) -> None: ...


@dataclass(frozen=True, slots=True)
class _Limb:
    """A tapered capsule; `cloth` covers the part before the fraction `cut`, `bare` the rest."""

    start: _Real
    end: _Real
    _: KW_ONLY
    radii: tuple[float, float]
    cloth: _Cloth
    bare: _Cloth | None = None
    cut: float = 1.0
    joints: tuple[int, ...] = ()
    bias: float = 0.0
    """Added to the depth by which parts are sorted, for parts that grow out of others."""
    capped: bool = False
    """Whether the limb ends here, and not in a joint to the next one."""

    @property
    def key(self) -> float:
        return float(self.start[2] + self.end[2]) / 2 + self.bias

    def paint(self, scene: _Scene, *, number: int) -> None:
        thick = max(self.radii)
        low, high = np.minimum(self.start, self.end), np.maximum(self.start, self.end)
        window = scene.window(low - thick, high + thick)
        if window is None:
            return
        span = (self.end - self.start).tolist()
        left, top, near = self.start.tolist()
        x, y = window.x - left, window.y - top
        reach = (x * span[0] + y * span[1]) / (span[0] ** 2 + span[1] ** 2 + 1e-6)
        if self.capped:
            reach = np.minimum(reach, 1.0)
        along = _share(reach)
        radius = self.radii[0] + (self.radii[1] - self.radii[0]) * along
        distance = _length(x - along * span[0], y - along * span[1]) - radius
        # Lit as if it ran on at its joints, so that one limb flows into the next.
        x, y = (x - reach * span[0]) / radius, (y - reach * span[1]) / radius
        bulge = np.sqrt(np.maximum(1 - x * x - y * y, 0.0))
        length = float(np.linalg.norm(span))
        dyed = self.cloth.dye(along * (length / scene.metre))
        if self.bare is not None and self.cut < 1.0:
            dyed = _mix(dyed, self.bare.colour, _soft((along - self.cut) * length))
        scene.lay(
            window,
            distance=distance,
            rim=np.where((reach > 0) & (reach <= 1), distance, -radius),
            colour=dyed,
            slope=(x, y, bulge),
            nearness=near + along * span[2] + bulge * radius,
            number=number,
        )


@dataclass(frozen=True, slots=True)
class _Torso:
    """An elliptic cylinder with rounded ends from below the hips to the base of the neck.

    The columns of `pelvis` and `chest` are the left, up and front axes at its two ends; `widths`
    and `depths` are its half-axes in pixels at `_TORSO_HEIGHTS`.
    """

    bottom: _Real
    top: _Real
    pelvis: _Real
    chest: _Real
    widths: _Real
    depths: _Real
    corner: float
    outfit: _Outfit
    joints: tuple[int, ...] = (_R_HIP, _L_HIP, _R_SHOULDER, _L_SHOULDER, _NECK)

    @property
    def key(self) -> float:
        return float(self.bottom[2] + self.top[2]) / 2

    def paint(self, scene: _Scene, *, number: int) -> None:
        wide = self.widths.max()
        low, high = np.minimum(self.bottom, self.top), np.maximum(self.bottom, self.top)
        window = scene.window(low - wide, high + wide)
        if window is None:
            return
        spine = (self.top - self.bottom).tolist()
        length = float(np.hypot(spine[0], spine[1])) + 1e-3
        up = (spine[0] / length, spine[1] / length)
        aside = (-up[1], up[0])
        left, top, near = self.bottom.tolist()
        x, y = window.x - left, window.y - top
        across, along = x * aside[0] + y * aside[1], x * up[0] + y * up[1]
        section = self._sections(aside, up)
        along -= across * _interpolate(_share(along / length), section.tilt)
        height = _share(along / length)
        half = _interpolate(height, section.half)
        turn = np.minimum(np.maximum(across / half, -1), 1)
        bulge = np.sqrt(1 - turn * turn)
        relief = _interpolate(height, section.skew) * across
        relief += _interpolate(height, section.swell) * bulge
        corner = np.minimum(half * 0.9, min(self.corner, 0.45 * length))
        beside = np.abs(across) - half + corner
        beyond = np.abs(along - length / 2) - length / 2 + corner
        distance = _length(np.maximum(beside, 0), np.maximum(beyond, 0)) - corner
        distance += np.minimum(np.maximum(beside, beyond), 0)
        scene.lay(
            window,
            distance=distance,
            rim=distance,
            colour=self._dyed(height, across, relief, aside, metre=scene.metre),
            slope=(turn * aside[0], turn * aside[1], bulge),
            nearness=near + height * spine[2] + relief,
            number=number,
        )

    def _sections(self, aside: tuple[float, float], up: tuple[float, float]) -> "_Sections":
        """Tell how the viewer sees the cylinder's elliptic cross-sections."""
        share = _TORSO_HEIGHTS[:, None]
        left = self.pelvis[:, 0] * (1 - share) + self.chest[:, 0] * share
        front = self.pelvis[:, 2] * (1 - share) + self.chest[:, 2] * share
        left_aside, front_aside = left[:, :2] @ aside, front[:, :2] @ aside
        half = np.hypot(self.widths * left_aside, self.depths * front_aside)
        skew = self.widths**2 * left_aside * left[:, 2] + self.depths**2 * front_aside * front[:, 2]
        area = self.widths * self.depths * (left_aside * front[:, 2] - left[:, 2] * front_aside)
        tilt = (left[:, :2] @ up) * left_aside / (left_aside**2 + 0.1)
        return _Sections(half, skew / half**2, np.abs(area) / half, tilt)

    def _dyed(
        self,
        height: _Pixels,
        across: _Pixels,
        relief: _Pixels,
        aside: tuple[float, float],
        *,
        metre: float,
    ) -> _Pixels:
        length = float(np.linalg.norm(self.top - self.bottom))
        outfit = self.outfit
        dyed = outfit.shirt.dye(height * (length / metre))
        left_x, left_y, left_z = self.chest[:, 0].tolist()
        front_x, front_y, front_z = self.chest[:, 2].tolist()
        left_aside = left_x * aside[0] + left_y * aside[1]
        front_aside = front_x * aside[0] + front_y * aside[1]
        area = left_aside * front_z - left_z * front_aside
        sideways = (across * front_z - relief * front_aside) / (area * float(self.widths[-1]))
        before = _soft((relief * left_aside - across * left_z) / area)
        collar = _length(sideways / 0.42, (1 - height) / 0.13)
        if outfit.zipped:
            zip_line = before * _soft((0.07 - np.abs(sideways)) * 8)
            dyed = _mix(dyed, outfit.shirt.accent * np.float32(0.7), zip_line)
        dyed = _mix(dyed, outfit.skin.colour, before * _soft((1 - collar) * 4))
        dyed = _mix(dyed, outfit.trousers.colour, _soft((_WAIST - height) * length))
        belt = _soft((0.022 - np.abs(height - _WAIST)) * length)
        return _mix(dyed, outfit.trousers.colour * np.float32(0.45), belt)


@dataclass(frozen=True, slots=True)
class _Sections:
    half: _Real
    skew: _Real
    swell: _Real
    tilt: _Real


_TORSO_HEIGHTS = np.array([0.0, 0.12, 0.32, 0.7, 0.9, 1.0])
_WAIST = 0.25


def _interpolate(height: _Pixels, values: _Real) -> _Pixels:
    return np.interp(height, _TORSO_HEIGHTS, values).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Head:
    """An ellipsoid with hair above and behind a slanted hairline, and a face in front.

    The columns of `frame` are the left, up and front axes; `half` its half-axes in pixels.
    """

    centre: _Real
    frame: _Real
    half: _Real
    skin: _Cloth
    hair: _Cloth
    joints: tuple[int, ...] = (_HEAD_TOP,)

    @property
    def key(self) -> float:
        return float(self.centre[2])

    def paint(self, scene: _Scene, *, number: int) -> None:
        window = scene.window(self.centre - self.half.max(), self.centre + self.half.max())
        if window is None:
            return
        left, top, near = self.centre.tolist()
        x, y = window.x - left, window.y - top
        ball = (self.frame / self.half).T.astype(np.float32)
        flat = ball[:, 0, None, None] * x + ball[:, 1, None, None] * y
        depth = ball[:, 2]
        steep = float(depth @ depth)
        lean: _Pixels = np.tensordot(depth, flat, 1)
        outline = np.maximum((flat * flat).sum(axis=0) - lean * lean / steep, 0.0)
        relief = -lean / steep + np.sqrt(np.maximum(1 - outline, 0.0) / steep)
        surface = flat + relief * depth[:, None, None]
        normal: _Pixels = np.tensordot(ball.T, surface, 1)
        normal /= np.sqrt((normal * normal).sum(axis=0))
        distance = (np.sqrt(outline) - 1) * float(self.half.mean())
        scene.lay(
            window,
            distance=distance,
            rim=distance,
            colour=self._dyed(*surface),
            slope=(normal[0], normal[1], normal[2]),
            nearness=near + relief,
            number=number,
        )

    def _dyed(self, left: _Pixels, up: _Pixels, front: _Pixels) -> _Pixels:
        sharp = float(self.half.mean())
        skin = self.skin.colour
        before = front > 0
        apart: _Pixels = np.abs(left)
        cheeks = before * _soft((0.2 - _length(apart - 0.55, up + 0.28)) * sharp)
        eyes = before * _soft((0.15 - _length(apart - 0.36, (up - 0.06) * 0.75)) * sharp)
        smile: _Pixels = np.maximum(np.abs(up + 0.62 - 0.5 * left * left) - 0.07, apart - 0.36)
        mouth = before * _soft(-smile * sharp)
        dyed = _mix(skin, skin * _BLUSH, cheeks * 0.6)
        dyed = _mix(dyed, _INK, eyes)
        dyed = _mix(dyed, _LIPS, mouth * 0.85)
        hairline = 0.9 * sharp * up
        hairline -= 0.75 * sharp * front
        return _mix(dyed, self.hair.colour, _soft(hairline))


_BLUSH = _planes(1.0, 0.72, 0.7)
_INK = _planes(26, 22, 28)
_LIPS = _planes(150, 40, 48)


def _soft(ramp: _Pixels) -> _Pixels:
    """Step from 0 to 1 over one unit around 0, so that edges come out antialiased."""
    return _share(ramp + np.float32(0.5))


def _share(ramp: _Pixels) -> _Pixels:
    """Clip to between 0 and 1, on small arrays faster than `numpy.clip`."""
    return np.minimum(np.maximum(ramp, 0), 1)


def _length(x: _Pixels, y: _Pixels) -> _Pixels:
    """Return the length of vectors, several times as fast as `numpy.hypot`."""
    length: _Pixels = np.sqrt(x * x + y * y)
    return length


def _mix(below: _Pixels, above: _Pixels, share: _Pixels) -> _Pixels:
    return below + share * (above - below)


# ---- The dressed figure ------------------------------------------------------------------------


def _body_parts(body: _Skeleton, outfit: _Outfit, *, metre: float) -> list[_Part]:
    parts: list[_Part] = [_torso(body, outfit, metre=metre)]
    parts += _head(body, outfit, metre=metre)
    parts += _features(body, outfit, metre=metre)
    for side in range(2):
        parts += _arm(body, outfit, side=side, metre=metre)
        parts += _leg(body, outfit, side=side, metre=metre)
    return parts


def _torso(body: _Skeleton, outfit: _Outfit, *, metre: float) -> _Torso:
    bones, points = body.bones, body.points
    hips = (points[_R_HIP] + points[_L_HIP]) / 2
    hip, shoulder = bones.hip + 0.045 * bones.girth, bones.shoulder
    waist = 0.125 * bones.girth
    return _Torso(
        bottom=hips - body.pelvis[:, 1] * 0.075 * metre,
        top=points[_NECK] + body.chest[:, 1] * 0.012 * metre,
        pelvis=body.pelvis,
        chest=body.chest,
        widths=np.array([hip, hip, waist, 0.86 * shoulder, shoulder, 0.95 * shoulder]) * metre,
        depths=np.array([0.1, 0.115, 0.1, 0.125, 0.095, 0.08]) * bones.girth * metre,
        corner=0.065 * metre,
        outfit=outfit,
    )


def _head(body: _Skeleton, outfit: _Outfit, *, metre: float) -> list[_Part]:
    centre, half = body.points[_SKULL], body.bones.skull * metre
    thick = body.bones.girth * metre
    neck = _Limb(
        body.points[_NECK] - body.chest[:, 1] * 0.03 * metre,
        centre - body.head[:, 1] * 0.4 * half[1],
        radii=(0.056 * thick, 0.05 * thick),
        cloth=outfit.skin,
        joints=(_NECK,),
        bias=-0.08 * metre,
    )
    return [_Head(centre, body.head, half, outfit.skin, outfit.hair), neck]


def _features(body: _Skeleton, outfit: _Outfit, *, metre: float) -> list[_Part]:
    """Build nose, ears and loose hair, which tell front from back in profile too."""
    axes = body.head * (body.bones.skull * metre)

    def lump(
        start: tuple[float, float, float],
        end: tuple[float, float, float],
        radii: tuple[float, float],
        cloth: _Cloth,
    ) -> _Limb:
        places = body.points[_SKULL] + np.array([start, end]) @ axes.T
        thick = (radii[0] * metre, radii[1] * metre)
        return _Limb(places[0], places[1], radii=thick, cloth=cloth, capped=True)

    parts: list[_Part] = [
        lump((0.0, 0.0, 0.9), (0.0, -0.2, 1.2), (0.014, 0.021), outfit.nose),
        lump((-1.0, -0.08, -0.02), (-1.0, -0.28, 0.0), (0.026, 0.018), outfit.skin),
        lump((1.0, -0.08, -0.02), (1.0, -0.28, 0.0), (0.026, 0.018), outfit.skin),
    ]
    if outfit.hairstyle == "tail":
        parts.append(lump((0.0, 0.4, -0.95), (0.0, -1.0, -1.5), (0.042, 0.022), outfit.hair))
    if outfit.hairstyle == "bun":
        parts.append(lump((0.0, 0.62, -0.95), (0.0, 0.7, -1.0), (0.055, 0.055), outfit.hair))
    return parts


def _arm(body: _Skeleton, outfit: _Outfit, *, side: int, metre: float) -> list[_Limb]:
    indices = _ARMS[side]
    shoulder, elbow, wrist, fist = body.points[list(indices)]
    thick = body.bones.girth * metre
    upper = _Limb(
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


def _leg(body: _Skeleton, outfit: _Outfit, *, side: int, metre: float) -> list[_Limb]:
    indices = _LEGS[side]
    hip, knee, ankle, heel, toe = body.points[list(indices)]
    thick = body.bones.girth * metre
    upper = _Limb(
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


def _self_occluded(scene: _Scene, parts: list[_Part], body: _Skeleton) -> NDArray[np.bool_]:
    joints = body.points[:_JOINTS]
    hidden = np.zeros(_JOINTS, np.bool_)
    for joint, (column, row) in enumerate(np.rint(joints[:, :2]).astype(int)):
        number = int(scene.part[row, column])
        if number >= 0:
            flesh = float(scene.nearness[row, column] - joints[joint, 2])
            deep = flesh > _FLESH[joint] * scene.metre
            hidden[joint] = deep or joint not in parts[number].joints
    return hidden


# ---- Surroundings ------------------------------------------------------------------------------


def _sample_light(rng: np.random.Generator) -> tuple[float, float, float]:
    x, y = rng.uniform(-0.7, 0.7, 2).tolist()
    length = float(np.sqrt(x * x + y * y + 1))
    return x / length, y / length, 1 / length


def _sample_borrowed(outfit: _Outfit, rng: np.random.Generator) -> _Pixels:
    """Draw a colour, about half the time close to one that the figure wears."""
    if rng.random() < 0.5:
        return _sample_dye(rng)
    worn = (outfit.shirt, outfit.trousers, outfit.skin, outfit.hair, outfit.shoes)
    colour = worn[rng.integers(len(worn))].colour.ravel() + rng.normal(0.0, 10.0, 3)
    return _planes(*np.clip(colour, 0, 255))


def _background(rng: np.random.Generator, outfit: _Outfit, *, size: int) -> _Pixels:
    import cv2

    first, second, third = (_sample_borrowed(outfit, rng) for _ in range(3))
    blend = _soft(_gradient(rng, size=size) + np.float32(0.35) * _cloud(rng, size=size))
    ground = _mix(first, second, blend)
    if rng.random() < 0.5:
        share = _pattern(rng, size=size, finest=0.035) * np.float32(rng.uniform(0.3, 0.9))
        ground = _mix(ground, third, share)
    picture = cv2.merge(tuple(ground.astype(np.uint8)))
    for _ in range(rng.integers(2, 9)):
        _draw_blot(picture, _sample_borrowed(outfit, rng), rng)
    grain = _cloud(rng, size=size, octaves=5) * np.float32(rng.uniform(5.0, 18.0))
    tinted: _Pixels = grain * _planes(*rng.uniform(0.6, 1.4, 3))
    tinted += picture.transpose(2, 0, 1)
    return tinted


def _gradient(rng: np.random.Generator, *, size: int) -> _Pixels:
    """Return a ramp from -0.5 to 0.5 in a random direction."""
    x, y = _axes(rng.uniform(0.0, 2 * np.pi), size=size)
    return x / np.float32(size) + 0 * y


def _cloud(rng: np.random.Generator, *, size: int, octaves: int = 4) -> _Pixels:
    """Return noise in which each octave is half as wide and a little weaker than the last."""
    fade = np.float32(rng.uniform(0.5, 0.85))
    total: _Pixels = np.zeros((2, 2), np.float32)
    for octave in range(octaves):
        cells = 4 * 2**octave
        total = _enlarged(total, size=cells)
        total += rng.standard_normal((cells, cells), dtype=np.float32) * fade**octave
    return _enlarged(total, size=size)


def _enlarged(plane: _Pixels, *, size: int) -> _Pixels:
    import cv2

    return np.asarray(cv2.resize(plane, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def _pattern(rng: np.random.Generator, *, size: int, finest: float) -> _Pixels:
    """Return checks or stripes, as shares between 0 and 1."""
    x, y = _axes(rng.uniform(0.0, np.pi), size=size)
    pitch = np.float32(np.pi / (size * rng.uniform(finest, 4 * finest)))
    wave = np.sin(x * pitch) * np.sin(y * pitch) if rng.random() < 0.5 else np.sin(x * pitch)
    return _soft(wave * 4)


def _axes(angle: float, *, size: int) -> tuple[_Pixels, _Pixels]:
    """Return coordinates of all pixels about the picture's centre, in turned axes."""
    line = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y = line[None, :], line[:, None]
    return x * cosine + y * sine, y * cosine - x * sine


def _draw_blot(picture: NDArray[np.uint8], colour: _Pixels, rng: np.random.Generator) -> None:
    """Draw a random polygon or ellipse anywhere in the picture."""
    import cv2

    size = len(picture)
    corners = int(rng.choice([3, 4, 5, 6, 48]))
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, np.pi)
    reach = rng.uniform(0.04, 0.26, 2) * size
    wobble = rng.uniform(0.6, 1.2, corners) if corners < 48 else np.ones(corners)
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=1) * wobble[:, None] * reach
    outline = outline @ _turn_z(rng.uniform(0, 180))[:2, :2] + rng.uniform(0, size, 2)
    fixed = np.rint(outline * 16).astype(np.int32)
    cv2.fillPoly(picture, [fixed], colour.ravel().tolist(), lineType=cv2.LINE_AA, shift=4)


def _draw_distractors(scene: _Scene, outfit: _Outfit, rng: np.random.Generator) -> None:
    """Draw loose limbs without a body, for the figure to be distinguished from."""
    size = len(scene.part)
    for _ in range(rng.integers(0, 5)):
        joint = np.append(rng.uniform(0, size, 2), 0.0)
        cloth, bare = (_plain(_sample_borrowed(outfit, rng)) for _ in range(2))
        radius, cut = rng.uniform(0.035, 0.08) * scene.metre, rng.uniform(0.2, 2.0)
        for _ in range(rng.integers(1, 3)):
            end = joint + np.append(rng.normal(0.0, 0.25, 2) * scene.metre, 0.0)
            radii = (radius, radius * 0.75)
            limb = _Limb(joint, end, radii=radii, cloth=cloth, bare=bare, cut=cut, capped=True)
            limb.paint(scene, number=-1)
            joint, radius = end, radius * 0.75


def _draw_foreground(
    scene: _Scene,
    outfit: _Outfit,
    rng: np.random.Generator,
    *,
    points: _Real,
    hidden: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Lay objects over the figure and return the joints now hidden, at most half of them."""
    columns, rows = np.rint(points).astype(int).T
    for _ in range(rng.choice([0, 1, 2], p=[0.3, 0.45, 0.25])):
        cover = _cover(rng, around=points[rng.integers(len(points))], size=len(scene.part))
        covered = hidden | (cover[rows, columns] > 0.5)
        if covered.sum() <= len(points) // 2:
            hidden = covered
            _lay_object(scene, outfit, rng, cover=cover)
    return hidden


def _lay_object(
    scene: _Scene, outfit: _Outfit, rng: np.random.Generator, *, cover: _Pixels
) -> None:
    rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
    area = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    height, width = cover[area].shape
    surface = _surface(rng, outfit, size=max(height, width))[:, :height, :width]
    scene.colour[:, *area] = _mix(scene.colour[:, *area], surface, cover[area])


def _cover(rng: np.random.Generator, *, around: _Real, size: int) -> _Pixels:
    """Return shares covered by a rectangle, an ellipse or a stripe near a point."""
    x, y = _axes(rng.uniform(0.0, np.pi), size=size)
    middle = np.rint(around + rng.normal(0.0, 0.04 * size, 2)).astype(int).clip(0, size - 1)
    x, y = x - x[middle[1], middle[0]], y - y[middle[1], middle[0]]
    wide, high = rng.uniform(0.07, 0.17, 2) * size
    kind = rng.integers(3)
    if kind == 0:
        return _soft((1 - _length(x / wide, y / high)) * min(wide, high))
    if kind == 1:
        return _soft(np.minimum(wide - np.abs(x), high - np.abs(y)))
    return _soft(0.45 * wide - np.abs(x))


def _surface(rng: np.random.Generator, outfit: _Outfit, *, size: int) -> _Pixels:
    """Return a textured square for a foreground object."""
    first, second = _sample_borrowed(outfit, rng), _sample_borrowed(outfit, rng)
    share = _pattern(rng, size=size, finest=0.08) * np.float32(rng.choice([0.0, 0.5, 1.0]))
    return _mix(first, second, share) + 9 * _cloud(rng, size=size)


def _photograph(colour: _Pixels, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Vary contrast and brightness, sometimes blur, add sensor noise, and round."""
    import cv2

    contrast, brightness, grain = rng.uniform((0.75, -22.0, 4.0), (1.15, 22.0, 24.0)).tolist()
    picture = cv2.merge(tuple(colour)) * np.float32(contrast)
    picture += np.float32(picture.mean() * (1 / contrast - 1) + brightness)
    if rng.random() < 0.25:
        cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.0), dst=picture)
    picture += (rng.random(picture.shape, np.float32) - np.float32(0.5)) * np.float32(grain)
    rounded: NDArray[np.uint8] = np.rint(np.clip(picture, 0, 255)).astype(np.uint8)
    return rounded
