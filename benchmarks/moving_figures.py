"""Clips of rendered people whose joints are known, for measuring what happens over time.

Walkers are the synthetic figures of `spcnet.synthetic`, moved by the angles of a walk and painted
far to near over a still background, so that the nearer one hides the other.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from spcnet.synthetic.body import (
    JOINTS,
    Body,
    Bones,
    JointAngles,
    X,
    Y,
    assemble,
    sample_bones,
    turn,
)
from spcnet.synthetic.clothes import sample_outfit
from spcnet.synthetic.painting import Scene
from spcnet.synthetic.person import body_parts
from spcnet.synthetic.surroundings import paint_background, sample_light

RATE = 30.0  # frames a second
SIZE = (240, 400)  # height and width of a picture
TALL = 1.75  # metres, about, of a figure


@dataclass(frozen=True)
class Clip:
    """T pictures (H, W, 3) RGB uint8 of P people, and where their joints are."""

    times: np.ndarray  # (T,) seconds
    pictures: list[np.ndarray]
    points: np.ndarray  # (T, P, 14, 2) pixels, the joints of lsp14
    shown: np.ndarray  # (T, P) share of each person's pixels that nobody hides

    def frames(self) -> list[tuple[float, np.ndarray]]:
        return list(zip(self.times.tolist(), self.pictures, strict=True))


@dataclass
class Walker:
    """Someone who is at (x, feet) pixels at any time, facing `yaw` degrees to the side."""

    bones: Bones
    outfit: Any
    light: tuple[float, float, float]
    path: np.ndarray  # (T, 2): x of the hips' middle, y of the ground
    height: float  # pixels
    yaw: np.ndarray  # (T,) degrees; 90 is towards the picture's right
    phase: np.ndarray  # (T,) radians of the walk
    stride: float = 1.0  # 0 stands still

    def body(self, frame: int) -> tuple[Body, float]:
        body = assemble(self.bones, walk(self.phase[frame], self.stride))
        view = turn(X, 8.0) @ turn(Y, self.yaw[frame]) * np.array([[1.0], [-1.0], [1.0]])
        metre = self.height / TALL
        points = body.points @ view.T * metre
        ground = points[:JOINTS, 1].max() + 0.08 * metre
        shift = np.append(self.path[frame] - [0.0, ground], 0.0)
        parts = (view @ part for part in (body.pelvis, body.chest, body.head))
        return Body(points + shift, *parts, body.bones), metre

    def paint(self, frame: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours (H, W, 3), which pixels are the person's (H, W), and joints (14, 2)."""
        body, metre = self.body(frame)
        square = max(size)
        scene = Scene(np.zeros((3, square, square), np.float32), metre=metre, light=self.light)
        parts = sorted(body_parts(body, self.outfit, metre=metre), key=lambda part: part.key)
        for number, part in enumerate(parts):
            part.paint(scene, number=number)
        colours = scene.colour.transpose(1, 2, 0)[: size[0], : size[1]]
        return colours, scene.part[: size[0], : size[1]] >= 0, body.points[:JOINTS, :2].copy()


def walk(phase: float, stride: float = 1.0) -> JointAngles:
    """Angles of a walk; rows are right and left, half a cycle apart."""

    def leg(at: float) -> list[float]:
        swing = max(0.0, np.sin(at + 0.9))
        return [stride * (8 + 24 * np.sin(at)), 4, 6, 5 + stride * 45 * swing, 5]

    def arm(at: float) -> list[float]:
        return [stride * (5 - 28 * np.sin(at)), 10, -15, 15 + stride * 12]

    other = phase + np.pi
    return JointAngles(
        arms=np.array([arm(phase), arm(other)]), legs=np.array([leg(phase), leg(other)]),
        spine=np.array([4.0, 0.0, 6 * stride * np.sin(phase)]), head=np.zeros(3),
    )  # fmt: skip


def film(walkers: list[Walker], rng: np.random.Generator, *, noise: float = 4.0) -> Clip:
    """The pictures of some walkers, the first of whom is the farthest."""
    count = len(walkers[0].path)
    ground = paint_background(rng, walkers[0].outfit, size=max(SIZE))
    ground = ground.transpose(1, 2, 0)[: SIZE[0], : SIZE[1]]
    pictures, points = [], np.empty((count, len(walkers), JOINTS, 2))
    shown = np.empty((count, len(walkers)))
    for frame in range(count):
        picture, masks = ground.copy(), []
        for number, walker in enumerate(walkers):
            colours, mask, points[frame, number] = walker.paint(frame, SIZE)
            picture[mask] = colours[mask]
            masks.append(mask)
        for number, mask in enumerate(masks):
            hidden = np.any([*masks[number + 1 :], np.zeros_like(mask)], axis=0)
            shown[frame, number] = (mask & ~hidden).sum() / max(1, mask.sum())
        picture += rng.normal(0, noise, picture.shape)
        pictures.append(picture.clip(0, 255).astype(np.uint8))
    return Clip(np.arange(count) / RATE, pictures, points, shown)


