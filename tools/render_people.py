"""Render the example pictures of this repository: three clothed, posed, synthetic people.

The body is the parametric `anny` model (MakeHuman mesh and rig), the clothes are cut out of its
"tights" helper mesh, and Mitsuba 3 traces the light. Nothing is photographed or downloaded, no
display or GPU is needed, and the same seed gives the same picture.

    pip install anny mitsuba scipy
    python tools/render_people.py --out examples --samples 100

Other uses:

    python tools/render_people.py --out drafts --samples 16 --scale 0.5 --only lunge
    python tools/render_people.py --out drafts --samples 16 --draw-joints --force

Beside the pictures it writes `joints.json`: the 14 Leeds Sports Pose joints (left and right are the
person's own) of every picture in COCO keypoint format. Coordinates are 0-based pixel centres: the
centre of the top-left pixel is (0, 0).

World frame: metres, +z up, the person's own left is +x and the person faces -y at rest.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import sparse

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Vec = tuple[float, float, float]
Rgb = tuple[float, float, float]

JOINT_NAMES = (
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "neck",
    "head_top",
)
# The joint is the head (near end) of this bone; head_top has no bone and is a mesh vertex.
JOINT_BONES = (
    "foot.R",
    "lowerleg01.R",
    "upperleg01.R",
    "upperleg01.L",
    "lowerleg01.L",
    "foot.L",
    "wrist.R",
    "lowerarm01.R",
    "upperarm01.R",
    "upperarm01.L",
    "lowerarm01.L",
    "wrist.L",
    "neck01",
)
# How deep under the clothed surface a joint lies at most (m): deeper means something hides it.
JOINT_DEPTHS = (0.1, 0.12, 0.26, 0.26, 0.12, 0.1, 0.08, 0.1, 0.14, 0.14, 0.1, 0.08, 0.14, 0.14)
SKELETON = (
    (1, 2),
    (2, 3),
    (4, 5),
    (5, 6),
    (7, 8),
    (8, 9),
    (10, 11),
    (11, 12),
    (9, 13),
    (10, 13),
    (3, 13),
    (4, 13),
    (3, 4),
    (13, 14),
)
MAX_BYTES = 150_000


# ------------------------------------------------------------------------------ what to render


@dataclass(frozen=True)
class Outfit:
    """Garment cuts and colours; cuts on limbs count segments: 1 is the elbow or knee, 2 the end."""

    shirt: Rgb
    sleeve_colour: Rgb
    sleeve: float
    trousers: Rgb
    trouser_leg: float
    looseness: float
    shoes: Rgb
    soles: Rgb = (0.86, 0.85, 0.82)
    socks: Rgb = (0.8, 0.8, 0.8)


@dataclass(frozen=True)
class Person:
    """Shape, colouring and clothes of one person."""

    phenotype: Mapping[str, float]
    skin: Rgb
    lips: Rgb
    hair: Rgb
    eyes: Rgb
    hairstyle: str
    outfit: Outfit
    smile: float = 0.5


@dataclass(frozen=True)
class Foot:
    """Where one ankle goes: `spot` is on the ground below it, angles in degrees.

    A positive `pitch` lifts the heel.
    """

    spot: tuple[float, float]
    yaw: float = 0.0
    pitch: float = 0.0
    lift: float = 0.0
    knee: Vec | None = None


@dataclass(frozen=True)
class Pose:
    """A pose: feet placed by inverse kinematics, arms aimed, the rest turned.

    `aims` gives world directions of bones (before `yaw`), `turns` gives x, y, z rotations in
    degrees about world axes on top of the parent's, `twists` gives rotations about the bone.
    """

    pelvis: Vec
    feet: Mapping[str, Foot]
    aims: Mapping[str, Vec] = field(default_factory=dict)
    turns: Mapping[str, Vec] = field(default_factory=dict)
    twists: Mapping[str, float] = field(default_factory=dict)
    curl: Mapping[str, float] = field(default_factory=lambda: {"L": 22.0, "R": 22.0})
    yaw: float = 0.0


@dataclass(frozen=True)
class Camera:
    """A pinhole view (with a finite aperture) from `origin` to `target`; `fov` is horizontal."""

    origin: Vec
    target: Vec
    fov: float
    aperture: float = 0.02


@dataclass(frozen=True)
class Shot:
    """One picture: who, how, where and from where."""

    name: str
    size: tuple[int, int]
    person: Person
    pose: Pose
    camera: Camera
    place: str
    exposure: float
    seed: int
    with_ball: bool = False


# ------------------------------------------------------------------------------ small geometry


def unit(vector: Array) -> Array:
    """Return the vector(s) scaled to length one along the last axis."""
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)


def rotation(axis: Array | Vec, degrees: float) -> Array:
    """Return the 3x3 right-handed rotation about `axis` (Rodrigues)."""
    x, y, z = unit(np.asarray(axis, float))
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = math.radians(degrees)
    return np.eye(3) + math.sin(angle) * skew + (1 - math.cos(angle)) * skew @ skew


def euler(angles: Vec) -> Array:
    """Return the rotation about x, then y, then z by the given degrees."""
    about_x, about_y, about_z = angles
    return (
        rotation((0, 0, 1), about_z) @ rotation((0, 1, 0), about_y) @ rotation((1, 0, 0), about_x)
    )


def swing(source: Array, target: Array) -> Array:
    """Return the smallest rotation that takes direction `source` to `target`."""
    start, end = unit(source), unit(target)
    axis = np.cross(start, end)
    if np.linalg.norm(axis) < 1e-9:
        return np.eye(3)
    return rotation(axis, math.degrees(math.atan2(np.linalg.norm(axis), float(start @ end))))


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Return the cubic ramp from 0 at `low` to 1 at `high`."""
    ramp = np.clip((value - low) / (high - low), 0.0, 1.0)
    return ramp * ramp * (3 - 2 * ramp)


def mix(first: Array | Rgb, second: Array | Rgb, amount: Array) -> Array:
    """Blend colours per vertex: 0 gives `first`, 1 gives `second`."""
    amount = np.asarray(amount)[..., None]
    return np.asarray(first) * (1 - amount) + np.asarray(second) * amount


def waves(points: Array, wavelength: float, seed: int, count: int = 14) -> Array:
    """Return smooth noise of unit variance: a sum of randomly directed sine waves."""
    rng = np.random.default_rng(seed)
    directions = unit(rng.normal(size=(count, points.shape[-1])))
    lengths = wavelength * np.exp(rng.uniform(-0.45, 0.45, count))
    phases = rng.uniform(0, 2 * math.pi, count)
    total = np.zeros(points.shape[:-1])
    for direction, length, phase in zip(directions, lengths, phases, strict=True):
        total += np.sin(points @ direction * (2 * math.pi / length) + phase)
    return total * math.sqrt(2 / count)


def edges_of(faces: Ints) -> Ints:
    """Return the directed edges of triangles, three per face."""
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def subdivide(values: Array, faces: Ints) -> tuple[Array, Ints]:
    """Split each triangle into four; `values` holds any columns per vertex."""
    edges = np.sort(edges_of(faces), axis=1)
    unique, inverse = np.unique(edges, axis=0, return_inverse=True)
    middle = inverse.reshape(3, -1).T + len(values)
    grown = np.concatenate([values, values[unique].mean(axis=1)])
    a, b, c = faces.T
    ab, bc, ca = middle.T
    parts = [np.stack(t, axis=1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
    return grown, np.concatenate(parts)


def clip(values: Array, faces: Ints, level: Array) -> tuple[Array, Ints]:
    """Cut the mesh along level = 0 and keep the side where it is positive."""
    inside = level > 0
    count = inside[faces].sum(axis=1)
    kept = [faces[count == 3]]
    edges: list[Ints] = []
    pieces: list[Ints] = []

    def cut(first: Ints, second: Ints) -> Ints:
        start = len(values) + sum(len(e) for e in edges)
        edges.append(np.stack([first, second], axis=1))
        return start + np.arange(len(first))

    for lone_inside in (True, False):
        some = faces[count == (1 if lone_inside else 2)]
        lone = np.argmax(inside[some] == lone_inside, axis=1)
        rows = np.arange(len(some))
        a, b, c = (some[rows, (lone + k) % 3] for k in range(3))
        ab, ac = cut(a, b), cut(a, c)
        if lone_inside:
            pieces.append(np.stack([a, ab, ac], axis=1))
        else:
            pieces += [np.stack([ab, b, c], axis=1), np.stack([ab, c, ac], axis=1)]
    cuts = np.concatenate(edges)
    # Two triangles cut the same edge: sharing the new vertex keeps the rim one smooth line.
    order = np.sort(cuts, axis=1)
    unique, inverse = np.unique(order, axis=0, return_inverse=True)
    near, far = level[unique[:, 0]], level[unique[:, 1]]
    share = (near / np.where(near == far, 1.0, near - far))[:, None]
    fresh = values[unique[:, 0]] * (1 - share) + values[unique[:, 1]] * share
    renumber = np.concatenate([np.arange(len(values)), len(values) + inverse.reshape(-1)])
    return compact(
        np.concatenate([values, fresh]), renumber[np.concatenate(kept + pieces)].astype(np.int64)
    )


def compact(values: Array, faces: Ints) -> tuple[Array, Ints]:
    """Drop vertices that no face uses."""
    used, inverse = np.unique(faces, return_inverse=True)
    return values[used], inverse.reshape(faces.shape)


def rim_edges(faces: Ints) -> Ints:
    """Return the directed edges that only one triangle has."""
    edges = edges_of(faces)
    _, inverse, count = np.unique(
        np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    return edges[count[inverse.reshape(-1)] == 1]


def normals_of(vertices: Array, faces: Ints) -> Array:
    """Return area-weighted vertex normals."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    face_normals = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(total, faces[:, corner], face_normals)
    return unit(total)


def smooth(vertices: Array, faces: Ints, rounds: int) -> Array:
    """Smooth without shrinking (Taubin); rims move only along themselves."""
    rim = rim_edges(faces)
    edges = edges_of(faces)
    edges = np.concatenate([edges, edges[:, ::-1]])
    on_rim = np.zeros(len(vertices), bool)
    on_rim[rim.ravel()] = True
    edges = np.concatenate([edges[~on_rim[edges[:, 0]]], rim, rim[:, ::-1]])
    ones = np.ones(len(edges))
    graph = sparse.csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(len(vertices),) * 2)
    graph.data[:] = 1.0
    degree = np.maximum(np.asarray(graph.sum(axis=1)), 1.0)
    for _ in range(rounds):
        for step in (0.5, -0.52):
            vertices = vertices + step * ((graph @ vertices) / degree - vertices)
    return vertices


def thicken(vertices: Array, faces: Ints, depth: float) -> tuple[Array, Ints]:
    """Give a sheet an inner side, so that hems show an edge."""
    inner = vertices - depth * normals_of(vertices, faces)
    rim = rim_edges(faces)
    shift = len(vertices)
    walls = [
        np.stack([rim[:, 1], rim[:, 0], rim[:, 0] + shift], axis=1),
        np.stack([rim[:, 1], rim[:, 0] + shift, rim[:, 1] + shift], axis=1),
    ]
    return np.concatenate([vertices, inner]), np.concatenate(
        [faces, faces[:, ::-1] + shift, *walls]
    )


def tube(points: Array, radii: Array, sides: int = 16) -> tuple[Array, Ints]:
    """Return a tube of varying radius along a polyline, closed by its ends' zero radii."""
    along = unit(np.gradient(points, axis=0))
    helper = np.array([1.0, 0.0, 0.0]) if abs(along[0, 0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    across = unit(np.cross(along, helper))
    other = np.cross(along, across)
    angles = np.linspace(0, 2 * math.pi, sides, endpoint=False)
    ring = (
        np.cos(angles)[None, :, None] * across[:, None]
        + np.sin(angles)[None, :, None] * other[:, None]
    )
    vertices = (points[:, None] + radii[:, None, None] * ring).reshape(-1, 3)
    rows, columns = np.meshgrid(np.arange(len(points) - 1), np.arange(sides), indexing="ij")
    following = (columns + 1) % sides
    a, b = rows * sides + columns, rows * sides + following
    c, d = a + sides, b + sides
    faces = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)]
    )
    return vertices, faces


# ------------------------------------------------------------------------------ the body


@dataclass(frozen=True)
class Surface:
    """A mesh ready for the renderer; `normals` overrides the ones of its faces."""

    name: str
    vertices: Array
    faces: Ints
    colours: Array
    roughness: float = 0.9
    specular: float = 0.1
    normals: Array | None = None


@dataclass(frozen=True)
class Body:
    """One person's unposed mesh with its rig, in the model's own frame."""

    rest: Array
    weights: Any
    labels: list[str]
    parents: list[int]
    heads: Array
    groups: Mapping[str, Ints]
    uv: Array

    def head_of(self, bone: str) -> Array:
        """Return where a bone begins, at rest."""
        return self.heads[self.labels.index(bone)]

    def weight_of(self, *prefixes: str) -> Array:
        """Return per vertex how much it follows the bones with these name beginnings."""
        columns = [i for i, label in enumerate(self.labels) if label.startswith(prefixes)]
        return np.asarray(self.weights[:, columns].sum(axis=1)).ravel()


def triangles(quads: Ints) -> Ints:
    """Split quads into triangles, dropping the degenerate ones."""
    split = (
        np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]) if quads.shape[1] == 4 else quads
    )
    return split[(split[:, 0] != split[:, 2]) & (split[:, 1] != split[:, 2])]


