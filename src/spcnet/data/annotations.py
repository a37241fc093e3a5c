"""The record every reader gives: one person in one picture."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import groupby
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

from spcnet.errors import UserError, first_few
from spcnet.geometry import Array, box_of_points
from spcnet.skeletons import Skeleton

log = logging.getLogger(__name__)


class JointState(IntEnum):
    """What is known of a joint; the values are COCO's visibility flags."""

    MISSING = 0  # not annotated: its coordinates mean nothing
    OCCLUDED = 1  # annotated, but hidden in the picture
    VISIBLE = 2
    ABSENT = 3  # known not to be in the picture: it has no coordinates; no data set's file has it


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotated person; coordinates are 0-based image pixels, counted from pixel centres."""

    image: str  # the picture's file, or its key within the data set
    points: Array  # (K, 2) float64
    states: Array  # (K,) uint8 of `JointState`
    # (4,) tight x0, y0, x1, y1; by default that of the annotated joints.
    box: Array = field(default_factory=lambda: np.empty(0))
    reference: float | None = None  # pixels that the data set's own file normalises errors by
    centre: Array | None = None  # (2,) where the annotators say the person is
    scale: float | None = None  # the person's height by the annotators, in units of 200 pixels
    area: float | None = None  # of the person in square pixels, for OKS
    crowd: bool = False  # the record stands for a group of people
    number: int | None = None  # of the record in its file, such as COCO's annotation id
    image_number: int | str | None = None  # of the picture there, such as COCO's image id
    category: str | None = None  # what kind of creature it is, by the id that the file gives it
    # (17, 3) where another model sees COCO's joints, x, y and how probable it is that this is
    # right; see `spcnet.data.opinions`.
    opinion: Array | None = None

    def __post_init__(self) -> None:
        if not (finite := np.isfinite(self.points)).all():
            # What is not known must spoil nothing that is computed of all joints.
            if not finite[self.annotated].all():
                raise ValueError(f"{self.image}: a labelled joint's coordinates are not finite")
            object.__setattr__(self, "points", np.where(finite, self.points, 0))
        if self.box.size == 0:
            if not self.annotated.any():
                raise ValueError(f"{self.image}: a person without joints needs a box")
            object.__setattr__(self, "box", box_of_points(self.points[self.annotated]))

    @property
    def annotated(self) -> Array:
        """(K,) bool: joints that are visible or occluded."""
        return has_place(self.states)

    @property
    def boxed_by_joints(self) -> bool:
        """Whether the box is but that of the joints, if any."""
        points = self.points[self.annotated]
        return bool(len(points) and np.allclose(self.box, box_of_points(points)))


def has_place(states: Array) -> Array:
    """Which joints are visible or occluded, of states of any shape."""
    known: Array = (states == JointState.OCCLUDED) | (states == JointState.VISIBLE)
    return known


def joint_states(labelled: Array, visible: Array) -> Array:
    """States uint8 of any shape, from which joints are labelled and which of these are visible."""
    states = np.where(visible, JointState.VISIBLE, JointState.OCCLUDED) * labelled
    return states.astype(np.uint8)


class Dataset(Protocol):
    """Pictures with annotated persons, read one after the other."""

    @property
    def name(self) -> str: ...

    @property
    def split(self) -> str: ...

    @property
    def skeleton(self) -> Skeleton: ...

    @property
    def picture_names(self) -> set[str]:
        """Of all persons; within a data set they tell pictures apart."""

    def __len__(self) -> int: ...

    def samples(self) -> Iterator[tuple[Array, Annotation]]:
        """Every person with the picture, RGB uint8 (H, W, 3), in a fixed order."""


@dataclass(frozen=True, slots=True)
class ListedPicture:
    """A picture as a file of labels lists it, with persons or without."""

    name: str
    number: str  # its id there
    size: tuple[int, int] | None  # (H, W) that it was labelled at, where the file says
    chosen: bool = True  # the split has it

    def differs(self, size: tuple[int, int]) -> str | None:
        """In what a picture of (H, W) pixels is another than was labelled, and the likely reason.

        None where it is the same, or the file does not say.
        """
        if self.size is None or self.size == size:
            return None
        (height, width), (of_height, of_width) = size, self.size
        if size == self.size[::-1]:
            reason = "turned by its EXIF orientation, which the labels may not follow"
        elif abs(width * of_height - height * of_width) <= max(*size, *self.size):
            reason = "resized after labelling"
        else:
            reason = "cropped after labelling, or another picture"
        return f"{self.name} {width} x {height}, labelled at {of_width} x {of_height} ({reason})"


@dataclass(frozen=True)
class AnnotatedPictures:
    """What a reader gives: the persons of one split, and where their pictures are."""

    name: str  # of the data set
    split: str
    skeleton: Skeleton
    annotations: list[Annotation]  # in the file's order; `Annotation.image` is the picture's name
    images: Path | None = None  # folder of the pictures; None where labels were read without them
    # What the coordinates count pixels from, as far as scoring other people's predictions goes: 0,
    # or 1 where those of a MATLAB-made file are used as they stand.
    counts_from: int = 0
    boxed: bool = True  # else a person's box is the picture, until a model's points tell it
    # Every picture that the file lists, those of other splits too; none where it lists persons.
    listed: tuple[ListedPicture, ...] = ()
    # Records of the split that are no persons, by kinds of `spcnet.data.inspection.KINDS`.
    passed_over: Mapping[str, Sequence[str]] = field(default_factory=dict)
    mended: Mapping[str, Sequence[str]] = field(default_factory=dict)  # and of those that are

    def __len__(self) -> int:
        return len(self.annotations)

    @property
    def picture_names(self) -> set[str]:
        return {annotation.image for annotation in self.annotations}

    @property
    def categories(self) -> set[str]:
        """The ids of what the persons are, where the file has any."""
        return {p.category for p in self.annotations if p.category is not None}

    def picture(self, annotation: Annotation) -> Path:
        """The file of a person's picture; a `UserError` where labels were read without any."""
        if self.images is None:
            raise UserError(
                f"{self.name}: labels were read without pictures; name the data set's folder"
            )
        return self.images / annotation.image

    def by_picture(self) -> Iterator[tuple[Path, list[Annotation], list[Annotation]]]:
        """Every picture's file with its persons and its crowds, if any, in the order of names."""
        ordered = sorted(self.annotations, key=lambda person: person.image)
        for _, group in groupby(ordered, key=lambda person: person.image):
            everyone = list(group)
            there = [p for p in everyone if not (p.states == JointState.ABSENT).all()]
            persons, crowds = ([p for p in there if p.crowd == crowd] for crowd in (False, True))
            yield self.picture(everyone[0]), persons, crowds

    def samples(self) -> Iterator[tuple[Array, Annotation]]:
        """Every person with the picture, RGB uint8 (H, W, 3); a picture is read once in a row."""
        from spcnet.media.images import read_image

        last: tuple[Path, Array] | None = None
        warn = self.size_warning()
        for annotation in self.annotations:
            path = self.picture(annotation)
            if last is None or last[0] != path:
                try:
                    last = (path, read_image(path))
                except UserError as error:
                    raise UserError(
                        f"{error} (spcnet data check {self.name} lists what is missing or broken)"
                    ) from None
                warn(annotation.image, last[1].shape[:2])
            yield last[1], annotation

    def size_warning(self) -> Callable[[str, tuple[int, int]], None]:
        """Warns of the first picture, of those it is called with, of another size than labelled."""
        listed = {picture.name: picture for picture in self.listed}

        def warn(name: str, size: tuple[int, int]) -> None:
            if name in listed and (text := listed[name].differs(size)):
                log.warning(
                    "warning: %s; labels lie elsewhere in it unless they are of that size too "
                    "(spcnet data check %s counts them)", text, self.name,
                )  # fmt: skip
                listed.clear()

        return warn


