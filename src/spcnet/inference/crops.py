"""The joints in square crops of pictures: cut, run through a network, and placed back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spcnet.codec import Codec, Square
from spcnet.errors import UserError
from spcnet.geometry import Array, apply_affine, compose_affines, invert_affine
from spcnet.heatmaps import flip_heatmaps, turn_heatmaps
from spcnet.inference.pose import Maps
from spcnet.inference.pyramid import TestTimeAugmentation, fuse
from spcnet.media.crops import extract_crop
from spcnet.media.images import Picture
from spcnet.runtime.contract import Answer, Backend
from spcnet.skeletons import Skeleton


@dataclass(frozen=True, slots=True)
class CropPredictor:
    """Finds joints in crops, of which at most `batch_size` go through the network at once."""

    backend: Backend
    codec: Codec
    skeleton: Skeleton
    testing: TestTimeAugmentation
    batch_size: int

    def __call__(
        self, pictures: Sequence[Picture], squares: Sequence[Square], *, maps: bool = False
    ) -> tuple[Array, Array, list[Maps | None]]:
        """Of N squares, one a picture, keypoints, scores, and maps where they are to be kept.

        Keypoints (N, K, 2) are in pixels of the pictures, scores (N, K) in [0, 1]; both float32.
        """
        keypoints = np.empty((len(squares), len(self.skeleton), 2), dtype=np.float32)
        peaks = np.empty(keypoints.shape[:2], dtype=np.float32)
        kept: list[Maps | None] = [None] * len(squares)
        fused = self.testing.scales is not None
        for begin in range(0, len(squares), self.batch_size):
            rows = slice(begin, begin + self.batch_size)
            some = pictures[rows], squares[rows]
            answer = self._averaged(*some) if maps or not fused else None
            if answer is not None and maps:
                kept[rows] = _kept(answer, some[1])
            if answer is None or fused:
                keypoints[rows], peaks[rows] = self._fused_peaks(*some)
            else:
                points, peaks[rows] = answer.decode(self.codec)
                affines = np.stack([self.codec.affine(square) for square in some[1]])
                keypoints[rows] = apply_affine(invert_affine(affines), points)
        if not (np.isfinite(keypoints).all() and np.isfinite(peaks).all()):
            raise UserError(
                f"{self.backend.path}: the model gives values that are not finite; its weights are "
                "damaged, or of a training that went wrong"
            )
        return keypoints, self.codec.scores(peaks), kept

    def cut(
        self, pictures: Sequence[Picture], squares: Sequence[Square], rotation: float = 0.0
    ) -> Array:
        """RGB uint8 (N, S, S, 3), the crops of N squares, turned clockwise by some degrees."""
        crops = []
        for picture, square in zip(pictures, squares, strict=True):
            affine = compose_affines(self.codec.affine(square, rotation), picture.to_original)
            crops.append(extract_crop(picture.pixels, affine, self.codec.input_size))
        return np.stack(crops)

    def _fused_peaks(
        self, pictures: Sequence[Picture], squares: Sequence[Square]
    ) -> tuple[Array, Array]:
        """Points and peaks with the heatmaps of all scales fused at image resolution."""
        assert self.testing.scales is not None
        scaled = [[(at, side * scale) for scale in self.testing.scales] for at, side in squares]
        rows = [(pictures[n], square) for n, group in enumerate(scaled) for square in group]
        parts = []
        for begin in range(0, len(rows), self.batch_size):
            some = rows[begin : begin + self.batch_size]
            answer = self._averaged([picture for picture, _ in some], [one for _, one in some])
            assert answer.heatmaps is not None
            parts.append(answer.heatmaps)
        heatmaps = torch.split(torch.cat(parts), len(self.testing.scales))
        shapes = [picture.shape for picture in pictures]
        points, peaks = zip(*map(fuse, heatmaps, scaled, shapes), strict=True)
        return np.stack(points), np.stack(peaks)

    @torch.inference_mode()
    def _averaged(self, pictures: Sequence[Picture], squares: Sequence[Square]) -> Answer:
        """The answer to upright crops, or the mean of those to mirrored and turned ones."""
        if self.testing.rotations == (0.0,):
            return self._mirrored(self.cut(pictures, squares))
        total: list[Tensor] = []
        for rotation in self.testing.rotations:
            answer = self._mirrored(self.cut(pictures, squares, rotation))
            assert answer.heatmaps is not None
            seen = torch.ones_like(answer.heatmaps[:1, :1])
            maps = [one for one in (answer.heatmaps, answer.attention, seen) if one is not None]
            turned = [turn_heatmaps(one, -rotation) for one in maps]
            total = [a + b for a, b in zip(total, turned, strict=True)] if total else turned
        *sums, covered = total  # the last: by how many of the turned maps a cell is seen
        heatmaps, *attention = [one / covered.clamp_min(1e-6) for one in sums]
        return Answer(heatmaps, attention[0] if attention else None)

    def _mirrored(self, crops: Array) -> Answer:
        """The answer to crops, or its mean with that to the mirror images."""
        answer = self.backend(crops)
        if not self.testing.flip:
            return answer
        back = self.backend(np.ascontiguousarray(crops[:, :, ::-1]))
        assert answer.heatmaps is not None and back.heatmaps is not None
        mirrored = flip_heatmaps(back.heatmaps, self.skeleton.flip_permutation)
        attention = answer.attention
        if attention is not None and back.attention is not None:
            attention = (attention + back.attention.flip(-1)) / 2
        return Answer((answer.heatmaps + mirrored) / 2, attention)


def _kept(answer: Answer, squares: Sequence[Square]) -> list[Maps]:
    """The maps of each of some squares."""
    assert answer.heatmaps is not None
    weights = answer.attention
    attentions = [None] * len(squares) if weights is None else weights.cpu().numpy()
    return [
        Maps(heatmaps, attention, np.concatenate([centre - side / 2, centre + side / 2]))
        for heatmaps, attention, (centre, side) in zip(
            answer.heatmaps.cpu().numpy(), attentions, squares, strict=True
        )
    ]
