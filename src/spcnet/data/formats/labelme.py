"""LabelMe: a JSON beside each picture; points and rectangles are of a person by ``group_id``."""

import json
import os
from pathlib import Path
from typing import Any

from spcnet.data.annotations import AnnotatedPictures, JointState
from spcnet.data.coco_files import slashed
from spcnet.data.formats.records import Box, Found, Point, at, gather, new_file, pictures_of
from spcnet.data.label_files import load_json


def fits(content: Any) -> bool:
    return isinstance(content, dict) and {"shapes", "imagePath"} <= content.keys()


def read(splits: dict[str, Found], file: Path) -> None:
    """A picture's labels; it is called by its place in the folder that was named."""
    found = splits[""]
    found.folders = [found.path if found.path.is_dir() else file.parent]
    content = load_json(file, wanted="a JSON of LabelMe")
    with at(file, "shapes or imagePath"):
        name = os.path.relpath(file.parent / slashed(content["imagePath"]), found.folders[0])
        boxes = [_box(shape) for shape in content["shapes"] if shape["shape_type"] == "rectangle"]
        points = [_point(shape) for shape in content["shapes"] if shape["shape_type"] == "point"]
        sides = content.get("imageHeight"), content.get("imageWidth")
        found.add(name, gather(boxes, points), sides)


def _box(shape: Any) -> tuple[object, Box]:
    (ax, ay), (bx, by) = shape["points"]
    return shape.get("group_id"), (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))


def _point(shape: Any) -> tuple[object, str, Point]:
    ((x, y),) = shape["points"]
    return shape.get("group_id"), str(shape["label"]), (float(x), float(y), JointState.VISIBLE)


def write(labels: AnnotatedPictures, folder: Path, split: str) -> None:
    """A JSON beside where each picture belongs."""
    for picture in pictures_of(labels):
        shapes = []
        for group, person in enumerate(picture.persons, start=1):
            marks = [(joint, "point", [[x, y]]) for joint, (x, y, _) in person.joints.items()]
            if person.box:
                marks.append(("person", "rectangle", [[*person.box[:2]], [*person.box[2:]]]))
            for label, kind, points in marks:
                shape = {"label": label, "points": points, "group_id": group, "shape_type": kind}
                shapes.append(shape | {"description": "", "flags": {}})
        width, height = picture.size
        content: dict[str, Any] = {
            "version": "5.5.0", "flags": {}, "shapes": shapes, "imageData": None,
            "imagePath": Path(picture.name).name, "imageHeight": height, "imageWidth": width,
        }  # fmt: skip
        file = new_file(folder, picture.name, ".json")
        file.write_text(json.dumps(content) + "\n", encoding="utf-8")
