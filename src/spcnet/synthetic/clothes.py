"""What a figure wears, the same on both sides; and how colours mix."""

import colorsys
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Colours are (3, 1, 1) and pictures (3, H, W) until the last, as numpy works fastest on planes.
Pixels: TypeAlias = NDArray[np.float32]


def soft_step(ramp: Pixels) -> Pixels:
    """Step from 0 to 1 over one unit around 0, so that edges come out antialiased."""
    stepped: Pixels = (ramp + np.float32(0.5)).clip(0, 1)
    return stepped


def norm_of(x: Pixels, y: Pixels) -> Pixels:
    """The length of vectors, several times as fast as `numpy.hypot`."""
    length: Pixels = np.sqrt(x * x + y * y)
    return length


def blend(below: Pixels, above: Pixels, share: Pixels) -> Pixels:
    return below + share * (above - below)


def rgb_planes(red: float, green: float, blue: float) -> Pixels:
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1)


class Outfit(NamedTuple):
    """Colours, and the shares of arm and leg that are covered."""

    skin: Pixels
    hair: Pixels
    shirt: Pixels
    trousers: Pixels
    shoes: Pixels
    sleeve: float
    leg: float


_SKINS = np.array(
    [(255, 219, 190), (240, 194, 158), (222, 166, 122), (184, 122, 82), (128, 80, 52), (90, 56, 38)]
)
_HAIRS = np.array(
    [(38, 28, 24), (84, 52, 30), (150, 92, 44), (214, 170, 92), (176, 72, 36), (150, 148, 146)]
)


def sample_outfit(rng: np.random.Generator) -> Outfit:
    return Outfit(
        skin=_sample_natural(_SKINS, rng),
        hair=_sample_natural(_HAIRS, rng),
        shirt=sample_dye(rng),
        trousers=sample_dye(rng),
        shoes=sample_dye(rng),
        sleeve=float(rng.choice([0.22, 0.3, 0.95])),
        leg=float(rng.choice([0.3, 0.42, 0.95, 0.95])),
    )


def _sample_natural(tones: NDArray[np.int64], rng: np.random.Generator) -> Pixels:
    tone = tones[rng.integers(len(tones))] * rng.uniform(0.9, 1.06)
    return rgb_planes(*np.clip(tone + rng.normal(0.0, 5.0, 3), 0, 255))


def sample_dye(rng: np.random.Generator) -> Pixels:
    """Draw a colour as clothes have it: any hue, sometimes nearly grey."""
    saturation = rng.uniform(0.0, 0.2) if rng.random() < 0.25 else rng.uniform(0.35, 0.9)
    value = rng.uniform(0.2, 0.97)
    return rgb_planes(*colorsys.hsv_to_rgb(rng.random(), saturation, value)) * 255
