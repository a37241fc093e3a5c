"""Persons followed from frame to frame without a detector: the last joints say where to look."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from spcnet.geometry import Array, box_of_points
from spcnet.inference.estimator import LOCATING_FRACTION, LOCATING_JOINTS, PoseEstimator
from spcnet.inference.pose import Pose

FOUND = 0.27  # mean joint score from which somebody is taken to be there
LOST = 0.2  # below which somebody who was there is taken to be gone
MARGIN = 0.03  # on each side of the last joints, of the longer side, for what moves until the next
SHRINKING = 0.9  # the least that a box's longer side becomes, of the last frame's
LONGEST_PAUSE = 8  # frames between two searches: a search takes about as many looks


class Tracker:
    """Follows one person, or the persons of some boxes, through the frames of a video.

    Somebody who is lost is looked for where they were last seen. Where no boxes are given, the
    whole picture is searched as well: for the first frame, at once when the person is lost, and
    then at ever longer intervals, because a search takes as long as some eight frames.

    Args:
        estimator: finds the joints.
        boxes: (N, 4) tight person boxes x0, y0, x1, y1 in the first frame, each of which is
            followed as one person. Without boxes it is the one person in the picture.
    """

    def __init__(self, estimator: PoseEstimator, boxes: ArrayLike | None = None) -> None:
        self._estimator = estimator
        self._searches = boxes is None
        # Whoever was given by a box is there until shown otherwise.
        self._people = (
            [_Person(None, there=False)]
            if boxes is None
            else [_Person(box, there=True) for box in np.asarray(boxes)]
        )
        self._pause = 0  # frames from the last search to the next
        self._waited = 0

    def __call__(self, image: Array) -> list[Pose | None]:
        """Who is in the next frame.

        Args:
            image: RGB uint8 (H, W, 3).

        Returns:
            A pose for each person, None for those who are lost. Its box is the tight box of the
            joints that the network is sure of.

        Raises:
            UserError: a given box is not one, or lies outside the first frame.
        """
        found: list[Pose | None] = [None] * len(self._people)
        places = {n: person.box for n, person in enumerate(self._people) if person.box is not None}
        looks = self._estimator.predict(image, list(places.values()))
        for n, pose in zip(places, looks, strict=True):
            found[n] = self._people[n].take(pose, image.shape[:2])
        if self._searches and found[0] is None:
            found[0] = self._search(image)
        if any(found):
            self._pause = self._waited = 0
        return found

    def _search(self, image: Array) -> Pose | None:
        """The person in the whole picture, unless it was searched a short while ago."""
        (person,) = self._people
        if self._waited < self._pause:
            self._waited += 1
            return None
        self._waited = 0
        self._pause = min(max(1, 2 * self._pause), LONGEST_PAUSE)
        poses = self._estimator.predict(image)
        return person.take(poses[0], image.shape[:2]) if poses else None


@dataclass
class _Person:
    """Where somebody is looked for: a tight box, or None before they were ever seen."""

    box: Array | None
    there: bool

    def take(self, pose: Pose, picture_size: tuple[int, int]) -> Pose | None:
        """Judge what was seen of the person, and say where to look in the next frame."""
        sure = pose.scores >= LOCATING_FRACTION * pose.scores.max()
        if sure.sum() < min(LOCATING_JOINTS, len(pose.skeleton)):
            sure[:] = True
        tight = box_of_points(pose.keypoints[sure])
        ahead = _box_ahead(tight, self.box if self.there else None, picture_size)
        score = pose.scores.mean()
        self.there = ahead is not None and bool(score >= (LOST if self.there else FOUND))
        if not self.there:
            return None
        self.box = ahead
        return replace(pose, box=tight.astype(np.float32))


def _box_ahead(tight: Array, last: Array | None, picture_size: tuple[int, int]) -> Array | None:
    """Where to look in the next frame; None where no part of it lies in the picture.

    A few unsure joints must not make the box so small that they are never seen again: it shrinks
    slowly.
    """
    longer = np.ptp(tight.reshape(2, 2), axis=0).max()
    wanted = (1 + 2 * MARGIN) * longer
    if last is not None:
        wanted = max(wanted, SHRINKING * np.ptp(last.reshape(2, 2), axis=0).max())
    reach = max(1.0, (wanted - longer) / 2)
    height, width = picture_size
    ahead = np.clip(tight + [-reach, -reach, reach, reach], 0, [width - 1, height - 1] * 2)
    return ahead if (ahead[:2] < ahead[2:]).all() else None
