"""What COCO-style JSON files share, whatever they hold: ids, pictures, where these lie, records."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from spcnet.data.annotations import Annotation, ListedPicture
from spcnet.errors import UserError, counted, first_few
from spcnet.skeletons import Skeleton


def id_of(value: object) -> str:
    """An id as text: 1, 1.0 and "1" are one; a `ValueError` of what is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"an id must be a number or a text, got {value!r:.40}")
    return re.sub(r"^(-?(?:0|[1-9]\d*))\.0+$", r"\1", str(value).strip())


def slashed(name: object) -> str:
    """A picture's name with the slashes of any system, as files of Windows have others."""
    return str(name).replace("\\", "/")


def named(row: Any, n: int) -> str:
    """What a record is called in messages: by its id, or else its place in the file."""
    number = row.get("id") if isinstance(row, dict) else None
    return f"annotation {n} of the list" if number is None else f"annotation {number!s:.40}"


class PictureList:
    """The ``images`` of a file by their ids, and the ``image_id`` of each of its `rows`.

    Ids of two pictures, and of none, are one `UserError`, which counts them.
    """

    def __init__(self, path: Path, images: Iterable[Any], rows: Iterable[Any] = ()) -> None:
        self.by_id: dict[str, ListedPicture] = {}
        doubled, unknown = [], []
        for image in images:
            number, name = id_of(image["id"]), slashed(image["file_name"])
            sides = [image.get(side) for side in ("height", "width")]
            known = all(isinstance(side, (int, float)) and 0 < side < 1e9 for side in sides)
            size = (int(sides[0]), int(sides[1])) if known else None
            earlier = self.by_id.setdefault(number, ListedPicture(name, number, size))
            if earlier.name != name:
                doubled.append(f"image id {number} is {earlier.name} and {name}")
        for n, row in enumerate(rows, start=1):
            with suppress(LookupError, TypeError, ValueError):  # said where the row is read
                if (number := id_of(row["image_id"])) not in self.by_id:
                    unknown.append(f"{named(row, n)}: image_id {number}")
        faults = [f"{first_few(doubled)}; give each picture an id of its own"] if doubled else []
        if unknown:
            some = ", ".join(list(self.by_id)[:3]) or "none"
            faults.append(
                f"{first_few(unknown)} {'is' if len(unknown) == 1 else 'are'} of none of the "
                f"{counted(len(self.by_id), 'image')}, whose ids are like {some}; list the "
                "pictures, or remove what names them"
            )
        if faults:
            raise UserError(f"{path}: {'; '.join(faults)}")


def find_pictures(names: Iterable[str], folders: Sequence[Path]) -> tuple[Path, dict[str, str]]:
    """The folder where pictures lie, and what each is called within it.

    Any picture tells the folder: the first one may be what half a download lacks. Where none is
    there under its whole name, its first folders are left out, which may be another machine's.
    """
    parts = {name: PurePosixPath(name).parts for name in dict.fromkeys(names)}
    for dropped in range(max((len(of) for of in parts.values()), default=0)):
        called = {name: "/".join(of[min(dropped, len(of) - 1) :]) for name, of in parts.items()}
        if dropped == 0:
            called = {name: name for name in parts}
        elif len(set(called.values())) < len(called):
            break
        for folder in folders:
            if any(os.path.isfile(folder / name) for name in called.values()):
                return folder, called
    return folders[0], {name: name for name in parts}


def category_ids(categories: Iterable[Any]) -> set[str]:
    """The ids of some categories."""
    return {id_of(category["id"]) for category in categories if "id" in category}


def label_row(person: Annotation) -> dict[str, Any]:
    """A person's labels as a record has them; a box that is that of the joints is left to these."""
    known = person.annotated
    states = zip(person.points.tolist(), person.states.tolist(), known, strict=True)
    row: dict[str, Any] = {
        "iscrowd": int(person.crowd),
        "num_keypoints": int(known.sum()),
        "keypoints": [v for (x, y), state, there in states
                      for v in ((x, y, state) if there else (0, 0, 0))],
    }  # fmt: skip
    if person.area is not None:
        row["area"] = person.area
    if not person.boxed_by_joints:
        x0, y0, x1, y1 = person.box.tolist()
        row["bbox"] = [x0, y0, x1 - x0, y1 - y0]
    return row


def keypoint_file(
    persons: Iterable[Annotation],
    rows: Iterable[Mapping[str, Any]],
    skeleton: Skeleton,
    listed: Iterable[ListedPicture] = (),
) -> dict[str, Any]:
    """A COCO keypoint file of persons, whose records have the fields of a row each besides ids.

    Persons and pictures keep the numbers that they have; others are counted from 1. Pictures that
    are `listed` are in the file without persons too, with their sizes where these are known.
    """
    pictures = {of.name: of for of in listed}
    numbers: dict[str, int | str] = {
        name: int(of.number) if of.number.isdecimal() else of.number
        for name, of in pictures.items()
    }
    annotations = []
    for n, (person, row) in enumerate(zip(persons, rows, strict=True), start=1):
        number = len(numbers) + 1 if person.image_number is None else person.image_number
        image, own = numbers.setdefault(person.image, number), person.number
        ids = {"id": n if own is None else own, "image_id": image, "category_id": 1}
        annotations.append({**ids, **row})
    images: list[dict[str, Any]] = []
    for name, number in numbers.items():
        size = pictures[name].size if name in pictures else None
        sides = dict(zip(("height", "width"), size, strict=True)) if size else {}
        images.append({"id": number, "file_name": name, **sides})
    categories = [skeleton.to_coco_category()]
    return {"images": images, "annotations": annotations, "categories": categories}
