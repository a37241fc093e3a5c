"""A scene of pixels with depth, and the parts of a body that paint themselves into it."""

from dataclasses import KW_ONLY, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spcnet.synthetic.clothes import Cloth, Outfit, rgb_planes
from spcnet.synthetic.points import (
    HEAD_TOP,
    L_HIP,
    L_SHOULDER,
    NECK,
    R_HIP,
    R_SHOULDER,
    Pixels,
    Real,
    blend,
    clipped,
    norm_of,
    soft_step,
)


@dataclass(frozen=True, slots=True)
class Scene:
    """The picture so far, and per pixel which part shows there and how near its surface is."""

    colour: Pixels
    part: NDArray[np.int16]
    nearness: Pixels
    light: tuple[float, float, float]
    metre: float

    @classmethod
    def over(
        cls, background: Pixels, *, metre: float, light: tuple[float, float, float]
    ) -> "Scene":
        """Return a picture of nothing but its background, `metre` pixels to the metre."""
        shape = background.shape[1:]
        part, nearness = np.full(shape, -1, np.int16), np.zeros(shape, np.float32)
        return cls(background, part, nearness, light, metre)

    def window(self, low: Real, high: Real) -> "Window | None":
        """Return the pixels between two corners, or None where they all lie outside the picture."""
        size = len(self.part)
        left, top = (max(int(edge) - 1, 0) for edge in low[:2])
        right, bottom = (min(int(edge) + 3, size) for edge in high[:2])
        if left >= right or top >= bottom:
            return None
        x = np.arange(left, right, dtype=np.float32)[None, :]
        y = np.arange(top, bottom, dtype=np.float32)[:, None]
        return Window((slice(top, bottom), slice(left, right)), x, y)

    def lay(
        self,
        window: "Window",
        *,
        distance: Pixels,
        rim: Pixels,
        colour: Pixels,
        slope: tuple[Pixels, Pixels, Pixels],
        nearness: Pixels,
        number: int,
    ) -> None:
        """Blend a lit surface in.

        `distance` is the signed distance to its outline in pixels, `rim` the same for the parts
        of the outline that are darkened, `slope` the surface normal by its three components.
        """
        lit = slope[0] * self.light[0] + slope[1] * self.light[1] + slope[2] * self.light[2]
        shade = 0.62 + 0.45 * lit
        shade *= 1 - 0.22 * soft_step(rim / 1.5 + 1.0)
        cover = soft_step(-distance)
        paper = self.colour[:, *window.area]
        paper += cover * (colour * shade - paper)
        solid = cover > 0.5
        np.copyto(self.part[window.area], number, where=solid)
        np.copyto(self.nearness[window.area], nearness, where=solid)


@dataclass(frozen=True, slots=True)
class Window:
    area: tuple[slice, slice]
    x: Pixels
    y: Pixels


class Part(Protocol):
    """Something that can be painted; parts with a smaller `key` lie farther from the viewer."""

    @property
    def joints(self) -> tuple[int, ...]: ...

    @property
    def key(self) -> float: ...

    def paint(self, scene: Scene, *, number: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Limb:
    """A tapered capsule; `cloth` covers the part before the fraction `cut`, `bare` the rest."""

    start: Real
    end: Real
    _: KW_ONLY
    radii: tuple[float, float]
    cloth: Cloth
    bare: Cloth | None = None
    cut: float = 1.0
    joints: tuple[int, ...] = ()
    bias: float = 0.0
    """Added to the depth by which parts are sorted, for parts that grow out of others."""
    capped: bool = False
    """Whether the limb ends here, and not in a joint to the next one."""

    @property
    def key(self) -> float:
        return float(self.start[2] + self.end[2]) / 2 + self.bias

    def paint(self, scene: Scene, *, number: int) -> None:
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
        along = clipped(reach)
        radius = self.radii[0] + (self.radii[1] - self.radii[0]) * along
        distance = norm_of(x - along * span[0], y - along * span[1]) - radius
        # Lit as if it ran on at its joints, so that one limb flows into the next.
        x, y = (x - reach * span[0]) / radius, (y - reach * span[1]) / radius
        bulge = np.sqrt(np.maximum(1 - x * x - y * y, 0.0))
        length = float(np.linalg.norm(span))
        dyed = self.cloth.dye(along * (length / scene.metre))
        if self.bare is not None and self.cut < 1.0:
            dyed = blend(dyed, self.bare.colour, soft_step((along - self.cut) * length))
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
class Torso:
    """An elliptic cylinder with rounded ends from below the hips to the base of the neck.

    The columns of `pelvis` and `chest` are the left, up and front axes at its two ends; `widths`
    and `depths` are its half-axes in pixels at `_TORSO_HEIGHTS`.
    """

    bottom: Real
    top: Real
    pelvis: Real
    chest: Real
    widths: Real
    depths: Real
    corner: float
    outfit: Outfit
    joints: tuple[int, ...] = (R_HIP, L_HIP, R_SHOULDER, L_SHOULDER, NECK)

    @property
    def key(self) -> float:
        return float(self.bottom[2] + self.top[2]) / 2

    def paint(self, scene: Scene, *, number: int) -> None:
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
        along -= across * _interpolate(clipped(along / length), section.tilt)
        height = clipped(along / length)
        half = _interpolate(height, section.half)
        turn = np.minimum(np.maximum(across / half, -1), 1)
        bulge = np.sqrt(1 - turn * turn)
        relief = _interpolate(height, section.skew) * across
        relief += _interpolate(height, section.swell) * bulge
        corner = np.minimum(half * 0.9, min(self.corner, 0.45 * length))
        beside = np.abs(across) - half + corner
        beyond = np.abs(along - length / 2) - length / 2 + corner
        distance = norm_of(np.maximum(beside, 0), np.maximum(beyond, 0)) - corner
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
        height: Pixels,
        across: Pixels,
        relief: Pixels,
        aside: tuple[float, float],
        *,
        metre: float,
    ) -> Pixels:
        length = float(np.linalg.norm(self.top - self.bottom))
        outfit = self.outfit
        dyed = outfit.shirt.dye(height * (length / metre))
        left_x, left_y, left_z = self.chest[:, 0].tolist()
        front_x, front_y, front_z = self.chest[:, 2].tolist()
        left_aside = left_x * aside[0] + left_y * aside[1]
        front_aside = front_x * aside[0] + front_y * aside[1]
        area = left_aside * front_z - left_z * front_aside
        sideways = (across * front_z - relief * front_aside) / (area * float(self.widths[-1]))
        before = soft_step((relief * left_aside - across * left_z) / area)
        collar = norm_of(sideways / 0.42, (1 - height) / 0.13)
        if outfit.zipped:
            zip_line = before * soft_step((0.07 - np.abs(sideways)) * 8)
            dyed = blend(dyed, outfit.shirt.accent * np.float32(0.7), zip_line)
        dyed = blend(dyed, outfit.skin.colour, before * soft_step((1 - collar) * 4))
        dyed = blend(dyed, outfit.trousers.colour, soft_step((_WAIST - height) * length))
        belt = soft_step((0.022 - np.abs(height - _WAIST)) * length)
        return blend(dyed, outfit.trousers.colour * np.float32(0.45), belt)


