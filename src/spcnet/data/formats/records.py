"""What formats of labels share: pictures and persons, from and to the library's annotations.

Coordinates are pixels as `Annotation` has them; where a tool has others, its module converts them.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.coco import labels_of, with_pictures
from spcnet.data.coco_files import slashed
from spcnet.data.label_files import MALFORMED
from spcnet.errors import UserError, in_words
from spcnet.media.images import read_shape
from spcnet.skeletons import SKELETONS, joint_names, mirror_name

Document: TypeAlias = dict[str, AnnotatedPictures]  # by split
Point: TypeAlias = tuple[float, float, int]  # x, y and a `JointState`
Box: TypeAlias = tuple[float, float, float, float]  # x0, y0, x1, y1


@dataclass
class Person:
    """What is labelled of somebody; `box` is None where it is but that of the joints."""

    joints: dict[str, Point] = field(default_factory=dict)
    box: Box | None = None

    @property
    def around(self) -> Box:
        """The box, if only that of the joints."""
        x, y, _ = zip(*self.joints.values() or [(0, 0, 0)], strict=True)
        return self.box or (min(x), min(y), max(x), max(y))


@dataclass
class Picture:
    """A picture with its persons, and its height and width if they are known."""

    name: str
    persons: list[Person]
    sides: Sequence[Any] = (None, None)
    file: Path = Path()

    @cached_property
    def size(self) -> tuple[int, int]:
        """(W, H), by the picture's file if need be; without one a `UserError`."""
        if not all(self.sides) and not os.path.isfile(self.file):
            raise UserError(f"{self.name}: its size is needed; put the picture at {self.file}")
        height, width = self.sides if all(self.sides) else read_shape(self.file)
        return width, height


@dataclass
class Found:
    """What a reader finds of a split, in the file or folder that was named."""

    path: Path
    folders: list[Path] = field(default_factory=list)  # that may have the pictures
    pictures: dict[str, Picture] = field(default_factory=dict)
    joints: list[str] = field(default_factory=list)  # that are declared; others may come
    limbs: list[tuple[str, str]] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)  # that mirror each other

    def add(self, name: object, persons: list[Person], sides: Sequence[Any] = ()) -> None:
        """Add a picture, which may come once."""
        if (called := slashed(name)) in self.pictures:
            raise ValueError(f"picture {called} comes a second time; keep one of its labels")
        known = [int(side) for side in sides if side is not None]
        self.pictures[called] = Picture(called, persons, known if len(known) == 2 else (None, None))

    def labels(self) -> AnnotatedPictures:
        """The labels, by way of a COCO keypoint document; joints in a known skeleton's order."""
        people = [(n, p) for n, of in enumerate(self.pictures.values()) for p in of.persons]
        names = list(dict.fromkeys([*self.joints, *(j for _, p in people for j in p.joints)]))
        if not names:
            raise UserError(f"{self.path}: no joint is labelled; label some and export again")
        plain = joint_names(names)
        names += [other for other in map(mirror_name, plain) if other not in plain]
        plain = joint_names(names)
        known = (of.joints for of in SKELETONS.values() if {*of.joints} == {*plain})
        names = [names[plain.index(joint)] for joint in next(known, plain)]
        rows = [
            {
                "image_id": n,
                "keypoints": [v for joint in names for v in person.joints.get(joint, (0, 0, 0))],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
            }
            for n, person in people
            for x0, y0, x1, y1 in [person.box or (0, 0, 0, 0)]
        ]
        images = [
            {"id": n, "file_name": of.name, "height": of.sides[0], "width": of.sides[1]}
            for n, of in enumerate(self.pictures.values())
        ]
        with at(self.path, "skeleton"):
            limbs = [[1 + names.index(joint) for joint in limb] for limb in self.limbs]
        category = {"name": "person", "keypoints": names, "skeleton": limbs, "pairs": self.pairs}
        content = {"images": images, "annotations": rows, "categories": [category]}
        return with_pictures(labels_of(self.path, content), self.folders)


def collecting(
    read: Callable[[dict[str, Found], Path], None],
) -> Callable[[Path, Sequence[Path]], Document]:
    """The reader of what was named, from one that adds a file there to what is found of splits."""

    def document(path: Path, files: Sequence[Path]) -> Document:
        found: dict[str, Found] = defaultdict(lambda: Found(path))
        for file in files:
            read(found, file)
        return {split or "all": of.labels() for split, of in found.items()}

    return document


@contextmanager
def at(path: Path, place: str) -> Iterator[None]:
    """Around the reading of one record: what is wrong is a `UserError` of the file and place."""
    try:
        yield
    except MALFORMED as error:
        remedy = "correct it there, or export again"
        raise UserError(f"{path}: {place}: {in_words(error)}; {remedy}") from None


def gather(
    boxes: Iterable[tuple[object, Box]], points: Iterable[tuple[object, str, Point]]
) -> list[Person]:
    """The persons of a picture whose boxes and points each are of a group, or of None.

    A point of no group is of the box that it lies in, or of the only person; a box of no group and
    without such points, of the only person all of whose joints it holds. What may be of several,
    and a joint that comes twice, are a `ValueError`.
    """
    people: dict[object, Person] = {}
    loose: list[object] = []
    for group, box in boxes:
        if group in people:
            raise ValueError(f"two boxes of group {group}; give each person a group of its own")
        loose += [object()] if group is None else []
        people[loose[-1] if group is None else group] = Person(box=box)
    boxed = list(people.items())
    for group, joint, point in points:
        if group is None and boxed:
            inside = [key for key, person in boxed if _holds(person, [point])]
            if len(boxed) > 1 and len(inside) != 1:
                raise ValueError(f"{joint} lies in {len(inside)} boxes; group it with a person's")
            group = inside[0] if inside else boxed[0][0]
        joints = people.setdefault(group, Person()).joints
        if joint in joints:
            raise ValueError(f"{joint} comes twice for one person; group each person's points")
        joints[joint] = point
    for key in (key for key in loose if not people[key].joints):
        bare = [person for person in people.values() if not person.box]
        fits = [person for person in bare if _holds(people[key], person.joints.values())]
        if len(fits) == 1:
            fits[0].box = people.pop(key).box
    return list(people.values())


def _holds(person: Person, points: Iterable[Point]) -> bool:
    x0, y0, x1, y1 = person.box or (0, 0, 0, 0)
    return all(x0 <= x <= x1 and y0 <= y <= y1 for x, y, _ in points)


def pictures_of(labels: AnnotatedPictures) -> list[Picture]:
    """Every listed picture with its persons, in the file's order; without crowds."""
    folder = labels.images or Path()
    found = {of.name: Picture(of.name, [], of.size or (None, None), folder / of.name)
             for of in labels.listed}  # fmt: skip
    for person in (person for person in labels.annotations if not person.crowd):
        rows = zip(labels.skeleton.joints, person.points, person.states, strict=True)
        joints = {joint: (float(x), float(y), int(state)) for joint, (x, y), state in rows if state}
        x0, y0, x1, y1 = person.box.tolist()
        box = None if person.boxed_by_joints else (x0, y0, x1, y1)
        found[person.image].persons.append(Person(joints, box))
    return list(found.values())


def new_file(folder: Path, name: str, suffix: str) -> Path:
    """Where to write what belongs to a picture of that name: within the folder, and once."""
    place = PurePosixPath(name)
    path = folder / place.with_suffix(suffix)
    if place.is_absolute() or ".." in place.parts:
        raise UserError(f"{name}: the name of a picture must lead to a place within its folder")
    if path.exists():
        raise UserError(f"{name}: another picture has this name but for its ending; rename one")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
