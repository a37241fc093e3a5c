"""Named scoring rules. Every number the software prints carries the name of one.

``docs/protocols.md`` says where they come from and how they differ.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.metrics.pck import area_under_curve, mean_over, normalised_errors, percent_correct
from spcnet.registries import Registry
from spcnet.skeletons import Skeleton

AUC_STEP = 0.01

LEFT_RIGHT: Mapping[str, tuple[str, ...]] = {
    "Sho": ("right_shoulder", "left_shoulder"),
    "Elb": ("right_elbow", "left_elbow"),
    "Wri": ("right_wrist", "left_wrist"),
    "Hip": ("right_hip", "left_hip"),
    "Knee": ("right_knee", "left_knee"),
    "Ank": ("right_ankle", "left_ankle"),
}
HEAD_AND_NECK: Mapping[str, tuple[str, ...]] = {"Head": ("neck", "head_top"), **LEFT_RIGHT}
HEAD_TOP: Mapping[str, tuple[str, ...]] = {"Head": ("head_top",), **LEFT_RIGHT}
ELBOW_AND_WRIST: Mapping[str, tuple[str, ...]] = {
    "Elbow": LEFT_RIGHT["Elb"],
    "Wrist": LEFT_RIGHT["Wri"],
}


class Labelled(Protocol):
    """What the rules read of an annotated person."""

    @property
    def points(self) -> Array: ...
    @property
    def annotated(self) -> Array: ...
    @property
    def box(self) -> Array: ...
    @property
    def reference(self) -> float | None: ...


@dataclass(frozen=True)
class GroundTruth:
    """Labels of N persons as arrays.

    Attributes:
        points: (N, K, 2) pixels.
        annotated: (N, K) bool, visible or occluded joints.
        skeleton: names of the K joints.
        boxes: (N, 4) tight person boxes; NaN where there is none.
        references: (N,) lengths that the data set itself normalises errors by, or NaN.
    """

    points: Array
    annotated: Array
    skeleton: Skeleton
    boxes: Array = field(default_factory=lambda: np.empty(0))
    references: Array = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        count = len(self.points)
        if self.points.shape != (count, len(self.skeleton), 2):
            raise ValueError(
                f"points must be (N, {len(self.skeleton)}, 2), got {self.points.shape}"
            )
        if self.boxes.size == 0:
            object.__setattr__(self, "boxes", np.full((count, 4), np.nan))
        if self.references.size == 0:
            object.__setattr__(self, "references", np.full(count, np.nan))

    @classmethod
    def of(cls, persons: Iterable[Labelled], skeleton: Skeleton) -> "GroundTruth":
        """Stack annotations.

        Raises:
            UserError: there are none.
        """
        persons = list(persons)
        if not persons:
            raise UserError("no labelled persons to score against")
        return cls(
            points=np.stack([person.points for person in persons]),
            annotated=np.stack([person.annotated for person in persons]),
            skeleton=skeleton,
            boxes=np.stack([person.box for person in persons]),
            references=np.array(
                [np.nan if person.reference is None else person.reference for person in persons]
            ),
        )


@dataclass(frozen=True)
class Rule:
    """A variant of PCK.

    Attributes:
        name: what numbers by this rule are called.
        title: the rule in a line.
        data: the data set that the rule is for; None where it takes any.
        length: gives the reference length (N,) of each person; a person without one (NaN) is
            left out.
        threshold: largest error of a correct joint, in reference lengths.
        parts: the columns of a table, each the mean of some joints.
        mean: ``"joints"``, the plain mean of the per-joint scores; ``"pooled"``, all joints of
            all persons as one pool; ``"parts"``, the mean of the columns.
        strict: an error that equals the threshold is wrong.
        left_out: joints that do not count.
        whatever_flag: joints count whether they are flagged as labelled or not.
        limbs: the mean without neck and head top is reported too.
        also: further thresholds at which the mean is reported.
    """

    name: str
    title: str
    data: str | None
    length: Callable[[GroundTruth], Array]
    threshold: float
    parts: Mapping[str, tuple[str, ...]] | None
    mean: Literal["joints", "pooled", "parts"] = "joints"
    strict: bool = False
    left_out: tuple[str, ...] = ()
    whatever_flag: bool = False
    limbs: bool = False
    also: tuple[float, ...] = ()

    def joints(self, skeleton: Skeleton) -> tuple[str, ...]:
        """The joints of a skeleton that count.

        Raises:
            UserError: the skeleton lacks a joint that the rule's columns need.
        """
        if self.mean == "parts" and self.parts:
            counted = [joint for part in self.parts.values() for joint in part]
        else:
            counted = [joint for joint in skeleton.joints if joint not in self.left_out]
        needed = [joint for part in (self.parts or {}).values() for joint in part]
        lacking = [joint for joint in needed if joint not in skeleton.joints]
        if lacking:
            raise UserError(
                f"protocol {self.name!r} scores {', '.join(lacking)}, which skeleton "
                f"{skeleton.name!r} does not have"
            )
        return tuple(counted)


@dataclass(frozen=True)
class Score:
    """What a protocol says of a set of predictions; percentages.

    Attributes:
        protocol: the rule's name.
        mean: the protocol's total.
        parts: the columns of the field's tables.
        joints: each joint's own, of those that count.
        persons: how many persons counted.
        threshold: largest error of a correct joint, in reference lengths.
        auc: area under the curve of the mean over 0..threshold.
        at: the mean at further thresholds.
        mean_limbs: mean of the limb joints, without neck and head top, where the protocol has it.
    """

    protocol: str
    mean: float
    parts: dict[str, float]
    joints: dict[str, float]
    persons: int
    threshold: float | None = None
    auc: float | None = None
    at: dict[str, float] = field(default_factory=dict)
    mean_limbs: float | None = None

    @property
    def headline(self) -> float:
        """The number to compare by: the limb joints' mean where the protocol has one."""
        return self.mean if self.mean_limbs is None else self.mean_limbs

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what was never scored is None, since JSON has no NaN."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(part) for key, part in value.items()}
            return None if isinstance(value, float) and math.isnan(value) else value

        absent = {name for name in ("mean_limbs", "threshold", "auc") if vars(self)[name] is None}
        return {key: plain(value) for key, value in vars(self).items() if key not in absent}


