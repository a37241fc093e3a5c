"""What a figure wears: skin, hair and cloth, the same on both sides."""

import colorsys
from dataclasses import dataclass

import numpy as np

from spcnet.synthetic.points import Pixels, blend, soft_step


@dataclass(frozen=True, slots=True)
class Cloth:
    """A colour, striped every `period` metres with `accent`; a period of 0 is plain.

    Colours are (3, 1, 1) and pictures (3, H, W) until the last, as numpy works fastest on planes.
    """

    colour: Pixels
    accent: Pixels
    period: float = 0.0

    def dye(self, metres: Pixels) -> Pixels:
        """Give the colours at positions along a limb."""
        if self.period == 0.0:
            return self.colour
        wave = np.sin(metres * np.float32(2 * np.pi / self.period))
        return blend(self.colour, self.accent, soft_step(wave * 3 - 0.5))


@dataclass(frozen=True, slots=True)
class Outfit:
    skin: Cloth
    hair: Cloth
    shirt: Cloth
    trousers: Cloth
    shoes: Cloth
    sleeve: float
    """Share of the arm that the shirt covers."""
    leg: float
    """Share of the leg that the trousers cover."""
    zipped: bool
    hairstyle: str

    @property
    def nose(self) -> Cloth:
        """Skin a little redder and darker, or a nose seen from the front would vanish."""
        return plain_cloth(self.skin.colour * rgb_planes(0.92, 0.8, 0.78))


_SKINS = (
    (255, 219, 190),
    (240, 194, 158),
    (222, 166, 122),
    (184, 122, 82),
    (128, 80, 52),
    (90, 56, 38),
)
_HAIRS = ((38, 28, 24), (84, 52, 30), (150, 92, 44), (214, 170, 92), (176, 72, 36), (150, 148, 146))


def sample_outfit(rng: np.random.Generator) -> Outfit:
    def woven(chance: float) -> Cloth:
        period = rng.uniform(0.07, 0.16) if rng.random() < chance else 0.0
        return Cloth(sample_dye(rng), sample_dye(rng), period)

    return Outfit(
        skin=plain_cloth(_sample_natural(_SKINS, rng)),
        hair=plain_cloth(_sample_natural(_HAIRS, rng)),
        shirt=woven(0.35),
        trousers=woven(0.12),
        shoes=plain_cloth(sample_dye(rng)),
        sleeve=float(rng.choice([0.22, 0.3, 0.95])),
        leg=float(rng.choice([0.3, 0.42, 0.95, 0.95])),
        zipped=bool(rng.random() < 0.3),
        hairstyle=str(rng.choice(["short", "short", "tail", "bun"])),
    )


def _sample_natural(tones: tuple[tuple[int, int, int], ...], rng: np.random.Generator) -> Pixels:
    tone = np.array(tones[rng.integers(len(tones))]) * rng.uniform(0.9, 1.06)
    return rgb_planes(*np.clip(tone + rng.normal(0.0, 5.0, 3), 0, 255))


def sample_dye(rng: np.random.Generator) -> Pixels:
    """Draw a colour as clothes have it: any hue, sometimes nearly grey."""
    saturation = rng.uniform(0.0, 0.2) if rng.random() < 0.25 else rng.uniform(0.35, 0.9)
    value = rng.uniform(0.2, 0.97)
    return rgb_planes(*colorsys.hsv_to_rgb(rng.random(), saturation, value)) * 255


def plain_cloth(colour: Pixels) -> Cloth:
    return Cloth(colour, colour)


def rgb_planes(red: float, green: float, blue: float) -> Pixels:
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1)
