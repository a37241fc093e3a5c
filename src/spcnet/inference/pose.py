"""What a prediction is."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spcnet.geometry import Array
from spcnet.skeletons import Skeleton

CONFIDENT = 0.3  # a joint below this score is more often wrong than right


@dataclass(frozen=True, slots=True)
class Maps:
    """What a network said of the square about one person.

    Where it selects no levels, or is an ``.onnx`` file, there is no attention.
    """

    heatmaps: Array  # (K, h, w) float32, an ideal peak is 1
    attention: Array | None  # (L, h, w) float32, each level's share of a cell, coarsest level first
    region: Array  # (4,) x0, y0, x1, y1, the edges of the square in pixels of the picture


@dataclass(frozen=True, slots=True)
class Pose:
    """One person's joints in image pixels.

    Attributes:
        keypoints: (K, 2) float32, x right and y down, 0-based pixel centres.
        scores: (K,) float32 in [0, 1], how sure the network is of each joint.
        box: (4,) float32 x0, y0, x1, y1, the person box that was given, or what the finder and the
            joints say of it.
        skeleton: names and limbs of the K joints.
        maps: what the network said of the person, where it was asked for.
        presence: in [0, 1], how sure the finder and the joints together are that somebody is there
            (`spcnet.inference.people.confirm`); None of a person who was given by a box.
    """

    keypoints: Array
    scores: Array
    box: Array
    skeleton: Skeleton
    maps: Maps | None = None
    presence: float | None = None

    def seen_as(self, skeleton: Skeleton) -> "Pose":
        """The same person in the joints of another skeleton; a `ValueError` if one is not here.

        A joint that is the middle of two, such as the pelvis, has the lower of their scores.
        """
        if skeleton == self.skeleton:
            return self
        channels = [list(of_joint) for of_joint in self.skeleton.view(skeleton)]

        def mean(values: Array) -> Array:
            return np.stack([values[of_joint].mean(axis=0) for of_joint in channels])

        maps = self.maps and replace(self.maps, heatmaps=mean(self.maps.heatmaps))
        scores = np.stack([self.scores[of_joint].min() for of_joint in channels])
        points = mean(self.keypoints)
        return replace(self, keypoints=points, scores=scores, skeleton=skeleton, maps=maps)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: joints by name with x, y and score, box, score (their mean), skeleton.

        Pixels are rounded to hundredths and scores to four digits; ``presence`` is there if known.
        """
        joints = zip(
            self.skeleton.joints, self.keypoints.tolist(), self.scores.tolist(), strict=True
        )
        return {
            "skeleton": self.skeleton.name,
            "score": round(float(self.scores.mean()), 4),
            **self._presence(),
            "box": [round(float(side), 2) for side in self.box],
            "keypoints": {
                name: {"x": round(x, 2), "y": round(y, 2), "score": round(score, 4)}
                for name, (x, y), score in joints
            },
        }

    def _presence(self) -> dict[str, float]:
        return {} if self.presence is None else {"presence": round(float(self.presence), 4)}

    def to_coco(self, *, image_id: int = 1, annotation_id: int = 1) -> dict[str, Any]:
        """One annotation in COCO's keypoint format.

        The flag v of a joint is 2, or 1 where its score is below `CONFIDENT`; ``bbox`` is
        x, y, width, height. ``keypoint_scores``, ``score`` (their mean) and ``presence``, where it
        is known, are additions that COCO's tools pass over.
        """
        flags = np.where(self.scores >= CONFIDENT, 2, 1)
        x0, y0, x1, y1 = (float(side) for side in self.box)
        return {
            "id": annotation_id,
            "image_id": image_id,
            "category_id": 1,
            "keypoints": [
                value
                for (x, y), flag in zip(self.keypoints.tolist(), flags.tolist(), strict=True)
                for value in (round(x, 2), round(y, 2), flag)
            ],
            "num_keypoints": len(self.skeleton),
            "bbox": [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)],
            "area": round((x1 - x0) * (y1 - y0), 2),
            "iscrowd": 0,
            "score": round(float(self.scores.mean()), 4),
            **self._presence(),
            "keypoint_scores": [round(score, 4) for score in self.scores.tolist()],
        }
