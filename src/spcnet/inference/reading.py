"""Pictures as they are predicted: read no larger than needed, with who is in them."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
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
    ) -> tuple[Picture, Sightings]:
        """A picture, and who is given or seen in it.

        Raises:
            UserError: as of `read` and `find`.
        """
        if given is None:
            return self.find(image, people)
        if isinstance(given, Sightings):
            return self.read(image), given
        picture = self.read(image, given)
        return picture, Sightings(check_boxes(given, picture.shape))

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
            with naming(os.fspath(image)):
                return min(self._spare(check_boxes(boxes, shape)), max(shape))

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
    """Consecutive groups of at most `size` pictures with their boxes, read lazily.

    Raises:
        UserError: there are more or fewer boxes than pictures.
    """
    pairs = zip(images, repeat(None) if boxes is None else boxes, strict=boxes is not None)
    try:
        while group := list(islice(pairs, size)):
            yield group
    except ValueError:
        raise UserError("boxes must hold one entry (or None) for every picture") from None
