"""Who is there: sightings of a finder, once poses have had their say."""

import numpy as np
import pytest

from spcnet.inference.people import Sightings, confirm
from spcnet.inference.pose import Pose
from spcnet.skeletons import LSP14

ROOM = (200, 300, 3)


def pose(box: tuple[float, ...], around: tuple[float, ...], score: float, sure: int = 14) -> Pose:
    """Joints at the corners of `around`; all but the first `sure` of them have score 0.1."""
    x0, y0, x1, y1 = around
    corners = np.array([(x0, y0), (x1, y1), (x0, y1), (x1, y0)])
    scores = np.where(np.arange(14) < sure, score, 0.1).astype(np.float32)
    return Pose(np.resize(corners, (14, 2)), scores, np.array(box, np.float32), LSP14)


def test_a_box_is_the_mean_of_the_finders_and_of_that_about_the_joints() -> None:
    seen = [pose((0, 0, 100, 100), (20, 40, 60, 120), 0.8)]
    boxes, presence, kept = confirm(np.array([0.25]), seen)
    # Grown by a twentieth, the joints' box is 18, 36, 62, 124.
    assert boxes.tolist() == [[9, 18, 81, 112]]
    assert presence.tolist() == pytest.approx([0.5 * 0.8])
    assert kept.tolist() == [0]


def test_few_sure_joints_do_not_move_a_box() -> None:
    boxes, presence, _ = confirm(
        np.array([1.0]), [pose((0, 0, 100, 100), (20, 40, 60, 120), 0.8, sure=7)]
    )
    assert boxes.tolist() == [[0, 0, 100, 100]]
    assert presence[0] == pytest.approx((7 * 0.8 + 7 * 0.1) / 14)


def test_of_two_sightings_of_one_body_the_surest_is_left() -> None:
    """Their own boxes share little, and the joints that were found in them are the same."""
    body = (50.0, 20.0, 90.0, 140.0)
    seen = [pose((50, 20, 90, 100), body, 0.6), pose((45, 60, 95, 150), body, 0.9),
            pose((200, 20, 240, 140), (200, 20, 240, 140), 0.5)]  # fmt: skip
    boxes, presence, kept = confirm(np.array([0.5, 0.4, 0.3]), seen)
    assert kept.tolist() == [1, 2]
    there = Sightings(np.zeros((3, 4)), np.array([0.5, 0.4, 0.3]), "all", 0.3).who(seen, ROOM)
    assert [found.box.tolist() for found in there] == [boxes[1].astype(np.float32).tolist()]
    assert presence[2] < 0.3 < presence[1]
    assert [pose.presence for pose in there] == presence[kept][: len(there)].tolist()
    assert all(pose.presence is None for pose in seen)


def test_given_boxes_stay_and_so_do_those_of_a_detector() -> None:
    box = (0.0, 0.0, 100.0, 100.0)
    seen = [pose(box, (20, 40, 60, 120), 0.2), pose(box, (20, 40, 60, 120), 0.9)]
    given = Sightings(np.array([box, box]))
    assert given.who(seen, ROOM) == seen
    found = Sightings(np.array([box, box]), np.array([0.9, 0.9]), "all")
    assert [p.scores[0] for p in found.who(seen, ROOM)] == pytest.approx([0.9, 0.2])
    assert [p.box.tolist() for p in found.who(seen, ROOM)] == [list(box)] * 2
    (main,) = Sightings(np.array([box, box]), np.array([0.9, 0.9]), "one").who(seen, ROOM)
    assert main.scores[0] == pytest.approx(0.9)
    assert Sightings(np.empty((0, 4)), np.empty(0), "all", 0.3).who([], ROOM) == []
    assert Sightings(np.empty((0, 4)), np.empty(0), "one").who([], ROOM) == []
