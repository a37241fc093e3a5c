"""Persons followed from frame to frame: the last joints say where to look, a finder who is new."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from spcnet.geometry import Array, box_of_points, box_overlaps
from spcnet.inference.detectors import main_person
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.people import People, check_people
from spcnet.inference.pose import Pose

FOUND = 0.27  # mean joint score from which somebody is taken to be there
LOST = 0.2  # below which somebody who was there is taken to be gone
SURE = 0.5  # from which somebody stays whom the finder does not see
MARGIN = 0.03  # on each side of the last joints, of the longer side, for what moves until the next
SHRINKING = 0.9  # the least that a box's longer side becomes, of the last frame's
LOCATING_FRACTION = 0.4  # of the highest score: joints that say where the person is
LOCATING_JOINTS = 4
CHECKED = 10  # frames from one look of the finder to the next, while somebody is followed
MISSES = 2  # looks of the finder that must miss somebody who is then taken to be gone
TOGETHER = 0.1  # of the box's longer side: mean distance of joints below which bodies are one
SAME = 0.3  # intersection over union from which a found box is that of somebody followed


class Tracker:
    """Follows persons through the frames of a video; the arguments are those of `follow`.

    The persons of given boxes are looked for where they were last seen. Where no boxes are given,
    the estimator's finder says who is there: in the first frame, in every frame in which nobody is
    followed, and in every tenth. Whom it misses twice, and whose joints are not sure, is gone;
    whoever it sees where somebody was last seen is that person.
    """

    def __init__(
        self, estimator: PoseEstimator, boxes: ArrayLike | None = None, *, people: People = "one"
    ) -> None:
        check_people(people)
        self._estimator = estimator
        self._finds = boxes is None
        self._whom = people
        self._people = [_Person(None, there=False)] if people == "one" else []
        if boxes is not None:  # whoever was given by one is there until shown otherwise
            self._people = [_Person(box, there=True) for box in np.asarray(boxes)]
        self._frame = 0

    def __call__(self, image: Array) -> list[Pose | None]:
        """Of the next frame (H, W, 3), RGB uint8, a pose for each person so far, None for the lost.

        A pose's box is the tight box of the joints that the network is sure of.
        """
        found: list[Pose | None] = [None] * len(self._people)
        followed = [n for n, p in enumerate(self._people) if p.there or not self._finds]
        self._look(image, followed, found)
        if self._finds and (self._frame % CHECKED == 0 or not any(found)):
            self._find(image, found)
            self._part(found)
        self._frame += 1
        return found

    def _look(self, image: Array, numbers: list[int], found: list[Pose | None]) -> None:
        """Look for some persons in their boxes."""
        boxes = [box for n in numbers if (box := self._people[n].box) is not None]
        poses = self._estimator.predict(image, boxes)
        for n, pose in zip(numbers, poses, strict=True):
            found[n] = self._people[n].take(pose, image.shape[:2])

    def _find(self, image: Array, found: list[Pose | None]) -> None:
        """Have the finder say who of the followed is gone, and who is new."""
        poses = self._estimator.predict(image, people="all")
        boxes = np.reshape([pose.box for pose in poses], (-1, 4))
        scores = np.array([pose.scores.mean() for pose in poses])
        for n, pose in enumerate(found):
            if pose is None:
                continue
            shared = box_overlaps(pose.box, boxes)[0]
            seen = bool(len(boxes)) and bool(shared.max() >= SAME)
            if seen:
                boxes, scores = (np.delete(each, shared.argmax(), 0) for each in (boxes, scores))
            if not self._people[n].confirm(seen=seen, score=float(pose.scores.mean())):
                found[n] = None
        if self._whom == "one":
            if any(found) or not len(boxes):
                return
            self._people[0].box = boxes[main_person(boxes, scores, image.shape)]
            self._look(image, [0], found)
            return
        numbers: list[int] = []
        for box in boxes:
            numbers.append(self._number_of(box, but=numbers))
            self._people[numbers[-1]].box = box
        found += [None] * (len(self._people) - len(found))
        self._look(image, numbers, found)

    def _part(self, found: list[Pose | None]) -> None:
        """Of two who are followed on one and the same body, the later is gone."""
        for n, pose in enumerate(found):
            for earlier in found[:n]:
                if pose is None or earlier is None:
                    continue
                away = np.linalg.norm(pose.keypoints - earlier.keypoints, axis=1).mean()
                if away < TOGETHER * np.ptp(pose.box.reshape(2, 2), axis=0).max():
                    found[n], self._people[n].there = None, False

    def _number_of(self, box: Array, *, but: list[int]) -> int:
        """The lost person who was last seen about there, or a new one."""
        shared = [
            (float(box_overlaps(box, person.box)[0, 0]), n)
            for n, person in enumerate(self._people)
            if not person.there and person.box is not None and n not in but
        ]
        most, best = max(shared, default=(0.0, 0))
        if most >= SAME:
            return best
        self._people.append(_Person(box, there=False))
        return len(self._people) - 1


@dataclass
class _Person:
    """Where somebody is looked for: a tight box, or None before they were ever seen."""

    box: Array | None
    there: bool
    missed: int = 0  # by the finder, in a row

    def confirm(self, *, seen: bool, score: float) -> bool:
        """Whether the person is still there, now that the finder has `seen` them or not."""
        self.missed = 0 if seen else self.missed + 1
        if self.missed >= MISSES and score < SURE:
            self.there, self.missed = False, 0
        return self.there

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
    """Where to look in the next frame; None where no part of it lies in the picture."""
    longer = np.ptp(tight.reshape(2, 2), axis=0).max()
    wanted = (1 + 2 * MARGIN) * longer
    if last is not None:  # a few unsure joints must not make it too small to see the person again
        wanted = max(wanted, SHRINKING * np.ptp(last.reshape(2, 2), axis=0).max())
    reach = max(1.0, (wanted - longer) / 2)
    height, width = picture_size
    ahead = np.clip(tight + [-reach, -reach, reach, reach], 0, [width - 1, height - 1] * 2)
    return ahead if (ahead[:2] < ahead[2:]).all() else None