@dataclass(frozen=True, slots=True)
class _Sections:
    half: Real
    skew: Real
    swell: Real
    tilt: Real


_TORSO_HEIGHTS = np.array([0.0, 0.12, 0.32, 0.7, 0.9, 1.0])
_WAIST = 0.25


def _interpolate(height: Pixels, values: Real) -> Pixels:
    return np.interp(height, _TORSO_HEIGHTS, values).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Head:
    """An ellipsoid with hair above and behind a slanted hairline, and a face in front.

    The columns of `frame` are the left, up and front axes; `half` its half-axes in pixels.
    """

    centre: Real
    frame: Real
    half: Real
    skin: Cloth
    hair: Cloth
    joints: tuple[int, ...] = (HEAD_TOP,)

    @property
    def key(self) -> float:
        return float(self.centre[2])

    def paint(self, scene: Scene, *, number: int) -> None:
        window = scene.window(self.centre - self.half.max(), self.centre + self.half.max())
        if window is None:
            return
        left, top, near = self.centre.tolist()
        x, y = window.x - left, window.y - top
        ball = (self.frame / self.half).T.astype(np.float32)
        flat = ball[:, 0, None, None] * x + ball[:, 1, None, None] * y
        depth = ball[:, 2]
        steep = float(depth @ depth)
        lean: Pixels = np.tensordot(depth, flat, 1)
        outline = np.maximum((flat * flat).sum(axis=0) - lean * lean / steep, 0.0)
        relief = -lean / steep + np.sqrt(np.maximum(1 - outline, 0.0) / steep)
        surface = flat + relief * depth[:, None, None]
        normal: Pixels = np.tensordot(ball.T, surface, 1)
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

    def _dyed(self, left: Pixels, up: Pixels, front: Pixels) -> Pixels:
        sharp = float(self.half.mean())
        skin = self.skin.colour
        before = front > 0
        apart: Pixels = np.abs(left)
        cheeks = before * soft_step((0.2 - norm_of(apart - 0.55, up + 0.28)) * sharp)
        eyes = before * soft_step((0.15 - norm_of(apart - 0.36, (up - 0.06) * 0.75)) * sharp)
        smile: Pixels = np.maximum(np.abs(up + 0.62 - 0.5 * left * left) - 0.07, apart - 0.36)
        mouth = before * soft_step(-smile * sharp)
        dyed = blend(skin, skin * _BLUSH, cheeks * 0.6)
        dyed = blend(dyed, _INK, eyes)
        dyed = blend(dyed, _LIPS, mouth * 0.85)
        hairline = 0.9 * sharp * up
        hairline -= 0.75 * sharp * front
        return blend(dyed, self.hair.colour, soft_step(hairline))


_BLUSH = rgb_planes(1.0, 0.72, 0.7)
_INK = rgb_planes(26, 22, 28)
_LIPS = rgb_planes(150, 40, 48)
