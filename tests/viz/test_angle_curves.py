"""Angles over time as a picture: panels, gaps, turns."""

import numpy as np

from spcnet.angles import Angles
from spcnet.viz.angle_curves import draw_angle_curves


def angles(names: tuple[str, ...], degrees: np.ndarray) -> Angles:
    return Angles(names, degrees, degrees - 10, degrees + 10, np.ones_like(degrees))


def test_left_and_right_share_a_panel_and_missing_frames_are_a_gap() -> None:
    times = np.array([0, 0.1, 0.2, 0.9, 1.0])
    values = np.tile([[170.0, 120.0, 3.0]], (5, 1))
    figure = draw_angle_curves(
        times, angles(("left_knee", "right_knee", "trunk"), values), title="a walk, person 0"
    )
    knee, trunk = figure.axes
    assert knee.get_ylabel() == "knee, °" and trunk.get_ylabel() == "trunk, °"
    assert knee.get_title(loc="left") == "a walk, person 0"
    left, right = knee.get_lines()
    assert (left.get_label(), right.get_label()) == ("left", "right")
    seen = np.asarray(left.get_ydata())
    assert np.isnan(seen).tolist() == [False, False, False, True, False, False]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["left", "right"]


def test_a_segment_that_turns_around_does_not_jump() -> None:
    times = np.arange(4) / 10
    degrees = np.array([[150.0], [175], [-170], [-140]])
    figure = draw_angle_curves(times, angles(("left_shank",), degrees), title="")
    (line,) = figure.axes[0].get_lines()
    assert np.asarray(line.get_ydata()).tolist() == [150, 175, 190, 220]


def test_a_single_frame_can_be_drawn() -> None:
    figure = draw_angle_curves(np.array([0.0]), angles(("trunk",), np.array([[5.0]])), title="")
    assert len(figure.axes) == 1
