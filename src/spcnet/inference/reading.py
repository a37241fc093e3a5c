"""Pictures as they are predicted: read no larger than needed, with who is in them."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from spcnet.codec import Codec, square_of_box
from spcnet.errors import UserError
from spcnet.geometry import SHARPEST, Array
from spcnet.inference.detectors import PersonDetector
from spcnet.inference.people import People, Sightings, check_boxes, sight
from spcnet.media.images import ImageLike, Picture, load_picture, read_reduced

Given: TypeAlias = ArrayLike | Sightings | None  # boxes, whom a finder saw, or nothing

T = TypeVar("T")

FINDING = 640  # pixels of a picture's longer side, at least, in which a finder looks for persons


@dataclass(frozen=True, slots=True)
class PictureReader:
    """Reads pictures for a network.

    Attributes:
        codec: of the network, whose crops are to be sharp.
        finder: gives what looks for persons where no boxes are given.
        whole: pictures are read whole, as they are where scales are fused at their resolution.
    """

    codec: Codec
    finder: Callable[[], PersonDetector]
    whole: bool

    def who(
        self, image: ImageLike | Picture, given: Given, people: People
    ) -> tuple[Picture, Array | Sightings]:
        """A picture, and the boxes (N, 4) that are given or whom the finder sees.

        Raises:
            UserError: as of `read` and `find`.
        """
        if given is None:
            return self.find(image, people)
        if isinstance(given, Sightings):
            return self.read(image), given
        picture = self.read(image, given)
        return picture, check_boxes(given, picture.shape)

    def read(self, image: ImageLike | Picture, boxes: ArrayLike | None = None) -> Picture:
        """A picture as `predict` looks at it.

        Args:
            image: as for `predict`; what was read already stays as it is.
            boxes: of it; where they are given, the file of a JPEG is decoded no larger than their
                crops need, which takes as little as a third of the time.

        Raises:
            UserError: the picture cannot be read, or a box is not one.
        """
        if isinstance(image, Picture):
            return image
        if boxes is None or not self._reduces(image):
            return Picture.of(load_picture(image))

        def spare(shape: tuple[int, int]) -> float:
            try:
                return min(self._spare(check_boxes(boxes, shape)), max(shape))
            except UserError as error:
                raise UserError(f"{os.fspath(image)}: {error}") from None

        return read_reduced(image, spare)

    def find(self, image: ImageLike | Picture, people: People = "one") -> tuple[Picture, Sightings]:
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
        if self._reduces(image):
            picture = read_reduced(image, lambda shape: max(shape) / FINDING)
        else:
            picture = self.read(image)
        calibrated = self.codec.calibration is not None
        seen = sight(self.finder(), picture, people, calibrated=calibrated)
        fresh = not isinstance(image, Picture)
        if fresh and picture.to_original[0, 0] > self._spare(seen.boxes):
            picture = self.read(image, seen.boxes)
        return picture, seen

    def _reduces(self, image: ImageLike | Picture) -> TypeGuard[str | os.PathLike[str]]:
        """Whether fewer pixels of it may be read."""
        return isinstance(image, str | os.PathLike) and not self.whole

    def _spare(self, boxes: Array) -> float:
        """How many times smaller a picture may be read for the crops of some boxes (N, 4)."""
        smallest = min((square_of_box(box)[1] for box in boxes), default=np.inf)
        return float(smallest / (SHARPEST * self.codec.input_size))


def boxes_of(who: Array | Sightings) -> Array:
    """Boxes (N, 4), given or seen."""
    return who.boxes if isinstance(who, Sightings) else who


def pairs(images: Iterable[T], boxes: Iterable[Given] | None) -> Iterator[tuple[T, Given]]:
    """Every picture with its boxes.

    Raises:
        UserError: there are more or fewer boxes than pictures.
    """
    if boxes is None:
        yield from ((image, None) for image in images)
        return
    try:
        yield from zip(images, boxes, strict=True)
    except ValueError:
        raise UserError("boxes must hold one entry (or None) for every picture") from None


def groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Consecutive groups of at most `size`, read lazily."""
    iterator = iter(items)
    while group := list(itertools.islice(iterator, size)):
        yield group
