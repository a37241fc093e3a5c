"""`PoseEstimator`: pictures and person boxes in, poses out."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from spcnet.checkpoints import find_weights
from spcnet.codec import Refinement, Square, check_refinement, square_of_box
from spcnet.errors import UserError
from spcnet.geometry import (
    SHARPEST,
    Array,
    apply_affine,
    compose_affines,
    invert_affine,
)
from spcnet.inference.augmented import averaged_maps
from spcnet.inference.boxes import People, Sightings, check_boxes, check_people
from spcnet.inference.detectors import PersonDetector, main_ranks
from spcnet.inference.finder import Finder
from spcnet.inference.method import Method, PersonSource, digest_of
from spcnet.inference.pose import Maps, Pose
from spcnet.inference.pyramid import PYRAMIDS, fuse, parse_rotations, parse_scales
from spcnet.media.crops import extract_crop
from spcnet.media.images import (
    ReducedPicture,
    read_image,
    read_reduced,
    rgb_from_array,
    rgb_from_pil,
)
from spcnet.models.network import PoseNetwork
from spcnet.runtime.backends import OnnxKeypoints, TorchBackend, open_backend
from spcnet.runtime.precision import Precision
from spcnet.skeletons import SKELETONS, Skeleton

Picture: TypeAlias = str | os.PathLike[str] | Image.Image | Array
Pixels: TypeAlias = Array | ReducedPicture  # of a picture that was read

T = TypeVar("T")

SIGHTED = 0.1  # score of a sighting that poses then decide on
CANDIDATES = 3  # sightings of which poses say which is the main person
FINDING = 640  # pixels of a picture's longer side, at least, in which a finder looks for persons

NO_AUGMENTATION = "no test-time augmentation"


class PoseEstimator:
    """A trained network, ready for pictures.

    Args:
        model: ``"default"``, another model with weights, a ``.safetensors`` file, or an ``.onnx``
            of `spcnet export`, which onnxruntime or OpenVINO runs on the CPU. One of keypoints
            (that is, exported without ``--heatmaps``) has its refinement in it, and does neither
            `heatmaps` nor what averages them: flip, scales and rotations.
        device: ``"auto"`` (CUDA where there is one, else the CPU), ``"cpu"``, ``"cuda"``, ...;
            or ``"openvino"``, which runs an ``.onnx`` by OpenVINO.
        flip: average the heatmaps with those of the mirror image: a little better, twice the
            time.
        scales: average over crops of several sizes as well, fused at image resolution without
            refinement: factors of the crop's side, or ``"pyranet"`` (0.8 to 1.3) or ``"chu"``
            (0.7 to 1.2), which take six times the time.
        rotations: average over crops turned by these degrees as well, such as ``(-30, 0, 30)``;
            each takes the time of one.
        refinement: how peaks are refined below one heatmap cell; by default the checkpoint's.
            Values of ``"mass"`` and of the others differ, so that where only one of this and the
            checkpoint's is ``"mass"`` (with scales too) scores are plain peaks, not calibrated.
        batch_size: most crops that go through the network at once.
        finder: looks for persons where no boxes are given: a `PersonDetector`, or the file of a
            `spcnet.inference.finder.Finder`, by default the bundled one.
        precision: ``"fp32"``; ``"bf16"``, on devices that multiply it in hardware nearly twice as
            fast; or ``"auto"``: bf16 where there is such hardware and the keypoints of rendered
            figures stay where they are. (int8 is for exported files.)

    Raises:
        UserError: the model or the device is not there, an argument is not one of those above,
            or the model is a file of keypoints and cannot do what is asked for.
    """

    def __init__(
        self,
        model: str = "default",
        *,
        device: str = "auto",
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
        if refinement is not None:
            check_refinement(refinement)
        self.path = find_weights(str(model))
        self.backend = open_backend(self.path, device, precision)
        self.device = self.backend.device
        self.card = self.backend.card
        self.skeleton = self.card.skeleton
        self.flip = flip
        self.scales = parse_scales(scales)
        self.rotations = parse_rotations(rotations)
        if self.scales is not None and refinement not in (None, "none"):
            raise UserError(
                f"refinement {refinement!r} does not go with scales: the fused heatmaps' arg max "
                "is taken at image resolution"
            )
        own = self.card.codec
        chosen: Refinement = "none" if self.scales else refinement or own.refinement
        fits = (chosen == "mass") == (own.refinement == "mass")  # else values are of another sort
        self.codec = replace(own, refinement=chosen, calibration=own.calibration if fits else None)
        self.batch_size = batch_size
        if isinstance(finder, str | os.PathLike):
            finder = Finder(finder, device=str(self.device))
        self._finder = finder
        if isinstance(self.backend, OnnxKeypoints):
            if self.testing() != NO_AUGMENTATION:
                raise self.backend.without_heatmaps(self.testing())
            if chosen != own.refinement:
                raise self.backend.without_heatmaps(f"refinement {refinement!r}")

    @property
    def network(self) -> PoseNetwork:
        """The network that torch runs; it may be exchanged for another of the same joints.

        Raises:
            UserError: the model is an ``.onnx`` file.
        """
        return self._torch().network

    @network.setter
    def network(self, network: PoseNetwork) -> None:
        self._torch().network = network

    @property
    def finder(self) -> PersonDetector:
        """Looks for persons where no boxes are given; the bundled one is loaded when needed.

        Raises:
            UserError: the bundled one is missing.
        """
        if self._finder is None:
            self._finder = Finder(device=str(self.device))
        return self._finder

    @finder.setter
    def finder(self, finder: PersonDetector) -> None:
        self._finder = finder

    def _torch(self) -> TorchBackend:
        if not isinstance(self.backend, TorchBackend):
            raise UserError(
                f"{self.path}: torch does not run .onnx files; use the .safetensors that it was "
                "exported from"
            )
        return self.backend

    def describe(self) -> str:
        """How results come about, in words: network, input, refinement, flip, device."""
        return (
            f"{self.path.stem} ({self.card.variant}, {self.codec.input_size} px), "
            f"{self.codec.refinement} refinement, {self.testing()}, on {self.backend.place}"
        )

    def method(self, persons: PersonSource, skeleton: str | Skeleton | None = None) -> Method:
        """What its results are made by.

        Args:
            persons: where the boxes come from.
            skeleton: as for `predict`.

        Raises:
            UserError: as of `view`.
        """
        from spcnet import __version__

        return Method(
            version=__version__,
            model=self.path.stem,
            weights=digest_of(self.path),
            precision=self.backend.numbers,
            refinement=self.codec.refinement,
            flip=self.flip,
            scales=self.scales,
            rotations=self.rotations,
            skeleton=self.view(skeleton).name,
            persons=persons,
        )

    def testing(self) -> str:
        """The test-time augmentation in words."""
        parts = []
        if self.scales is not None:
            name = next((name for name, known in PYRAMIDS.items() if known == self.scales), None)
            parts.append(f"scales {name or ' '.join(f'{factor:g}' for factor in self.scales)}")
        if self.rotations != (0.0,):
            parts.append(f"rotations {' '.join(f'{angle:g}' for angle in self.rotations)}")
        if self.flip:
            parts.append("flip")
        return " and ".join(parts) or NO_AUGMENTATION

    def view(self, skeleton: str | Skeleton | None) -> Skeleton:
        """The skeleton that poses are asked for in: by its name, itself, or the model's own.

        Raises:
            UserError: the name is unknown, or the model does not predict all of its joints.
        """
        if skeleton is None:
            return self.skeleton
        wanted = SKELETONS.get(skeleton) if isinstance(skeleton, str) else skeleton
        if wanted is not None:
            try:
                self.skeleton.view(wanted)
            except ValueError:
                wanted = None
        if wanted is None:
            name = skeleton if isinstance(skeleton, str) else skeleton.name
            raise UserError(
                f"skeleton {name!r}: model {self.path.stem!r} predicts {self.skeleton.name!r}, "
                f"which can be seen as {', '.join(self.skeleton.views()) or 'no other'}"
            )
        return wanted

    def predict(
        self,
        image: Picture,
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
            UserError: the picture cannot be read, a box is not one, or the model does not predict
                the skeleton's joints.
        """
        of_picture = None if boxes is None else [boxes]
        return next(
            self.predict_many([image], of_picture, people=people, skeleton=skeleton, maps=maps)
        )

    def predict_many(
        self,
        images: Iterable[Picture | ReducedPicture],
        boxes: Iterable[ArrayLike | Sightings | None] | None = None,
        *,
        people: People = "one",
        skeleton: str | Skeleton | None = None,
        maps: bool = False,
    ) -> Iterator[list[Pose]]:
        """The poses of many pictures, lazily and in batches across pictures.

        Args:
            images: as for `predict`, or what `read` gave; read only as far as the batches need.
            boxes: for each picture its boxes, or what `find` gave, or None where there are none.
            people: as for `predict`.
            skeleton: as for `predict`.
            maps: as for `predict`.

        Yields:
            One list of poses a picture, in order.

        Raises:
            UserError: as for `predict`, when the group of `batch_size` pictures that the faulty
                one is in is reached; and where there are more or fewer boxes than pictures.
        """
        view = self.view(skeleton)
        check_people(people)
        if isinstance(images, str | os.PathLike):
            raise UserError(f"images must be several pictures, such as [{str(images)!r}]")
        for group in _groups(_pairs(images, boxes), self.batch_size):
            pictures, given, seen = [], [], []
            for image, of_image in group:
                sightings: Sightings | None = None
                if of_image is None:
                    picture, sightings = self.find(image, people)
                elif isinstance(of_image, Sightings):
                    picture, sightings = self.read(image), of_image
                else:
                    picture = self.read(image, of_image)
                    given.append(check_boxes(of_image, picture.shape))
                if sightings is not None:
                    given.append(sightings.boxes)
                pictures.append(picture)
                seen.append(sightings)
            found = self._predict_group(pictures, given, maps=maps)
            for poses, sightings, picture in zip(found, seen, pictures, strict=True):
                if sightings is not None:
                    joints = np.array([pose.scores.mean() for pose in poses])
                    poses = [poses[n] for n in sightings.who(joints, picture.shape)]
                yield [pose.seen_as(view) for pose in poses]

    def read(self, image: Picture | ReducedPicture, boxes: ArrayLike | None = None) -> Pixels:
        """A picture as `predict` looks at it.

        Args:
            image: as for `predict`; what was read already stays as it is.
            boxes: of it; where they are given, the file of a JPEG is decoded no larger than their
                crops need, which takes as little as a third of the time.

        Raises:
            UserError: the picture cannot be read, or a box is not one.
        """
        if isinstance(image, ReducedPicture):
            return image
        # Scales are fused at the picture's own resolution.
        if boxes is None or self.scales is not None or not isinstance(image, str | os.PathLike):
            return load_picture(image)

        def spare(shape: tuple[int, int]) -> float:
            try:
                return min(self._spare(check_boxes(boxes, shape)), max(shape))
            except UserError as error:
                raise UserError(f"{os.fspath(image)}: {error}") from None

        return read_reduced(image, spare)

    def find(
        self, image: Picture | ReducedPicture, people: People = "one"
    ) -> tuple[Pixels, Sightings]:
        """A picture as `predict` sees it, and whom the finder sees; poses say who of them is there.

        The file of a JPEG is decoded no larger than the finder needs, and once more only where
        persons are so small that their crops need more.

        Args:
            image: as for `predict`; what was read already stays as it is.
            people: ``"one"``, the main person, or ``"all"``.

        Returns:
            The picture, and sightings in pixels of the upright picture, surest first; where the
            main person is wanted, a few that may be it.

        Raises:
            UserError: the picture cannot be read.
        """
        picture: Pixels
        if isinstance(image, str | os.PathLike) and self.scales is None:
            picture = read_reduced(image, lambda shape: max(shape) / FINDING)
        else:
            picture = self.read(image)
        pixels = picture.pixels if isinstance(picture, ReducedPicture) else picture
        present = self.finder.present if isinstance(self.finder, Finder) else 0.0
        if isinstance(self.finder, Finder) and present and self.codec.calibration is not None:
            ((boxes, scores),) = self.finder.detect_many([pixels], least=SIGHTED)
        else:  # scores of joints that are no probabilities do not say who is there
            (boxes, scores), present = self.finder.detect(pixels), 0.0
        if people == "one" and len(boxes) > CANDIDATES:
            rank = main_ranks(boxes, scores, pixels.shape)
            best = np.sort(np.argsort(-rank, kind="stable")[:CANDIDATES])
            boxes, scores = boxes[best], scores[best]
        if isinstance(picture, ReducedPicture):
            corners = apply_affine(picture.to_picture, boxes.reshape(-1, 2, 2))
            boxes = corners.reshape(-1, 4)
            fresh = not isinstance(image, ReducedPicture)
            if fresh and picture.to_picture[0, 0] > self._spare(boxes):
                picture = self.read(image, boxes)
        return picture, Sightings(boxes, scores, people, present)

    def _spare(self, boxes: ArrayLike) -> float:
        """How many times smaller a picture may be read for the crops of some boxes (N, 4)."""
        smallest = min((side for _, side in self._squares(list(np.asarray(boxes)))), default=np.inf)
        return float(smallest / (SHARPEST * self.codec.input_size))

    def heatmaps(self, image: Picture, box: ArrayLike) -> Array:
        """Heatmaps (K, h, w) float32 of the crop about one box; an ideal peak is 1.

        Raises:
            UserError: the box is not one, or the model is a file of keypoints.
        """
        return self._maps_of(image, box).heatmaps

    def attention(self, image: Picture, box: ArrayLike) -> Array:
        """How much each level is taken at each cell: (L, h, w) float32, coarsest level first.

        Raises:
            UserError: the network has no Selective Information Module, or is an ``.onnx`` file.
        """
        maps = None if isinstance(self.backend, OnnxKeypoints) else self._maps_of(image, box)
        if maps is None or maps.attention is None:
            raise self.without_attention()
        return maps.attention

    def without_attention(self) -> UserError:
        """The error that the model's maps have no attention."""
        if self.path.suffix == ".onnx":
            return UserError(
                f"{self.path}: an .onnx file gives no attention; use the .safetensors that it was "
                "exported from"
            )
        return UserError(f"model {self.card.variant!r} has no attention: it selects no levels")

    def _maps_of(self, image: Picture, box: ArrayLike) -> Maps:
        if np.shape(box) != (4,):
            raise UserError(f"box must be one box, x0, y0, x1, y1, got shape {np.shape(box)}")
        (pose,) = self.predict(image, np.asarray(box)[None], maps=True)
        assert pose.maps is not None
        return pose.maps

    def _predict_group(
        self, pictures: Sequence[Pixels], boxes: Sequence[Array], *, maps: bool
    ) -> Iterator[list[Pose]]:
        rows = [(n, box) for n, given in enumerate(boxes) for box in given]
        squares = self._squares([box for _, box in rows])
        found = self._find([pictures[n] for n, _ in rows], squares, maps=maps)
        poses: list[list[Pose]] = [[] for _ in pictures]
        for (n, box), keypoints, peaks, of_pose in zip(rows, *found, strict=True):
            box = box.astype(np.float32)
            poses[n].append(Pose(keypoints, self.codec.scores(peaks), box, self.skeleton, of_pose))
        yield from poses

    def look(self, pictures: Sequence[Pixels], squares: Sequence[Square]) -> tuple[Array, Array]:
        """The joints in N square crops.

        Args:
            pictures: N RGB uint8 pictures (H, W, 3), one a crop; they may be the same.
            squares: N pairs of a crop's centre (2,) and side in image pixels, taken as they are.

        Returns:
            Keypoints (N, K, 2) in image pixels and scores (N, K), float32.
        """
        keypoints, peaks, _ = self._find(pictures, squares)
        return keypoints, self.codec.scores(peaks)

    def _find(
        self, pictures: Sequence[Pixels], squares: Sequence[Square], *, maps: bool = False
    ) -> tuple[Array, Array, Sequence[Maps | None]]:
        """Keypoints (N, K, 2), the heatmaps' values there (N, K), and N maps if asked for."""
        joints = len(self.skeleton)
        keypoints = np.empty((len(squares), joints, 2), dtype=np.float32)
        peaks = np.empty((len(squares), joints), dtype=np.float32)
        kept: list[Maps | None] = []
        for begin in range(0, len(squares), self.batch_size):
            rows = slice(begin, begin + self.batch_size)
            some = pictures[rows], squares[rows]
            if isinstance(self.backend, OnnxKeypoints):
                if maps:
                    raise self.backend.without_heatmaps("maps=True")
                keypoints[rows], peaks[rows] = self._peaks_of_file(self.backend, *some)
                kept += [None] * len(some[1])
                continue
            pair = self._averaged(*some) if maps or self.scales is None else None
            if pair is not None and self.scales is None:
                keypoints[rows], peaks[rows] = self._peaks(pair[0], some[1])
            else:
                keypoints[rows], peaks[rows] = self._fused_peaks(*some)
            kept += [None] * len(some[1]) if pair is None or not maps else _kept(*pair, some[1])
        return keypoints, peaks, kept

    def _peaks(self, heatmaps: Tensor, squares: Sequence[Square]) -> tuple[Array, Array]:
        """Refined peaks of the heatmaps of some crops, in image pixels, and their values."""
        points, values = (found.cpu().numpy() for found in self.codec.decode(heatmaps))
        return apply_affine(invert_affine(self._affines(squares)), points), values

    def _peaks_of_file(
        self, backend: OnnxKeypoints, pictures: Sequence[Pixels], squares: Sequence[Square]
    ) -> tuple[Array, Array]:
        """The same by a file that decodes by itself."""
        pixels, peaks = backend.keypoints(self.crops(pictures, squares))
        if backend.card.codec.calibration is not None:  # the file's scores are calibrated
            peaks = backend.card.codec.calibration.peaks_of(peaks)
        return apply_affine(invert_affine(self._affines(squares)), pixels), peaks

    def _fused_peaks(
        self, pictures: Sequence[Pixels], squares: Sequence[Square]
    ) -> tuple[Array, Array]:
        """The same with the heatmaps of all scales fused at image resolution."""
        assert self.scales is not None
        scaled = [[(centre, side * scale) for scale in self.scales] for centre, side in squares]
        rows = [(n, square) for n, group in enumerate(scaled) for square in group]
        parts = []
        for begin in range(0, len(rows), self.batch_size):
            batch = rows[begin : begin + self.batch_size]
            some = [pictures[n] for n, _ in batch], [square for _, square in batch]
            parts.append(self._averaged(*some)[0])
        heatmaps = torch.cat(parts)
        heatmaps = heatmaps.view(len(squares), len(self.scales), *heatmaps.shape[1:])
        found = [
            fuse(maps, group, picture.shape[:2])
            for maps, group, picture in zip(heatmaps, scaled, pictures, strict=True)
        ]
        return np.stack([points for points, _ in found]), np.stack([peaks for _, peaks in found])

    def _averaged(
        self, pictures: Sequence[Pixels], squares: Sequence[Square]
    ) -> tuple[Tensor, Tensor | None]:
        """Heatmaps (N, K, h, w) and attention of some squares, as `flip` and `rotations` say."""
        return averaged_maps(
            self.backend,
            lambda rotation: self.crops(pictures, squares, rotation),
            skeleton=self.skeleton,
            flip=self.flip,
            rotations=self.rotations,
        )

    def _squares(self, boxes: Sequence[Array]) -> list[Square]:
        """The padded squares about tight boxes."""
        return [square_of_box(box) for box in boxes]

    def _affines(self, squares: Sequence[Square], rotation: float = 0.0) -> Array:
        """The affines (N, 2, 3) from pictures to crops."""
        return np.stack([self.codec.affine(square, rotation) for square in squares])

    def crops(
        self, pictures: Sequence[Pixels], squares: Sequence[Square], rotation: float = 0.0
    ) -> Array:
        """What the network is shown of N squares, as of `look`.

        Args:
            pictures: RGB uint8 (H, W, 3), one a square.
            squares: of each crop the centre (2,) and the side in image pixels.
            rotation: degrees that the crops are turned clockwise.

        Returns:
            (N, S, S, 3) RGB uint8.
        """
        affines = self._affines(squares, rotation)
        return np.stack(
            [self._crop(picture, affine) for picture, affine in zip(pictures, affines, strict=True)]
        )

    def _crop(self, picture: Pixels, affine: Array) -> Array:
        if isinstance(picture, ReducedPicture):
            affine = compose_affines(affine, picture.to_picture)
            picture = picture.pixels
        return extract_crop(picture, affine, self.codec.input_size)


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