# The model's facial actions that make a friendly face.
SMILE: Mapping[str, float] = {
    "mouthSmileLeft": 1.0,
    "mouthSmileRight": 1.0,
    "cheekSquintLeft": 0.5,
    "cheekSquintRight": 0.5,
    "eyeSquintLeft": 0.3,
    "eyeSquintRight": 0.3,
    "browOuterUpLeft": 0.3,
    "browOuterUpRight": 0.3,
}


def load_bodies(people: Sequence[Person]) -> list[Body]:
    """Build the unposed bodies with `anny` (the first call fills its cache, about a minute)."""
    import anny
    import torch
    from anny.paths import get_anny_root_dir
    from anny.utils.obj_utils import load_obj_file

    # The "makehuman" topology keeps the helper meshes (tights, eyelashes) that become clothes.
    model = anny.Anny(
        rig="anny",
        topology="makehuman-tris",
        phenotypes="all",
        phenotype_blendshapes="original",
        facial_actions=list(SMILE),
        skinning_method="lbs",
    )
    mesh_file = get_anny_root_dir() / "data/mpfb2/3dobjs/base.obj"
    _, uv, raw_groups = load_obj_file(str(mesh_file), dtype=torch.float64)
    groups = {
        name: triangles(np.asarray(group["face_vertex_indices"], dtype=np.int64))
        for name, group in raw_groups.items()
    }
    body = raw_groups["body"]
    uv_per_vertex = np.zeros((len(model.template_vertices), 2))
    uv_per_vertex[np.asarray(body["face_vertex_indices"]).ravel()] = np.asarray(uv)[
        np.asarray(body["face_texture_coordinate_indices"]).ravel()
    ]
    indices = model.vertex_bone_indices.numpy()
    rows = np.repeat(np.arange(len(indices)), indices.shape[1])
    weights = sparse.csr_matrix(
        (model.vertex_bone_weights.numpy().ravel(), (rows, indices.ravel())),
        shape=(len(indices), len(model.bone_labels)),
    )
    bodies = []
    for person in people:
        with torch.no_grad():
            output = model(
                phenotype_kwargs=dict(person.phenotype),
                facial_actions={action: share * person.smile for action, share in SMILE.items()},
            )
        bodies.append(
            Body(
                rest=output["rest_vertices"][0].double().numpy(),
                weights=weights,
                labels=list(model.bone_labels),
                parents=[int(p) for p in model.bone_parents],
                heads=output["rest_bone_heads"][0].double().numpy(),
                groups=groups,
                uv=uv_per_vertex,
            )
        )
    return bodies


def read_mask(name: str, uv: Array) -> Array:
    """Sample one of the model's region masks (1 inside) at texture coordinates."""
    from anny.paths import get_anny_root_dir

    with Image.open(get_anny_root_dir() / "data/mpfb2/textures" / name) as picture:
        mask = np.asarray(picture.convert("L"), float) / 255
    rows = np.clip(((1 - uv[:, 1]) * mask.shape[0]).astype(int), 0, mask.shape[0] - 1)
    columns = np.clip((uv[:, 0] * mask.shape[1]).astype(int), 0, mask.shape[1] - 1)
    return mask[rows, columns]


# ------------------------------------------------------------------------------ posing

# Which bone's beginning is the far end of an aimed bone.
TIPS = {
    "clavicle": "upperarm01",
    "upperarm01": "lowerarm01",
    "lowerarm01": "wrist",
    "wrist": "finger3-1",
    "upperleg01": "lowerleg01",
    "lowerleg01": "foot",
}
SHOE_SOLE = 0.014


def bone_direction(body: Body, bone: str) -> Array:
    """Return the rest direction from a bone's beginning to its tip."""
    stem, _, side = bone.partition(".")
    return body.head_of(f"{TIPS[stem]}.{side}") - body.head_of(bone)


def sole_height(body: Body) -> float:
    """Return the z of the bare soles at rest."""
    return float(body.rest[body.groups["helper-tights"], 2].min())


def ball_offset(body: Body, side: str) -> Array:
    """Return the rest vector from the ankle to the ball of the foot."""
    toes = np.mean([body.head_of(f"toe{k}-1.{side}") for k in range(1, 6)], axis=0)
    return toes - body.head_of(f"foot.{side}")


def plan_foot(body: Body, side: str, foot: Foot) -> tuple[Array, Array, Array]:
    """Return the ankle's place, the foot's rotation and the toes' rotation."""
    ball = ball_offset(body, side)
    toes = rotation((0, 0, 1), foot.yaw)
    sole = toes @ rotation((1, 0, 0), foot.pitch)
    ankle_height = body.head_of(f"foot.{side}")[2] - sole_height(body) + SHOE_SOLE
    flat_ball = toes @ ball
    ball_at = np.array([*foot.spot, ankle_height + foot.lift]) + flat_ball
    return ball_at - sole @ ball, sole, toes


def leg_rotations(
    body: Body, side: str, hip: Array, ankle: Array, pelvis: Array, foot: Foot
) -> tuple[Array, Array]:
    """Return world rotations of thigh and shin by two-bone inverse kinematics."""
    thigh = bone_direction(body, f"upperleg01.{side}")
    shin = bone_direction(body, f"lowerleg01.{side}")
    upper, lower = np.linalg.norm(thigh), np.linalg.norm(shin)
    line = ankle - hip
    # A leg that is asked to reach too far stays a little bent instead of snapping straight.
    reach = min(float(np.linalg.norm(line)), 0.998 * (upper + lower))
    line = unit(line)
    pole = np.asarray(foot.knee or rotation((0, 0, 1), foot.yaw) @ np.array([0.0, -1.0, 0.0]))
    pole = unit(pole - (pole @ line) * line)
    along = (upper**2 + reach**2 - lower**2) / (2 * reach)
    knee = hip + along * line + math.sqrt(max(upper**2 - along**2, 0.0)) * pole
    thigh_turn = swing(pelvis @ thigh, knee - hip) @ pelvis
    # Twist the thigh so that the kneecap looks along the pole.
    hinge = np.cross(pole, line)
    axis = unit(knee - hip)
    current = thigh_turn @ np.array([1.0, 0.0, 0.0])
    flat, wanted = current - (current @ axis) * axis, hinge - (hinge @ axis) * axis
    thigh_turn = swing(flat, wanted) @ thigh_turn
    shin_turn = swing(thigh_turn @ shin, hip + reach * line - knee) @ thigh_turn
    return thigh_turn, shin_turn


def curl_axis(body: Body, side: str, finger: int) -> Array:
    """Return the rest axis about which a finger closes towards the palm."""
    if finger == 1:
        return unit(body.head_of(f"finger2-1.{side}") - body.head_of(f"finger5-1.{side}"))
    across = body.head_of(f"finger5-1.{side}") - body.head_of(f"finger2-1.{side}")
    return unit(across) * (1.0 if side == "L" else -1.0)