@dataclass(frozen=True)
class Curves:
    """Percentages over thresholds.

    Attributes:
        protocol: the rule's name.
        thresholds: (T,) in reference lengths.
        mean: (T,) the protocol's total.
        parts: (T,) of each column.
        joints: (T,) of each joint that counts.
        persons: how many persons counted.
    """

    protocol: str
    thresholds: Array
    mean: Array
    parts: dict[str, Array]
    joints: dict[str, Array]
    persons: int


def score(
    protocol: str,
    predicted: Array,
    truth: GroundTruth,
    *,
    threshold: float | None = None,
    stored_reference: bool = False,
) -> Score:
    """Score predictions by a named rule.

    Args:
        protocol: a name of `PCK_RULES`.
        predicted: (N, K, 2) pixels in the frame of the labels; NaN for a joint without any.
        truth: the labels.
        threshold: another one than the rule's own.
        stored_reference: normalise by the lengths that the data set's file holds, in place of
            the rule's (the FLIC files of the stacked hourglass hold the other diagonal).

    Raises:
        UserError: there is no such rule, it does not fit the skeleton, or no person has a
            reference length.
    """
    rule = find_rule(protocol)
    limit = rule.threshold if threshold is None else float(threshold)
    if not 0 < limit < math.inf:
        raise UserError(f"threshold must be a positive number of reference lengths, got {limit}")
    steps = np.linspace(0, limit, max(2, 1 + round(limit / AUC_STEP)))
    at = np.concatenate([[limit], rule.also, steps])
    curves = _curves(rule, predicted, truth, at, stored_reference=stored_reference)
    head = set(HEAD_AND_NECK["Head"])
    limbs = [curves.joints[joint][0] for joint in curves.joints if joint not in head]
    return Score(
        protocol=rule.name,
        mean=float(curves.mean[0]),
        parts={part: float(values[0]) for part, values in curves.parts.items()},
        joints={joint: float(values[0]) for joint, values in curves.joints.items()},
        persons=curves.persons,
        threshold=limit,
        auc=area_under_curve(steps, curves.mean[1 + len(rule.also) :]),
        at={
            f"{value:g}": float(mean)
            for value, mean in zip(rule.also, curves.mean[1:], strict=False)
        },
        mean_limbs=_plain_mean(limbs) if rule.limbs else None,
    )


