"""Pictures of one person each that nobody labelled: only another model says where joints are."""

from pathlib import Path

import numpy as np
from PIL import Image

from spcnet.data.annotations import AnnotatedPictures, Annotation
from spcnet.data.leeds import parse_numbers
from spcnet.errors import UserError
from spcnet.skeletons import COCO17

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
        try:
            with Image.open(folder / name) as picture:
                width, height = picture.size
        except OSError as error:
            raise UserError(f"{folder / name}: cannot be read: {error}") from None
        annotations.append(
            Annotation(
                image=name,
                points=np.zeros((len(COCO17), 2)),
                states=np.zeros(len(COCO17), dtype=np.uint8),
                box=np.array([0.0, 0.0, width - 1.0, height - 1.0]),
            )
        )
    return AnnotatedPictures("unlabelled", split, COCO17, annotations, folder)
