"""The record every reader gives: one person in one picture."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import numpy as np

from spcnet.geometry import Array, box_of_points
from spcnet.skeletons import Skeleton


class JointState(IntEnum):
    """What is known of a joint; the values are COCO's visibility flags."""

    MISSING = 0  # not annotated: its coordinates mean nothing
    OCCLUDED = 1  # annotated, but hidden in the picture
    VISIBLE = 2


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotated person.

    Attributes:
        image: the picture's file, or its key within the data set.
        points: (K, 2) float64 image pixels, 0-based pixel centres.
        states: (K,) uint8 of `JointState`.
        box: (4,) tight person box x0, y0, x1, y1 in image pixels; by default that of the
            annotated joints.
    """

    image: str
    points: Array
    states: Array
    box: Array = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if self.box.size == 0:
            if not self.annotated.any():
                raise ValueError(f"{self.image}: a person without joints needs a box")
            object.__setattr__(self, "box", box_of_points(self.points[self.annotated]))

    @property
    def annotated(self) -> Array:
        """(K,) bool: joints that are visible or occluded."""
        known: Array = self.states != JointState.MISSING
        return known


class Dataset(Protocol):
    """Pictures with annotated persons, read one after the other."""

    name: str
    split: str
    skeleton: Skeleton

    def __len__(self) -> int:
        """The number of annotated persons."""

    def samples(self) -> Iterator[tuple[Array, Annotation]]:
        """Every person with the picture, RGB uint8 (H, W, 3), in a fixed order."""
