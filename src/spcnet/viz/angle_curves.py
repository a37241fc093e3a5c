"""Angles over time, each with its interval."""

from dataclasses import fields, replace

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from spcnet.angles import JOINT_ANGLES, Angles
from spcnet.geometry import Array
from spcnet.viz.curves import STYLE
from spcnet.viz.skeletons import Style

GAP = 1.8  # steps from one frame to the next: beyond it frames are missing
ROW = 1.35  # inches of height of a panel


@style.context(STYLE)
def draw_angle_curves(times: Array, angles: Angles, *, title: str) -> Figure:
    """A panel for each angle, left and right of a pair in one; the band is the interval.

    Takes times (T,) in seconds and angles (T, A). Segments that turn past 180 degrees go on beyond
    it, so that a curve never jumps; where frames are missing it has a gap.
    """
    times, angles = _with_gaps(times, angles)
    pairs: dict[str, list[int]] = {}
    for n, name in enumerate(angles.names):
        pairs.setdefault(name.removeprefix("left_").removeprefix("right_"), []).append(n)
    figure = Figure(figsize=(6.4, 0.7 + ROW * len(pairs)), layout="constrained")
    panels = figure.subplots(len(pairs), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (pair, members) in zip(panels, pairs.items(), strict=True):
        for n in members:
            name = angles.names[n]
            degrees = angles.degrees[:, n]
            if name not in JOINT_ANGLES:
                degrees = _unwrapped(degrees)
            side = name.split("_")[0] if name != pair else "middle"
            colour = {"left": Style.left, "right": Style.right}.get(side, (90, 90, 90))
            rgb = [value / 255 for value in colour]
            moved = degrees - angles.degrees[:, n]
            low, high = angles.low[:, n] + moved, angles.high[:, n] + moved
            axes.fill_between(times, low, high, color=rgb, alpha=0.18, linewidth=0)
            axes.plot(times, degrees, color=rgb, label=side if name != pair else None)
        axes.set_ylabel(pair.replace("_", " ") + ", °")
        axes.margins(x=0)
    if any(len(members) > 1 for members in pairs.values()):
        handles, labels = next(
            panel.get_legend_handles_labels()
            for panel, members in zip(panels, pairs.values(), strict=True)
            if len(members) > 1
        )
        figure.legend(handles, labels, loc="outside upper right", ncols=2)
    panels[-1].set_xlabel("time, s")
    panels[0].set_title(title, loc="left")
    return figure


def _with_gaps(times: Array, angles: Angles) -> tuple[Array, Angles]:
    """With a row of NaN wherever the time rises by much more than it usually does."""
    steps = np.diff(times)
    gaps = np.flatnonzero(steps > GAP * np.median(steps)) + 1 if len(steps) else np.empty(0, int)
    times = np.insert(times.astype(float), gaps, np.nan)
    values = {
        part.name: np.insert(getattr(angles, part.name).astype(float), gaps, np.nan, axis=0)
        for part in fields(angles)[1:]
    }
    return times, replace(angles, **values)


def _unwrapped(degrees: Array) -> Array:
    """Without jumps of whole turns; NaN stays."""
    known = np.isfinite(degrees)
    smooth = degrees.copy()
    smooth[known] = np.unwrap(degrees[known], period=360)
    return smooth
