"""What is behind and before a figure, and how it is photographed."""

import cv2
import numpy as np
from numpy.typing import NDArray

from spcnet.synthetic.body import Real, Z, turn
from spcnet.synthetic.clothes import Outfit, Pixels, blend, rgb_planes, sample_dye, soft_step
from spcnet.synthetic.painting import Limb, Scene


def sample_light(rng: np.random.Generator) -> tuple[float, float, float]:
    x, y = rng.uniform(-0.7, 0.7, 2).tolist()
    length = float(np.sqrt(x * x + y * y + 1))
    return x / length, y / length, 1 / length


def _sample_borrowed(outfit: Outfit, rng: np.random.Generator) -> Pixels:
    """Draw a colour, about half the time close to one that the figure wears."""
    if rng.random() < 0.5:
        return sample_dye(rng)
    worn = (outfit.skin, outfit.hair, outfit.shirt, outfit.trousers, outfit.shoes)
    colour = worn[rng.integers(len(worn))].ravel() + rng.normal(0.0, 10.0, 3)
    return rgb_planes(*np.clip(colour, 0, 255))


def paint_background(rng: np.random.Generator, outfit: Outfit, *, size: int) -> Pixels:
    first, second, third = (_sample_borrowed(outfit, rng) for _ in range(3))
    ramp, _ = _axes(rng.uniform(0.0, 2 * np.pi), size=size)
    share = soft_step(ramp / np.float32(size) + np.float32(0.35) * _cloud(rng, size=size))
    ground = blend(first, second, share)
    if rng.random() < 0.5:
        share = _pattern(rng, size=size, finest=0.035) * np.float32(rng.uniform(0.3, 0.9))
        ground = blend(ground, third, share)
    picture = cv2.merge(tuple(ground.astype(np.uint8)))
    for _ in range(rng.integers(2, 9)):
        _draw_blot(picture, _sample_borrowed(outfit, rng), rng)
    grain = _cloud(rng, size=size, octaves=5) * np.float32(rng.uniform(5.0, 18.0))
    tinted: Pixels = grain * rgb_planes(*rng.uniform(0.6, 1.4, 3))
    tinted += picture.transpose(2, 0, 1)
    return tinted


def _cloud(rng: np.random.Generator, *, size: int, octaves: int = 4) -> Pixels:
    """Return noise in which each octave is half as wide and a little weaker than the last."""
    fade = np.float32(rng.uniform(0.5, 0.85))
    total: Pixels = np.zeros((2, 2), np.float32)
    for octave in range(octaves):
        cells = 4 * 2**octave
        total = _enlarged(total, size=cells)
        total += rng.standard_normal((cells, cells), dtype=np.float32) * fade**octave
    return _enlarged(total, size=size)


def _enlarged(plane: Pixels, *, size: int) -> Pixels:
    return np.asarray(cv2.resize(plane, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def _pattern(rng: np.random.Generator, *, size: int, finest: float) -> Pixels:
    """Return checks or stripes, as shares between 0 and 1."""
    x, y = _axes(rng.uniform(0.0, np.pi), size=size)
    pitch = np.float32(np.pi / (size * rng.uniform(finest, 4 * finest)))
    wave = np.sin(x * pitch) * np.sin(y * pitch) if rng.random() < 0.5 else np.sin(x * pitch)
    return soft_step(wave * 4)


def _axes(angle: float, *, size: int) -> tuple[Pixels, Pixels]:
    """Return coordinates of all pixels about the picture's centre, in turned axes."""
    line = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y = line[None, :], line[:, None]
    return x * cosine + y * sine, y * cosine - x * sine


def _draw_blot(picture: NDArray[np.uint8], colour: Pixels, rng: np.random.Generator) -> None:
    """Draw a random polygon or ellipse anywhere in the picture."""
    size = len(picture)
    corners = int(rng.choice([3, 4, 5, 6, 48]))
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, np.pi)
    reach = rng.uniform(0.04, 0.26, 2) * size
    wobble = rng.uniform(0.6, 1.2, corners) if corners < 48 else np.ones(corners)
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=1) * wobble[:, None] * reach
    outline = outline @ turn(Z, rng.uniform(0, 180))[:2, :2] + rng.uniform(0, size, 2)
    fixed = np.rint(outline * 16).astype(np.int32)
    cv2.fillPoly(picture, [fixed], colour.ravel().tolist(), lineType=cv2.LINE_AA, shift=4)


def draw_distractors(scene: Scene, outfit: Outfit, rng: np.random.Generator) -> None:
    """Draw loose limbs without a body, for the figure to be distinguished from."""
    size = len(scene.part)
    for _ in range(rng.integers(0, 5)):
        joint = np.append(rng.uniform(0, size, 2), 0.0)
        colour, bare = (_sample_borrowed(outfit, rng) for _ in range(2))
        radius, cut = rng.uniform(0.035, 0.08) * scene.metre, rng.uniform(0.2, 2.0)
        for _ in range(rng.integers(1, 3)):
            end = joint + np.append(rng.normal(0.0, 0.25, 2) * scene.metre, 0.0)
            axis, radii = np.array([joint, end]), np.array([radius, radius * 0.75])
            Limb(axis=axis, radii=radii, colour=colour, bare=bare, cut=cut, capped=True).paint(
                scene, number=-1
            )
            joint, radius = end, radius * 0.75


def draw_foreground(
    scene: Scene,
    outfit: Outfit,
    rng: np.random.Generator,
    *,
    points: Real,
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


def _lay_object(scene: Scene, outfit: Outfit, rng: np.random.Generator, *, cover: Pixels) -> None:
    rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
    area = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    height, width = cover[area].shape
    size = max(height, width)
    first, second = _sample_borrowed(outfit, rng), _sample_borrowed(outfit, rng)
    share = _pattern(rng, size=size, finest=0.08) * np.float32(rng.choice([0.0, 0.5, 1.0]))
    surface = blend(first, second, share) + 9 * _cloud(rng, size=size)
    surface = surface[:, :height, :width]
    scene.colour[:, *area] = blend(scene.colour[:, *area], surface, cover[area])


def _cover(rng: np.random.Generator, *, around: Real, size: int) -> Pixels:
    """Return shares covered by a rectangle, an ellipse or a stripe near a point."""
    x, y = _axes(rng.uniform(0.0, np.pi), size=size)
    middle = np.rint(around + rng.normal(0.0, 0.04 * size, 2)).astype(int).clip(0, size - 1)
    x, y = x - x[middle[1], middle[0]], y - y[middle[1], middle[0]]
    wide, high = rng.uniform(0.07, 0.17, 2) * size
    kind = rng.integers(3)
    if kind == 0:
        return soft_step((1 - np.sqrt((x / wide) ** 2 + (y / high) ** 2)) * min(wide, high))
    if kind == 1:
        return soft_step(np.minimum(wide - np.abs(x), high - np.abs(y)))
    return soft_step(0.45 * wide - np.abs(x))


def expose(colour: Pixels, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Vary contrast and brightness, sometimes blur, add sensor noise, and round."""
    contrast, brightness, grain = rng.uniform((0.75, -22.0, 4.0), (1.15, 22.0, 24.0)).tolist()
    picture = cv2.merge(tuple(colour)) * np.float32(contrast)
    picture += np.float32(picture.mean() * (1 / contrast - 1) + brightness)
    if rng.random() < 0.25:
        cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.0), dst=picture)
    picture += (rng.random(picture.shape, np.float32) - np.float32(0.5)) * np.float32(grain)
    rounded: NDArray[np.uint8] = np.rint(np.clip(picture, 0, 255)).astype(np.uint8)
    return rounded
