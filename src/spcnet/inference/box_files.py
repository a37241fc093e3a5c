"""Person boxes that were found elsewhere, read from COCO-style JSON files."""

import json
from collections import defaultdict
from pathlib import Path, PurePath

from spcnet.errors import UserError

Boxes = list[list[float]]


class BoxFile:
    """Person boxes by picture; `read_boxes` says of what form."""

    def __init__(self, path: Path, boxes: dict[str, Boxes]) -> None:
        self.path = path
        self.boxes = boxes
        self._in_one_folder = len({PurePath(key).parent for key in boxes}) <= 1
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for key in boxes:
            self._by_name[PurePath(key).name].append(key)

    def of(self, picture: str) -> Boxes:
        """The boxes of a picture, by its path, its name, or its name without suffix.

        Where the file names pictures with folders, as many of them count as both paths have.

        Raises:
            UserError: the file has no boxes for it.
        """
        if picture in self.boxes:
            return self.boxes[picture]
        path = PurePath(picture)
        ends = [key for key in self._by_name.get(path.name, []) if self._same_end(key, path)]
        if ends:
            return self.boxes[max(ends, key=lambda key: len(PurePath(key).parts))]
        for key in (path.stem, path.stem.lstrip("0")):
            if key in self.boxes:
                return self.boxes[key]
        raise UserError(f"{self.path} has no boxes for this picture")

    def _same_end(self, key: str, path: PurePath) -> bool:
        """Whether the two may be one picture, seen from different folders."""
        ours, theirs = path.parts, PurePath(key).parts
        shared = min(len(ours), len(theirs))
        return ours[-shared:] == theirs[-shared:] or self._in_one_folder


def read_boxes(path: Path, *, threshold: float = 0.0) -> BoxFile:
    """Read a COCO-style JSON of boxes.

    Either an object with ``images`` (id, file_name) and ``annotations`` (image_id, bbox), or a
    list of detections with ``bbox`` and ``file_name`` or ``image_id``; ``bbox`` is x, y, width,
    height. Where the file has a category of the name person, the others are passed over.

    Args:
        path: the file.
        threshold: boxes of a lower ``score`` are passed over; those without one are kept.

    Raises:
        UserError: the file is missing, no JSON, or of another form.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: cannot read the boxes: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: not a JSON file: {error}") from None
    try:
        names = {}
        rows = content
        persons = set()
        if isinstance(content, dict):
            names = {image["id"]: image["file_name"] for image in content["images"]}
            rows = content["annotations"]
            persons = {c["id"] for c in content.get("categories", []) if c["name"] == "person"}
        boxes: dict[str, Boxes] = {str(name): [] for name in names.values()}
        for row in rows:
            key = row.get("file_name") or names.get(row.get("image_id"), row.get("image_id"))
            x, y, width, height = (float(value) for value in row["bbox"])
            of_picture = boxes.setdefault(str(key), [])
            is_person = not persons or row.get("category_id") in (None, *persons)
            if is_person and float(row.get("score", 1.0)) >= threshold:
                of_picture.append([x, y, x + width, y + height])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(
            f"{path}: not COCO-style boxes; wanted images and annotations with image_id and bbox "
            "[x, y, width, height], or a list of {file_name, bbox}"
        ) from None
    return BoxFile(path, boxes)
