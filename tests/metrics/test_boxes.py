import math

import numpy as np
import pytest

from spcnet.geometry import Array
from spcnet.metrics.boxes import (
    FoundPersons,
    matched,
    recall_by_height,
    score_boxes,
    threshold_at,
    tradeoff,
)

PERSON = [0.0, 0.0, 10.0, 50.0]
NONE = np.empty((0, 4))


def found(
    boxes: list[list[float]],
    scores: list[float],
    truth: list[list[float]] | Array = NONE,
    *,
    complete: bool = True,
) -> FoundPersons:
    return FoundPersons(
        np.reshape(boxes, (-1, 4)), np.array(scores), np.reshape(truth, (-1, 4)), NONE,
        complete, height=100.0,
    )  # fmt: skip


def test_each_box_finds_one_person_and_each_person_is_found_once() -> None:
    both = [PERSON, [0.0, 0.0, 10.0, 48.0]]
    assert matched(found(both, [0.9, 0.8], [PERSON])).tolist() == [0.9]
    assert matched(found([PERSON], [0.9], both)).tolist() == [0.9, 0.0]
    assert matched(found([[0, 60, 10, 90]], [0.9], [PERSON])).tolist() == [0.0]
    assert matched(found([], [], [PERSON])).tolist() == [0.0]


def test_the_threshold_lets_so_many_alarms_through() -> None:
    empty = [found([PERSON], [score]) for score in (0.1, 0.2, 0.3, 0.4)]
    assert threshold_at(empty, 0.0) == 0.4
    assert threshold_at(empty, 0.25) == pytest.approx(0.3)
    assert threshold_at([*empty, found([PERSON], [0.99], complete=False)], 0.0) == 0.4
    assert math.isnan(threshold_at([found([PERSON], [0.5], [PERSON])]))


def test_tall_persons_count_in_the_headline_and_small_ones_apart() -> None:
    small = [0.0, 0.0, 10.0, 20.0]
    pictures = [
        found([PERSON], [0.9], [PERSON]),
        found([PERSON], [0.2], [PERSON]),
        found([], [], [small]),
        found([PERSON], [0.5]),  # nobody is there
        found([], []),
    ]
    score = score_boxes(pictures)
    assert (score.protocol, score.persons, score.threshold) == ("person-boxes", 3, 0.5)
    assert score.mean == score.headline == 50  # 0.9 is above the alarm, 0.2 below
    assert score.parts["Small"] == 0
    assert score.parts["Any"] == pytest.approx(100 / 3)
    assert (score.parts["Tall@0.3"], score.parts["Alarms@0.3"]) == (50, 50)


def test_persons_are_counted_by_their_height_in_the_picture() -> None:
    small, tall = [0.0, 0.0, 10.0, 20.0], [0.0, 0.0, 30.0, 80.0]
    pictures = [
        found([tall, small], [0.9, 0.2], [tall, small]),
        found([tall], [0.4], [tall]),
        found([], [], [PERSON]),
    ]
    assert recall_by_height(pictures, 0.3) == {
        "10% to 25% of the picture's": (1, 0.0),
        "50% to 100% of the picture's": (3, pytest.approx(200 / 3)),
        "at least 25%": (3, pytest.approx(200 / 3)),
    }


def test_a_higher_threshold_trades_alarms_for_misses() -> None:
    pictures = [
        found([PERSON], [0.8], [PERSON]), found([PERSON], [0.3], [PERSON]),
        found([PERSON], [0.5]), found([], []),
    ]  # fmt: skip
    curve = tradeoff(pictures, steps=10)
    assert (np.diff(curve.alarms) <= 0).all()
    assert (np.diff(curve.misses) >= 0).all()
    assert curve.alarms[4] == 0.5 and curve.alarms[6] == 0
    assert curve.misses[2] == 0 and curve.misses[4] == 0.5 and curve.misses[9] == 1
    assert list(curve.to_dict()) == ["thresholds", "alarms", "misses"]
    own = tradeoff(pictures, steps=10, also=0.43)
    at = own.thresholds.tolist().index(0.43)
    assert len(own.thresholds) == 12 and at == 5
    assert own.alarms[at] == curve.alarms[4] and own.misses[at] == curve.misses[4]
