"""Scores as curves, over the threshold and the epochs (Figure 7 of the paper)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.optimize import isotonic_regression

from spcnet.calibration import Reliability
from spcnet.geometry import Array

# Okabe and Ito's, distinct with any colour vision; grey for their yellow, too faint for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
DASHES = ("-", "--", ":", "-.")  # of the first eight curves, the next eight, ...
INK = "#333333"
FONT = 8  # points
SIZE = (5.2, 3.3)  # inches
DPI = 200
LABEL_GAP = 0.062  # between two labels, as a share of the axis
LONGEST_LABEL = 40  # letters; of a longer name the end is shown


def draw_threshold_curves(
    thresholds: Array, curves: Mapping[str, Array], *, xlabel: str, title: str
) -> Figure:
    """The share of correct joints over the largest error that still counts (Figure 7b).

    Args:
        thresholds: (T,) ascending, in reference lengths.
        curves: (T,) percentages by name, such as a group of joints; each is labelled at its end.
        xlabel: what the thresholds are measured in.
        title: names the protocol and the data.

    Raises:
        ValueError: a curve has another length than `thresholds`.
    """
    figure, axes = _axes(xlabel, "correct joints (%)", title)
    ends = {}
    for n, (name, percentages) in enumerate(curves.items()):
        axes.plot(thresholds, percentages, **_look(n))
        ends[name] = (float(thresholds[-1]), float(percentages[-1]))
    axes.set_xlim(float(thresholds[0]), float(thresholds[-1]))
    axes.set_ylim(0, 100)
    _label_ends(axes, ends)
    return figure


def draw_tradeoff(
    thresholds: Array, alarms: Array, misses: Array, *, at: float, title: str
) -> Figure:
    """False alarms of a finder over the persons that it misses, one point per threshold.

    Args:
        thresholds: (T,) ascending.
        alarms: (T,) share of the pictures without anybody that get a box.
        misses: (T,) share of the persons that are not found.
        at: the finder's own threshold, which is marked.
        title: names the finder and the pictures.
    """
    figure, axes = _axes("missed persons (%)", "pictures without anybody that get a box (%)", title)
    axes.plot(100 * misses, 100 * alarms, **_look(0) | {"clip_on": True})
    n = int(np.abs(thresholds - at).argmin())
    x, y = 100 * float(misses[n]), 100 * float(alarms[n])
    axes.plot([x], [y], "o", color=INK, markersize=4)
    axes.annotate(
        f"threshold {at:.2f}", (x, y), xytext=(5, 5), textcoords="offset points", fontsize=FONT,
        color=INK,
    )  # fmt: skip
    axes.set_xlim(0, max(20.0, 1.5 * x))
    axes.set_ylim(0, max(10.0, 2 * y))
    return figure


def draw_epoch_curves(
    runs: Mapping[str, tuple[Array, Array]], *, ylabel: str, title: str
) -> Figure:
    """Scores of training runs over the epochs (Figure 7a).

    Args:
        runs: for each run's name the epochs (E,) after which it was scored, and the scores (E,)
            in percent; NaN where there was none. Each is labelled at its end.
        ylabel: what was averaged.
        title: names the protocol and the held-out data.

    Raises:
        ValueError: a run has another number of scores than of epochs.
    """
    figure, axes = _axes("epoch", ylabel, title)
    ends = {}
    for n, (name, (epochs, scores)) in enumerate(runs.items()):
        axes.plot(epochs, scores, marker="o", markersize=2.5, **_look(n))
        last = np.flatnonzero(np.isfinite(scores))[-1]
        ends[name] = (float(epochs[last]), float(scores[last]))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.02)
    _label_ends(axes, ends)
    return figure


def draw_reliability(found: Reliability, *, title: str) -> Figure:
    """How often joints of some score were right, beside the line where scores are true.

    Bars tell the share of joints in each bin.

    Args:
        found: the bins.
        title: names the model and the data.
    """
    figure, axes = _axes("score", "right (%)", title)
    figure.set_size_inches(SIZE[1] + 0.3, SIZE[1] + 0.3)
    shares = 100 * found.counts / found.counts.sum()
    axes.bar(100 * found.scores, shares, width=4, color="#d8dee6", label="share of joints")
    axes.plot(
        [0, 100], [0, 100], color="#999999", linewidth=0.8, linestyle=":", label="as sure as right"
    )
    axes.plot(100 * found.scores, 100 * found.right, marker="o", markersize=3, **_look(0))
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="score (%)")
    axes.legend(fontsize=FONT - 1, frameon=False, loc="upper left", labelcolor=INK)
    return figure


def new_figure(size: tuple[float, float] = SIZE) -> Figure:
    """An empty figure of so many inches."""
    return Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")


def style_axes(axes: Axes, *, xlabel: str, ylabel: str, title: str) -> None:
    """Title, labels and grid as all figures of this package have them."""
    axes.set_title(title, fontsize=FONT + 1, color=INK, loc="left", pad=8, parse_math=False)
    axes.set_xlabel(xlabel, fontsize=FONT, color=INK, parse_math=False)
    axes.set_ylabel(ylabel, fontsize=FONT, color=INK, parse_math=False)
    axes.tick_params(labelsize=FONT, labelcolor=INK, color="#bbbbbb", length=2.5, width=0.6)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color="#bbbbbb", linewidth=0.6)


def _axes(xlabel: str, ylabel: str, title: str) -> tuple[Figure, Axes]:
    figure = new_figure()
    axes = figure.add_subplot()
    style_axes(axes, xlabel=xlabel, ylabel=ylabel, title=title)
    return figure, axes


def _look(n: int) -> dict[str, Any]:
    """Colour and dashes of the n-th curve."""
    dashes, colour = divmod(n, len(COLOURS))
    return {
        "color": COLOURS[colour],
        "linestyle": DASHES[dashes % len(DASHES)],
        "linewidth": 1.4,
        "clip_on": False,
    }


def _label_ends(axes: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
    """Name every curve right of the axes, at the height of its end or as near as there is room.

    Args:
        axes: with its limits set.
        ends: the last point of each curve, in the order of plotting.
    """
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    heights = spread([(y - low) / (high - low) for _, y in ends.values()], gap=LABEL_GAP)
    for n, ((name, end), height) in enumerate(zip(ends.items(), heights, strict=True)):
        axes.annotate(
            name if len(name) <= LONGEST_LABEL else "…" + name[1 - LONGEST_LABEL :],
            end,
            (1.05, height),
            textcoords="axes fraction",
            va="center",
            fontsize=FONT,
            color=INK,
            annotation_clip=False,
            parse_math=False,
            arrowprops={
                "arrowstyle": "-",
                "color": COLOURS[n % len(COLOURS)],
                "linewidth": 0.7,
                "alpha": 0.7,
                "patchA": None,  # the padded box of the text would cut steep leaders short
                "relpos": (0, 0.5),
                "shrinkA": 2,
                "shrinkB": 2,
            },
        )


def spread(heights: Sequence[float], *, gap: float) -> Array:
    """The nearest heights within 0..1 that keep their order and are at least `gap` apart.

    Where so many do not fit, they are spread evenly.

    Args:
        heights: (N,) wished ones, in any order.
        gap: least distance, as a share of the axis.

    Returns:
        (N,) heights, in the order given.
    """
    wished = np.asarray(heights, dtype=np.float64)
    gap = min(gap, 1 / max(1, len(wished) - 1))
    order = np.argsort(wished, kind="stable")
    steps = gap * np.arange(len(wished))
    # Less their steps, heights that are far enough apart are heights that do not fall.
    rising = isotonic_regression(wished[order] - steps).x
    placed = np.empty_like(wished)
    placed[order] = rising.clip(0, max(0.0, 1 - gap * (len(wished) - 1))) + steps
    return placed
