"""Joints that do not tremble: the one-euro filter over points.

Casiez, Roussel and Vogel, "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", CHI 2012, Algorithm 1: a low-pass filter whose cutoff rises with the speed.
"""

import numpy as np

from spcnet.errors import UserError
from spcnet.geometry import Array


class OneEuroFilter:
    """Smooths points over time, each by its own speed.

    Speed counts in sizes of the person a second, so that neither the picture's resolution nor
    the person's distance matters.

    Args:
        min_cutoff: Hz, above 0, of a point at rest; lower trembles less and lags more.
        beta: Hz, at least 0, that the cutoff rises for each size a second; higher lags less.
        d_cutoff: Hz, above 0, of the low-pass filter on the speed itself.
    """

    def __init__(
        self, *, min_cutoff: float = 1.0, beta: float = 10.0, d_cutoff: float = 1.0
    ) -> None:
        if not min(min_cutoff, d_cutoff) > 0 or not beta >= 0:
            raise UserError(
                "min_cutoff and d_cutoff must be above 0 and beta at least 0, got "
                f"{min_cutoff}, {d_cutoff} and {beta}"
            )
        self.min_cutoff, self.beta, self.d_cutoff = min_cutoff, beta, d_cutoff
        self._time: float | None = None
        self._points = np.empty(0)
        self._velocity: Array = np.zeros(())

    def __call__(self, points: Array, time: float, size: float) -> Array:
        """The next points (..., D), smoothed, as float64.

        Time is in seconds, and where it does not rise the last points are given again; the
        person's size is in the points' unit.
        """
        if self._time is None:
            self._time, self._points = time, np.array(points, dtype=np.float64)
        passed = time - self._time
        if passed > 0:
            velocity = (points - self._points) / (passed * size)
            share = _share(np.array(self.d_cutoff), passed)
            self._velocity = self._velocity + share * (velocity - self._velocity)
            speed = np.linalg.norm(self._velocity, axis=-1, keepdims=True)
            share = _share(self.min_cutoff + self.beta * speed, passed)
            self._points = self._points + share * (points - self._points)
            self._time = time
        return self._points.copy()


def _share(cutoff: Array, passed: float) -> Array:
    """How much of a new value enters a low-pass filter: the paper's alpha."""
    share: Array = 1 / (1 + 1 / (2 * np.pi * cutoff) / passed)
    return share
