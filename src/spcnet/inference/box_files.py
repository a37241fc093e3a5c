"""Person boxes that were found elsewhere, read from COCO-style JSON files."""

import json
from pathlib import Path, PurePath

from spcnet.errors import UserError

Boxes = list[list[float]]


class BoxFile:
    """Person boxes by picture; `read_boxes` says of what form."""

    def __init__(self, path: Path, boxes: dict[str, Boxes]) -> None:
        self.path = path
        self.boxes = boxes
        self._by_name: dict[str, list[str]] = {}
        for key in boxes:
            self._by_name.setdefault(PurePath(key).name, []).append(key)

    def of(self, picture: str) -> Boxes:
        """The boxes of a picture, by its path, its name, or its name without suffix.

        Where the file names pictures with folders, as many of them count as both paths have.
        """
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
    height. Passed over are other categories, where one has the name person, and boxes whose
    ``score`` is below the threshold; those without a score are kept.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: cannot read the boxes: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: not a JSON file: {error}") from None
    try:
        whole = content if isinstance(content, dict) else {"images": [], "annotations": content}
        names = {image["id"]: image["file_name"] for image in whole["images"]}
        persons = {c["id"] for c in whole.get("categories", []) if c["name"] == "person"}
        boxes: dict[str, Boxes] = {str(name): [] for name in names.values()}
        for row in whole["annotations"]:
            key = row.get("file_name")
            if key is None:
                key = names.get(row["image_id"], row["image_id"])
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