def bone_rotation(body: Body, pose: Pose, bone: str, parent: Array) -> Array:
    """Return the world rotation of one bone that no inverse kinematics governs."""
    turned = parent
    if bone in pose.turns:
        turned = parent @ euler(pose.turns[bone])
    if bone in pose.aims:
        turned = swing(turned @ bone_direction(body, bone), np.asarray(pose.aims[bone])) @ turned
    if bone in pose.twists:
        turned = rotation(turned @ bone_direction(body, bone), pose.twists[bone]) @ turned
    if bone.startswith("finger"):
        finger, joint, side = int(bone[6]), int(bone[8]), bone[-1]
        # The thumb closes least; inner fingers close a little less than outer ones.
        amount = pose.curl[side] * (0.35 if finger == 1 else 0.75 + 0.12 * finger)
        axis = curl_axis(body, side, finger)
        if finger != 1:
            turned = turned @ rotation(axis, amount * (1.0 if joint < 3 else 0.7))
    return turned


def pose_bones(body: Body, pose: Pose) -> Array:
    """Return a 4x4 transform per bone, from rest to the posed world."""
    standing = float(body.head_of("root")[2]) - sole_height(body) + SHOE_SOLE
    count = len(body.labels)
    turns, places = np.zeros((count, 3, 3)), np.zeros((count, 3))
    plans = {side: plan_foot(body, side, foot) for side, foot in pose.feet.items()}
    shins: dict[str, Array] = {}
    for index, (bone, parent) in enumerate(zip(body.labels, body.parents, strict=True)):
        side = bone[-1]
        if parent < 0:
            turns[index] = euler(pose.turns.get(bone, (0.0, 0.0, 0.0)))
            places[index] = (pose.pelvis[0], pose.pelvis[1], pose.pelvis[2] * standing)
            continue
        above = turns[parent]
        places[index] = places[parent] + above @ (body.heads[index] - body.heads[parent])
        if bone.startswith("upperleg01"):
            ankle, _, _ = plans[side]
            turns[index], shins[side] = leg_rotations(
                body, side, places[index], ankle, above, pose.feet[side]
            )
        elif bone.startswith("lowerleg01"):
            turns[index] = shins[side]
        elif bone.startswith("foot"):
            turns[index] = plans[side][1]
        elif bone.startswith("toe") and bone[4:6] == "-1":
            turns[index] = plans[side][2] if pose.feet[side].pitch > 0 else above
        else:
            turns[index] = bone_rotation(body, pose, bone, above)
    heading = rotation((0, 0, 1), pose.yaw)
    transforms = np.tile(np.eye(4), (count, 1, 1))
    transforms[:, :3, :3] = heading @ turns
    moved = places - np.einsum("bij,bj->bi", turns, body.heads)
    transforms[:, :3, 3] = moved @ heading.T
    return transforms


def skin(points: Array, weights: Any, transforms: Array) -> Array:
    """Move rest points with their bones (linear blend skinning)."""
    blended = np.asarray(weights @ transforms.reshape(len(transforms), 16)).reshape(-1, 4, 4)
    return np.einsum("vij,vj->vi", blended[:, :3, :3], points) + blended[:, :3, 3]


def joints_of(body: Body, transforms: Array) -> Array:
    """Return the 14 joints in the posed world."""
    joints = []
    for bone in JOINT_BONES:
        index = body.labels.index(bone)
        joints.append(transforms[index, :3, :3] @ body.heads[index] + transforms[index, :3, 3])
    scalp = np.unique(body.groups["body"])
    crown = body.rest[scalp[np.argmax(body.rest[scalp, 2])]]
    head = transforms[body.labels.index("head")]
    joints.append(head[:3, :3] @ crown + head[:3, 3])
    return np.stack(joints)


# ------------------------------------------------------------------------------ dressing


@dataclass(frozen=True)
class Regions:
    """Rest-pose measures per vertex that say where garments end."""

    arm: Array
    leg: Array
    height: Array
    collar: Array


def limb_measure(points: Array, start: Array, middle: Array, end: Array) -> Array:
    """Return how far along a limb points lie: 0 at start, 1 at middle, 2 at end."""
    first, second = middle - start, end - middle
    upper = (points - start) @ first / (first @ first)
    lower = 1 + (points - middle) @ second / (second @ second)
    return np.where(lower > 1, lower, np.minimum(upper, 1.0))


