"""Skeletons: which joints a network predicts, how they mirror, and how they are joined.

A skeleton is data. The flip permutation is derived from the joints' names (``left_x`` and
``right_x`` mirror each other) and is an involution by construction; `joint_names` brings other
people's names into this form, and `Skeleton.pairs` holds what no name says.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

MOST_JOINTS = 1000  # far beyond any scheme


@dataclass(frozen=True)
class Skeleton:
    """Names, limbs and reference joints of one annotation scheme.

    Raises:
        ValueError: a name is no text, a joint is named twice, has no mirror partner, is of two
            pairs or is unknown to the skeleton, or there are more than `MOST_JOINTS`.
    """

    name: str
    joints: tuple[str, ...]  # in channel order; left_* and right_* are the person's own
    limbs: tuple[tuple[str, str], ...]  # pairs that a drawing joins
    head: tuple[str, str] | None = None  # their distance is the head's reference length
    torso: tuple[str, str] | None = None  # and the torso's
    # Left and right joints that mirror each other though their names do not say so.
    pairs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        named = [*self.limbs, *self.pairs, *filter(None, (self.head, self.torso))]
        mentioned = [joint for pair in named for joint in pair]
        if not 1 <= len(self.joints) <= MOST_JOINTS >= len(self.limbs):
            raise ValueError(
                f"a skeleton has 1 to {MOST_JOINTS} joints and at most as many limbs, got "
                f"{len(self.joints)} and {len(self.limbs)}"
            )
        for name in (self.name, *self.joints, *mentioned):
            if not isinstance(name, str):
                raise ValueError(f"a skeleton's names must be texts, got {name!r:.60}")
        duplicates = sorted({joint for joint in self.joints if self.joints.count(joint) > 1})
        if duplicates:
            raise ValueError(f"skeleton {self.name!r}: joints named twice: {', '.join(duplicates)}")
        paired = [joint for pair in self.pairs for joint in pair]
        if len(set(paired)) < len(paired) or any(mirror_name(j) != j for j in paired):
            raise ValueError(f"skeleton {self.name!r}: pairs {self.pairs} name a joint twice")
        for joint in self.joints:
            if mirror_name(joint) not in self.joints:
                raise ValueError(
                    f"skeleton {self.name!r} has a joint {joint!r} without its mirror image "
                    f"{mirror_name(joint)!r}: names that begin with left_ and right_ go in pairs"
                )
        for joint in mentioned:
            self.index(joint)

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Channel of a joint by its name; of another joint a `ValueError`."""
        if joint not in self.joints:
            raise ValueError(
                f"skeleton {self.name!r} has no joint {joint!r}; it has {', '.join(self.joints)}"
            )
        return self.joints.index(joint)

    @cached_property
    def flip_permutation(self) -> tuple[int, ...]:
        """``flipped[k] = original[permutation[k]]`` swaps left and right."""
        partners = {a: b for pair in self.pairs for a, b in (pair, pair[::-1])}
        return tuple(self.index(partners.get(j, mirror_name(j))) for j in self.joints)

    @property
    def unmirrored(self) -> tuple[str, ...]:
        """Joints whose names say left or right, and that mirror none."""
        mirrored = enumerate(self.flip_permutation)
        return tuple(self.joints[k] for k, n in mirrored if k == n and _side_in(self.joints[k]))

    def views(self) -> tuple[str, ...]:
        """The names of the known skeletons that this one can be seen as."""
        found = []
        for name, skeleton in SKELETONS.items():
            with suppress(ValueError):
                self.view(skeleton)
                found.append(name)
        return tuple(found)

    def find_view(self, skeleton: "str | Skeleton") -> "Skeleton":
        """Another skeleton by its name or itself, if this one can be seen as it.

        Raises:
            ValueError: the name is unknown, or a joint of it is not here.
        """
        name = skeleton if isinstance(skeleton, str) else skeleton.name
        wanted = SKELETONS.get(name) if isinstance(skeleton, str) else skeleton
        if wanted is not None:
            with suppress(ValueError):
                self.view(wanted)
                return wanted
        others = ", ".join(self.views()) or "no other"
        raise ValueError(f"skeleton {name!r}: {self.name!r} can be seen as {others}")

    def view(self, wanted: "Skeleton") -> tuple[tuple[int, ...], ...]:
        """Where the joints of another skeleton are in this one.

        Returns:
            For each joint of `wanted` the channels here whose mean it is: one channel for a joint
            of the same name, two for a middle such as the pelvis (see `MIDDLES`).

        Raises:
            ValueError: a joint is neither here nor the middle of two that are.
        """
        return tuple(self._channels_of(joint, wanted.name) for joint in wanted.joints)

    def _channels_of(self, joint: str, wanted: str) -> tuple[int, ...]:
        names = (joint,) if joint in self.joints else MIDDLES.get(joint, ())
        if not names or not set(names) <= set(self.joints):
            raise ValueError(
                f"skeleton {self.name!r} cannot be seen as {wanted!r}: it has no joint {joint!r}"
            )
        return tuple(self.index(name) for name in names)

    @cached_property
    def limb_indices(self) -> tuple[tuple[int, int], ...]:
        """The limbs as pairs of channels."""
        return tuple((self.index(a), self.index(b)) for a, b in self.limbs)

    def side(self, joint: int) -> str:
        """``"left"``, ``"right"`` or ``"centre"``: the person's own side of a channel."""
        name = self.joints[joint]
        for left, right in self.pairs:
            if name in (left, right):
                return "left" if name == left else "right"
        return next((side for side in ("left", "right") if name.startswith(side + "_")), "centre")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's metadata; `from_dict` reads them back."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "limbs": [list(limb) for limb in self.limbs],
            "head": list(self.head) if self.head else None,
            "torso": list(self.torso) if self.torso else None,
            **({"pairs": [list(pair) for pair in self.pairs]} if self.pairs else {}),
        }

    def to_coco_category(self) -> dict[str, Any]:
        """The person category of a COCO keypoint file; COCO counts a limb's joints from 1.

        `pairs` that no name says are added, which COCO's own files have not.
        """
        return {
            "id": 1,
            "name": "person",
            "supercategory": "person",
            "keypoints": list(self.joints),
            "skeleton": [[a + 1, b + 1] for a, b in self.limb_indices],
            **({"pairs": [list(pair) for pair in self.pairs]} if self.pairs else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Skeleton":
        """Rebuild a skeleton that `to_dict` wrote, or one described by a user."""

        def pair(names: Sequence[str] | None) -> tuple[str, str] | None:
            first, second = names or (None, None)
            return (first, second) if first and second else None

        limbs = tuple((first, second) for first, second in values["limbs"])
        head, torso = pair(values.get("head")), pair(values.get("torso"))
        pairs = tuple((left, right) for left, right in values.get("pairs", ()))
        return cls(values["name"], tuple(values["joints"]), limbs, head, torso, pairs)


def mirror_name(joint: str) -> str:
    """The joint's name in a mirror: ``left_knee`` becomes ``right_knee``, ``neck`` stays."""
    for side, other in (("left_", "right_"), ("right_", "left_")):
        if joint.startswith(side):
            return other + joint.removeprefix(side)
    return joint


_SIDES = {"left": "left", "right": "right", "l": "left", "r": "right"}
# Where a word begins within rightAnkle, LAnkle or ankleR.
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\s._/-]+")


def joint_names(names: Iterable[object]) -> tuple[str, ...]:
    """Anybody's names of joints as skeletons have them: in small letters, the side in front.

    ``Right Ankle``, ``rightAnkle``, ``R.Ankle`` and ``ankle_r`` are right_ankle, if there is a left
    one of the same joint too.
    """
    plain = ["_".join(filter(None, _WORDS.split(str(name).strip()))).lower() for name in names]
    sides = [_side_in(name) for name in plain]
    other = {"left": "right", "right": "left"}
    sided = [
        "_".join(side) if side and side[1] and (other[side[0]], side[1]) in sides else name
        for side, name in zip(sides, plain, strict=True)
    ]
    return tuple(sided if len(set(sided)) == len(set(plain)) else plain)


def _side_in(name: str) -> tuple[str, str] | None:
    """The side that a name says, and the rest of it; the leading one of several."""
    words = name.split("_")
    where = [n for n, word in enumerate(words) if word in _SIDES]
    if where and len(words) > 1:
        return _SIDES[words[where[0]]], "_".join(words[: where[0]] + words[where[0] + 1 :])
    glued = re.fullmatch("(left|right)(.*)|(.+)(left|right)", name)
    return None if glued is None else (glued[1] or glued[4], glued[2] or glued[3] or "")


# Joints that are the middle of two others, in skeletons that do not have them.
MIDDLES: Mapping[str, tuple[str, str]] = {
    "pelvis": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
}

_ARMS_AND_LEGS = tuple(
    (f"{side}_{near}", f"{side}_{far}")
    for side in ("right", "left")
    for near, far in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
)

LSP14 = Skeleton(
    name="lsp14",
    joints=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "right_wrist", "right_elbow", "right_shoulder",
        "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top",
    ),
    limbs=(
        *_ARMS_AND_LEGS,
        ("neck", "right_shoulder"), ("neck", "left_shoulder"),
        ("right_shoulder", "right_hip"), ("left_shoulder", "left_hip"), ("right_hip", "left_hip"),
        ("neck", "head_top"),
    ),
    head=("neck", "head_top"),
    torso=("left_shoulder", "right_hip"),
)  # fmt: skip

