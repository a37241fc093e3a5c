"""Named scoring rules. Every number the software prints carries the name of one.

``docs/protocols.md`` says where they come from and how they differ.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spcnet.errors import UserError, dims
from spcnet.geometry import Array
from spcnet.metrics.pck import area_under_curve, mean_over, normalised_errors, percent_correct
from spcnet.registries import Registry
from spcnet.skeletons import Skeleton

if TYPE_CHECKING:
    from spcnet.data.annotations import Annotation

AUC_STEP = 0.01
NECK_TO_HEAD_TOP = 0.75  # of it is 0.6 of the diagonal of MPII's head boxes, within 1 % for 98.6 %

LEFT_RIGHT: Mapping[str, tuple[str, ...]] = {
    "Sho": ("right_shoulder", "left_shoulder"),
    "Elb": ("right_elbow", "left_elbow"),
    "Wri": ("right_wrist", "left_wrist"),
    "Hip": ("right_hip", "left_hip"),
    "Knee": ("right_knee", "left_knee"),
    "Ank": ("right_ankle", "left_ankle"),
}
NECK_AND_TOP = ("neck", "head_top")


@dataclass(frozen=True)
class GroundTruth:
    """Labels of N persons as arrays.

    Attributes:
        points: (N, K, 2) pixels.
        annotated: (N, K) bool, visible or occluded joints.
        boxes: (N, 4) tight person boxes; NaN where there is none.
        references: (N,) lengths that the data set itself normalises errors by, or NaN.
    """

    points: Array
    annotated: Array
    skeleton: Skeleton
    boxes: Array = field(default_factory=lambda: np.empty(0))
    references: Array = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        count, joints = len(self.points), len(self.skeleton)
        if self.points.shape != (count, joints, 2):
            raise ValueError(f"points must be N x {joints} x 2, got {dims(self.points.shape)}")
        for name, shape in (("boxes", (count, 4)), ("references", (count,))):
            if getattr(self, name).size == 0:
                object.__setattr__(self, name, np.full(shape, np.nan))

    @classmethod
    def of(cls, persons: "Iterable[Annotation]", skeleton: Skeleton) -> "GroundTruth":
        """Stack annotations; a `UserError` where there are none."""
        rows = [(p.points, p.annotated, p.box, p.reference) for p in persons]
        if not rows:
            raise UserError("no labelled persons to score against")
        points, annotated, boxes, references = map(np.array, zip(*rows, strict=True))
        return cls(points, annotated, skeleton, boxes, references.astype(np.float64))  # None: NaN


@dataclass(frozen=True)
class Rule:
    """A variant of PCK.

    Attributes:
        title: the rule in a line.
        data: the data set that the rule is for; None where it takes any.
        length: gives the reference lengths (N,); NaN leaves a person out.
        threshold: largest error of a correct joint, in reference lengths.
        parts: the columns of a table, each the mean of some joints.
        mean: ``"joints"``, the plain mean of the per-joint scores; ``"pooled"``, all joints of
            all persons as one pool; ``"parts"``, the mean of the columns.
        strict: an error that equals the threshold is wrong.
        left_out: joints that do not count.
        whatever_flag: joints count whether they are flagged as labelled or not.
        limbs: the mean without neck and head top is reported too.
        also: further thresholds at which the mean is reported.
        table: number of the paper's table that the scores stand beside.
        reference: what of a person the length is taken from.
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
    also: tuple[float, ...] = (0.1,)
    table: int | None = None
    reference: str = "torso"

    def joints(self, skeleton: Skeleton) -> tuple[str, ...]:
        """The joints of a skeleton that count; a `UserError` where it lacks one of a column."""
        needed = tuple(joint for part in (self.parts or {}).values() for joint in part)
        if lacking := [joint for joint in needed if joint not in skeleton.joints]:
            raise UserError(
                f"protocol {self.name!r} scores {', '.join(lacking)}, which skeleton "
                f"{skeleton.name!r} does not have"
            )
        if self.mean == "parts" and needed:
            return needed
        return tuple(joint for joint in skeleton.joints if joint not in self.left_out)


