"""A scene of pixels with depth, and the parts of a body that paint themselves into it."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from spcnet.synthetic.body import Real
from spcnet.synthetic.clothes import Pixels, blend, norm_of, rgb_planes, soft_step

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

    def surface(self, x: Pixels, y: Pixels) -> Surface:
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
        distance, rim, colour, slope, nearness = self.surface(x, y)
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
    """A tapered capsule of a `colour` before the fraction `cut`, of `bare` after it.

    Where it is not `capped`, it goes on in a joint to the next one.
    """

    colour: Pixels
    bare: Pixels | None = None
    cut: float = 1.0
    capped: bool = False

    def surface(self, x: Pixels, y: Pixels) -> Surface:
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
        dyed = self.colour
        if self.bare is not None and self.cut < 1.0:
            dyed = blend(dyed, self.bare, soft_step((along - self.cut) * length))
        rim = np.where((reach > 0) & (reach <= 1), distance, -radius)
        nearness = float(self.axis[0, 2]) + along * span[2] + bulge * radius
        return distance, rim, dyed, (x, y, bulge), nearness


@dataclass(frozen=True, kw_only=True)
class Head(Part):
    """An ellipsoid with hair above and behind a slanted hairline, and a face in front.

    The columns of `frame` are the left, up and front axes; `radii` its half-axes in pixels.
    """

    frame: Real
    skin: Pixels
    hair: Pixels

    def surface(self, x: Pixels, y: Pixels) -> Surface:
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
        eyes = before * soft_step((0.15 - norm_of(apart - 0.36, (up - 0.06) * 0.75)) * sharp)
        smile: Pixels = np.maximum(np.abs(up + 0.62 - 0.5 * left * left) - 0.07, apart - 0.36)
        mouth = before * soft_step(-smile * sharp)
        dyed = blend(self.skin, _INK, eyes)
        dyed = blend(dyed, _LIPS, mouth * 0.85)
        hairline = 0.9 * sharp * up
        hairline -= 0.75 * sharp * front
        return blend(dyed, self.hair, soft_step(hairline))


_INK = rgb_planes(26, 22, 28)
_LIPS = rgb_planes(150, 40, 48)