MPII16 = Skeleton(
    name="mpii16",
    joints=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "pelvis", "thorax", "neck", "head_top",
        "right_wrist", "right_elbow", "right_shoulder",
        "left_shoulder", "left_elbow", "left_wrist",
    ),
    limbs=(
        *_ARMS_AND_LEGS,
        ("pelvis", "right_hip"), ("pelvis", "left_hip"), ("pelvis", "thorax"),
        ("thorax", "right_shoulder"), ("thorax", "left_shoulder"),
        ("thorax", "neck"), ("neck", "head_top"),
    ),
    head=("neck", "head_top"),
    torso=("left_shoulder", "right_hip"),
)  # fmt: skip

FLIC11 = Skeleton(
    name="flic11",
    joints=(
        "left_shoulder", "left_elbow", "left_wrist",
        "right_shoulder", "right_elbow", "right_wrist",
        "left_hip", "right_hip", "left_eye", "right_eye", "nose",
    ),
    limbs=(
        *(limb for limb in _ARMS_AND_LEGS if "shoulder" in limb[0] or "elbow" in limb[0]),
        ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
        ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
        ("nose", "left_eye"), ("nose", "right_eye"),
    ),
    torso=("left_shoulder", "right_hip"),
)  # fmt: skip

COCO17 = Skeleton(
    name="coco17",
    joints=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    limbs=(
        *_ARMS_AND_LEGS,
        ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
        ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
        ("nose", "left_eye"), ("nose", "right_eye"),
        ("left_eye", "left_ear"), ("right_eye", "right_ear"),
    ),
    torso=("left_shoulder", "right_hip"),
)  # fmt: skip

FACE = COCO17.joints[:5]

# What one network can learn from all of these data sets; each of them is a view of it.
BODY19 = Skeleton(
    name="body19",
    joints=(*LSP14.joints, *FACE),
    limbs=(
        *LSP14.limbs,
        ("nose", "left_eye"), ("nose", "right_eye"),
        ("left_eye", "left_ear"), ("right_eye", "right_ear"),
    ),
    head=LSP14.head,
    torso=LSP14.torso,
)  # fmt: skip

SKELETONS: dict[str, Skeleton] = {s.name: s for s in (LSP14, MPII16, FLIC11, COCO17, BODY19)}
