import pytest
from matplotlib.patches import Rectangle

from spcnet.viz.speeds import Growth, draw_growth, draw_speeds


def test_bars_are_as_long_as_the_speeds_and_networks_stand_apart() -> None:
    figure = draw_speeds({"a": {"fp32": 4.0, "bf16": 7.0}, "b": {"fp32": 2.5}}, title="speeds")
    (axes,) = figure.axes
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [bar.get_width() for bar in bars] == [4.0, 7.0, 2.5]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["a, fp32", "a, bf16", "b, fp32"]
    assert bars[0].get_facecolor() == bars[2].get_facecolor() != bars[1].get_facecolor()
    first, second, third = (bar.get_y() for bar in bars)
    assert third - second > second - first


def test_growth_has_a_panel_each_and_a_line_for_what_is_linear() -> None:
    curves = {"a": ((1, 2, 4), (10.0, 15.0, 30.0)), "b": ((1, 4), (7.0, 8.0))}
    panels = [
        Growth("size", "ms", "first", curves),
        Growth("size", "MB", "second", {"a": ((1, 2), (5.0, 6.0))}, linear=True),
    ]
    first, second = draw_growth(panels).axes
    *measured, dotted = first.get_lines()
    assert [list(line.get_ydata()) for line in measured] == [[10, 15, 30], [7, 8]]
    assert list(dotted.get_ydata()) == pytest.approx([10, 20, 40])
    assert (first.get_xscale(), second.get_xscale()) == ("log", "linear")
    assert list(first.get_xticks()) == [1, 2, 4]
    assert (first.get_title("left"), second.get_ylabel()) == ("first", "MB")
    assert second.get_ylim()[0] == 0
    assert len(second.get_lines()) == 1