def load_picture(image: Picture) -> Array:
    """A path, array or PIL image as RGB uint8 (H, W, 3).

    Raises:
        UserError: it cannot be read, or is none of these.
    """
    if isinstance(image, np.ndarray):
        return rgb_from_array(image)
    if isinstance(image, Image.Image):
        try:
            return rgb_from_pil(image)
        except Exception as error:
            raise UserError(f"image of mode {image.mode!r} cannot be read: {error}") from None
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    raise UserError(
        f"image must be a path, an RGB array or a PIL image, got {type(image).__name__}"
    )


def _pairs(
    images: Iterable[T], boxes: Iterable[ArrayLike | Sightings | None] | None
) -> Iterator[tuple[T, ArrayLike | Sightings | None]]:
    """Every picture with its boxes."""
    if boxes is None:
        yield from ((image, None) for image in images)
        return
    try:
        yield from zip(images, boxes, strict=True)
    except ValueError:
        raise UserError("boxes must hold one entry (or None) for every picture") from None


def _groups(
    pairs: Iterable[tuple[T, ArrayLike | Sightings | None]], size: int
) -> Iterator[list[tuple[T, ArrayLike | Sightings | None]]]:
    """Consecutive groups of at most `size`, read lazily."""
    iterator = iter(pairs)
    while group := list(itertools.islice(iterator, size)):
        yield group