Reader: TypeAlias = Callable[[Path, str], AnnotatedPictures]  # of a file or folder, and a split


def read_in_folder(
    root: Path, split: str, *, title: str, files: Mapping[str, Sequence[str]], labels: Reader
) -> AnnotatedPictures:
    """The persons of a split in a folder; without pictures where it has no ``images/``.

    `files` are the names that each split's labels may have, or ``"all"`` of any; the first one that
    is there is read by `labels`. Without such a folder, split or file it is a `UserError`.
    """
    names = files.get(split) or files.get("all")
    if names is None:
        raise UserError(f"unknown split {split!r} of {title}; there are {', '.join(files)}")
    path = find_labels(root, names, title=title)
    if path is None:
        raise UserError(
            f"{root}: split {split!r} of {title} needs {alternatives(names)}, with the pictures "
            f"in images/, and this folder holds {seen_in(root)}{_own_data(root)}"
        )
    images = root / "images"
    return replace(labels(path, split), images=images if images.is_dir() else None)


def find_labels(root: Path, names: Sequence[str], *, title: str) -> Path | None:
    """The first of some files that is in a folder, or None; without the folder a `UserError`."""
    if not root.is_dir():
        kind = "a file" if root.exists() else "not there"
        wanted = f"; {title} is a folder that holds {names[0]} and pictures{_own_data(root)}"
        raise UserError(f"{root}: {kind}{wanted}")
    return next((root / name for name in names if (root / name).is_file()), None)


def _own_data(root: Path) -> str:
    """Of which data set a JSON file is that was named in place of another's folder."""
    own = any(path.name.endswith((".json", ".json.gz")) for path in (root, *root.glob("*.json")))
    return "; own data in COCO's format is --dataset coco (data.dataset=coco)" if own else ""


def alternatives(files: Sequence[str]) -> str:
    """Names of files, without the folder that they may also lie in."""
    return " or ".join(dict.fromkeys(Path(file).name for file in files))


def seen_in(folder: Path, *, limit: int = 6) -> str:
    """What a folder holds, for messages about what it lacks."""
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in os.scandir(folder))
    return first_few(names, limit) or "nothing"
