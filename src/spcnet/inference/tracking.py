"""Persons followed from frame to frame: by their joints, their motion, and a finder.

In every frame the network looks where each person is expected to be, and every few frames a finder
looks for others. Poses are given to persons one to one, so that the sum of their similarities to
what is expected is greatest (the Hungarian method: Kuhn, Naval Research Logistics Quarterly 1955).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from spcnet.errors import UserError
from spcnet.geometry import Array, box_of_points
from spcnet.inference.detectors import main_ranks
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.people import People, check_people
from spcnet.inference.pose import Pose
from spcnet.metrics.oks import SIGMAS, USUAL_SIGMA
from spcnet.skeletons import COCO17, Skeleton

Followed: TypeAlias = People | int

FOUND = 0.27  # mean joint score from which somebody is taken to be there
LOST = 0.2  # below which somebody who was there is taken to be gone
SURE = 0.5  # from which somebody stays whom the finder does not see
MARGIN = 0.03  # on each side of the last joints, of the longer side, for what moves until the next
SHRINKING = 0.9  # the least that a box's longer side becomes, of the last frame's
LOCATING_FRACTION = 0.4  # of the highest score: joints that say where the person is
LOCATING_JOINTS = 4
CHECKED = 10  # frames from one look of the finder to the next, while somebody is followed
MISSES = 2  # looks of the finder that must miss somebody who is then taken to be gone
SAME = 0.35  # similarity from which two poses are of one person
STRANGE = 0.05  # below which a pose has nothing of what is expected of the others
OWN = 0.25  # that a pose counts as more similar to whom it was looked for
KEPT = 2.0  # seconds after which a lost person no longer comes back as the same
GROWTH = 2.0  # of the size that similarity allows for, each second that a person is not seen
AGILITY = 0.3  # share of a new velocity in the one that is expected


class Tracker:
    """Follows persons through the frames of a video; the arguments are those of `follow`.

    The persons of given boxes are looked for where they were last seen. Where no boxes are given,
    the estimator's finder says who is there: in the first frame, in every frame in which nobody is
    followed, and in every tenth. Whom it misses twice, and whose joints are not sure, is gone.

    Somebody who is hidden is expected to go on as fast as before, or to have stopped, and keeps
    their number for `KEPT` seconds.
    """

    def __init__(
        self, estimator: PoseEstimator, boxes: ArrayLike | None = None, *, people: Followed = "one"
    ) -> None:
        self._most = _check_followed(people)
        if people != "one" and boxes is not None:
            raise UserError(f"people {people!r} goes without boxes: leave out one of the two")
        self._estimator = estimator
        self._finds = boxes is None
        self._alone = people == "one"
        self._people = [_Person()] if self._alone else []
        if boxes is not None:  # whoever was given by one is there until shown otherwise
            self._people = [_Person(np.asarray(box), there=True) for box in np.asarray(boxes)]
        self._frame = 0

    def __call__(self, image: Array, time: float) -> list[Pose | None]:
        """Of the next frame, a pose for each person so far, None for the lost.

        Image is (H, W, 3), RGB uint8, time in seconds. A pose's box is the tight box of the joints
        that the network is sure of.
        """
        found: list[Pose | None] = [None] * len(self._people)
        known = {id(person) for person in self._people if person.pose}
        self._look(image, time, found)
        if self._finds and (self._frame % CHECKED == 0 or not any(found)):
            self._find(image, time, found)
        self._frame += 1
        for n, person in enumerate(self._people):
            if id(person) not in known and (first := found[n]) is not None:
                found[n] = self._look_again(image, time, person, first)
        return found

    def _look_again(self, image: Array, time: float, person: "_Person", first: Pose) -> Pose:
        """Predict somebody new in the box of their own joints, as in the frames to come.

        The finder's box, or one that was given, is another crop, so that the joints would jump.
        """
        box = person.box_at(time, image.shape[:2])
        poses = [] if box is None else self._estimator.predict(image, [box])
        if not (similarity([first], poses) >= SAME).any():
            return first
        return person.take(replace(poses[0], presence=first.presence), time)

    def _look(self, image: Array, time: float, found: list[Pose | None]) -> None:
        """Look for everybody where they are expected."""
        wanted = {
            n: box
            for n, person in enumerate(self._people)
            if person.there or not self._finds or person.is_kept(time)
            if (box := person.box_at(time, image.shape[:2])) is not None
        }
        poses = self._estimator.predict(image, list(wanted.values())) if wanted else []
        seen = [
            (n, pose)
            for n, pose in zip(wanted, poses, strict=True)
            if pose.scores.mean() >= (LOST if self._people[n].there else FOUND)
        ]
        bodies = _distinct([pose for _, pose in seen])  # several can be seen on one body
        sources, candidates = [seen[n][0] for n in bodies], [seen[n][1] for n in bodies]
        self._match(list(wanted), candidates, time, found, sources)

    def _find(self, image: Array, time: float, found: list[Pose | None]) -> None:
        """Have the finder say who of the followed is gone, who is back, and who is new."""
        poses = self._estimator.predict(image, people="all")
        poses = [poses[n] for n in sorted(_distinct(poses))]
        alike = similarity([pose for pose in found if pose], poses) >= SAME
        there = [n for n, pose in enumerate(found) if pose]
        for n, seen in zip(there, alike.max(axis=1, initial=False), strict=True):
            pose = found[n]
            if pose and not self._people[n].confirm(seen=bool(seen), score=pose.scores.mean()):
                found[n] = None
        if self._alone and any(found):
            return
        others = [poses[n] for n in np.flatnonzero(~alike.max(axis=0, initial=False))]
        absent = [n for n, p in enumerate(self._people) if not found[n] and p.is_kept(time)]
        back = self._match(absent, others, time, found)
        self._admit([pose for n, pose in enumerate(others) if n not in back], image, time, found)

    def _admit(
        self, poses: list[Pose], image: Array, time: float, found: list[Pose | None]
    ) -> None:
        """Follow new persons as well, the main ones first, as far as there is room."""
        poses = [pose for pose in poses if pose.scores.mean() >= FOUND]
        held = (
            found[n] or (p.is_kept(time) and not self._alone) for n, p in enumerate(self._people)
        )
        room = max(0, self._most - sum(map(bool, held)))
        boxes = np.reshape([pose.box for pose in poses], (-1, 4))
        ranks = main_ranks(boxes, np.array([pose.scores.mean() for pose in poses]), image.shape)
        order = np.argsort(-ranks, kind="stable").tolist()
        for n in sorted(order[: len(poses) if room == math.inf else int(room)]):
            if self._alone:
                self._people, found[:] = [], []
            self._people.append(_Person())
            found.append(self._people[-1].take(poses[n], time))

    def _match(
        self,
        numbers: list[int],
        poses: list[Pose],
        time: float,
        found: list[Pose | None],
        sources: Sequence[int] = (),
    ) -> set[int]:
        """Give poses to some persons, and say which of the poses were given.

        `sources` are the numbers of those in whose boxes the poses were seen: it may be them
        however they moved, where it resembles nobody else.
        """
        pairs: list[tuple[int, int]] = []
        if numbers and poses:
            alike = np.concatenate([self._people[n].likeness(poses, time) for n in numbers])
            spread = [[1 + GROWTH * self._people[n].away(time)] for n in numbers]
            own = np.equal.outer(numbers, sources or [-1] * len(poses))
            near = [[self._people[n].there or not self._finds] for n in numbers]
            strange = alike.sum(axis=0) - alike < STRANGE
            may = (alike >= SAME) | (own & near & strange)
            # Expected anywhere in a wide area is less likely to be at any one place of it.
            value = np.where(may, alike / spread + OWN * own, 0)
            rows, columns = linear_sum_assignment(value, maximize=True)
            chosen = zip(rows.tolist(), columns.tolist(), strict=True)
            pairs = [(row, column) for row, column in chosen if may[row, column]]
        for row, column in pairs:
            person, alone = self._people[numbers[row]], (alike[:, column] >= SAME).sum() <= 1
            found[numbers[row]] = person.take(poses[column], time, alone=bool(alone))
        for n in numbers:
            self._people[n].there = found[n] is not None
        return {column for _, column in pairs}


@dataclass
class _Person:
    """Where somebody was last seen, how fast they moved, and where they are looked for."""

    box: Array | None = None  # where they are looked for if they stay; None before they were seen
    there: bool = False
    missed: int = 0  # by the finder, in a row
    pose: Pose | None = None
    time: float = -math.inf  # when they were last seen
    velocity: Array = field(default_factory=lambda: np.zeros(2))  # pixels a second

    def is_kept(self, time: float) -> bool:
        """Whether they may still come back."""
        return time - self.time <= KEPT

    def away(self, time: float) -> float:
        """For how many seconds they were not seen."""
        return time - self.time if self.is_kept(time) else 0.0

    def box_at(self, time: float, picture_size: tuple[int, int]) -> Array | None:
        """Where to look for them; None where no part of it lies in the picture."""
        if self.box is None or self.pose is None:  # what was given is checked as it is
            return self.box
        way = self.velocity * (time - self.time) if self.is_kept(time) else np.zeros(2)
        height, width = picture_size
        box = np.clip(self.box + np.tile(way, 2), 0, [width - 1, height - 1] * 2)
        return box if (box[:2] < box[2:]).all() else None

    def likeness(self, poses: list[Pose], time: float) -> Array:
        """How similar poses (1, N) are to what is expected: that they went on, or stayed."""
        if self.pose is None:
            return np.zeros((1, len(poses)))
        away, points = self.away(time), self.pose.keypoints
        moved = [replace(self.pose, keypoints=points + way) for way in (self.velocity * away, 0)]
        alike: Array = similarity(moved, poses, grown=1 + GROWTH * away)
        return np.asarray(alike.max(axis=0, keepdims=True))

    def confirm(self, *, seen: bool, score: float) -> bool:
        """Whether the person is still there, now that the finder has `seen` them or not."""
        self.missed = 0 if seen else self.missed + 1
        if self.missed >= MISSES and score < SURE:
            self.there, self.missed, self.time = False, 0, -math.inf
        return self.there

    def take(self, pose: Pose, time: float, *, alone: bool = True) -> Pose:
        """Note what was seen of the person, and give it with its tight box.

        Where others are expected there too and nobody is `alone`, it says nothing of their speed.
        """
        tight = tight_box(pose)
        longer = np.ptp(tight.reshape(2, 2), axis=0).max()
        wanted = (1 + 2 * MARGIN) * longer
        if self.box is not None and self.there:
            # A few unsure joints must not make it too small to see the person again.
            wanted = max(wanted, SHRINKING * np.ptp(self.box.reshape(2, 2), axis=0).max())
        reach = max(1.0, (wanted - longer) / 2)
        self.box = tight + [-reach, -reach, reach, reach]
        passed = time - self.time
        if self.pose is None or passed > KEPT:
            self.velocity = np.zeros(2)
        elif alone and passed > 0:
            way = np.median(pose.keypoints - self.pose.keypoints, axis=0)
            self.velocity = self.velocity + AGILITY * (way / passed - self.velocity)
        self.pose, self.time, self.there = pose, time, True
        return replace(pose, box=tight.astype(np.float32))


def similarity(one: Sequence[Pose], other: Sequence[Pose], *, grown: float = 1.0) -> Array:
    """Object keypoint similarity (N, M) in [0, 1] of poses of one skeleton.

    COCO's OKS, sum of w exp(-d^2 / 2 s^2 (2 sigma)^2) over the sum of w, with the product of both
    joints' scores as w, and half of the longer side of the first one's box, `grown`, as s: COCO's,
    the root of the area, is small for somebody who is slim or seen from the side.
    """
    if not one or not other:
        return np.zeros((len(one), len(other)))
    points, others = (np.stack([pose.keypoints for pose in poses]) for poses in (one, other))
    scores = np.stack([p.scores for p in one])[:, None] * np.stack([p.scores for p in other])
    sizes = np.array([np.ptp(tight_box(p).reshape(2, 2), axis=0).max() for p in one]) * grown / 2
    reach = 2 * _sigmas(one[0].skeleton) * np.maximum(sizes, 1.0)[:, None, None]  # (N, 1, K)
    away = ((points[:, None] - others) ** 2).sum(axis=-1)
    right = (scores * np.exp(-away / (2 * reach**2))).sum(axis=-1)
    alike: Array = right / np.maximum(scores.sum(axis=-1), 1e-9)
    return alike


def _distinct(poses: list[Pose]) -> list[int]:
    """The surest pose of each body, surest first."""
    kept: list[int] = []
    for n in sorted(range(len(poses)), key=lambda n: -float(poses[n].scores.mean())):
        if not (similarity([poses[n]], [poses[k] for k in kept]) >= SAME).any():
            kept.append(n)
    return kept


def tight_box(pose: Pose) -> Array:
    """The box about the joints that the network is sure of."""
    sure = pose.scores >= LOCATING_FRACTION * pose.scores.max()
    if sure.sum() < min(LOCATING_JOINTS, len(pose.skeleton)):
        sure[:] = True
    return box_of_points(pose.keypoints[sure])


def _sigmas(skeleton: Skeleton) -> Array:
    known = dict(zip(COCO17.joints, SIGMAS, strict=True))
    return np.array([known.get(joint, USUAL_SIGMA) for joint in skeleton.joints])


def _check_followed(people: Followed) -> float:
    """How many may be followed at once."""
    if isinstance(people, str):
        check_people(people)
        return 1 if people == "one" else math.inf
    if people < 1:
        raise UserError(f"people must be one, all, or a number of at least 1, got {people}")
    return people