def measure_regions(body: Body) -> Regions:
    """Measure every vertex along arms and legs, and against waist and collar."""
    arm = np.full(len(body.rest), -1.0)
    leg = np.full(len(body.rest), -1.0)
    right_side = body.rest[:, 0] < 0
    for side in "LR":
        here = right_side if side == "R" else ~right_side
        along = limb_measure(
            body.rest, *(body.head_of(f"{b}.{side}") for b in ("upperarm01", "lowerarm01", "wrist"))
        )
        on_arm = body.weight_of("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
        arm = np.where(here, np.where(on_arm > 0.5, along, np.minimum(along, 0.0)), arm)
        along = limb_measure(
            body.rest, *(body.head_of(f"{b}.{side}") for b in ("upperleg01", "lowerleg01", "foot"))
        )
        leg = np.where(here & (on_arm < 0.5), along, leg)
    neck = body.head_of("neck01")
    tilt = unit(np.array([0.0, -0.52, 0.85]))
    collar = (body.rest - neck - np.array([0.0, 0.0, 0.012])) @ tilt
    return Regions(arm=arm, leg=leg, height=body.rest[:, 2], collar=collar)


@dataclass(frozen=True)
class Tailor:
    """Cuts garments for one posed body."""

    body: Body
    transforms: Array
    regions: Regions
    seed: int

    def cloth(self, levels: int = 2) -> tuple[Array, Ints]:
        """Return the subdivided tights: rest (0:3), posed (3:6), arm, leg, collar (6:9)."""
        body, regions = self.body, self.regions
        posed = skin(body.rest, body.weights, self.transforms)
        measures = np.stack([regions.arm, regions.leg, regions.collar], axis=1)
        values = np.concatenate([body.rest, posed, measures], axis=1)
        values, faces = compact(values, body.groups["helper-tights"])
        for _ in range(levels):
            values, faces = subdivide(values, faces)
        return values, faces

    def finish(
        self, values: Array, faces: Ints, rounds: int, offset: Callable[[Array], Array]
    ) -> tuple[Array, Array, Ints]:
        """Smooth, inflate and thicken a cut garment; return its values, vertices and faces."""
        posed = smooth(values[:, 3:6], faces, rounds)
        posed = posed + normals_of(posed, faces) * offset(values)[:, None]
        posed = smooth(posed, faces, 2)
        both, faces = subdivide(np.concatenate([values, posed], axis=1), faces)
        values, posed = both[:, :-3], both[:, -3:]
        vertices, faces = thicken(posed, faces, 0.003)
        return np.concatenate([values, values]), vertices, faces

    def weave(self, values: Array, colour: Array) -> Array:
        """Shade cloth unevenly, so that it does not look like plastic."""
        tone = (
            1
            + 0.03 * waves(values[:, :3], 0.05, self.seed)
            + 0.03 * waves(values[:, :3], 0.004, self.seed + 1)
        )
        return np.clip(colour * tone[:, None], 0.0, 0.95)

    def folds(self, values: Array, size: float) -> Array:
        """Return folds that run mostly around the limbs and mostly down the torso."""
        rest = values[:, :3]
        stretched = rest * np.array([1.0, 1.0, 0.55])
        ridged = waves(stretched, 0.11, self.seed + 2) + 0.25 * waves(rest, 0.05, self.seed + 3)
        return size * ridged

    def shirt(self, outfit: Outfit) -> Surface:
        """Cut a T-shirt with sleeves to `outfit.sleeve`."""
        values, faces = self.cloth()
        hem = self.body.head_of("upperleg01.L")[2] - 0.055
        arm, collar, height = values[:, 6], values[:, 8], values[:, 2]
        level = np.minimum(np.minimum(height - hem, -collar), (outfit.sleeve - arm) * 0.28)
        # Hands hang lower than the hem: nothing of an arm is cut off by it.
        level = np.where(arm > 0.3, (outfit.sleeve - arm) * 0.28, level)
        values, faces = clip(values, faces, level)
        chest = float(self.body.head_of("spine01")[2])

        def offset(at: Array) -> Array:
            on_arm = smoothstep(0.0, 0.3, at[:, 6])
            waist = smoothstep(chest, hem, at[:, 2]) * (1 - on_arm)
            sleeve = 0.006 * smoothstep(0.1, 0.5, at[:, 6])
            tight = 0.4 + 0.6 * smoothstep(0.0, 0.12, -at[:, 8])
            body = 0.010 + outfit.looseness * (0.020 * waist + sleeve)
            return tight * (body + self.folds(at, 0.0022) * (0.6 + 0.4 * waist))

        values, vertices, faces = self.finish(values, faces, 60, offset)
        sleeves = smoothstep(0.14, 0.16, values[:, 6])
        colour = mix(outfit.shirt, outfit.sleeve_colour, sleeves)
        rib = smoothstep(0.019, 0.016, -values[:, 8])
        colour = mix(colour, outfit.sleeve_colour, rib)
        return Surface("shirt", vertices, faces, self.weave(values, colour))

    def trousers(self, outfit: Outfit) -> Surface:
        """Cut trousers or shorts with legs to `outfit.trouser_leg`."""
        values, faces = self.cloth()
        waist = self.body.head_of("upperleg01.L")[2] + 0.10
        arm, leg, height = values[:, 6], values[:, 7], values[:, 2]
        level = np.minimum(waist - height, (outfit.trouser_leg - leg) * 0.4)
        values, faces = clip(values, faces, np.where(arm > 0.3, -1.0, level))

        def offset(at: Array) -> Array:
            down = smoothstep(0.0, 1.0, at[:, 7])
            crease = 0.6 + 1.2 * np.exp(-(((at[:, 7] - 1.0) / 0.18) ** 2))
            return 0.006 + outfit.looseness * 0.012 * down + self.folds(at, 0.0022) * crease * down

        values, vertices, faces = self.finish(values, faces, 22, offset)
        colour = np.tile(outfit.trousers, (len(values), 1))
        return Surface("trousers", vertices, faces, self.weave(values, colour))

    def socks(self, outfit: Outfit) -> Surface:
        """Cut ankle socks."""
        values, faces = self.cloth()
        leg = values[:, 7]
        values, faces = clip(values, faces, np.minimum(leg - 1.74, 2.3 - leg))
        values, vertices, faces = self.finish(values, faces, 6, lambda at: 0.003 + 0 * at[:, 0])
        return Surface(
            "socks",
            vertices,
            faces,
            self.weave(values, np.tile(outfit.socks, (len(values), 1))),
        )

    def shoe_transforms(self, values: Array) -> Array:
        """Move shoe points with foot and toes only: a shoe does not follow the shin."""
        labels = self.body.labels
        moved = np.zeros((len(values), 3))
        for side, here in (("L", values[:, 0] > 0), ("R", values[:, 0] <= 0)):
            foot = self.transforms[labels.index(f"foot.{side}")]
            toes = self.transforms[labels.index(f"toe3-1.{side}")]
            ankle = self.body.head_of(f"foot.{side}")
            ball = ball_offset(self.body, side)[1]
            share = smoothstep(0.82, 1.18, (values[:, 1] - ankle[1]) / ball)[:, None]
            by_foot = values @ foot[:3, :3].T + foot[:3, 3]
            by_toes = values @ toes[:3, :3].T + toes[:3, 3]
            moved = np.where(here[:, None], by_foot * (1 - share) + by_toes * share, moved)
        return moved

    def shoes(self, outfit: Outfit) -> list[Surface]:
        """Cut trainers: an inflated upper and a flat, slightly wider sole."""
        values, faces = self.cloth()
        floor = sole_height(self.body)
        ankle = self.body.head_of("foot.L")
        # The opening rises towards the heel, as on a trainer.
        opening = ankle[2] + 0.006 + 0.25 * (values[:, 1] - ankle[1]) - values[:, 2]
        values, faces = clip(values, faces, opening)
        rest = smooth(values[:, :3], faces, 25)
        rest = rest + 0.009 * normals_of(rest, faces)
        surfaces = []
        seam = floor + 0.022
        for name, sign, colour in (("uppers", 1.0, outfit.shoes), ("soles", -1.0, outfit.soles)):
            points, part = clip(rest, faces, sign * (rest[:, 2] - seam))
            if name == "soles":
                spread = normals_of(points, part) * np.array([1.0, 1.0, 0.0])
                points = points + 0.004 * unit(spread) * (
                    np.linalg.norm(spread, axis=1, keepdims=True) > 0.3
                )
                points[:, 2] = np.maximum(points[:, 2], floor - SHOE_SOLE)
                low = points[:, 2] < floor + 0.004
                points[low, 2] = floor - SHOE_SOLE
            points, part = subdivide(points, part)
            laces = np.zeros(len(points))
            if name == "uppers":
                forward = (points[:, 1] - ankle[1]) / ball_offset(self.body, "L")[1]
                middle = np.abs(np.abs(points[:, 0]) - abs(ankle[0]) - 0.012 * forward) < 0.021
                bars = np.sin(forward * 42) > 0.2
                inside = (forward > 0.25) & (forward < 0.85) & (points[:, 2] > seam + 0.03)
                laces = (middle & bars & inside).astype(float)
            colours = mix(np.tile(colour, (len(points), 1)), outfit.soles, laces)
            moved = self.shoe_transforms(points)
            moved, part = thicken(moved, part, 0.003)
            surfaces.append(Surface(name, moved, part, np.tile(colours, (2, 1)), 0.6, 0.3))
        return surfaces


# ------------------------------------------------------------------------------ skin and hair


def eye_middle(body: Body) -> Array:
    """Return the point between the eyes, at rest."""
    return (body.head_of("eye.L") + body.head_of("eye.R")) / 2


def hair_level(body: Body, points: Array, ears: Array, style: str) -> Array:
    """Return a rest-pose measure that is positive where hair grows (metres)."""
    relative = points - eye_middle(body)
    # Hairline: depth behind the eyes against the height above them. Forehead, temple, sideburn,
    # behind the ear, nape.
    depth = [-0.05, 0.00, 0.02, 0.04, 0.055, 0.075, 0.10, 0.125, 0.16, 0.2]
    line = [0.075, 0.066, 0.058, 0.036, 0.006, 0.002, 0.015, -0.03, -0.055, -0.06]
    if style == "tied":
        line = [0.072, 0.062, 0.054, 0.034, 0.012, 0.012, 0.02, -0.01, -0.03, -0.035]
    level = relative[:, 2] - np.interp(relative[:, 1], depth, line)
    level = level + 0.0022 * waves(points, 0.014, 5)
    return np.where(ears > 0.5, -0.01, level)


def hair_surfaces(tailor: Tailor, person: Person) -> list[Surface]:
    """Grow a cap of hair on the scalp, and a bun or a ponytail where the style has one."""
    body = tailor.body
    ears = read_mask("mpfb_ears.jpg", body.uv)
    head_weight = body.weight_of("head", "neck03")
    posed = skin(body.rest, body.weights, tailor.transforms)
    values = np.concatenate([body.rest, posed, ears[:, None]], axis=1)
    faces = body.groups["body"]
    faces = faces[(head_weight[faces] > 0.5).all(axis=1)]
    values, faces = compact(values, faces)
    for _ in range(2):
        values, faces = subdivide(values, faces)
    level = hair_level(body, values[:, :3], values[:, 6], person.hairstyle)
    both, faces = clip(np.concatenate([values, level[:, None]], axis=1), faces, level)
    values, level = both[:, :7], both[:, 7]
    rest, middle = values[:, :3], eye_middle(body)
    grown = smoothstep(-0.004, 0.05, level)
    top = smoothstep(0.02, 0.10, rest[:, 2] - middle[2])
    length = {"short": 0.007 + 0.013 * top, "tied": 0.006 + 0.006 * top, "crop": 0.005 + 0 * top}[
        person.hairstyle
    ]
    whorl = middle + np.array([0.0, 0.14, 0.08])
    if person.hairstyle != "tied":
        whorl = middle + np.array([0.025, 0.10, 0.12])
    away = rest - whorl
    angle = np.stack(
        [np.arctan2(away[:, 0], away[:, 2] - 0.1 * away[:, 1]), 4 * np.linalg.norm(away, axis=1)], 1
    )
    strand = 0.6 * waves(angle * [1, 0.15], 0.10, 7) + 0.4 * waves(angle * [1, 0.2], 0.035, 8)
    curls = waves(rest, 0.012, 9) if person.hairstyle == "crop" else strand
    vertices = smooth(values[:, 3:6], faces, 4)
    normal = normals_of(vertices, faces)
    lift = 0.001 + length * grown * (1 + 0.16 * curls) + 0.0012 * strand
    vertices = vertices + normal * lift[:, None]
    colour = np.asarray(person.hair) * np.exp(0.22 * strand + 0.12 * curls)[:, None]
    surfaces = [Surface("hair", vertices, faces, colour, 0.6, 0.3)]
    if person.hairstyle == "tied":
        surfaces.append(ponytail(tailor, person))
    return surfaces


def ponytail(tailor: Tailor, person: Person) -> Surface:
    """Hang a ponytail from the back of the head."""
    body = tailor.body
    start = eye_middle(body) + np.array([0.0, 0.165, 0.045])
    steps = np.linspace(0, 1, 40)
    path = start + np.stack(
        [0.012 * np.sin(3 * steps), 0.055 * np.sin(2.2 * steps), 0.03 * steps - 0.27 * steps**1.6],
        axis=1,
    )
    radii = 0.034 * np.sqrt(np.clip(1 - steps**2.2, 0, 1)) * (0.5 + 0.5 * smoothstep(0, 0.3, steps))
    radii[0] = 0.0
    vertices, faces = tube(path, radii, 48)
    around = np.tile(np.linspace(0, 2 * math.pi, 48, endpoint=False), len(steps))
    along = np.repeat(steps, 48)
    strand = waves(np.stack([np.cos(around), np.sin(around), 0.15 * along], 1), 0.22, 11)
    centre = np.repeat(path, 48, axis=0)
    vertices = centre + (vertices - centre) * (1 + 0.10 * strand)[:, None]
    colour = np.asarray(person.hair) * np.exp(0.25 * strand)[:, None]
    head = tailor.transforms[body.labels.index("head")]
    return Surface("ponytail", vertices @ head[:3, :3].T + head[:3, 3], faces, colour, 0.45, 0.5)


def skin_colours(body: Body, values: Array, person: Person) -> Array:
    """Colour skin, lips, brows and a little blush; `values` is rest, posed, uv."""
    rest, uv = values[:, :3], values[:, 6:8]
    relative = rest - eye_middle(body)
    side = np.abs(relative[:, 0])
    front = relative[:, 1] < 0.06
    tone = 1 + 0.025 * waves(rest, 0.03, 21) + 0.015 * waves(rest, 0.008, 22)
    colour = np.asarray(person.skin) * tone[:, None]
    flushed = np.asarray(person.skin) * np.array([1.06, 0.83, 0.8])
    cheeks = np.exp(-(((side - 0.042) / 0.02) ** 2) - ((relative[:, 2] + 0.035) / 0.02) ** 2)
    nose = np.exp(-((side / 0.014) ** 2) - ((relative[:, 2] + 0.038) / 0.014) ** 2)
    colour = mix(colour, flushed, np.where(front, np.clip(0.6 * cheeks + 0.5 * nose, 0, 1), 0.0))
    lips = smoothstep(0.3, 0.7, read_mask("mpfb_lips.jpg", uv))
    colour = mix(colour, person.lips, 0.85 * lips)
    arch = 0.0225 + 0.0055 * np.sin(np.clip((side - 0.012) / 0.050, 0, 1) * math.pi * 0.85)
    brow = smoothstep(0.0055, 0.0030, np.abs(relative[:, 2] - arch))
    brow = brow * smoothstep(0.008, 0.013, side) * smoothstep(0.054, 0.044, side)
    return mix(colour, person.hair, np.where(front, 0.85 * brow, 0.0))


def skin_surface(tailor: Tailor, person: Person) -> Surface:
    """Return the skin that clothes leave bare; the rest of the body is never built."""
    body, regions, outfit = tailor.body, tailor.regions, person.outfit
    posed = skin(body.rest, body.weights, tailor.transforms)
    bare = regions.arm > outfit.sleeve - 0.35
    bare |= (regions.collar > -0.06) & (regions.arm < 0.0) & (np.abs(body.rest[:, 0]) < 0.13)
    bare |= (regions.leg > outfit.trouser_leg - 0.15) & (regions.leg < 1.86)
    faces = body.groups["body"]
    faces = faces[bare[faces].all(axis=1)]
    values, faces = compact(np.concatenate([body.rest, posed, body.uv], axis=1), faces)
    values, faces = subdivide(values, faces)
    vertices = smooth(values[:, 3:6], faces, 2)
    return Surface("skin", vertices, faces, skin_colours(body, values, person), 0.5, 0.35)


def eye_surfaces(tailor: Tailor, person: Person) -> list[Surface]:
    """Return eyeballs with an iris, and lashes."""
    body = tailor.body
    posed = skin(body.rest, body.weights, tailor.transforms)
    both = np.concatenate([body.rest, posed], axis=1)
    surfaces = []
    for letter, side in (("l", "L"), ("r", "R")):
        values, faces = compact(both, body.groups[f"helper-{letter}-eye"])
        for _ in range(3):
            values, faces = subdivide(values, faces)
        centre = (values[:, :3].max(axis=0) + values[:, :3].min(axis=0)) / 2
        across = np.linalg.norm((values[:, :3] - centre)[:, [0, 2]], axis=1)
        colour = mix(np.tile((0.80, 0.78, 0.76), (len(values), 1)), person.eyes, across < 0.0060)
        colour = mix(colour, (0.01, 0.01, 0.01), across < 0.0027)
        surfaces.append(
            Surface(f"eye{side}", smooth(values[:, 3:6], faces, 4), faces, colour, 0.15, 0.5)
        )
        for part in (1, 2):
            lash, lash_faces = compact(both, body.groups[f"helper-{letter}-eyelashes-{part}"])
            dark = np.tile((0.02, 0.015, 0.012), (len(lash), 1))
            surfaces.append(Surface(f"lash{side}{part}", lash[:, 3:6], lash_faces, dark))
    return surfaces


def dress(body: Body, transforms: Array, person: Person, seed: int) -> list[Surface]:
    """Return everything of the person that can be seen."""
    tailor = Tailor(body, transforms, measure_regions(body), seed)
    return [
        skin_surface(tailor, person),
        *eye_surfaces(tailor, person),
        *hair_surfaces(tailor, person),
        tailor.shirt(person.outfit),
        tailor.trousers(person.outfit),
        tailor.socks(person.outfit),
        *tailor.shoes(person.outfit),
    ]


# ------------------------------------------------------------------------------ places


@dataclass(frozen=True)
class Place:
    """Where a picture is taken: plain surfaces plus ready Mitsuba scene entries."""

    surfaces: list[Surface]
    entries: dict[str, Any]


def sky(sun: Vec, sun_strength: float, warmth: float, seed: int) -> dict[str, Any]:
    """Return an environment light: gradient sky, soft clouds and a slightly enlarged sun."""
    import mitsuba as mi

    height, width = 512, 1024
    polar = (np.arange(height) + 0.5) / height * math.pi
    around = (np.arange(width) + 0.5) / width * 2 * math.pi
    level = np.cos(polar)[:, None] + 0 * around
    ring = np.sin(polar)[:, None]
    directions = np.stack([ring * np.sin(around), ring * np.cos(around), level], axis=-1)
    up = np.clip(level, 0, 1)
    colour = mix((0.55, 0.75, 0.97), (0.11, 0.31, 0.82), smoothstep(0.0, 0.6, up) ** 0.7)
    plane = directions[..., :2] / (0.25 + up)[..., None]
    cover = sum(waves(plane, size, seed + i) * size for i, size in enumerate((1.6, 0.8, 0.4, 0.2)))
    clouds = smoothstep(0.6, 2.8, np.asarray(cover)) * smoothstep(0.02, 0.2, up)
    colour = mix(colour, (1.0, 0.99, 0.97), 0.8 * clouds)
    colour[level < 0] = (0.23, 0.24, 0.18)
    near_sun = directions @ unit(np.asarray(sun))
    glow = np.exp((near_sun - 1) / 0.01)
    disc = smoothstep(math.cos(math.radians(2.4)), math.cos(math.radians(1.8)), near_sun)
    sunlight = np.array([1.0, 0.92 - 0.08 * warmth, 0.80 - 0.2 * warmth])
    radiance = colour + (glow * 1.5 + disc * sun_strength)[..., None] * sunlight
    return {
        "type": "envmap",
        "bitmap": mi.Bitmap(np.ascontiguousarray(radiance.astype(np.float32))),
        "to_world": mi.ScalarTransform4f().rotate([1, 0, 0], 90),
    }


def textured_floor(
    image: Array, origin: tuple[float, float], size: float, bsdf: Mapping[str, Any], z: float = 0.0
) -> dict[str, Any]:
    """Return a square floor that shows `image` (linear RGB) once from `origin` on."""
    import mitsuba as mi

    texture = {
        "type": "bitmap",
        "bitmap": mi.Bitmap(np.ascontiguousarray(image.astype(np.float32))),
        "raw": True,
        "wrap_mode": "mirror",
    }
    middle = [origin[0] + size / 2, origin[1] + size / 2, z]
    place = mi.ScalarTransform4f().translate(middle).scale([size / 2, size / 2, 1])
    key = "base_color" if bsdf["type"] == "principled" else "reflectance"
    return {"type": "rectangle", "to_world": place, "bsdf": {**bsdf, key: texture}}


def grid(size: float, count: int, origin: tuple[float, float]) -> Array:
    """Return world x, y of the texels of a floor texture; row 0 is the near edge."""
    steps = (np.arange(count) + 0.5) / count * size
    x, y = np.meshgrid(steps + origin[0], steps + origin[1])
    return np.stack([x, y], axis=-1)


def grass_image(points: Array, seed: int) -> Array:
    """Return the colour of lawn at ground points."""
    rng = np.random.default_rng(seed)
    patches = 0.5 * waves(points, 1.7, seed) + 0.5 * waves(points, 0.35, seed + 1)
    colour = mix((0.075, 0.13, 0.028), (0.13, 0.18, 0.045), smoothstep(-1.4, 1.4, patches))
    return colour * np.exp(0.25 * rng.normal(size=(*points.shape[:-1], 1)))


def grass_blades(
    area: tuple[float, float, float, float],
    count: int,
    seed: int,
    keep: Callable[[Array], NDArray[np.bool_]] | None = None,
) -> Surface:
    """Scatter bent blades of grass over x0, x1, y0, y1."""
    rng = np.random.default_rng(seed)
    x0, x1, y0, y1 = area
    roots = np.stack([rng.uniform(x0, x1, count), rng.uniform(y0, y1, count)], axis=1)
    if keep is not None:
        roots = roots[keep(roots)]
    count = len(roots)
    patches = waves(roots, 0.9, seed + 1)
    tall = rng.uniform(0.025, 0.06, count) * (1 + 0.2 * patches)
    turn = rng.uniform(0, 2 * math.pi, count)
    lean = rng.uniform(0.1, 0.9, count)[:, None] * tall[:, None]
    heading = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    half = 0.0026 * np.stack([-heading[:, 1], heading[:, 0]], axis=1)
    flat = np.zeros((count, 1))
    low_left = np.concatenate([roots - half, flat], axis=1)
    low_right = np.concatenate([roots + half, flat], axis=1)
    tip = np.concatenate([roots + heading * lean, tall[:, None]], axis=1)
    vertices = np.stack([low_left, low_right, tip], axis=1).reshape(-1, 3)
    faces = np.arange(3 * count).reshape(-1, 3)
    hue = rng.uniform(0, 1, count)
    colour = mix((0.10, 0.19, 0.035), (0.20, 0.26, 0.06), hue) * (1 + 0.15 * patches)[:, None]
    shades = np.stack([0.55 * colour, 0.55 * colour, 1.15 * colour], axis=1).reshape(-1, 3)
    # Single blades seen edge-on would sparkle: light them mostly like the lawn they form.
    tilt = rng.normal(size=(count, 3)) * [0.25, 0.25, 0.0] + [0.0, 0.0, 1.0]
    normals = np.repeat(unit(tilt), 3, axis=0)
    return Surface("grass", vertices, faces, np.clip(shades, 0, 0.9), normals=normals)


def foliage(name: str, centres: Array, radii: Array, leaf: float, seed: int, tint: Rgb) -> Surface:
    """Scatter leaves near the surfaces of ellipsoids, with outward shading normals."""
    rng = np.random.default_rng(seed)
    out = unit(rng.normal(size=centres.shape))
    depth = rng.uniform(0.75, 1.05, (len(centres), 1))
    spots = centres + out * radii * depth
    corners = rng.normal(size=(len(centres), 3, 3)) * leaf
    vertices = (spots[:, None] + corners).reshape(-1, 3)
    faces = np.arange(len(vertices)).reshape(-1, 3)
    tone = np.exp(rng.normal(size=(len(centres), 1)) * 0.25) * (0.55 + 0.45 * (out[:, 2:] + 1) / 2)
    hue = rng.uniform(0, 1, len(centres))
    colours = mix(tint, np.asarray(tint) * np.array([1.5, 1.15, 0.8]), hue) * tone
    # Outward normals shade a clump as one round thing instead of as confetti.
    normals = np.repeat(unit(out + 0.45 * rng.normal(size=out.shape)), 3, axis=0)
    colours = np.repeat(np.clip(colours, 0, 0.9), 3, axis=0)
    return Surface(name, vertices, faces, colours, normals=normals)


def tree(name: str, spot: tuple[float, float], tall: float, seed: int, tint: Rgb) -> list[Surface]:
    """Grow a leafy tree: a trunk and a dozen clumps of leaves."""
    rng = np.random.default_rng(seed)
    path = np.array([[*spot, -0.1], [*spot, 0.3 * tall], [*spot, 0.7 * tall]])
    path = path + rng.normal(size=path.shape) * [[0, 0, 0], [0.1, 0.1, 0], [0.25, 0.25, 0]]
    trunk, faces = tube(path, np.array([0.045, 0.03, 0.012]) * tall)
    bark = np.tile((0.11, 0.08, 0.055), (len(trunk), 1))
    clumps = rng.normal(size=(14, 3)) * [0.17 * tall, 0.17 * tall, 0.14 * tall]
    clumps = clumps + [*spot, 0.66 * tall]
    sizes = rng.uniform(0.13, 0.21, (14, 1)) * tall * [1.0, 1.0, 0.75]
    pick = rng.integers(0, 14, 9000)
    leaves = foliage(f"{name}leaves", clumps[pick], sizes[pick], 0.013 * tall, seed + 1, tint)
    return [Surface(f"{name}trunk", trunk, faces, bark), leaves]


def hedge(y: float, tall: float, seed: int, tint: Rgb, half_width: float = 9.0) -> Surface:
    """Grow a clipped hedge along x."""
    rng = np.random.default_rng(seed)
    count = 26000
    centres = rng.uniform([-half_width, y, 0.1], [half_width, y + 0.7, tall], (count, 3))
    centres[:, 2] += 0.1 * waves(centres[:, :2], 1.5, seed)
    return foliage("hedge", centres, np.full((count, 3), 0.12), 0.05, seed + 1, tint)


def park(seed: int) -> Place:
    """Return a paved path between lawns, with a hedge and trees behind."""
    size, near, far = 20.0, -1.05, 1.25
    points = grid(size, 2048, (-10.0, -8.0))
    rng = np.random.default_rng(seed)
    speckle = rng.normal(size=points.shape[:2])
    tone = 0.30 * (1 + 0.06 * waves(points, 1.2, seed) + 0.05 * waves(points, 0.15, seed + 1))
    slab_x = np.abs((points[..., 0] / 0.6 + 0.5) % 1 - 0.5)
    slab_y = np.abs(((points[..., 1] - near) / 0.575) % 1 - 0.5)
    joint = (slab_x < 0.014) | (slab_y > 0.486)
    slab = np.floor(points[..., 0] / 0.6 + 0.5) * 7.3 + np.floor((points[..., 1] - near) / 0.575)
    tone = tone * (1 + 0.07 * np.sin(slab * 12.9)) * np.exp(0.10 * speckle)
    paving = mix(tone[..., None] * np.array([1.0, 0.94, 0.86]), (0.11, 0.10, 0.085), 0.75 * joint)
    on_path = (points[..., 1] > near) & (points[..., 1] < far)
    image = np.where(on_path[..., None], paving, grass_image(points, seed + 2))

    def on_lawn(roots: Array) -> NDArray[np.bool_]:
        wobble = 0.02 * waves(roots, 0.25, seed + 3)
        return (roots[:, 1] < near + wobble) | (roots[:, 1] > far + wobble)

    surfaces = [
        grass_blades((-3.2, 3.2, -2.4, 5.5), 130_000, seed + 4, on_lawn),
        hedge(7.5, 1.25, seed + 5, (0.08, 0.15, 0.04)),
        *tree("a", (-2.9, 11.5), 5.2, seed + 6, (0.12, 0.20, 0.05)),
        *tree("b", (1.9, 14.5), 6.4, seed + 7, (0.15, 0.22, 0.05)),
        *tree("c", (5.4, 12.0), 5.0, seed + 8, (0.10, 0.19, 0.05)),
        *tree("d", (-7.0, 15.0), 7.0, seed + 9, (0.12, 0.19, 0.045)),
    ]
    entries = {
        "floor": textured_floor(image, (-10.0, -8.0), size, {"type": "diffuse"}),
        "far_floor": far_ground((0.10, 0.15, 0.035)),
        "sky": sky((-0.55, -0.62, 0.75), 900.0, 0.3, seed + 10),
    }
    return Place(surfaces, entries)


def far_ground(colour: Rgb) -> dict[str, Any]:
    """Return plain ground out to the horizon, just below the textured floor."""
    import mitsuba as mi

    return {
        "type": "rectangle",
        "to_world": mi.ScalarTransform4f().translate([0, 0, -0.02]).scale([400, 400, 1]),
        "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": list(colour)}},
    }


