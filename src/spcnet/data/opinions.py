"""Another model's points: a second opinion on labels, and the first on pictures without any.

docs/training.md says what a file of them holds: a person's key -> 17 x [x, y, probability].
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from spcnet.data.annotations import AnnotatedPictures, Annotation
from spcnet.data.label_files import load_json
from spcnet.data.leeds import parse_numbers
from spcnet.errors import UserError, counted
from spcnet.geometry import Array, box_of_points
from spcnet.media.images import read_shape
from spcnet.skeletons import COCO17

LEAST = 0.3  # a point that is less probable says nothing
FEWEST = 4  # points of a person whom nobody labelled
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


def read_unlabelled(root: Path, split: str) -> AnnotatedPictures:
    """A folder of pictures or its ``images/``, by their names; each is a person without any label.

    The split is ``"all"`` or ``"train"``, or numbers of the pictures from 1, such as ``"1-500"``.
    """
    folder = root / "images" if (root / "images").is_dir() else root
    if not folder.is_dir():
        raise UserError(f"{root}: not a folder; name the folder of the pictures")
    names = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not names:
        raise UserError(f"{folder}: no picture here; it must hold .jpg, .png or .webp files")
    if split not in ("all", "train"):
        numbers = parse_numbers(split, len(names), named=("all",))
        names = [names[number - 1] for number in numbers]
    annotations = []
    for name in names:
        height, width = read_shape(folder / name)
        points, states = np.zeros((len(COCO17), 2)), np.zeros(len(COCO17), dtype=np.uint8)
        box = np.array([0.0, 0.0, width - 1.0, height - 1.0])
        annotations.append(Annotation(name, points, states, box))
    return AnnotatedPictures("unlabelled", split, COCO17, annotations, folder, boxed=False)


def with_opinions(labels: AnnotatedPictures, path: str | os.PathLike[str]) -> AnnotatedPictures:
    """Labels with another model's opinion of each person; a person without any keeps None.

    A person without a box of its own gets that of the probable points, a tenth larger, and is left
    out where they are fewer than `FEWEST`. A file that has none of the persons is a `UserError`.
    """
    path = Path(path).expanduser()
    content = load_json(path, wanted="a file of opinions")
    if not isinstance(content, dict):
        raise UserError(f"{path}: opinions must be one JSON object: person -> 17 x [x, y, p]")
    matched = 0
    persons: list[Annotation] = []
    for person in labels.annotations:
        keys = (str(person.number), person.image)
        rows = next((content[key] for key in keys if key in content), None)
        if rows:
            matched += 1
            person = replace(person, opinion=_opinion(path, person, rows))
        if not labels.boxed:
            if person.opinion is None:
                continue
            probable = person.opinion[person.opinion[:, 2] >= LEAST, :2]
            if len(probable) < FEWEST:
                continue
            low, high = box_of_points(probable).reshape(2, 2)
            grown = 0.05 * (high - low)
            person = replace(person, box=np.concatenate([low - grown, high + grown]))
        persons.append(person)
    if not matched:
        raise UserError(
            f"{path}: has none of the {counted(len(labels), 'person')} of {labels.name} "
            f"{labels.split}; its keys must be annotation ids or picture names, and are like "
            f"{next(iter(content), '')}"
        )
    return replace(labels, annotations=persons)


def _opinion(path: Path, person: Annotation, rows: object) -> Array:
    try:
        opinion = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        opinion = np.empty(0)
    if opinion.shape != (len(COCO17), 3) or not np.isfinite(opinion).all():
        raise UserError(f"{path}: the opinion on {person.image} is not 17 x [x, y, probability]")
    if opinion[:, 2].min() < 0 or opinion[:, 2].max() > 1:
        raise UserError(f"{path}: the opinion on {person.image} has probabilities beyond 0 and 1")
    return opinion
