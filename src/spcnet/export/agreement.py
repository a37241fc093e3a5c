"""Whether an ONNX file finds what torch finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from spcnet.codec import Codec
from spcnet.errors import UserError
from spcnet.export.graph import CropsToKeypoints, with_outputs
from spcnet.geometry import Array
from spcnet.heatmaps import gather_mass
from spcnet.models.network import PoseNetwork
from spcnet.runtime.onnx_files import CROPS, HEATMAPS, KEYPOINTS, SCORES
from spcnet.runtime.onnxruntime import open_session

if TYPE_CHECKING:
    from onnx import ModelProto

BATCHES = (1, 3)
HEATMAP_TOLERANCE = 1e-4  # of the heatmaps' range
KEYPOINT_TOLERANCE = 0.05  # crop pixels
SCORE_TOLERANCE = 1e-3
CLEAR_LEAD = 0.01  # of a peak over the second-best cell; below, rounding may choose either


@dataclass(frozen=True)
class Agreement:
    """How far two programs' answers to the same crops are apart.

    A keypoint is clear where its peak leads the second-best cell by 1 %.
    """

    heatmaps: float  # the largest difference, over the range of torch's heatmaps
    moved: Array  # (M,) how far each clear keypoint moved, crop pixels
    scores: float  # the largest difference of a clear keypoint's score

    def check(self) -> None:
        """Raise a `UserError` unless the differences are those of rounding."""
        furthest = float(self.moved.max(initial=0.0))
        if (
            self.heatmaps > HEATMAP_TOLERANCE
            or furthest > KEYPOINT_TOLERANCE
            or self.scores > SCORE_TOLERANCE
        ):
            raise UserError(
                "onnxruntime does not find what torch finds, so no file was written: heatmaps "
                f"differ by {self.heatmaps:.1e} of their range (at most {HEATMAP_TOLERANCE:.0e}), "
                f"keypoints by {furthest:.2g} px (at most {KEYPOINT_TOLERANCE:g}), scores by "
                f"{self.scores:.2g} (at most {SCORE_TOLERANCE:g})"
            )


def agreement(
    model: "ModelProto",
    network: PoseNetwork,
    codec: Codec,
    crops: Array,
    *,
    batches: Sequence[int] = BATCHES,
) -> Agreement:
    """Run a model of any outputs, and the network that it was made of, on uint8 (N, S, S, 3).

    The model takes them by these numbers at a time, torch one by one; its heatmaps are looked at
    in any case.
    """
    names = list(dict.fromkeys([*(output.name for output in model.graph.output), HEATMAPS]))
    session = open_session(with_outputs(model, names).SerializeToString())
    reference = CropsToKeypoints(network, codec).eval()
    with torch.inference_mode():
        rows = [reference(torch.from_numpy(crop[None])) for crop in crops]
    keypoints, scores, heatmaps = (torch.cat(parts).numpy() for parts in zip(*rows, strict=True))
    looked_at = heatmaps
    if codec.refinement == "mass":
        looked_at = gather_mass(torch.from_numpy(heatmaps), sigma=codec.sigma).numpy()
    ranked = np.sort(looked_at.reshape(*scores.shape, -1))  # (N, K, h * w), ascending
    clear = ranked[..., -1] - ranked[..., -2] > CLEAR_LEAD * np.abs(ranked[..., -1])
    furthest = score_difference = 0.0
    moved = []
    for batch in batches:
        parts = [
            session.run(names, {CROPS: crops[begin : begin + batch]})
            for begin in range(0, len(crops), batch)
        ]
        theirs = dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True))
        furthest = max(furthest, float(np.abs(theirs[HEATMAPS] - heatmaps).max()))
        if KEYPOINTS in theirs:
            points = theirs[KEYPOINTS]
            differences = np.abs(theirs[SCORES] - scores)[clear]
            score_difference = max(score_difference, float(differences.max(initial=0.0)))
        else:
            points = codec.decode(torch.from_numpy(theirs[HEATMAPS]))[0].numpy()
        moved.append(np.linalg.norm(points - keypoints, axis=-1)[clear])
    spread = max(float(np.ptp(heatmaps)), float(np.finfo(np.float32).tiny))
    return Agreement(furthest / spread, np.concatenate(moved), score_difference)
