"""Who is in a picture: given boxes, checked once where they come in, or whom a finder sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from spcnet.errors import UserError
from spcnet.geometry import Array, apply_affine
from spcnet.inference.detectors import PersonDetector, main_person, main_ranks
from spcnet.inference.finder import Finder
from spcnet.media.images import Picture

People: TypeAlias = Literal["one", "all"]

SIGHTED = 0.1  # score of a sighting that poses then decide on
CANDIDATES = 3  # sightings of which poses say which is the main person


@dataclass(frozen=True, slots=True)
class Sightings:
    """Persons of a picture: given, or seen by a finder, before poses say who is there.

    Attributes:
        boxes: (N, 4) x0, y0, x1, y1 in pixels of the upright picture.
        scores: (N,) in [0, 1], or None of those that are given.
        people: whether the main person is wanted, or all.
        present: least product of a score and the mean of the joints' scores of who is there.
    """

    boxes: Array
    scores: Array | None = None
    people: People = "all"
    present: float = 0.0

    def who(self, joints: Sequence[Array], shape: Sequence[int]) -> list[int]:
        """Numbers of those who are there: all given ones, the main person, or all, surest first.

        Args:
            joints: scores of the joints of each.
            shape: of the picture, its height and width first.
        """
        if self.scores is None:
            return list(range(len(self.boxes)))
        presence = self.scores * np.array([scores.mean() for scores in joints])
        there = np.flatnonzero(presence >= self.present)
        if self.people == "all" or len(there) < 2:
            order: list[int] = there[np.argsort(-presence[there], kind="stable")].tolist()
            return order
        return [int(there[main_person(self.boxes[there], presence[there], shape)])]


def sight(
    finder: PersonDetector, picture: Picture, people: People, *, calibrated: bool
) -> Sightings:
    """Whom a finder sees in a picture; where the main person is wanted, a few that may be it.

    Args:
        finder: ours, or any detector.
        picture: that it looks at.
        people: whether the main person is wanted, or all.
        calibrated: the joints' scores are probabilities, and say with the finder who is there.
    """
    present = finder.card.present if isinstance(finder, Finder) and calibrated else 0.0
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


def check_people(people: str) -> None:
    """Check that it says whom of several persons is meant.

    Raises:
        UserError: it does not.
    """
    if people not in get_args(People):
        raise UserError(f"people must be one of {', '.join(get_args(People))}, got {people!r}")


def check_boxes(boxes: ArrayLike, shape: Sequence[int]) -> Array:
    """Person boxes x0, y0, x1, y1 as (N, 4) float64.

    Args:
        boxes: (N, 4) in pixels.
        shape: of the picture, its height and width first.

    Raises:
        UserError: they have another shape, are not finite, empty, or lie outside the picture.
    """
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"boxes must be numbers x0, y0, x1, y1, got {boxes!r}") from None
    if array.size == 0:
        return np.empty((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise UserError(
            f"boxes must be a list of [x0, y0, x1, y1] with shape (N, 4), got {array.shape}"
        )
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