def score_curves(
    protocol: str,
    predicted: Array,
    truth: GroundTruth,
    thresholds: Sequence[float] | None = None,
    *,
    stored_reference: bool = False,
) -> Curves:
    """Percentages over thresholds, by default from 0 to the rule's own in steps of 0.01.

    Args:
        protocol: a name of `PCK_RULES`.
        predicted: (N, K, 2) pixels in the frame of the labels.
        truth: the labels.
        thresholds: (T,) in reference lengths.
        stored_reference: as for `score`.

    Raises:
        UserError: as `score`.
    """
    rule = find_rule(protocol)
    if thresholds is None:
        thresholds = np.linspace(0, rule.threshold, 1 + round(rule.threshold / AUC_STEP)).tolist()
    at = np.asarray(thresholds, dtype=np.float64)
    return _curves(rule, predicted, truth, at, stored_reference=stored_reference)


def find_rule(name: str) -> Rule:
    """A variant of PCK by its name.

    Raises:
        UserError: there is no such rule.
    """
    if name == "coco-oks":
        raise UserError(
            "coco-oks has no reference length and no curve over it: it averages over similarities"
        )
    if not PCK_RULES.knows(name):
        raise UserError(PCK_RULES.unknown(name, "coco-oks"))
    return PCK_RULES[name]


@dataclass(frozen=True)
class JointErrors:
    """How far off each joint is, by a rule.

    Attributes:
        joints: names of the J joints that the rule looks at.
        errors: (N, J) distances in reference lengths.
        counted: (N, J) bool; none of a person without a reference length.
        persons: how many have one.
    """

    joints: list[str]
    errors: Array
    counted: Array
    persons: int


def joint_errors(
    rule: Rule, predicted: Array, truth: GroundTruth, *, stored_reference: bool = False
) -> JointErrors:
    """The errors of all joints that a rule counts.

    Args:
        rule: one of `PCK_RULES`.
        predicted: (N, K, 2) pixels in the frame of the labels.
        truth: the labels.
        stored_reference: as for `score`.

    Raises:
        UserError: the shapes differ, or no person has a reference length.
    """
    if predicted.shape != truth.points.shape:
        raise UserError(
            f"predictions must be {truth.points.shape} as the labels are, got {predicted.shape}"
        )
    names = rule.joints(truth.skeleton)
    lengths = truth.references if stored_reference else rule.length(truth)
    usable = np.isfinite(lengths)
    if not usable.any():
        raise UserError(
            f"protocol {rule.name!r}: no person has a reference length; the labels lack "
            + ("stored lengths" if stored_reference else "what it is taken from")
        )
    columns = [truth.skeleton.index(joint) for joint in names]
    errors = normalised_errors(predicted[:, columns], truth.points[:, columns], lengths)
    counted = truth.annotated[:, columns] | rule.whatever_flag
    return JointErrors(list(names), errors, counted & usable[:, None], int(usable.sum()))


def _curves(
    rule: Rule, predicted: Array, truth: GroundTruth, at: Array, *, stored_reference: bool
) -> Curves:
    """Percentages at some thresholds."""
    found = joint_errors(rule, predicted, truth, stored_reference=stored_reference)
    names, counted = found.joints, found.counted
    scores = percent_correct(found.errors, counted, at.tolist(), strict=rule.strict)  # (T, K)
    where = {joint: column for column, joint in enumerate(names)}
    parts = {
        part: mean_over(scores, [where[joint] for joint in joints])
        for part, joints in (rule.parts or {}).items()
    }
    if rule.mean == "parts":
        mean = np.mean(list(parts.values()), axis=0)
    else:
        weights = counted.sum(axis=0) if rule.mean == "pooled" else None
        mean = mean_over(scores, range(len(names)), weights)
    return Curves(
        protocol=rule.name,
        thresholds=at,
        mean=mean,
        parts=parts,
        joints={joint: scores[:, column] for joint, column in where.items()},
        persons=found.persons,
    )


def _plain_mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


def _stored(truth: GroundTruth) -> Array:
    return truth.references


def _torso(truth: GroundTruth) -> Array:
    """||left shoulder - right hip||, whatever their flags."""
    first, second = _torso_joints(truth)
    apart = truth.points[:, first] - truth.points[:, second]
    lengths: Array = np.hypot(apart[:, 0], apart[:, 1])
    return lengths


