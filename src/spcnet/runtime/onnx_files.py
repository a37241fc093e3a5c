"""The ONNX files of ``spcnet export``, whatever runs them."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spcnet.checkpoints import METADATA_KEY, ModelCard
from spcnet.errors import UserError, dims
from spcnet.geometry import Array
from spcnet.runtime.contract import Answer, Backend

# The input and the outputs.
CROPS, KEYPOINTS, SCORES, HEATMAPS = "crops", "keypoints", "scores", "heatmaps"
PRECISION_KEY = "precision"  # beside the card in the metadata


class OnnxModel(Backend):
    """A file of heatmaps, or one that decodes and calibrates them by itself.

    An error unless, by its metadata and the sizes of its inputs and outputs, `spcnet export` wrote
    it.
    """

    def __init__(
        self,
        path: Path,
        runtime: str,
        *,
        metadata: Mapping[str, str],
        inputs: Mapping[str, Sequence[Any]],
        outputs: Mapping[str, Sequence[Any]],
    ) -> None:
        if METADATA_KEY not in metadata:
            raise UserError(
                f"{path}: holds no {METADATA_KEY} model card; not a file of spcnet export"
            )
        try:
            self.card = ModelCard.from_json(metadata[METADATA_KEY])
        except ValueError as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(f"{path}: its model card cannot be read: {reason}") from None
        side, joints = self.card.codec.input_size, len(self.card.skeleton)
        if {name: list(sizes[1:]) for name, sizes in inputs.items()} != {
            CROPS: [side, side, 3]
        } or {name: list(sizes[1:2]) for name, sizes in outputs.items()} not in (
            {HEATMAPS: [joints]},
            {KEYPOINTS: [joints], SCORES: [joints]},
        ):
            raise UserError(f"{path}: its graph and its model card do not agree")
        self.path, self.device = path, torch.device("cpu")
        self.precision = metadata.get(PRECISION_KEY, "")
        self.place = f"cpu by {runtime} ({self.precision})"
        self.gives_heatmaps = HEATMAPS in outputs

    @abstractmethod
    def run(self, names: list[str], crops: Array) -> list[Array]:
        """The outputs of these names."""

    def _answers(self, names: list[str], crops: Array) -> list[Array]:
        """The outputs of these names, of the shapes that they must have."""
        n, k = len(crops), len(self.card.skeleton)
        try:
            outputs = self.run(names, np.ascontiguousarray(crops))
        except Exception as error:  # runtimes' errors have no base of their own
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self.path}: its graph cannot be run: {reason}") from None
        for name, found in zip(names, outputs, strict=True):
            square = (n, k, *found.shape[-1:], *found.shape[-1:])
            wanted = {KEYPOINTS: (n, k, 2), SCORES: (n, k)}.get(name, square)
            if found.dtype != np.float32 or found.shape != wanted or not found.size:
                got = f"{found.dtype} {dims(found.shape)}"
                raise UserError(f"{self.path}: its graph gives {got} for {name}; not ours")
        return outputs

    def __call__(self, crops: Array) -> Answer:
        if self.gives_heatmaps:
            (heatmaps,) = self._answers([HEATMAPS], crops)
            return Answer(torch.from_numpy(heatmaps))
        points, scores = self._answers([KEYPOINTS, SCORES], crops)
        calibration = self.card.codec.calibration
        peaks = scores if calibration is None else calibration.peaks_of(scores)
        return Answer(decoded=(points, peaks))


def check_device(device: str) -> None:
    """Check that an ``.onnx`` file runs there."""
    if device not in ("auto", "cpu"):
        raise UserError(
            f"device {device!r}: an .onnx file runs on the cpu; a .safetensors runs elsewhere too"
        )