@dataclass(frozen=True)
class Score:
    """What a protocol says of a set of predictions; percentages.

    Attributes:
        mean: the protocol's total.
        parts: the columns of the field's tables.
        joints: each joint's own, of those that count.
        persons: how many persons counted.
        left_out: how many had no reference length.
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
    left_out: int = 0

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

        return {key: plain(value) for key, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Curves:
    """Percentages (T,) over thresholds (T,) in reference lengths; see `Score`."""

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
    """Score predictions (N, K, 2), pixels in the frame of the labels, by one of `PCK_RULES`.

    NaN is a joint without any. `threshold` overrides the rule's own; `stored_reference` normalises
    by the lengths that the data set's file holds, in place of the rule's (the FLIC files of the
    stacked hourglass hold the other diagonal).

    Raises:
        UserError: there is no such rule, it does not fit the skeleton, or no person has a
            reference length.
    """
    rule = find_rule(protocol)
    limit = rule.threshold if threshold is None else float(threshold)
    if not 0 < limit < math.inf:
        raise UserError(f"threshold must be a positive number of reference lengths, got {limit}")
    steps = _steps(limit)
    at = [limit, *rule.also, *steps]
    curves = score_curves(protocol, predicted, truth, at, stored_reference=stored_reference)
    means = curves.mean.tolist()
    joints = {joint: float(values[0]) for joint, values in curves.joints.items()}
    limbs = [value for joint, value in joints.items() if joint not in NECK_AND_TOP]
    return Score(
        protocol=rule.name,
        mean=means[0],
        parts={part: float(values[0]) for part, values in curves.parts.items()},
        joints=joints,
        persons=curves.persons,
        left_out=len(truth.points) - curves.persons,
        threshold=limit,
        auc=area_under_curve(steps, curves.mean[-len(steps) :]),
        at={f"{value:g}": mean for value, mean in zip(rule.also, means[1:], strict=False)},
        mean_limbs=float(np.mean([v for v in limbs if math.isfinite(v)])) if rule.limbs else None,
    )


def score_curves(
    protocol: str,
    predicted: Array,
    truth: GroundTruth,
    thresholds: Sequence[float] | None = None,
    *,
    stored_reference: bool = False,
) -> Curves:
    """Percentages over thresholds (T,), by default from 0 to the rule's own in steps of 0.01.

    The other arguments and the errors are those of `score`.
    """
    rule = find_rule(protocol)
    at = _steps(rule.threshold) if thresholds is None else np.asarray(thresholds, np.float64)
    if stored_reference:
        rule = replace(rule, length=_stored)
    found = joint_errors(rule, predicted, truth)
    scores = percent_correct(found.errors, found.counted, at, strict=rule.strict)  # (T, J)
    where = {joint: column for column, joint in enumerate(found.joints)}
    parts = {
        part: mean_over(scores, [where[joint] for joint in joints])
        for part, joints in (rule.parts or {}).items()
    }
    if rule.mean == "parts":
        mean = np.mean(list(parts.values()), axis=0)
    else:
        weights = found.counted.sum(axis=0) if rule.mean == "pooled" else None
        mean = mean_over(scores, range(len(where)), weights)
    joints = {joint: scores[:, column] for joint, column in where.items()}
    return Curves(at, mean, parts, joints, persons=int(np.isfinite(found.lengths).sum()))


def _steps(limit: float) -> Array:
    return np.linspace(0, limit, max(2, 1 + round(limit / AUC_STEP)))


def find_rule(name: str) -> Rule:
    """A variant of PCK by its name; a `UserError` where there is none."""
    if name in OKS_RULES:
        raise UserError(
            f"{name} scores whole persons; here joints must be right or wrong: take a variant of "
            f"PCK, such as pck-box for any skeleton (spcnet evaluate and score take {name})"
        )
    if not PCK_RULES.knows(name):
        raise UserError(PCK_RULES.unknown(name, *OKS_RULES))
    return PCK_RULES[name]


@dataclass(frozen=True)
class JointErrors:
    """How far off each joint is that a rule looks at."""

    joints: tuple[str, ...]  # names of these J
    errors: Array  # (N, J) distances in reference lengths
    right: Array  # (N, J) bool, by the rule's threshold
    counted: Array  # (N, J) bool; none of a person without a reference length
    lengths: Array  # (N,) the reference lengths; NaN where there is none


def joint_errors(rule: Rule, predicted: Array, truth: GroundTruth) -> JointErrors:
    """The errors of all joints that a rule counts; arguments and errors are those of `score`."""
    if predicted.shape != truth.points.shape:
        found, wanted = dims(predicted.shape), dims(truth.points.shape)
        raise UserError(f"predictions must be {wanted} as the labels are, got {found}")
    names = rule.joints(truth.skeleton)
    if rule.whatever_flag:
        truth = replace(truth, annotated=np.ones_like(truth.annotated))
    lengths = rule.length(truth)
    usable = np.isfinite(lengths)
    if not usable.any():
        raise UserError(
            f"protocol {rule.name!r}: no person has a reference length; the labels lack "
            + ("stored lengths" if rule.length is _stored else "what it is taken from")
        )
    columns = [truth.skeleton.index(joint) for joint in names]
    errors = normalised_errors(predicted[:, columns], truth.points[:, columns], lengths)
    right = errors < rule.threshold if rule.strict else errors <= rule.threshold
    counted = truth.annotated[:, columns] & usable[:, None]
    return JointErrors(names, errors, right, counted, lengths)


def _torso(truth: GroundTruth) -> Array:
    """||left shoulder - right hip|| where both are labelled."""
    if truth.skeleton.torso is None:
        raise UserError(
            f"skeleton {truth.skeleton.name!r} has no left shoulder and right hip to normalise by"
        )
    return _between(truth, truth.skeleton.torso)


def _head(truth: GroundTruth) -> Array:
    """PCKh's reference length from ||neck - head top|| where both are labelled."""
    if "neck" not in truth.skeleton.joints:
        raise UserError(f"skeleton {truth.skeleton.name!r} has no neck to normalise by")
    return NECK_TO_HEAD_TOP * _between(truth, NECK_AND_TOP)