def ball(centre: Vec, radius: float) -> Surface:
    """Return a volleyball-like ball with coloured panels."""
    steps = np.linspace(0, math.pi, 48)
    path = np.asarray(centre) + radius * np.stack([0 * steps, 0 * steps, -np.cos(steps)], axis=1)
    vertices, faces = tube(path, radius * np.sin(steps), 96)
    out = unit(vertices - np.asarray(centre)) @ euler((35.0, 25.0, 10.0)).T
    major = np.argmax(np.abs(out), axis=1)
    stripe = np.take_along_axis(out, ((major + 1) % 3)[:, None], axis=1)[:, 0]
    blue = np.abs(stripe) < 0.22
    colours = mix(np.tile((0.85, 0.72, 0.12), (len(out), 1)), (0.05, 0.13, 0.42), blue)
    return Surface("ball", vertices, faces, colours, 0.45, 0.4)


def meadow(seed: int) -> Place:
    """Return an open playing field with trees along its far side."""
    size = 26.0
    points = grid(size, 2048, (-13.0, -8.0))
    rng = np.random.default_rng(seed)

    def thinning(roots: Array) -> NDArray[np.bool_]:
        # No seam between blades and plain texture: blades get rarer with distance.
        return rng.uniform(0, 1, len(roots)) > smoothstep(-1.5, 13.0, roots[:, 1]) ** 0.6

    surfaces = [
        grass_blades((-5.2, 4.0, -4.6, 14.0), 620_000, seed + 1, thinning),
        hedge(24.0, 1.6, seed + 2, (0.075, 0.14, 0.04), 22.0),
    ]
    for index, x in enumerate((-15.0, -10.0, -6.5, -1.5, 4.0, 8.0, 12.5, 17.0)):
        y, tall = 26.0 + rng.uniform(0, 6), rng.uniform(4.2, 7.5)
        tint = (rng.uniform(0.10, 0.16), rng.uniform(0.17, 0.22), 0.05)
        surfaces += tree(f"t{index}", (x, y), tall, seed + 20 + index, tint)
    entries = {
        "floor": textured_floor(
            grass_image(points, seed + 3), (-13.0, -8.0), size, {"type": "diffuse"}
        ),
        "far_floor": far_ground((0.105, 0.155, 0.037)),
        "sky": sky((0.42, -0.75, 0.62), 900.0, 0.5, seed + 4),
    }
    return Place(surfaces, entries)


