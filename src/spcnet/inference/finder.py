"""The bundled finder: where the persons of a picture are, and whether anybody is there."""

import os
from pathlib import Path

import cv2
import numpy as np
import torch

from spcnet.boxmaps import find_peaks
from spcnet.bundled import weights_folder
from spcnet.checkpoints import load_finder
from spcnet.codec import OUTSIDE, normalise
from spcnet.devices import find_device
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.inference.detectors import nms
from spcnet.inference.method import PersonSource, digest_of
from spcnet.models.network import PoseNetwork, channels_last
from spcnet.runtime.plain import make_forward

OVERLAP = 0.55  # intersection over union above which two boxes are of one person
MOST = 100  # persons of a picture
LEAST = 0.01  # score of what is considered at all


class Finder:
    """A `PersonDetector`: a ``.safetensors`` that ``spcnet train`` wrote by a `task: finder`.

    By default it is the bundled one, and the threshold, the least score of a person, its own.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        threshold: float | None = None,
        device: str = "auto",
    ) -> None:
        bundled = weights_folder() / "finder" / "finder.safetensors"
        self.path = bundled if path is None else Path(path)
        if path is None and not bundled.is_file():
            raise UserError(f"{bundled}: the bundled finder is missing; install spcnet again")
        network, self.card = load_finder(self.path)
        self.threshold = self.card.threshold if threshold is None else threshold
        if not 0 <= self.threshold <= 1:
            raise UserError(f"threshold must lie between 0 and 1, got {self.threshold:g}")
        self.present = self.card.present
        self.device = find_device(device)
        self._divisor = network.divisor
        self._run = make_forward(channels_last(network.to(self.device)), "fp32", consume=True)

    def source(self, people: str, *, calibrated: bool) -> PersonSource:
        """What its boxes come from: of the main person (``"one"``) or of ``"all"``.

        Where joints' scores are `calibrated`, they say with the finder's who is there.
        """
        least = {"presence": self.present} if calibrated and self.present else {}
        least = least or {"threshold": self.threshold}
        name, digest = self.path.stem, digest_of(self.path)
        return PersonSource(kind="finder", name=name, digest=digest, people=people, **least)

    def describe(self) -> str:
        """What finds the persons, in words."""
        return (
            f"{self.path.stem} ({self.card.variant}, {self.card.input_size} px) "
            f"from score {self.threshold:.2f}"
        )

    @torch.inference_mode()
    def detect(self, picture: Array, *, least: float | None = None) -> tuple[Array, Array]:
        """See `PersonDetector`; `least` is another threshold than the finder's own."""
        least = max(self.threshold if least is None else least, LEAST)
        canvas, scale = self._canvas(picture)
        maps, _ = self._run(normalise(torch.from_numpy(canvas).to(self.device)[None]))
        boxes, scores = find_peaks(maps[0], stride=PoseNetwork.stride, most=MOST, least=least)
        height, width = picture.shape[:2]
        # From pixels of the reduced picture, whose centres lie elsewhere.
        corners = (boxes.cpu().double().numpy() + 0.5) / scale - 0.5
        corners = corners.clip(-0.5, [width - 0.5, height - 0.5] * 2)
        values = scores.cpu().numpy()
        kept = nms(corners, values, overlap=OVERLAP)
        kept = kept[(corners[kept, 2:] - corners[kept, :2] > 1).all(axis=1)]
        return corners[kept], values[kept]

    def _canvas(self, picture: Array) -> tuple[Array, Array]:
        """A picture as the network takes it, and its scale in x, y, x, y."""
        height, width = picture.shape[:2]
        times = self.card.input_size / max(height, width)
        size = max(1, round(width * times)), max(1, round(height * times))
        how = cv2.INTER_AREA if times < 1 else cv2.INTER_LINEAR
        small = cv2.resize(np.ascontiguousarray(picture), size, interpolation=how)
        right, below = (-side % self._divisor for side in size)
        canvas: Array = cv2.copyMakeBorder(
            small, 0, below, 0, right, cv2.BORDER_CONSTANT, value=OUTSIDE
        )
        return canvas, np.array([size[0] / width, size[1] / height] * 2)
