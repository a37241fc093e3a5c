"""Scores over the threshold, the epochs and themselves (Figure 7 of the paper)."""

from collections.abc import Mapping

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spcnet.calibration import Reliability
from spcnet.geometry import Array

STYLE = "spcnet.viz.figures"  # the .mplstyle beside this file
LONGEST_LABEL = 40  # letters; of a longer name the end is shown


@style.context(STYLE)
def draw_threshold_curves(
    thresholds: Array, curves: Mapping[str, Array], *, xlabel: str, title: str
) -> Figure:
    """The share of correct joints over the largest error that still counts (Figure 7b).

    Args:
        thresholds: (T,) ascending, in reference lengths.
        curves: (T,) percentages by name, such as a group of joints.
        xlabel: what the thresholds are measured in.
        title: names the protocol and the data.
    """
    figure, axes = _axes(xlabel, "correct joints (%)", title)
    for name, percentages in curves.items():
        axes.plot(thresholds, percentages, label=name, clip_on=False)
    axes.set(xlim=(thresholds[0], thresholds[-1]), ylim=(0, 100))
    _name_lines(axes)
    return figure


@style.context(STYLE)
def draw_tradeoff(
    thresholds: Array, alarms: Array, misses: Array, *, at: float, title: str
) -> Figure:
    """False alarms of a finder over the persons that it misses, one point per threshold.

    Args:
        thresholds: (T,) ascending.
        alarms: (T,) share of the pictures without anybody that get a box.
        misses: (T,) share of the persons that are not found.
        at: the finder's own threshold, which is marked.
        title: of the figure.
    """
    figure, axes = _axes("missed persons (%)", "pictures without anybody that get a box (%)", title)
    axes.plot(100 * misses, 100 * alarms)
    n = int(np.abs(thresholds - at).argmin())
    x, y = 100 * float(misses[n]), 100 * float(alarms[n])
    axes.plot([x], [y], "o", color="#333333", markersize=4)
    axes.annotate(f"threshold {at:.2f}", (x, y), xytext=(5, 5), textcoords="offset points")
    axes.set(xlim=(0, max(20.0, 1.5 * x)), ylim=(0, max(10.0, 2 * y)))
    return figure


@style.context(STYLE)
def draw_epoch_curves(
    runs: Mapping[str, tuple[Array, Array]], *, ylabel: str, title: str
) -> Figure:
    """Scores of training runs over the epochs (Figure 7a).

    Args:
        runs: for each run's name the epochs (E,) after which it was scored, and the scores (E,)
            in percent; NaN where there was none.
        ylabel: what was averaged.
        title: names the protocol and the held-out data.
    """
    figure, axes = _axes("epoch", ylabel, title)
    for name, (epochs, scores) in runs.items():
        axes.plot(epochs, scores, marker="o", markersize=2.5, label=name, clip_on=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.02)
    _name_lines(axes)
    return figure


@style.context(STYLE)
def draw_reliability(found: Reliability, *, title: str) -> Figure:
    """How often joints of some score were right, beside the line where scores are true.

    Bars show the share of joints in each bin.
    """
    figure, axes = _axes("score (%)", "right (%)", title)
    figure.set_size_inches(3.6, 3.6)
    shares = 100 * found.counts / found.counts.sum()
    axes.bar(100 * found.scores, shares, width=4, color="#d8dee6", label="share of joints")
    axes.plot([0, 100], [0, 100], ":", color="#999999", linewidth=0.8, label="as sure as right")
    axes.plot(100 * found.scores, 100 * found.right, "o-", color="C0", markersize=3, clip_on=False)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.legend(loc="upper left")
    return figure


def _axes(xlabel: str, ylabel: str, title: str) -> tuple[Figure, Axes]:
    figure = Figure()
    axes = figure.add_subplot(xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title)
    return figure, axes


def _name_lines(axes: Axes) -> None:
    """A legend right of the lines, in the order of their last values."""

    def last(n: int) -> float:
        values = np.asarray(axes.lines[n].get_ydata(), dtype=float)
        return float(np.append(-np.inf, values[np.isfinite(values)])[-1])

    order = sorted(range(len(axes.lines)), key=last, reverse=True)
    names = [str(axes.lines[n].get_label()) for n in order]
    axes.legend(
        [axes.lines[n] for n in order],
        [name if len(name) <= LONGEST_LABEL else "…" + name[1 - LONGEST_LABEL :] for name in names],
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
    )
