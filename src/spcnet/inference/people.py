"""Who is in a picture, which is read no larger than needed: given boxes, or whom a finder sees."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, repeat
from pathlib import Path
from typing import Literal, TypeAlias, TypeGuard, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike

from spcnet.codec import Codec, square_of_box
from spcnet.errors import UserError, dims
from spcnet.geometry import SHARPEST, Array, apply_affine, box_of_points
from spcnet.inference.detectors import PersonDetector, main_person, main_ranks, nms
from spcnet.inference.finder import OVERLAP, Finder
from spcnet.inference.pose import CONFIDENT, Pose
from spcnet.media.images import ImageLike, Picture, load_picture, read_reduced

People: TypeAlias = Literal["one", "all"]

FEWEST = 8  # confident joints: fewer do not say how far a person reaches
BEYOND = 0.05  # of a size, on each side: what of a person lies beyond the joints
SIGHTED = 0.1  # score of a sighting that poses then decide on
CANDIDATES = 3  # sightings of which poses say which is the main person
FINDING = 640  # pixels of a picture's longer side, at least, in which a finder looks for persons

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sightings:
    """Persons of a picture: given, or seen by a finder, before poses say who is there."""

    boxes: Array  # (N, 4) x0, y0, x1, y1 in pixels of the upright picture
    scores: Array | None = None  # (N,) in [0, 1]; None of those that are given
    people: People = "all"  # who is wanted
    # Least presence of who is there, see `confirm`; 0 where the scores alone say so.
    present: float = 0.0

    def who(self, poses: Sequence[Pose], shape: Sequence[int]) -> list[Pose]:
        """The poses of all given ones, of the main person, or of all who are there, surest first.

        One pose per box, and `shape` is that of the picture.
        """
        if self.scores is None:
            return list(poses)
        if self.present:
            boxes, presence, kept = confirm(self.scores, poses)
            there = kept[presence[kept] >= self.present]
        else:
            boxes, presence = self.boxes, self.scores * [pose.scores.mean() for pose in poses]
            there = np.argsort(-presence, kind="stable")
        if self.people == "one" and len(there):
            there = there[[main_person(boxes[there], presence[there], shape)]]
        return [
            replace(poses[n], box=boxes[n].astype(np.float32), presence=float(presence[n]))
            for n in there
        ]


def confirm(scores: Array, poses: Sequence[Pose]) -> tuple[Array, Array, Array]:
    """What poses say of a finder's sightings: boxes (N, 4), presence (N,), and which are persons.

    A box is the mean of the finder's own and of that about the joints. Presence, how sure it is
    that somebody is there, is the root of the finder's score times the mean of the joints' scores.
    Of several sightings of one body the surest is left: (M,) numbers, surest first.
    """
    boxes = np.reshape([_reach(pose) for pose in poses], (-1, 4)).astype(np.float64)
    presence = np.sqrt(scores) * np.array([pose.scores.mean() for pose in poses])
    return boxes, presence, nms(boxes, presence, overlap=OVERLAP)


def _reach(pose: Pose) -> Array:
    sure = pose.scores >= CONFIDENT
    if sure.sum() < FEWEST:
        return pose.box
    around = box_of_points(pose.keypoints[sure]).astype(np.float64)
    beyond = BEYOND * (around[2:] - around[:2])
    box: Array = (pose.box + around + np.concatenate([-beyond, beyond])) / 2
    return box


Given: TypeAlias = ArrayLike | Sightings | None  # boxes, whom a finder saw, or nothing


def sight(
    finder: PersonDetector, picture: Picture, people: People, *, calibrated: bool
) -> Sightings:
    """Whom a finder sees in a picture, surest first; for the main person a few that may be it.

    Where the joints' scores are calibrated, they say with our finder who is there.
    """
    present = finder.present if isinstance(finder, Finder) and calibrated else 0.0
    if isinstance(finder, Finder) and present:
        boxes, scores = finder.detect(picture.pixels, least=SIGHTED)
    else:
        boxes, scores = finder.detect(picture.pixels)
    if people == "one" and len(boxes) > CANDIDATES:
        rank = main_ranks(boxes, scores, picture.pixels.shape)
        best = np.sort(np.argsort(-rank, kind="stable")[:CANDIDATES])
        boxes, scores = boxes[best], scores[best]
    corners = apply_affine(picture.to_original, boxes.reshape(-1, 2, 2))
    return Sightings(corners.reshape(-1, 4), scores, people, present)


def check_people(people: str, boxes: ArrayLike | None = None) -> None:
    """Check that it says whom of several persons is meant, and that no boxes say otherwise."""
    if people not in get_args(People):
        raise UserError(f"people must be one of {', '.join(get_args(People))}, got {people!r}")
    if people == "all" and boxes is not None:
        raise UserError("people 'all' goes without boxes: leave out one of the two")


def check_boxes(boxes: ArrayLike, shape: Sequence[int]) -> Array:
    """Person boxes x0, y0, x1, y1 as (N, 4) float64; an error unless they lie in such a picture."""
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"boxes must be numbers x0, y0, x1, y1, got {boxes!r}") from None
    if array.size == 0:
        return np.empty((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise UserError(f"boxes must be a list of [x0, y0, x1, y1] N x 4, got {dims(array.shape)}")
    height, width = shape[:2]
    picture = f"the picture of {width} x {height} pixels"
    for box in array:
        x0, y0, x1, y1 = box
        shown = f"box {','.join(f'{side:g}' for side in box)}"
        if not np.isfinite(box).all():
            raise UserError(f"{shown} is not finite: it must be four numbers x0,y0,x1,y1")
        if x1 <= x0 or y1 <= y0:
            raise UserError(f"{shown} is empty: it must be x0,y0,x1,y1 with x0 < x1, y0 < y1")
        if x1 < -0.5 or y1 < -0.5 or x0 > width - 0.5 or y0 > height - 0.5:
            raise UserError(f"{shown} lies outside {picture}")
        if max(x1 - x0, y1 - y0) > 100 * max(width, height):
            raise UserError(f"{shown} is over a hundred times as large as {picture}")
    return array


@dataclass(frozen=True, slots=True)
class PictureReader:
    """Reads pictures for the sharp crops of a codec, and asks a finder where boxes are missing."""

    codec: Codec
    finder: Callable[[], PersonDetector]
    whole: bool  # as where scales are fused at the pictures' resolution

    def who(
        self, image: ImageLike | Picture, given: Given, people: People
    ) -> tuple[Picture, Sightings]:
        """A picture, and who is given or seen in it; see `read` and `find`."""
        if given is None:
            return self.find(image, people)
        if isinstance(given, Sightings):
            return self.read(image), given
        picture = self.read(image, given)
        return picture, Sightings(check_boxes(given, picture.shape))

    def read(self, image: ImageLike | Picture, boxes: ArrayLike | None = None) -> Picture:
        """A picture as `predict` sees it; what was read already stays as it is.

        Where its boxes are given, the file of a JPEG is decoded no larger than their crops need,
        which takes as little as a third of the time.
        """
        if isinstance(image, Picture):
            return image
        if boxes is None or not self._reduces(image):
            return Picture.of(load_picture(image))

        def spare(shape: tuple[int, int]) -> float:
            with naming(os.fspath(image)):
                return min(self._spare(check_boxes(boxes, shape)), max(shape))

        return read_reduced(image, spare)

    def find(self, image: ImageLike | Picture, people: People = "one") -> tuple[Picture, Sightings]:
        """A picture as `predict` sees it, and whom the finder sees; poses say who of them is there.

        The file of a JPEG is decoded no larger than the finder needs, and once more only where
        persons are so small that their crops need more.
        """
        if self._reduces(image):
            picture = read_reduced(image, lambda shape: max(shape) / FINDING)
        else:
            picture = self.read(image)
        calibrated = self.codec.calibration is not None
        seen = sight(self.finder(), picture, people, calibrated=calibrated)
        if picture.to_original[0, 0] > self._spare(seen.boxes):
            picture = self.read(image, seen.boxes)
        return picture, seen

    def _reduces(self, image: ImageLike | Picture) -> TypeGuard[str | os.PathLike[str]]:
        """Whether fewer pixels of it may be read."""
        return isinstance(image, str | os.PathLike) and not self.whole

    def _spare(self, boxes: Array) -> float:
        """How many times smaller a picture may be read for the crops of some boxes (N, 4)."""
        smallest = min((square_of_box(box)[1] for box in boxes), default=np.inf)
        return float(smallest / (SHARPEST * self.codec.input_size))


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Errors of a picture, or of its boxes, begin with its path."""
    try:
        yield
    except UserError as error:
        if str(error).startswith((f"{path}: ", f"{Path(path)}: ")):
            raise
        raise UserError(f"{path}: {error}") from None


def groups(
    images: Iterable[T], boxes: Iterable[Given] | None, size: int
) -> Iterator[list[tuple[T, Given]]]:
    """Consecutive groups of at most `size` pictures with their boxes, read lazily."""
    pairs = zip(images, repeat(None) if boxes is None else boxes, strict=boxes is not None)
    try:
        while group := list(islice(pairs, size)):
            yield group
    except ValueError:
        raise UserError("boxes must hold one entry (or None) for every picture") from None
