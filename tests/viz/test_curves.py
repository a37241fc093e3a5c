import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from spcnet.viz.curves import (
    draw_epoch_curves,
    draw_threshold_curves,
    draw_tradeoff,
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


def test_every_curve_is_named_beside_it_and_the_best_comes_first() -> None:
    curves = {name: np.array([1.0, 2, 80 + n]) for n, name in enumerate("abcdefghi")}
    figure = draw_threshold_curves(THRESHOLDS, curves, xlabel="", title="")
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    assert [name.get_text() for name in legend.get_texts()] == list(curves)[::-1]
    for shown, line in zip(legend.get_lines(), axes.lines[::-1], strict=True):
        assert (shown.get_color(), shown.get_linestyle()) == (
            line.get_color(), line.get_linestyle()
        )  # fmt: skip
    box = legend.get_window_extent()
    assert axes.bbox.x1 < box.x0 and box.x1 <= figure.bbox.x1


def test_looks_are_never_the_same_twice() -> None:
    curves = {str(n): THRESHOLDS for n in range(32)}
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
    legend = axes.get_legend()
    assert legend is not None
    names = legend.get_texts()
    assert [name.get_text() for name in names] == ["a $b$ run", "short"]  # 30 % above 12 %
    assert not names[0].get_parse_math()
    ticks = [tick for tick in axes.get_xticks() if 1 <= tick <= 6]
    assert all(tick == round(tick) for tick in ticks)


def test_a_tradeoff_stays_within_its_axes_and_marks_the_threshold() -> None:
    thresholds = np.linspace(0, 1, 11)
    figure = draw_tradeoff(thresholds, 1 - thresholds, thresholds**2, at=0.4, title="a finder")
    (axes,) = figure.axes
    curve, mark = axes.lines
    assert curve.get_clip_on() and max(curve.get_xdata()) > axes.get_xlim()[1]
    assert [float(mark.get_xdata()[0]), float(mark.get_ydata()[0])] == pytest.approx([16, 60])
