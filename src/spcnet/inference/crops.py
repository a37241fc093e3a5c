"""The joints in square crops of pictures: cut, run through a network, and placed back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spcnet.codec import Codec, Square
from spcnet.geometry import Array, apply_affine, compose_affines, invert_affine
from spcnet.inference.augmented import TestTimeAugmentation, averaged_maps
from spcnet.inference.pose import Maps, Pose
from spcnet.inference.pyramid import fuse
from spcnet.media.crops import extract_crop
from spcnet.media.images import Picture
from spcnet.runtime.backends import Backend, OnnxKeypoints
from spcnet.skeletons import Skeleton


@dataclass(frozen=True, slots=True)
class Joints:
    """What was found in N crops.

    Attributes:
        keypoints: (N, K, 2) float32 in pixels of the pictures.
        scores: (N, K) float32 in [0, 1].
        maps: of each crop, where they were asked for.
    """

    keypoints: Array
    scores: Array
    maps: list[Maps | None]

    def poses(self, boxes: Sequence[Array], skeleton: Skeleton) -> list[Pose]:
        """The same as poses, each with the box that its crop is about."""
        columns = zip(boxes, self.keypoints, self.scores, self.maps, strict=True)
        return [
            Pose(keypoints, scores, box.astype(np.float32), skeleton, maps)
            for box, keypoints, scores, maps in columns
        ]


@dataclass(frozen=True, slots=True)
class CropPredictor:
    """Finds joints in crops.

    Attributes:
        backend: runs the network.
        codec: cuts crops for it and reads its outputs.
        skeleton: of its heatmaps.
        testing: what is averaged over.
        batch_size: most crops that go through the network at once.
    """

    backend: Backend
    codec: Codec
    skeleton: Skeleton
    testing: TestTimeAugmentation
    batch_size: int

    def __call__(
        self, pictures: Sequence[Picture], squares: Sequence[Square], *, maps: bool = False
    ) -> Joints:
        """The joints in N crops.

        Args:
            pictures: one a crop; they may be the same.
            squares: of each crop the centre (2,) and the side in pixels of the picture.
            maps: keep the heatmaps and the attention too.

        Raises:
            UserError: maps are asked for, and the backend has none.
        """
        keypoints = np.empty((len(squares), len(self.skeleton), 2), dtype=np.float32)
        peaks = np.empty(keypoints.shape[:2], dtype=np.float32)
        kept: list[Maps | None] = [None] * len(squares)
        for begin in range(0, len(squares), self.batch_size):
            rows = slice(begin, begin + self.batch_size)
            some = pictures[rows], squares[rows]
            if isinstance(self.backend, OnnxKeypoints):
                if maps:
                    raise self.backend.without_heatmaps("maps=True")
                keypoints[rows], peaks[rows] = self._peaks_of_file(self.backend, *some)
                continue
            fused = self.testing.scales is not None
            pair = self._averaged(*some) if maps or not fused else None
            if pair is not None and maps:
                kept[rows] = _kept(*pair, some[1])
            if pair is None or fused:
                keypoints[rows], peaks[rows] = self._fused_peaks(*some)
            else:
                points, values = (found.cpu().numpy() for found in self.codec.decode(pair[0]))
                keypoints[rows], peaks[rows] = self._placed(points, some[1]), values
        return Joints(keypoints, self.codec.scores(peaks), kept)

    def cut(
        self, pictures: Sequence[Picture], squares: Sequence[Square], rotation: float = 0.0
    ) -> Array:
        """What the network is shown of N squares: (N, S, S, 3) RGB uint8.

        Args:
            pictures: as for a call.
            squares: likewise.
            rotation: degrees that the crops are turned clockwise.
        """
        crops = []
        for picture, square in zip(pictures, squares, strict=True):
            affine = compose_affines(self.codec.affine(square, rotation), picture.to_original)
            crops.append(extract_crop(picture.pixels, affine, self.codec.input_size))
        return np.stack(crops)

    def _placed(self, points: Array, squares: Sequence[Square]) -> Array:
        """Points (N, K, 2) of crops in pixels of their pictures."""
        affines = np.stack([self.codec.affine(square) for square in squares])
        return apply_affine(invert_affine(affines), points)

    def _peaks_of_file(
        self, backend: OnnxKeypoints, pictures: Sequence[Picture], squares: Sequence[Square]
    ) -> tuple[Array, Array]:
        """Points in pictures and peak values by a file that decodes and calibrates by itself."""
        points, peaks = backend.keypoints(self.cut(pictures, squares))
        calibration = backend.card.codec.calibration
        if calibration is not None:
            peaks = calibration.peaks_of(peaks)
        return self._placed(points, squares), peaks

    def _fused_peaks(
        self, pictures: Sequence[Picture], squares: Sequence[Square]
    ) -> tuple[Array, Array]:
        """The same with the heatmaps of all scales fused at image resolution."""
        assert self.testing.scales is not None
        scaled = [[(at, side * scale) for scale in self.testing.scales] for at, side in squares]
        rows = [(n, square) for n, group in enumerate(scaled) for square in group]
        parts = []
        for begin in range(0, len(rows), self.batch_size):
            batch = rows[begin : begin + self.batch_size]
            some = [pictures[n] for n, _ in batch], [square for _, square in batch]
            parts.append(self._averaged(*some)[0])
        heatmaps = torch.cat(parts)
        heatmaps = heatmaps.view(len(squares), len(self.testing.scales), *heatmaps.shape[1:])
        found = [
            fuse(maps, group, picture.shape)
            for maps, group, picture in zip(heatmaps, scaled, pictures, strict=True)
        ]
        return np.stack([points for points, _ in found]), np.stack([peaks for _, peaks in found])

    def _averaged(
        self, pictures: Sequence[Picture], squares: Sequence[Square]
    ) -> tuple[Tensor, Tensor | None]:
        """Heatmaps (N, K, h, w) and attention of some squares, mirrored and turned crops too."""
        return averaged_maps(
            self.backend,
            lambda rotation: self.cut(pictures, squares, rotation),
            skeleton=self.skeleton,
            testing=self.testing,
        )


def _kept(heatmaps: Tensor, attention: Tensor | None, squares: Sequence[Square]) -> list[Maps]:
    """The maps of each of some squares."""
    of_joints = heatmaps.float().cpu().numpy()
    of_levels = None if attention is None else attention.float().cpu().numpy()
    return [
        Maps(
            of_joints[n],
            None if of_levels is None else of_levels[n],
            np.concatenate([centre - side / 2, centre + side / 2]),
        )
        for n, (centre, side) in enumerate(squares)
    ]
