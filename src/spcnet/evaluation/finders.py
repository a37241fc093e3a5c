"""How well a finder finds persons, and the threshold at which it says that somebody is there."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from spcnet.calibration import fit_calibration
from spcnet.checkpoints import FinderCard
from spcnet.data.annotations import AnnotatedPictures
from spcnet.errors import UserError, counted
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.finder import LEAST, Finder
from spcnet.inference.people import SIGHTED, confirm
from spcnet.media.images import read_image
from spcnet.metrics.boxes import FoundPersons, threshold_at


def find_in(
    finder: Finder,
    sources: Sequence[tuple[AnnotatedPictures, bool]],
    *,
    poses: PoseEstimator | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> list[FoundPersons]:
    """What a finder sees in every picture of some data sets, down to the least score.

    With each data set comes whether every person in its pictures has a box. `poses` says who is
    there, and how far they reach, as in `PoseEstimator.predict`; `report` is called with the
    number of pictures done.
    """
    found: list[FoundPersons] = []
    for labels, complete in sources:
        for path, persons, crowds in labels.by_picture():
            picture = read_image(path)
            least = SIGHTED if poses else LEAST
            boxes, scores = finder.detect(picture, least=least)
            if poses and len(boxes):
                seen = poses.predict(picture, boxes)
                boxes, scores, kept = confirm(scores, seen)
                boxes, scores = boxes[kept], scores[kept]
            truth, passed = (
                np.reshape([person.box for person in of], (-1, 4)) for of in (persons, crowds)
            )
            found.append(FoundPersons(boxes, scores, truth, passed, complete, float(len(picture))))
            report(len(found))
    return found


def fit_presence(
    card: FinderCard, found: Sequence[FoundPersons], *, alarms: float, with_poses: bool = False
) -> FinderCard:
    """A finder's card with the threshold and the curve that pictures give, which are new to it.

    `alarms` is the share of the pictures without anybody that may get a box; `with_poses` says that
    joints had their say in the scores, and fits `present` alone.
    """
    empty = [picture for picture in found if picture.empty]
    peopled = [picture for picture in found if len(picture.truth)]
    if not empty or not peopled:
        raise UserError(
            f"{counted(len(peopled), 'picture')} with a person and {len(empty)} without anybody: "
            "a threshold needs both; name a source nobody:PATH:SPLIT too"
        )
    # The next of four decimals: what has the very score of an alarm is none.
    threshold = min(1.0, math.floor(threshold_at(found, alarms) * 1e4 + 1) / 1e4)
    if with_poses:
        return replace(card, present=threshold)
    best = np.array([picture.best for picture in (*peopled, *empty)])
    somebody = np.arange(len(best)) < len(peopled)
    fitted_on = f"{counted(len(peopled), 'picture')} with a person, {len(empty)} without"
    presence = fit_calibration(best, somebody, fitted_on=fitted_on)
    return replace(card, threshold=threshold, presence=presence)