def _walker(rng: np.random.Generator, path: np.ndarray, yaw: np.ndarray, **how: Any) -> Walker:
    phase = rng.uniform(0, 2 * np.pi) + 2 * np.pi * 0.9 * np.arange(len(path)) / RATE
    return Walker(
        sample_bones(rng), sample_outfit(rng), sample_light(rng), path, yaw=yaw, phase=phase,
        height=rng.uniform(120, 140), **how,
    )  # fmt: skip


def crossing(seed: int, frames: int = 75) -> Clip:
    """Two who walk past each other; with an odd seed one overtakes the other."""
    rng = np.random.default_rng(seed)
    share = np.linspace(0, 1, frames)
    ways = [(0.15, 0.85), (0.85, 0.15)] if seed % 2 == 0 else [(0.3, 0.7), (0.12, 0.88)]
    walkers = []
    for n, (start, end) in enumerate(ways):
        x = (start + (end - start) * share) * SIZE[1]
        y = np.full(frames, SIZE[0] * (0.86 + 0.05 * n))
        yaw = np.full(frames, np.sign(end - start) * rng.uniform(55, 85))
        walkers.append(_walker(rng, np.stack([x, y], axis=1), yaw))
    return film(walkers, rng)


def passing_behind(seed: int, frames: int = 75) -> Clip:
    """One who stands, and one who walks past behind."""
    rng = np.random.default_rng(seed)
    share = np.linspace(0, 1, frames)
    behind = np.stack([(0.15 + 0.7 * share) * SIZE[1], np.full(frames, SIZE[0] * 0.86)], axis=1)
    before = np.tile([SIZE[1] / 2, SIZE[0] * 0.93], (frames, 1))
    return film([
        _walker(rng, behind, np.full(frames, rng.uniform(55, 85))),
        _walker(rng, before, np.full(frames, rng.uniform(-30, 30)), stride=0.0),
    ], rng)  # fmt: skip


def alone(seed: int, frames: int = 90, *, stride: float = 1.0, yaw: float | None = None) -> Clip:
    """One who walks through the picture, or with a stride of 0 stands still."""
    rng = np.random.default_rng(seed)
    share = np.linspace(0, 1, frames)
    x = (0.5 + stride * (share - 0.5) * 0.7) * SIZE[1]
    path = np.stack([x, np.full(frames, SIZE[0] * 0.95)], axis=1)
    seen = rng.uniform(60, 90) if yaw is None else yaw
    return film([_walker(rng, path, np.full(frames, seen), stride=stride)], rng)


def numbers_of(people: np.ndarray, poses: list[Any], within: float = 0.25) -> dict[int, int]:
    """Which number each person of a frame (P, 14, 2) has: that of the pose with the nearest joints.

    `poses` are in the order of their numbers, None for the lost. A pose farther away than a share
    of the person's height is nobody's.
    """
    numbers = [n for n, pose in enumerate(poses) if pose is not None]
    if not numbers:
        return {}
    found = np.stack([poses[n].keypoints[:JOINTS] for n in numbers])
    away = np.linalg.norm(people[:, None] - found[None], axis=-1).mean(axis=-1)
    away /= np.ptp(people[..., 1], axis=1)[:, None]
    pairs = zip(*linear_sum_assignment(away), strict=True)
    return {int(person): numbers[n] for person, n in pairs if away[person, n] <= within}


def identity_switches(truth: np.ndarray, tracks: list[list[Any]]) -> int:
    """How often a person's number changes: IDSW of Bernardin and Stiefelhagen (2008).

    `truth` is (T, P, 14, 2), and tracks are the poses of every frame, see `numbers_of`.
    """
    last: dict[int, int] = {}
    switches = 0
    for people, poses in zip(truth, tracks, strict=True):
        numbers = numbers_of(people, poses)
        switches += sum(last.get(person, number) != number for person, number in numbers.items())
        last |= numbers
    return switches
