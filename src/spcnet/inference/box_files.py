"""Person boxes that were found elsewhere, read from COCO-style JSON files."""

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from spcnet.data.coco_files import PictureList, category_ids, id_of, slashed
from spcnet.data.label_files import load_json, reading
from spcnet.errors import UserError, counted
from spcnet.media.images import read_shape

WANTED = (
    "COCO-style boxes: images and annotations with image_id and bbox [x, y, width, height], or a "
    "list of {file_name, bbox}"
)
LARGEST = 1e7  # of a coordinate, in pixels, and of a score
Boxes = list[list[float]]


class BoxFile:
    """Person boxes by picture; `read_boxes` says of what form."""

    def __init__(self, path: Path, boxes: dict[str, Boxes], passed_over: Counter[str]) -> None:
        self.path = path
        self.boxes = boxes
        self.passed_over = passed_over  # how many records gave no box, by what they are
        self._by_name: dict[str, list[str]] = {}
        for key in boxes:
            self._by_name.setdefault(PurePath(key).name, []).append(key)

    def of(self, picture: str) -> Boxes:
        """The boxes of a picture, by its path, its name, or its name without suffix.

        Where the file names pictures with folders, as many of them count as both paths have.
        """
        # Where the locale is not UTF-8, a name of the command line is.
        picture = os.fsencode(picture).decode("utf-8", "surrogateescape")
        path = PurePath(picture)
        for key in (picture, path.stem, path.stem.lstrip("0")):  # COCO's are named by numbers
            if key in self.boxes and (key == picture or path.name not in self._by_name):
                return self.boxes[key]
        shared = {key: _shared_end(key, path) for key in self._by_name.get(path.name, [])}
        if not shared:
            raise UserError(f"{self.path} has no boxes for this picture")
        longest = max(shared.values())
        first, *others = [key for key in shared if shared[key] == longest]
        if not longest:
            raise UserError(
                f"{self.path} has no boxes for this picture, but for {first}; in other "
                "folders pictures are found by file names without one"
            )
        if others:
            raise UserError(
                f"{self.path} has boxes for {first} and {others[0]}; name the picture with its "
                "folder"
            )
        return self.boxes[first]

    def are_corners(self, pictures: Iterable[str]) -> bool:
        """Whether each box of some pictures reaches out of them, and none as x0, y0, x1, y1."""
        verdicts: list[bool] = []
        for picture in pictures:
            with suppress(UserError):  # it is said where the picture is predicted
                height, width = read_shape(Path(picture))
                for x, y, right, below in self.of(picture):
                    held = x < right - x <= width and y < below - y <= height
                    verdicts.append(held and (right > width or below > height))
        return bool(verdicts) and all(verdicts)


def _shared_end(key: str, path: PurePath) -> int:
    """How many last parts two paths share if they may be one, seen from different folders."""
    ours, theirs = (
        [part for part in one.parts if part not in ("..", one.anchor)]
        for one in (path, PurePath(key))
    )
    shared = min(len(ours), len(theirs))
    return shared if ours[-shared:] == theirs[-shared:] else 0


def read_boxes(path: Path, *, threshold: float = 0.0) -> BoxFile:
    """Read a COCO-style JSON of boxes.

    Either an object with ``images`` (id, file_name) and ``annotations`` (image_id, bbox), or a
    list of detections with ``bbox`` and ``file_name`` or ``image_id``; ``bbox`` is x, y, width,
    height. Passed over are boxes whose ``score`` is below the threshold, and counted: crowds,
    records without a bbox, boxes without area, and other categories than the person's.
    """
    content = load_json(path, wanted="COCO-style boxes")
    passed: Counter[str] = Counter()
    with reading(path, WANTED):
        listed = isinstance(content, dict)
        whole = content if listed else {"images": [], "annotations": content}
        rows = list(whole["annotations"])
        pictures = PictureList(path, whole["images"], rows if listed else ())
        persons = _person_ids(path, whole.get("categories", []), rows)
        boxes: dict[str, Boxes] = {picture.name: [] for picture in pictures.by_id.values()}
        for n, row in enumerate(rows, start=1):
            entry = f"entry {n}"
            key = row.get("file_name")
            if key is None and listed:
                key = pictures.by_id[id_of(row["image_id"])].name
            key = id_of(row["image_id"] if key is None else key)
            of_picture = boxes.setdefault(slashed(key), [])
            category = row.get("category_id")
            if persons and category is not None and id_of(category) not in persons:
                passed["boxes of other categories"] += 1
            elif row.get("iscrowd"):
                passed["crowds"] += 1
            elif not row.get("bbox"):
                passed["records without a bbox"] += 1
            elif _numbers([row.get("score")], entry, "score", 1)[0] >= threshold:
                x, y, width, height = _numbers(row["bbox"], entry, "bbox", 4)
                if width > 0 and height > 0:
                    of_picture.append([x, y, x + width, y + height])
                else:
                    passed["boxes without area"] += 1
    return BoxFile(path, boxes, passed)


def _person_ids(path: Path, categories: list[Any], rows: list[Any]) -> set[str]:
    """The ids of the category of persons; none where whatever has a box is one.

    It is the one of that name, or with joints; without any named, it is COCO's, which is 1.
    """
    found = [c for c in categories if str(c["name"]).lower() == "person" or c.get("keypoints")]
    if categories:
        return category_ids(found)
    ids = {id_of(row["category_id"]) for row in rows if row.get("category_id") is not None}
    if len(ids) > 1 and "1" not in ids:
        raise UserError(
            f"{path}: boxes of the categories {', '.join(sorted(ids))} without their names; add "
            "categories (id, name), or leave the persons' alone"
        )
    return {"1"} if len(ids) > 1 else set()


def _numbers(values: Any, entry: str, name: str, count: int) -> list[float]:
    """So many numbers of a size that pixels have; else a `ValueError`."""
    numbers = [1.0 if value is None and name == "score" else float(value) for value in values]
    if len(numbers) != count or not all(abs(number) <= LARGEST for number in numbers):
        wanted = counted(count, "finite number")
        raise ValueError(f"{entry}: {name} must be {wanted}, got {values!r:.60}")
    return numbers
