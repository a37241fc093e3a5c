"""`PoseEstimator`: pictures and person boxes in, poses out."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike

from spcnet.checkpoints import find_weights
from spcnet.codec import Refinement, Square, check_refinement, square_of_box
from spcnet.errors import UserError, dims
from spcnet.geometry import Array
from spcnet.inference.crops import CropPredictor
from spcnet.inference.detectors import PersonDetector
from spcnet.inference.finder import Finder
from spcnet.inference.method import Method, PersonSource, digest_of
from spcnet.inference.people import Given, People, PictureReader, Sightings, check_people, groups
from spcnet.inference.pose import Maps, Pose
from spcnet.inference.pyramid import TestTimeAugmentation, parse_rotations, parse_scales
from spcnet.media.images import ImageLike, Picture
from spcnet.models.network import PoseNetwork
from spcnet.runtime.contract import Precision, Runtime, open_backend
from spcnet.skeletons import Skeleton


class PoseEstimator:
    """A trained network, ready for pictures.

    Args:
        model: ``"default"``, another model with weights, a ``.safetensors`` file, or an ``.onnx``
            of `spcnet export`, which onnxruntime or OpenVINO runs on the CPU. One that was exported
            without ``--heatmaps`` has its refinement in it, and no heatmaps to average or to give.
        device: ``"auto"`` (CUDA where there is one, else the CPU), ``"cpu"``, ``"cuda"``, ...
        runtime: ``"torch"``, or for an ``.onnx`` ``"onnxruntime"`` or ``"openvino"``.
        flip: average the heatmaps with those of the mirror image: better, twice the time.
        scales: average over crops of several sizes as well, fused at image resolution without
            refinement: factors of the crop's side, or ``"pyranet"`` (0.8 to 1.3) or ``"chu"``
            (0.7 to 1.2), which take six times the time.
        rotations: average over crops turned by these degrees as well, such as ``(-30, 0, 30)``;
            each takes the time of one.
        refinement: how peaks are refined below one heatmap cell; by default the checkpoint's.
            Values of ``"mass"`` and of the others differ, so that where only one of this and the
            checkpoint's is ``"mass"`` (with scales too) scores are plain peaks, not calibrated.
        batch_size: most crops in the network at once.
        finder: looks for persons where no boxes are given: a `PersonDetector`, or the file of a
            `spcnet.inference.finder.Finder`, by default the bundled one.
        precision: ``"fp32"``; ``"bf16"``, on devices that multiply it in hardware nearly twice as
            fast; or ``"auto"``: bf16 where that is so and the keypoints of rendered figures stay.

    Raises:
        UserError: the model or the device is not there, or cannot do what is asked for.
    """

    def __init__(
        self,
        model: str = "default",
        *,
        device: str = "auto",
        runtime: Runtime = "auto",
        flip: bool = False,
        scales: str | Sequence[float] | None = None,
        rotations: str | Sequence[float] | None = None,
        refinement: Refinement | None = None,
        batch_size: int = 16,
        precision: Precision = "fp32",
        finder: PersonDetector | str | os.PathLike[str] | None = None,
    ) -> None:
        if batch_size < 1:
            raise UserError(f"batch_size must be at least 1, got {batch_size}")
        check_refinement(refinement or "none")
        self.path = find_weights(str(model))
        self.testing = TestTimeAugmentation(flip, parse_scales(scales), parse_rotations(rotations))
        if self.testing.scales is not None and refinement not in (None, "none"):
            raise UserError(
                f"refinement {refinement!r} does not go with scales: the fused heatmaps' arg max "
                "is taken at image resolution"
            )
        self.backend = open_backend(self.path, device, precision, runtime)
        self.device, self.card = self.backend.device, self.backend.card
        self.skeleton = self.card.skeleton
        self.batch_size = batch_size
        own = self.card.codec
        chosen: Refinement = "none" if self.testing.scales else refinement or own.refinement
        fits = (chosen == "mass") == (own.refinement == "mass")  # else values are of another sort
        self.codec = replace(own, refinement=chosen, calibration=own.calibration if fits else None)
        if isinstance(finder, str | os.PathLike):
            finder = Finder(finder, device=str(self.device))
        if finder is not None:
            self.finder = finder
        if self.testing:
            self._need_heatmaps(str(self.testing))
        if chosen != own.refinement:
            self._need_heatmaps(f"refinement {chosen!r}")

    def _need_heatmaps(self, what: str) -> None:
        if not self.backend.gives_heatmaps:
            raise UserError(
                f"{self.path}: {what} needs heatmaps, and this file gives keypoints alone; export "
                "the model again with `spcnet export --heatmaps`"
            )

    @property
    def network(self) -> PoseNetwork:
        """That torch runs; another of the same joints may take its place. An error of ``.onnx``."""
        return self.backend.network

    @network.setter
    def network(self, network: PoseNetwork) -> None:
        self.backend.network = network

    @cached_property
    def finder(self) -> PersonDetector:
        """Looks for persons where no boxes are given; the bundled one is loaded when needed."""
        return Finder(device=str(self.device))

    @property
    def crops(self) -> CropPredictor:
        """Finds joints in square crops, beneath `predict`."""
        return CropPredictor(self.backend, self.codec, self.skeleton, self.testing, self.batch_size)

    def describe(self) -> str:
        """How results come about, in words."""
        return (
            f"{self.path.stem} ({self.card.variant}, {self.codec.input_size} px), "
            f"refinement {self.codec.refinement}, {self.testing}, on {self.backend.place}"
        )

    def method(
        self, persons: PersonSource | People | int, skeleton: str | Skeleton | None = None
    ) -> Method:
        """What its results are made by, where the boxes come from `persons`; see `predict`.

        ``"one"``, ``"all"`` and a number of people at most are those of its finder.
        """
        from spcnet import __version__

        if not isinstance(persons, PersonSource):
            finder, whom = self.finder, str(persons)
            name = type(finder).__name__
            persons = PersonSource(kind="detector", name=name, digest="", people=whom)
            if isinstance(finder, Finder):
                persons = finder.source(whom, calibrated=self.codec.calibration is not None)
        return Method(
            version=__version__,
            model=self.path.stem,
            weights=digest_of(self.path),
            precision=self.backend.precision,
            refinement=self.codec.refinement,
            skeleton=self.view(skeleton).name,
            persons=persons,
            **asdict(self.testing),
        )

    def view(self, skeleton: str | Skeleton | None) -> Skeleton:
        """The skeleton that poses are asked for in: by its name, itself, or the model's own.

        An error unless the model predicts all of its joints.
        """
        try:
            return self.skeleton if skeleton is None else self.skeleton.find_view(skeleton)
        except ValueError as error:
            raise UserError(f"model {self.path.stem!r}: {error}") from None

    def predict(
        self,
        image: ImageLike,
        boxes: ArrayLike | None = None,
        *,
        people: People = "one",
        skeleton: str | Skeleton | None = None,
        maps: bool = False,
    ) -> list[Pose]:
        """The poses in one picture.

        Args:
            image: a path, an RGB array (H, W, 3) (also grey, RGBA, uint16, float in 0..1), or a
                PIL image. EXIF orientation is honoured for paths and PIL images.
            boxes: (N, 4) tight person boxes x0, y0, x1, y1 in pixels of the upright picture.
                Without them the finder looks for persons.
            people: which of the finder's persons: ``"one"``, the main one, or ``"all"``.
            skeleton: whose joints the poses have, such as ``"coco17"``; by default the model's.
            maps: give the heatmaps and the attention of the same pass too, as `Pose.maps`. They
                are of the crops as they are padded, also where `scales` are fused.

        Returns:
            One pose per box, in the order of the boxes; without boxes one per person that is found,
            surest first, and none where nobody is.

        Raises:
            UserError: the picture cannot be read, a box is not one, both boxes and all people are
                asked for, or the model does not predict the skeleton's joints.
        """
        check_people(people, boxes)
        of_picture = None if boxes is None else [boxes]
        return next(
            self.predict_many([image], of_picture, people=people, skeleton=skeleton, maps=maps)
        )

    def predict_many(
        self,
        images: Iterable[ImageLike | Picture],
        boxes: Iterable[Given] | None = None,
        *,
        people: People = "one",
        skeleton: str | Skeleton | None = None,
        maps: bool = False,
    ) -> Iterator[list[Pose]]:
        """The poses of many pictures, lazily and in batches across pictures, a list of each.

        Arguments are those of `predict`, but that `images` are many, which are read only as far as
        the batches need, and `boxes`, of which there are as many, may be None where there are none,
        or what `find` gave. Errors are raised when the batch of the faulty picture is reached.
        """
        view = self.view(skeleton)
        check_people(people)
        if maps:
            self._need_heatmaps("maps=True")
        if isinstance(images, str | os.PathLike):
            raise UserError(f"images must be several pictures, such as [{str(images)!r}]")
        for group in groups(images, boxes, self.batch_size):
            seen = [self.reader.who(image, given, people) for image, given in group]
            rows = [(picture, box) for picture, who in seen for box in who.boxes]
            squares = [square_of_box(box) for _, box in rows]
            found = self.crops([picture for picture, _ in rows], squares, maps=maps)
            poses = (
                Pose(keypoints, scores, box.astype(np.float32), self.skeleton, of_crop)
                for (_, box), keypoints, scores, of_crop in zip(rows, *found, strict=True)
            )
            for picture, who in seen:
                mine = list(islice(poses, len(who.boxes)))
                yield [pose.seen_as(view) for pose in who.who(mine, picture.shape)]

    def find(self, image: ImageLike | Picture, people: People = "one") -> tuple[Picture, Sightings]:
        """A picture as `predict` sees it, and whom the finder sees: `PictureReader.find`."""
        return self.reader.find(image, people)

    @property
    def reader(self) -> PictureReader:
        """Reads pictures and says who is in them, before `predict`."""
        return PictureReader(self.codec, lambda: self.finder, whole=self.testing.scales is not None)

    def heatmaps(self, image: ImageLike, box: ArrayLike) -> Array:
        """Heatmaps (K, h, w) float32 of the crop about one box; an ideal peak is 1.

        An error where the model is a file of keypoints.
        """
        return self._maps_of(image, box).heatmaps

    def attention(self, image: ImageLike, box: ArrayLike) -> Array:
        """How much each level is taken at each cell: (L, h, w) float32, coarsest level first.

        An error where the network has no Selective Information Module, or is an ``.onnx`` file.
        """
        maps = self._maps_of(image, box) if self.backend.gives_heatmaps else None
        if maps is None or maps.attention is None:
            raise self.backend.without_attention()
        return maps.attention

    def _maps_of(self, image: ImageLike, box: ArrayLike) -> Maps:
        if np.shape(box) != (4,):
            raise UserError(f"box must be one box, x0, y0, x1, y1, got {dims(np.shape(box))}")
        (pose,) = self.predict(image, np.asarray(box)[None], maps=True)
        assert pose.maps is not None
        return pose.maps

    def look(self, pictures: Sequence[Array], squares: Sequence[Square]) -> tuple[Array, Array]:
        """Keypoints (N, K, 2) in image pixels and scores (N, K), float32, of N square crops.

        Pictures are RGB uint8 (H, W, 3), one a crop; they may be the same.
        """
        return self.crops([Picture.of(picture) for picture in pictures], squares)[:2]