def plank_image(points: Array, seed: int) -> Array:
    """Return a floor of staggered oak planks that run along x."""
    rng = np.random.default_rng(seed)
    width, length = 0.13, 1.7
    row = np.floor(points[..., 1] / width).astype(int)
    shift = rng.uniform(0, length, 4096)[row % 4096]
    column = np.floor((points[..., 0] + shift) / length).astype(int)
    plank = (row * 131 + column * 17) % 4096
    tone = rng.uniform(-1, 1, 4096)[plank]
    offset = rng.uniform(0, 50, 4096)[plank]
    grain_at = np.stack([points[..., 0] * 0.06 + offset, points[..., 1] + 3 * offset], axis=-1)
    grain = 0.7 * waves(grain_at, 0.020, seed + 1) + 0.5 * waves(grain_at, 0.007, seed + 2)
    colour = mix((0.30, 0.18, 0.095), (0.43, 0.28, 0.155), 0.5 + 0.4 * tone)
    colour = colour * np.exp(0.10 * grain)[..., None]
    across = np.abs((points[..., 1] / width) % 1 - 0.5)
    along = np.abs(((points[..., 0] + shift) / length) % 1 - 0.5)
    gap = (across > 0.487) | (along > 0.4988)
    return mix(colour, (0.05, 0.03, 0.02), 0.8 * gap)


def box(name: str, low: Vec, high: Vec, colour: Rgb, roughness: float = 0.8) -> Surface:
    """Return an axis-aligned box with hard edges."""
    import trimesh

    size = np.asarray(high) - np.asarray(low)
    mesh = trimesh.creation.box(extents=size)
    corners = np.asarray(mesh.vertices) + (np.asarray(high) + np.asarray(low)) / 2
    vertices = corners[np.asarray(mesh.faces)].reshape(-1, 3)
    faces = np.arange(len(vertices)).reshape(-1, 3)
    return Surface(name, vertices, faces, np.tile(colour, (len(vertices), 1)), roughness)


def plant(spot: tuple[float, float], seed: int) -> list[Surface]:
    """Return a potted plant with long leaves."""
    rng = np.random.default_rng(seed)
    base = np.array([*spot, 0.0])
    rise = np.array([0.0, 0.0, 0.02, 0.34, 0.36, 0.36, 0.33])
    radii = np.array([0.0, 0.12, 0.13, 0.18, 0.185, 0.165, 0.0])
    pot, pot_faces = tube(base + np.outer(rise, [0, 0, 1]) + 1e-4, radii, 40)
    surfaces = [Surface("pot", pot, pot_faces, np.tile((0.55, 0.53, 0.5), (len(pot), 1)))]
    leaves, faces, colours = [], [], []
    for _ in range(26):
        turn, spread = rng.uniform(0, 2 * math.pi), rng.uniform(0.12, 0.5)
        reach, steps = rng.uniform(0.5, 1.0), np.linspace(0, 1, 9)
        heading = np.array([math.cos(turn), math.sin(turn), 0.0])
        path = base + [0, 0, 0.33] + steps[:, None] ** 1.4 * spread * heading
        path[:, 2] += reach * (steps - 0.35 * spread * 2 * steps**2.5)
        half = 0.055 * np.sin(math.pi * np.clip(steps, 0.03, 0.99)) ** 0.8
        side = np.cross(heading, [0, 0, 1]) * half[:, None]
        start = 18 * len(leaves)
        leaves.append(np.stack([path - side, path + side], axis=1).reshape(-1, 3))
        row = start + 2 * np.arange(8)[:, None]
        faces.append((row[:, None] + [[0, 1, 2], [1, 3, 2]]).reshape(-1, 3))
        shade = rng.uniform(0.7, 1.2) * np.array([0.05, 0.14, 0.04])
        colours.append(np.tile(shade, (18, 1)))
    stems = Surface(
        "leaves", np.concatenate(leaves), np.concatenate(faces), np.concatenate(colours), 0.4, 0.4
    )
    return [*surfaces, stems]