def _between(truth: GroundTruth, joints: tuple[str, str]) -> Array:
    """Distances (N,) of two labelled joints; NaN where one is not."""
    ends = [truth.skeleton.index(joint) for joint in joints]
    lengths = np.hypot(*(truth.points[:, ends[0]] - truth.points[:, ends[1]]).T)
    return np.where(truth.annotated[:, ends].all(axis=1), lengths, np.nan)


_stored = attrgetter("references")
_HEAD_TOP = {"Head": ("head_top",), **LEFT_RIGHT}
_HEAD = {"Head": NECK_AND_TOP, **LEFT_RIGHT}
_MIDDLES = ("pelvis", "thorax")
_NOT_LSP = (*_MIDDLES, "nose", "left_eye", "right_eye", "left_ear", "right_ear")
_TORSO = "PCK@0.2 of left shoulder - right hip"
_pckh = partial(
    Rule, data="mpii", length=_stored, threshold=0.5, left_out=_MIDDLES, reference="head"
)
_pck = partial(Rule, length=_torso, threshold=0.2)
_RULES = (
    _pckh(
        "mpii-tompson", parts=_HEAD_TOP, strict=True, table=4,
        title="PCKh@0.5, plain mean of 14 per-joint scores, Head = head top, error < 0.5 "
        "(Newell, Yang, Tang, SPCNet)",
    ),
    _pckh(
        "mpii-official", parts=_HEAD, mean="pooled", table=5,
        title="PCKh@0.5, pooled over joints, Head = mean of neck and head top (MPI's toolkit, "
        "test-set tables)",
    ),
    _pckh(
        "mpii-msra", parts=_HEAD_TOP, mean="pooled", table=4,
        title="PCKh@0.5, pooled over joints, Head = head top (SimpleBaseline, HRNet)",
    ),
    _pckh(
        "mpii-tompson-joints", data=None, length=_head, parts=_HEAD_TOP, strict=True,
        left_out=_NOT_LSP,
        title="mpii-tompson with 0.75 of neck to head top for the head size; not the paper's rule",
    ),
    *(
        _pck(
            name, data="lsp", parts=_HEAD, left_out=_MIDDLES, whatever_flag=True, table=6,
            title=f"{_TORSO}; all 14 joints whatever their flag; {labels}",
        )
        for name, labels in (
            ("lsp-pc", "person-centric labels"),
            ("lsp-oc", "observer-centric labels"),
            ("lsp-pc-corrected", "person-centric labels with 24 test images corrected"),
        )
    ),
    _pck(
        "lspet-pck", data="lspet", parts=_HEAD, left_out=_MIDDLES, limbs=True, table=6,
        title=f"{_TORSO}; labelled joints, persons with both reference joints",
    ),
    _pck(
        "torso-pck", data=None, parts=LEFT_RIGHT, left_out=(*_NOT_LSP, *NECK_AND_TOP),
        title=f"{_TORSO}; labelled limb joints, persons with both reference joints",
    ),
    _pck(
        "flic", data="flic", mean="parts", table=7,
        parts={"Elbow": LEFT_RIGHT["Elb"], "Wrist": LEFT_RIGHT["Wri"]},
        title=f"{_TORSO}; observer-centric elbows and wrists",
    ),
    Rule(
        "pck-box", data=None, threshold=0.05, parts=None, reference="box",
        length=lambda truth: (truth.boxes[:, 2:] - truth.boxes[:, :2]).max(axis=1),
        title="PCK@0.05 (and 0.1) of the person box's longer side; any skeleton",
    ),
)  # fmt: skip
# By object keypoint similarity (`spcnet.metrics.oks`), in a line each.
OKS_RULES = {
    "coco-oks": "AP over OKS 0.50:0.95 with COCO's constants, 17 joints",
    "oks": "the same with constants of your own (--sigmas), any skeleton",
}
PCK_RULES: Registry[Rule] = Registry("protocol", {rule.name: rule for rule in _RULES})


def common_protocol(*skeletons: Skeleton) -> str:
    """The rule for persons of several data sets: of their limbs, or of any joints."""
    limbs = {joint for part in LEFT_RIGHT.values() for joint in part}
    fits = all(each.torso is not None and limbs <= set(each.joints) for each in skeletons)
    return "torso-pck" if fits else "pck-box"


def protocol_names() -> list[str]:
    """Of all scoring rules."""
    return [*PCK_RULES, *OKS_RULES]
