"""A scene of pixels with depth, and the parts of a body that paint themselves into it."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from spcnet.synthetic.body import Real
from spcnet.synthetic.clothes import Cloth, Outfit, Pixels, blend, norm_of, rgb_planes, soft_step

Pair: TypeAlias = tuple[float, float]
Slope: TypeAlias = tuple[Pixels, Pixels, Pixels]
Surface: TypeAlias = tuple[Pixels, Pixels, Pixels, Slope, Pixels]


class Scene:
    """The picture so far, and per pixel which part shows there and how near its surface is.

    At first it is nothing but its background (3, H, W), `metre` pixels to the metre.
    """

    def __init__(
        self, background: Pixels, *, metre: float, light: tuple[float, float, float]
    ) -> None:
        self.colour, self.metre, self.light = background, metre, light
        self.part = np.full(background.shape[1:], -1, np.int16)
        self.nearness = np.zeros(background.shape[1:], np.float32)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something that can be painted, about an axis through points (N, 3).

    `joints` are those that it does not hide, `bias` brings what grows out of others before them.
    """

    axis: Real
    radii: Real
    joints: tuple[int, ...] = ()
    bias: float = 0.0

    @property
    def key(self) -> float:
        """Parts with a smaller one lie farther from the viewer."""
        return float(self.axis[:, 2].mean()) + self.bias

    def surface(self, x: Pixels, y: Pixels, metre: float) -> Surface:
        """What is seen at pixels x (1, W) and y (H, 1) from the axis' first point.

        The signed distance to the outline in pixels, the same to those parts of the outline that
        are darkened, the colour, the surface normal's three components, and how near it is.
        """
        raise NotImplementedError

    def paint(self, scene: Scene, *, number: int) -> None:
        """Blend the lit surface in."""
        size, reach = len(scene.part), self.radii.max()
        left, top = (max(int(edge) - 1, 0) for edge in self.axis.min(axis=0)[:2] - reach)
        right, bottom = (min(int(edge) + 3, size) for edge in self.axis.max(axis=0)[:2] + reach)
        if left >= right or top >= bottom:
            return
        x = np.arange(left, right, dtype=np.float32)[None, :] - float(self.axis[0, 0])
        y = np.arange(top, bottom, dtype=np.float32)[:, None] - float(self.axis[0, 1])
        distance, rim, colour, slope, nearness = self.surface(x, y, scene.metre)
        light = scene.light
        shade = 0.62 + 0.45 * (slope[0] * light[0] + slope[1] * light[1] + slope[2] * light[2])
        shade *= 1 - 0.22 * soft_step(rim / 1.5 + 1.0)
        cover = soft_step(-distance)
        area = slice(top, bottom), slice(left, right)
        paper = scene.colour[:, *area]
        paper += cover * (colour * shade - paper)
        solid = cover > 0.5
        np.copyto(scene.part[area], number, where=solid)
        np.copyto(scene.nearness[area], nearness, where=solid)


@dataclass(frozen=True, kw_only=True)
class Limb(Part):
    """A tapered capsule; `cloth` covers the part before the fraction `cut`, `bare` the rest.

    Where it is not `capped`, it goes on in a joint to the next one.
    """

    cloth: Cloth
    bare: Pixels | None = None
    cut: float = 1.0
    capped: bool = False

    def surface(self, x: Pixels, y: Pixels, metre: float) -> Surface:
        span = (self.axis[1] - self.axis[0]).tolist()
        first, last = self.radii.tolist()
        reach = (x * span[0] + y * span[1]) / (span[0] ** 2 + span[1] ** 2 + 1e-6)
        if self.capped:
            reach = np.minimum(reach, 1.0)
        along: Pixels = reach.clip(0, 1)
        radius = first + (last - first) * along
        distance = norm_of(x - along * span[0], y - along * span[1]) - radius
        # Lit as if it ran on at its joints, so that one limb flows into the next.
        x, y = (x - reach * span[0]) / radius, (y - reach * span[1]) / radius
        bulge = np.sqrt(np.maximum(1 - x * x - y * y, 0.0))
        length = float(np.linalg.norm(span))
        dyed = self.cloth.dye(along * (length / metre))
        if self.bare is not None and self.cut < 1.0:
            dyed = blend(dyed, self.bare, soft_step((along - self.cut) * length))
        rim = np.where((reach > 0) & (reach <= 1), distance, -radius)
        nearness = float(self.axis[0, 2]) + along * span[2] + bulge * radius
        return distance, rim, dyed, (x, y, bulge), nearness