def studio(seed: int) -> Place:
    """Return a bright exercise room: oak floor, painted wall, a mat and a large window."""
    import mitsuba as mi

    image = plank_image(grid(8.0, 3072, (-4.0, -5.0)), seed)
    wall_y = 1.9
    surfaces = [
        box("wall", (-6, wall_y, -0.1), (6, wall_y + 0.2, 4), (0.50, 0.60, 0.62)),
        box("skirting", (-6, wall_y - 0.02, 0), (6, wall_y, 0.11), (0.80, 0.80, 0.78)),
        box("mat", (-1.2, -0.40, 0.0), (1.1, 0.40, 0.006), (0.12, 0.28, 0.30)),
        box("bench_top", (1.05, 1.35, 0.40), (2.35, 1.72, 0.45), (0.45, 0.30, 0.17), 0.5),
        box("bench_a", (1.12, 1.38, 0.0), (1.18, 1.69, 0.40), (0.07, 0.07, 0.07), 0.4),
        box("bench_b", (2.22, 1.38, 0.0), (2.28, 1.69, 0.40), (0.07, 0.07, 0.07), 0.4),
        box("frame", (0.78, wall_y - 0.03, 1.02), (1.63, wall_y, 1.62), (0.82, 0.80, 0.76)),
        box("print", (0.85, wall_y - 0.035, 1.09), (1.56, wall_y, 1.55), (0.62, 0.36, 0.22)),
        *plant((-1.75, 1.45), seed + 3),
    ]
    wood = {"type": "principled", "roughness": 0.38, "specular": 0.45}

    def panel(origin: Vec, target: Vec, half: tuple[float, float], power: Rgb) -> dict[str, Any]:
        frame = mi.ScalarTransform4f().look_at(origin=origin, target=target, up=[0, 0, 1])
        return {
            "type": "rectangle",
            "to_world": frame @ mi.ScalarTransform4f().scale([half[0], half[1], 1]),
            "emitter": {"type": "area", "radiance": {"type": "rgb", "value": list(power)}},
        }

    entries = {
        "floor": textured_floor(image, (-4.0, -5.0), 8.0, wood),
        "window": panel((-3.6, -1.6, 2.0), (0.0, 0.0, 0.9), (1.3, 1.0), (7.5, 7.2, 6.6)),
        "fill": panel((3.5, -3.5, 2.4), (0.0, 0.0, 1.0), (1.0, 1.0), (1.3, 1.4, 1.6)),
        "room": {"type": "constant", "radiance": {"type": "rgb", "value": [0.33, 0.34, 0.35]}},
    }
    return Place(surfaces, entries)


PLACES: Mapping[str, Callable[[int], Place]] = {"park": park, "meadow": meadow, "studio": studio}


# ------------------------------------------------------------------------------ the three shots

STANDING = Shot(
    name="standing",
    size=(672, 896),
    person=Person(
        phenotype={
            "gender": 1.0,
            "age": 0.72,
            "muscle": 0.5,
            "weight": 0.5,
            "height": 0.42,
            "proportions": 0.6,
            "african": 0.0,
            "asian": 0.15,
            "caucasian": 1.0,
        },
        skin=(0.56, 0.31, 0.205),
        lips=(0.46, 0.17, 0.14),
        hair=(0.085, 0.042, 0.02),
        eyes=(0.09, 0.13, 0.10),
        hairstyle="tied",
        outfit=Outfit(
            shirt=(0.60, 0.10, 0.085),
            sleeve_colour=(0.60, 0.10, 0.085),
            sleeve=0.52,
            trousers=(0.045, 0.07, 0.14),
            trouser_leg=1.93,
            looseness=1.2,
            shoes=(0.14, 0.30, 0.33),
        ),
    ),
    pose=Pose(
        pelvis=(0.02, 0.0, 0.972),
        feet={
            "L": Foot(spot=(0.10, -0.22), yaw=7.0),
            "R": Foot(spot=(-0.095, 0.20), yaw=-9.0, pitch=24.0),
        },
        aims={
            "upperarm01.L": (0.34, 0.24, -1.0),
            "lowerarm01.L": (0.19, -0.12, -1.0),
            "upperarm01.R": (-0.27, -0.16, -1.0),
            "lowerarm01.R": (-0.06, -0.62, -1.0),
            "clavicle.L": (1.0, 0.05, -0.08),
            "clavicle.R": (-1.0, -0.02, -0.08),
        },
        turns={
            "root": (2.0, -1.5, 5.0),
            "spine03": (1.0, 1.0, -5.0),
            "spine01": (0.0, 1.0, -5.0),
            "neck02": (0.0, 0.0, 6.0),
            "head": (-3.0, 2.0, 8.0),
        },
        yaw=-24.0,
    ),
    camera=Camera(origin=(0.0, -6.6, 1.28), target=(0.0, 0.0, 0.86), fov=16.4, aperture=0.035),
    place="park",
    exposure=0.58,
    seed=11,
)

REACHING = Shot(
    name="reaching",
    size=(896, 672),
    person=Person(
        phenotype={
            "gender": 0.0,
            "age": 0.68,
            "muscle": 0.72,
            "weight": 0.42,
            "height": 0.36,
            "proportions": 0.7,
            "african": 1.0,
            "asian": 0.0,
            "caucasian": 0.0,
        },
        skin=(0.18, 0.085, 0.05),
        lips=(0.20, 0.075, 0.06),
        hair=(0.012, 0.01, 0.009),
        eyes=(0.035, 0.02, 0.012),
        hairstyle="crop",
        outfit=Outfit(
            shirt=(0.82, 0.80, 0.74),
            sleeve_colour=(0.04, 0.22, 0.50),
            sleeve=0.5,
            trousers=(0.04, 0.16, 0.42),
            trouser_leg=0.82,
            looseness=1.2,
            shoes=(0.70, 0.12, 0.05),
        ),
    ),
    pose=Pose(
        pelvis=(0.0, 0.0, 0.955),
        feet={
            "L": Foot(spot=(0.20, 0.16), yaw=22.0, pitch=34.0),
            "R": Foot(spot=(-0.16, -0.16), yaw=-10.0, pitch=10.0),
        },
        aims={
            "clavicle.L": (1.0, -0.05, 0.42),
            "clavicle.R": (-1.0, -0.05, 0.42),
            "upperarm01.L": (0.48, -0.30, 1.0),
            "lowerarm01.L": (-0.06, -0.30, 1.0),
            "upperarm01.R": (-0.42, -0.34, 1.0),
            "lowerarm01.R": (0.05, -0.26, 1.0),
        },
        turns={
            "root": (-2.0, 0.0, 0.0),
            "spine03": (-4.0, 0.0, 0.0),
            "spine01": (-4.0, 0.0, 0.0),
            "neck02": (-8.0, 0.0, 0.0),
            "head": (-14.0, 0.0, 0.0),
        },
        curl={"L": 10.0, "R": 10.0},
        yaw=28.0,
    ),
    camera=Camera(origin=(-0.75, -13.5, 1.35), target=(-0.75, 0.0, 1.62), fov=25.0, aperture=0.07),
    place="meadow",
    exposure=0.72,
    seed=23,
    with_ball=True,
)

LUNGE = Shot(
    name="lunge",
    size=(896, 672),
    person=Person(
        phenotype={
            "gender": 0.06,
            "age": 0.80,
            "muscle": 0.5,
            "weight": 0.62,
            "height": 0.45,
            "proportions": 0.5,
            "african": 0.0,
            "asian": 1.0,
            "caucasian": 0.15,
        },
        skin=(0.52, 0.32, 0.20),
        lips=(0.40, 0.18, 0.14),
        hair=(0.02, 0.016, 0.014),
        eyes=(0.05, 0.03, 0.018),
        hairstyle="short",
        outfit=Outfit(
            shirt=(0.72, 0.44, 0.06),
            sleeve_colour=(0.72, 0.44, 0.06),
            sleeve=0.5,
            trousers=(0.085, 0.09, 0.10),
            trouser_leg=1.9,
            looseness=1.0,
            shoes=(0.10, 0.11, 0.13),
        ),
    ),
    pose=Pose(
        pelvis=(0.0, 0.0, 0.66),
        feet={
            "L": Foot(spot=(0.09, -0.46), yaw=3.0),
            "R": Foot(spot=(-0.09, 0.50), yaw=0.0, pitch=50.0),
        },
        aims={
            "clavicle.L": (1.0, 0.10, -0.04),
            "clavicle.R": (-1.0, -0.12, -0.04),
            "upperarm01.L": (0.42, 0.66, -0.72),
            "lowerarm01.L": (0.36, -0.52, -0.66),
            "upperarm01.R": (-0.22, -0.55, -0.80),
            "lowerarm01.R": (0.14, -0.80, 0.58),
        },
        turns={
            "root": (6.0, 0.0, -6.0),
            "spine03": (2.0, 0.0, 5.0),
            "spine01": (0.0, 0.0, 6.0),
            "head": (-6.0, 0.0, 4.0),
        },
        curl={"L": 48.0, "R": 48.0},
        yaw=-66.0,
    ),
    camera=Camera(origin=(0.1, -6.2, 1.25), target=(0.02, 0.0, 0.73), fov=25.0, aperture=0.03),
    place="studio",
    exposure=0.95,
    seed=37,
)

SHOTS = (STANDING, REACHING, LUNGE)


# ------------------------------------------------------------------------------ rendering