def _labelled_torso(truth: GroundTruth) -> Array:
    """||left shoulder - right hip|| where both are labelled."""
    first, second = _torso_joints(truth)
    known = truth.annotated[:, first] & truth.annotated[:, second]
    return np.where(known, _torso(truth), np.nan)


def _torso_joints(truth: GroundTruth) -> tuple[int, int]:
    if truth.skeleton.torso is None:
        raise UserError(
            f"skeleton {truth.skeleton.name!r} has no left shoulder and right hip to normalise by"
        )
    first, second = (truth.skeleton.index(joint) for joint in truth.skeleton.torso)
    return first, second


def _longer_side(truth: GroundTruth) -> Array:
    sides: Array = truth.boxes[:, 2:] - truth.boxes[:, :2]
    return np.maximum(sides[:, 0], sides[:, 1])


_PELVIS_AND_THORAX = ("pelvis", "thorax")
_NO_LIMBS = (
    *_PELVIS_AND_THORAX, "neck", "head_top",
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
)  # fmt: skip
_LSP = "PCK@0.2 of left shoulder - right hip; all 14 joints whatever their flag"

_RULES = (
    Rule(
        name="mpii-tompson",
        data="mpii",
        title="PCKh@0.5, plain mean of 14 per-joint scores, Head = head top, error < 0.5 "
        "(Newell, Yang, Tang, SPCNet)",
        length=_stored,
        threshold=0.5,
        parts=HEAD_TOP,
        strict=True,
        left_out=_PELVIS_AND_THORAX,
        also=(0.1,),
    ),
    Rule(
        name="mpii-official",
        data="mpii",
        title="PCKh@0.5, pooled over joints, Head = mean of neck and head top (MPI's toolkit, "
        "test-set tables)",
        length=_stored,
        threshold=0.5,
        parts=HEAD_AND_NECK,
        mean="pooled",
        left_out=_PELVIS_AND_THORAX,
        also=(0.1,),
    ),
    Rule(
        name="mpii-msra",
        data="mpii",
        title="PCKh@0.5, pooled over joints, Head = head top (SimpleBaseline, HRNet)",
        length=_stored,
        threshold=0.5,
        parts=HEAD_TOP,
        mean="pooled",
        left_out=_PELVIS_AND_THORAX,
        also=(0.1,),
    ),
    *(
        Rule(
            name=name,
            data="lsp",
            title=f"{_LSP}; {labels}",
            length=_torso,
            threshold=0.2,
            parts=HEAD_AND_NECK,
            whatever_flag=True,
            left_out=_PELVIS_AND_THORAX,
            also=(0.1,),
        )
        for name, labels in (
            ("lsp-pc", "person-centric labels"),
            ("lsp-oc", "observer-centric labels"),
            ("lsp-pc-corrected", "person-centric labels with 24 test images corrected"),
        )
    ),
    Rule(
        name="lspet-pck",
        data="lspet",
        title="PCK@0.2 of left shoulder - right hip; labelled joints, persons with both "
        "reference joints",
        length=_labelled_torso,
        threshold=0.2,
        parts=HEAD_AND_NECK,
        left_out=_PELVIS_AND_THORAX,
        limbs=True,
        also=(0.1,),
    ),
    Rule(
        name="torso-pck",
        data=None,
        title="PCK@0.2 of left shoulder - right hip; labelled limb joints, persons with both "
        "reference joints",
        length=_labelled_torso,
        threshold=0.2,
        parts=LEFT_RIGHT,
        left_out=_NO_LIMBS,
        also=(0.1,),
    ),
    Rule(
        name="flic",
        data="flic",
        title="PCK@0.2 of left shoulder - right hip; observer-centric elbows and wrists",
        length=_labelled_torso,
        threshold=0.2,
        parts=ELBOW_AND_WRIST,
        mean="parts",
        also=(0.1,),
    ),
    Rule(
        name="pck-box",
        data=None,
        title="PCK@0.05 (and 0.1) of the person box's longer side; any skeleton",
        length=_longer_side,
        threshold=0.05,
        parts=None,
        also=(0.1,),
    ),
)
PCK_RULES: Registry[Rule] = Registry("protocol", {rule.name: rule for rule in _RULES})


def protocol_names() -> list[str]:
    """Of all scoring rules."""
    return [*PCK_RULES, "coco-oks"]