@dataclass(frozen=True, kw_only=True)
class Torso(Part):
    """An elliptic cylinder with rounded ends from below the hips to the base of the neck.

    The columns of `pelvis` and `chest` are the left, up and front axes at its two ends; `radii`
    and `depths` are its half-axes in pixels at `_TORSO_HEIGHTS`.
    """

    pelvis: Real
    chest: Real
    depths: Real
    outfit: Outfit

    def surface(self, x: Pixels, y: Pixels, metre: float) -> Surface:
        spine = (self.axis[1] - self.axis[0]).tolist()
        length = float(np.hypot(spine[0], spine[1])) + 1e-3
        up = (spine[0] / length, spine[1] / length)
        aside = (-up[1], up[0])
        across, along = x * aside[0] + y * aside[1], x * up[0] + y * up[1]
        halves, skews, swells, tilts = self._sections(aside, up)
        along -= across * _interpolate((along / length).clip(0, 1), tilts)
        height: Pixels = (along / length).clip(0, 1)
        half = _interpolate(height, halves)
        turn = (across / half).clip(-1, 1)
        bulge = np.sqrt(1 - turn * turn)
        relief = _interpolate(height, skews) * across
        relief += _interpolate(height, swells) * bulge
        corner = np.minimum(half * 0.9, min(0.065 * metre, 0.45 * length))
        beside = np.abs(across) - half + corner
        beyond = np.abs(along - length / 2) - length / 2 + corner
        distance = norm_of(np.maximum(beside, 0), np.maximum(beyond, 0)) - corner
        distance += np.minimum(np.maximum(beside, beyond), 0)
        slope = turn * aside[0], turn * aside[1], bulge
        nearness = float(self.axis[0, 2]) + height * spine[2] + relief
        dyed = self._dyed(height, across, relief, aside, metre)
        return distance, distance, dyed, slope, nearness

    def _sections(self, aside: Pair, up: Pair) -> tuple[Real, Real, Real, Real]:
        """Half-width, skew, swell and tilt of the cross-sections, as the viewer sees them."""
        share = _TORSO_HEIGHTS[:, None]
        left = self.pelvis[:, 0] * (1 - share) + self.chest[:, 0] * share
        front = self.pelvis[:, 2] * (1 - share) + self.chest[:, 2] * share
        left_aside, front_aside = left[:, :2] @ aside, front[:, :2] @ aside
        half = np.hypot(self.radii * left_aside, self.depths * front_aside)
        skew = self.radii**2 * left_aside * left[:, 2] + self.depths**2 * front_aside * front[:, 2]
        area = self.radii * self.depths * (left_aside * front[:, 2] - left[:, 2] * front_aside)
        tilt = (left[:, :2] @ up) * left_aside / (left_aside**2 + 0.1)
        return half, skew / half**2, np.abs(area) / half, tilt

    def _dyed(
        self, height: Pixels, across: Pixels, relief: Pixels, aside: Pair, metre: float
    ) -> Pixels:
        length, outfit = float(np.linalg.norm(self.axis[1] - self.axis[0])), self.outfit
        left_x, left_y, left_z = self.chest[:, 0].tolist()
        front_x, front_y, front_z = self.chest[:, 2].tolist()
        left_aside = left_x * aside[0] + left_y * aside[1]
        front_aside = front_x * aside[0] + front_y * aside[1]
        area = left_aside * front_z - left_z * front_aside
        sideways = (across * front_z - relief * front_aside) / (area * float(self.radii[-1]))
        before = soft_step((relief * left_aside - across * left_z) / area)
        collar = norm_of(sideways / 0.42, (1 - height) / 0.13)
        dyed = outfit.shirt.dye(height * (length / metre))
        if outfit.zipped:
            zip_line = before * soft_step((0.07 - np.abs(sideways)) * 8)
            dyed = blend(dyed, outfit.shirt.accent * np.float32(0.7), zip_line)
        dyed = blend(dyed, outfit.skin, before * soft_step((1 - collar) * 4))
        dyed = blend(dyed, outfit.trousers.colour, soft_step((_WAIST - height) * length))
        belt = soft_step((0.022 - np.abs(height - _WAIST)) * length)
        return blend(dyed, outfit.trousers.colour * np.float32(0.45), belt)


_TORSO_HEIGHTS = np.array([0.0, 0.12, 0.32, 0.7, 0.9, 1.0])
_WAIST = 0.25


def _interpolate(height: Pixels, values: Real) -> Pixels:
    return np.interp(height, _TORSO_HEIGHTS, values).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Head(Part):
    """An ellipsoid with hair above and behind a slanted hairline, and a face in front.

    The columns of `frame` are the left, up and front axes; `radii` its half-axes in pixels.
    """

    frame: Real
    skin: Pixels
    hair: Pixels

    def surface(self, x: Pixels, y: Pixels, metre: float) -> Surface:
        ball = (self.frame / self.radii).T.astype(np.float32)
        flat = ball[:, 0, None, None] * x + ball[:, 1, None, None] * y
        depth = ball[:, 2]
        steep = float(depth @ depth)
        lean: Pixels = np.tensordot(depth, flat, 1)
        outline = np.maximum((flat * flat).sum(axis=0) - lean * lean / steep, 0.0)
        relief = -lean / steep + np.sqrt(np.maximum(1 - outline, 0.0) / steep)
        surface = flat + relief * depth[:, None, None]
        normal: Pixels = np.tensordot(ball.T, surface, 1)
        normal /= np.sqrt((normal * normal).sum(axis=0))
        distance = (np.sqrt(outline) - 1) * float(self.radii.mean())
        slope = normal[0], normal[1], normal[2]
        nearness = float(self.axis[0, 2]) + relief
        return distance, distance, self._dyed(*surface), slope, nearness

    def _dyed(self, left: Pixels, up: Pixels, front: Pixels) -> Pixels:
        sharp = float(self.radii.mean())
        before = front > 0
        apart: Pixels = np.abs(left)
        cheeks = before * soft_step((0.2 - norm_of(apart - 0.55, up + 0.28)) * sharp)
        eyes = before * soft_step((0.15 - norm_of(apart - 0.36, (up - 0.06) * 0.75)) * sharp)
        smile: Pixels = np.maximum(np.abs(up + 0.62 - 0.5 * left * left) - 0.07, apart - 0.36)
        mouth = before * soft_step(-smile * sharp)
        dyed = blend(self.skin, self.skin * _BLUSH, cheeks * 0.6)
        dyed = blend(dyed, _INK, eyes)
        dyed = blend(dyed, _LIPS, mouth * 0.85)
        hairline = 0.9 * sharp * up
        hairline -= 0.75 * sharp * front
        return blend(dyed, self.hair, soft_step(hairline))


_BLUSH = rgb_planes(1.0, 0.72, 0.7)
_INK = rgb_planes(26, 22, 28)
_LIPS = rgb_planes(150, 40, 48)
