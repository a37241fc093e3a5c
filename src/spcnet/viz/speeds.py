"""Measured time and memory as pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from spcnet.viz.curves import COLOURS, FONT, INK, SIZE, new_figure, style_axes

PANEL_SIZE = (2.9, 2.3)  # inches
PANELS_A_ROW = 3


def draw_speeds(speeds: Mapping[str, Mapping[str, float]], *, title: str) -> Figure:
    """Bars of images a second.

    Args:
        speeds: for each network images a second by the name of its form, in the order drawn.
        title: names the setting.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    style_axes(axes, xlabel="images a second", ylabel="", title=title)
    rows = [(name, form, speed) for name, forms in speeds.items() for form, speed in forms.items()]
    kinds = list(dict.fromkeys(form for _, form, _ in rows))
    place, ticks, labels = 0.0, [], []
    for n, (name, form, speed) in enumerate(rows):
        if n and rows[n - 1][0] != name:
            place += 0.6
        axes.barh(place, speed, height=0.8, color=COLOURS[kinds.index(form) % len(COLOURS)])
        axes.annotate(
            f" {speed:.3g}", (speed, place), va="center", fontsize=FONT - 1, color=INK,
        )  # fmt: skip
        ticks.append(place)
        labels.append(f"{name}, {form}" if form else name)
        place += 1
    axes.set_yticks(ticks, labels, fontsize=FONT - 1)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    figure.set_size_inches(SIZE[0] * 1.35, 0.9 + 0.24 * place)
    return figure


@dataclass(frozen=True)
class Growth:
    """What a quantity comes to as something grows.

    Attributes:
        xlabel: what grows.
        ylabel: the quantity.
        title: names the setting.
        curves: for each name the sizes (N,), ascending and above 0, and the values (N,).
        linear: the axes are linear, not logarithmic.
    """

    xlabel: str
    ylabel: str
    title: str
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    linear: bool = False


def draw_growth(panels: Sequence[Growth]) -> Figure:
    """A panel for each; on logarithmic axes what is linear is as steep as the dotted line."""
    columns = min(PANELS_A_ROW, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure((columns * PANEL_SIZE[0], rows * PANEL_SIZE[1]))
    for n, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, n + 1)
        style_axes(axes, xlabel=panel.xlabel, ylabel=panel.ylabel, title=panel.title)
        for k, (name, (sizes, values)) in enumerate(panel.curves.items()):
            axes.plot(
                sizes, values, marker="o", markersize=2.5, linewidth=1.4, color=COLOURS[k],
                label=name, clip_on=False,
            )  # fmt: skip
        sizes = sorted({size for of_curve, _ in panel.curves.values() for size in of_curve})
        if panel.linear:
            axes.set_ylim(bottom=0)
            axes.set_xlim(left=0)
        else:
            of_first, values = next(iter(panel.curves.values()))
            line = [values[0] * size / of_first[0] for size in of_first]
            axes.plot(of_first, line, color="#999999", linewidth=0.8, linestyle=":", zorder=1)
            axes.set(xscale="log", yscale="log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(_shortly))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:,g}")
        if len(panel.curves) > 1:
            axes.legend(fontsize=FONT - 1, frameon=False, labelcolor=INK)
    return figure


def _shortly(number: float, _: int) -> str:
    """A size in at most three digits or as it is: 0.25, 16.4, 10,000."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
