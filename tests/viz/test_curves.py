from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from spcnet.viz.curves import (
    COLOURS,
    draw_epoch_curves,
    draw_threshold_curves,
    draw_tradeoff,
    spread,
)

THRESHOLDS = np.array([0.1, 0.2, 0.5])


def test_the_lines_are_the_data() -> None:
    curves = {"Head": np.array([50.0, 70, 90]), "Ank": np.array([10.0, 20, 89])}
    figure = draw_threshold_curves(THRESHOLDS, curves, xlabel="of the torso", title="lspet-pck")
    (axes,) = figure.axes
    for line, percentages in zip(axes.lines, curves.values(), strict=True):
        assert np.array_equal(line.get_xdata(), THRESHOLDS)
        assert np.array_equal(line.get_ydata(), percentages)
    assert axes.get_ylim() == (0, 100)
    assert axes.get_title(loc="left") == "lspet-pck"
    assert axes.get_xlabel() == "of the torso"


def test_every_curve_is_named_at_its_end_and_names_keep_apart() -> None:
    curves = {name: np.array([1.0, 2, 80 + n]) for n, name in enumerate("abcdefghi")}
    figure = draw_threshold_curves(THRESHOLDS, curves, xlabel="", title="")
    FigureCanvasAgg(figure).draw()
    names = figure.axes[0].texts
    assert [name.get_text() for name in names] == list(curves)
    boxes = [Text.get_window_extent(name) for name in names]
    assert all(below.y1 < above.y0 for below, above in pairwise(boxes))
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_looks_are_never_the_same_twice() -> None:
    curves = {str(n): THRESHOLDS for n in range(2 * len(COLOURS))}
    (axes,) = draw_threshold_curves(THRESHOLDS, curves, xlabel="", title="").axes
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == len(curves)


def test_a_curve_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="same first dimension"):
        draw_threshold_curves(THRESHOLDS, {"a": np.ones(4)}, xlabel="", title="")


def test_runs_may_be_of_any_length_and_miss_scores() -> None:
    runs = {
        "short": (np.array([1]), np.array([12.0])),
        "a $b$ run": (np.array([2, 4, 6]), np.array([20.0, 30.0, np.nan])),
    }
    figure = draw_epoch_curves(runs, ylabel="mean (%)", title="lspet-pck, held out: x")
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    for line, (epochs, scores) in zip(axes.lines, runs.values(), strict=True):
        assert np.array_equal(line.get_xdata(), epochs)
        assert np.array_equal(line.get_ydata(), scores, equal_nan=True)
    ends = [name.xy for name in axes.texts]  # type: ignore[attr-defined]
    assert ends == [(1, 12), (4, 30)]
    assert axes.texts[1].get_text() == "a $b$ run"
    assert not axes.texts[1].get_parse_math()
    ticks = [tick for tick in axes.get_xticks() if 1 <= tick <= 6]
    assert all(tick == round(tick) for tick in ticks)


def test_heights_far_apart_stay_and_near_ones_make_room_evenly() -> None:
    assert np.allclose(spread([0.9, 0.2, 0.5], gap=0.1), [0.9, 0.2, 0.5])
    assert np.allclose(spread([0.5, 0.5], gap=0.1), [0.45, 0.55])
    assert np.allclose(spread([0.99, 1.0, 0.3], gap=0.1), [0.9, 1.0, 0.3])
    assert np.allclose(spread([0.0, 0.0, 0.0], gap=0.8), [0, 0.5, 1])
    assert spread([], gap=0.1).tolist() == []


def test_a_tradeoff_stays_within_its_axes_and_marks_the_threshold() -> None:
    thresholds = np.linspace(0, 1, 11)
    figure = draw_tradeoff(thresholds, 1 - thresholds, thresholds**2, at=0.4, title="a finder")
    (axes,) = figure.axes
    curve, mark = axes.lines
    assert curve.get_clip_on() and max(curve.get_xdata()) > axes.get_xlim()[1]
    assert [float(mark.get_xdata()[0]), float(mark.get_ydata()[0])] == pytest.approx([16, 60])