def mesh_of(surface: Surface, index: int) -> Any:
    """Hand one surface with its vertex colours to Mitsuba."""
    import mitsuba as mi

    bsdf: dict[str, Any] = {"type": "diffuse"}
    colour = {"type": "mesh_attribute", "name": "vertex_color"}
    if surface.roughness < 0.9:
        bsdf = {
            "type": "principled",
            "roughness": surface.roughness,
            "specular": surface.specular,
            "base_color": colour,
        }
    else:
        bsdf["reflectance"] = colour
    properties = mi.Properties()
    properties["mesh_bsdf"] = mi.load_dict({"type": "twosided", "bsdf": bsdf})
    mesh = mi.Mesh(
        f"{surface.name}_{index}",
        vertex_count=len(surface.vertices),
        face_count=len(surface.faces),
        has_vertex_normals=True,
        props=properties,
    )
    normals = surface.normals
    if normals is None:
        normals = normals_of(surface.vertices, surface.faces)
    mesh.add_attribute("vertex_color", 3, surface.colours.astype(np.float32).ravel())
    fields = mi.traverse(mesh)
    fields["vertex_positions"] = surface.vertices.astype(np.float32).ravel()
    fields["vertex_normals"] = normals.astype(np.float32).ravel()
    fields["faces"] = surface.faces.astype(np.uint32).ravel()
    fields.update()
    return mesh


def camera_axes(camera: Camera) -> tuple[Array, Array, Array]:
    """Return unit vectors to the picture's right, down and forward."""
    forward = unit(np.asarray(camera.target) - np.asarray(camera.origin))
    right = unit(np.cross(forward, np.array([0.0, 0.0, 1.0])))
    return right, np.cross(forward, right), forward


def project(points: Array, camera: Camera, size: tuple[int, int]) -> Array:
    """Return pixel x, y of world points, counted from the centre of the top-left pixel."""
    right, down, forward = camera_axes(camera)
    relative = points - np.asarray(camera.origin)
    focal = size[0] / 2 / math.tan(math.radians(camera.fov / 2))
    depth = relative @ forward
    x = size[0] / 2 + focal * (relative @ right) / depth
    y = size[1] / 2 + focal * (relative @ down) / depth
    return np.stack([x, y], axis=1) - 0.5


def sensor_of(shot: Shot, size: tuple[int, int]) -> dict[str, Any]:
    """Return the Mitsuba camera, focused on the person."""
    import mitsuba as mi

    camera = shot.camera
    return {
        "type": "thinlens",
        "fov": camera.fov,
        "fov_axis": "x",
        "aperture_radius": camera.aperture,
        "focus_distance": float(np.linalg.norm(np.asarray(camera.origin))),
        "to_world": mi.ScalarTransform4f().look_at(
            origin=list(camera.origin), target=list(camera.target), up=[0, 0, 1]
        ),
        "film": {
            "type": "hdrfilm",
            "width": size[0],
            "height": size[1],
            "rfilter": {"type": "gaussian"},
        },
        "sampler": {"type": "multijitter"},
    }


def visibility(scene: Any, camera: Camera, joints: Array) -> list[int]:
    """Return 2 for joints just under the first surface a ray meets, 1 for hidden ones."""
    import mitsuba as mi

    flags = []
    for joint, depth in zip(joints, JOINT_DEPTHS, strict=True):
        origin = np.asarray(camera.origin)
        way = joint - origin
        distance = float(np.linalg.norm(way))
        ray = mi.Ray3f(mi.ScalarPoint3f(*origin), mi.ScalarVector3f(*(way / distance)))
        hit = float(scene.ray_intersect(ray).t)
        flags.append(2 if hit > distance - depth else 1)
    return flags


def develop(radiance: Array, exposure: float, seed: int) -> Image.Image:
    """Turn linear radiance into an 8-bit picture: filmic curve, sRGB, a trace of grain."""
    light = np.clip(radiance, 0, None) * exposure
    toned = np.clip(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14), 0, 1)
    encoded = np.where(toned <= 0.0031308, 12.92 * toned, 1.055 * toned ** (1 / 2.4) - 0.055)
    grain = np.random.default_rng(seed).normal(size=encoded.shape[:2])[..., None]
    return Image.fromarray(np.clip(encoded * 255 + 0.8 * grain + 0.5, 0, 255).astype(np.uint8))


def encode(picture: Image.Image) -> bytes:
    """Return the best JPEG below the size limit."""
    for quality in range(92, 50, -2):
        buffer = BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        if buffer.tell() < MAX_BYTES:
            break
    return buffer.getvalue()


@dataclass(frozen=True)
class Result:
    """One finished picture with its truth."""

    picture: Image.Image
    keypoints: Array
    flags: list[int]
    bbox: list[float]


def render(shot: Shot, body: Body, samples: int) -> Result:
    """Pose, dress, place and render one person."""
    import mitsuba as mi

    transforms = pose_bones(body, shot.pose)
    person = dress(body, transforms, shot.person, shot.seed)
    joints = joints_of(body, transforms)
    place = PLACES[shot.place](shot.seed)
    surfaces = person + place.surfaces
    if shot.with_ball:
        wrists = joints[[6, 11]].mean(axis=0)
        surfaces.append(ball((float(wrists[0]), float(wrists[1]) - 0.10, wrists[2] + 0.30), 0.105))
    scene_dict: dict[str, Any] = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 5},
        "sensor": sensor_of(shot, shot.size),
        **place.entries,
    }
    for index, surface in enumerate(surfaces):
        scene_dict[f"mesh{index}"] = mesh_of(surface, index)
    scene = mi.load_dict(scene_dict)
    image = mi.render(scene, spp=samples, seed=shot.seed)
    outline = project(np.concatenate([s.vertices for s in person]), shot.camera, shot.size)
    low = np.maximum(outline.min(axis=0), -0.5)
    high = np.minimum(outline.max(axis=0), np.asarray(shot.size) - 0.5)
    return Result(
        picture=develop(np.asarray(image, float)[..., :3], shot.exposure, shot.seed),
        keypoints=project(joints, shot.camera, shot.size),
        flags=visibility(scene, shot.camera, joints),
        bbox=[round(float(v), 2) for v in (*low, *(high - low))],
    )


def draw_joints(result: Result) -> Image.Image:
    """Draw bones and joints over a picture: red right, blue left, hollow when hidden."""
    picture = result.picture.copy()
    pen = ImageDraw.Draw(picture)
    points = [tuple(p) for p in result.keypoints]
    for first, second in SKELETON:
        pen.line([points[first - 1], points[second - 1]], fill=(255, 255, 255), width=2)
    for name, (x, y), flag in zip(JOINT_NAMES, points, result.flags, strict=True):
        colour = {"r": (255, 40, 40), "l": (60, 90, 255)}.get(name[0], (60, 220, 60))
        colour = (255, 200, 0) if name in ("neck", "head_top") else colour
        circle = (x - 5, y - 5, x + 5, y + 5)
        pen.ellipse(circle, fill=colour if flag == 2 else None, outline=colour, width=2)
    x, y, width, height = result.bbox
    pen.rectangle((x, y, x + width, y + height), outline=(0, 255, 255))
    return picture


def coco(results: Mapping[str, Result]) -> dict[str, Any]:
    """Return the joints of all pictures in COCO keypoint format."""
    images, annotations = [], []
    for number, (name, result) in enumerate(results.items(), start=1):
        width, height = result.picture.size
        images.append({"id": number, "file_name": f"{name}.jpg", "width": width, "height": height})
        keypoints: list[float] = []
        for (x, y), flag in zip(result.keypoints, result.flags, strict=True):
            keypoints += [round(float(x), 2), round(float(y), 2), flag]
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": result.bbox,
                "area": round(result.bbox[2] * result.bbox[3], 2),
                "num_keypoints": len(JOINT_NAMES),
                "keypoints": keypoints,
            }
        )
    category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(JOINT_NAMES),
        "skeleton": [list(bone) for bone in SKELETON],
    }
    return {"images": images, "annotations": annotations, "categories": [category]}


# ------------------------------------------------------------------------------ command line


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    names = [shot.name for shot in SHOTS]
    parser.add_argument("--out", type=Path, default=Path("examples"), help="folder to write to")
    parser.add_argument("--samples", type=int, default=100, help="light paths per pixel")
    parser.add_argument("--only", choices=names, help="render one picture (no joints.json)")
    parser.add_argument("--scale", type=float, default=1.0, help="picture size factor, for drafts")
    parser.add_argument("--threads", type=int, default=0, help="render threads (0: all cores)")
    parser.add_argument("--draw-joints", action="store_true", help="also write NAME_joints.png")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    options = parser.parse_args(arguments)
    if options.samples < 1 or options.scale <= 0 or options.threads < 0:
        parser.error("--samples and --scale must be positive, --threads not negative")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Render the chosen pictures and write them with their joints."""
    options = parse_arguments(arguments)
    shots = [shot for shot in SHOTS if options.only in (None, shot.name)]
    targets = [options.out / f"{shot.name}.jpg" for shot in shots]
    if options.only is None:
        targets.append(options.out / "joints.json")
    existing = [str(path) for path in targets if path.exists()]
    if existing and not options.force:
        print(f"error: {', '.join(existing)} exists; use --force to overwrite", file=sys.stderr)
        return 1
    try:
        import anny  # noqa: F401
        import drjit as dr
        import mitsuba as mi
    except ImportError as problem:
        print(f"error: {problem}; run: pip install anny mitsuba scipy", file=sys.stderr)
        return 1
    # The scalar variant needs no LLVM or CUDA library, so it runs wherever the wheel installs.
    mi.set_variant("scalar_rgb")
    mi.set_log_level(mi.LogLevel.Error)
    if options.threads:
        dr.set_thread_count(options.threads)
    warnings.filterwarnings("ignore", category=UserWarning)
    options.out.mkdir(parents=True, exist_ok=True)
    bodies = load_bodies([shot.person for shot in shots])
    results = {}
    for shot, body, target in zip(shots, bodies, targets, strict=False):
        began = time.perf_counter()
        width, height = (round(side * options.scale) for side in shot.size)
        result = render(replace(shot, size=(width, height)), body, options.samples)
        target.write_bytes(encode(result.picture))
        if options.draw_joints:
            draw_joints(result).save(options.out / f"{shot.name}_joints.png")
        results[shot.name] = result
        share = result.bbox[3] / height
        print(
            f"{target}: {width}x{height}, person {share:.0%}, {time.perf_counter() - began:.0f} s"
        )
    if options.only is None:
        text = json.dumps(coco(results), indent=1)
        (options.out / "joints.json").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
