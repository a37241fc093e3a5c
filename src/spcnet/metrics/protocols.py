"""Named scoring rules. Every number the software prints carries the name of one."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from spcnet.geometry import Array
from spcnet.metrics.pck import mean_over, normalised_errors, percent_correct
from spcnet.skeletons import Skeleton

PARTS: Mapping[str, tuple[str, ...]] = {
    "Head": ("neck", "head_top"),
    "Sho": ("right_shoulder", "left_shoulder"),
    "Elb": ("right_elbow", "left_elbow"),
    "Wri": ("right_wrist", "left_wrist"),
    "Hip": ("right_hip", "left_hip"),
    "Knee": ("right_knee", "left_knee"),
    "Ank": ("right_ankle", "left_ankle"),
}


@dataclass(frozen=True)
class Score:
    """What a protocol says of a set of predictions; percentages.

    Attributes:
        protocol: the rule's name.
        mean: the protocol's total.
        mean_limbs: mean of the limb joints, without neck and head top.
        parts: means of left and right joints, and the head's.
        joints: each joint's own.
        persons: how many persons counted.
    """

    protocol: str
    mean: float
    mean_limbs: float
    parts: dict[str, float]
    joints: dict[str, float]
    persons: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what was never scored is None, since JSON has no NaN."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(part) for key, part in value.items()}
            return None if isinstance(value, float) and math.isnan(value) else value

        return {key: plain(value) for key, value in asdict(self).items()}


def lspet_pck(
    predicted: Array, truth: Array, annotated: Array, skeleton: Skeleton, *, threshold: float = 0.2
) -> Score:
    """PCK as scored on Leeds Sports Pose extended (`lspet-pck`).

    The reference length is ||left shoulder - right hip|| of the ground truth. Only annotated
    joints count, and persons without both reference joints are left out. The total is the mean
    of the per-joint scores.

    Args:
        predicted: (N, K, 2) points.
        truth: (N, K, 2) points in the same frame.
        annotated: (N, K) bool.
        skeleton: names of the K joints; it must have a torso.
        threshold: largest error of a correct joint, in reference lengths.
    """
    assert skeleton.torso is not None
    first, second = (skeleton.index(joint) for joint in skeleton.torso)
    usable = annotated[:, first] & annotated[:, second]
    predicted, truth, annotated = predicted[usable], truth[usable], annotated[usable]
    reference = np.linalg.norm(truth[:, first] - truth[:, second], axis=-1)
    errors = normalised_errors(predicted, truth, reference)
    scores = percent_correct(errors, annotated, threshold)
    parts = {
        part: mean_over(scores, [skeleton.index(joint) for joint in joints])
        for part, joints in PARTS.items()
    }
    head = {skeleton.index(joint) for joint in PARTS["Head"]}
    limbs = [joint for joint in range(len(skeleton)) if joint not in head]
    return Score(
        protocol="lspet-pck",
        mean=mean_over(scores, range(len(skeleton))),
        mean_limbs=mean_over(scores, limbs),
        parts=parts,
        joints=dict(zip(skeleton.joints, map(float, scores), strict=True)),
        persons=int(usable.sum()),
    )
