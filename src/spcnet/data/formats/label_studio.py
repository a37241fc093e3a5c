"""Label Studio: JSON of KeyPointLabels and RectangleLabels, in percent of the picture.

The tool counts from the corner of the first pixel, half a pixel before its centre.
"""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from spcnet.data.annotations import AnnotatedPictures, JointState
from spcnet.data.formats.records import Box, Found, Point, at, gather, pictures_of
from spcnet.data.label_files import load_json

POINTS, BOXES = "keypointlabels", "rectanglelabels"


def fits(content: Any) -> bool:
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and ("data" in first or "annotation_id" in first)


def read(splits: dict[str, Found], file: Path) -> None:
    """The first annotation of each task that was not cancelled.

    Points are of the person whose rectangle is their parent or related, or of the same note.
    """
    found = splits[""]
    found.folders = [file.parent]
    for n, task in enumerate(load_json(file, wanted="a JSON of Label Studio"), start=1):
        with at(file, f"task {n}"):
            if "data" not in task:
                raise ValueError("this is JSON-MIN, which has no persons; choose JSON to export")
            done = [of["result"] for of in task["annotations"] if not of.get("was_cancelled")]
            marks = {of.get("id", k): of for k, of in enumerate(done[0] if done else [])}
            boxes = {key: of for key, of in marks.items() if of["type"] == BOXES}
            parents = {key: of.get("parentID") for key, of in marks.items()}
            for of in (of for of in marks.values() if of["type"] == "relation"):
                ends = of["from_id"], of["to_id"]
                parents |= {a: b for a, b in (ends, ends[::-1]) if b in boxes}
            groups = {key: _note(boxes.get(of, marks[key])) or of for key, of in parents.items()}
            persons = gather(
                [(groups[key] or key, _box(of)) for key, of in boxes.items()],
                [(groups[key], *_point(of)) for key, of in marks.items() if of["type"] == POINTS],
            )
            url = task["data"].get("image") or next(iter(task["data"].values()), "")
            of = next((of for of in marks.values() if "original_width" in of), dict[str, Any]())
            found.add(_name(url), persons, (of.get("original_height"), of.get("original_width")))


def _name(url: str) -> str:
    """A picture's name by its address; an upload's begins with eight digits of the tool's own."""
    parts = urlsplit(url)
    path = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
    return re.sub(r"^/data/upload/(\d+/)?([0-9a-f]{8}-)?", "", path).lstrip("/")


def _note(mark: Any) -> str:
    return " ".join(map(str, mark.get("meta", {}).get("text", ())))


def _pixels(mark: Any, across: str, down: str) -> tuple[float, float]:
    value = mark["value"]
    if mark.get("image_rotation") or value.get("rotation"):
        raise ValueError("pictures and rectangles must not be rotated")
    x, y = value[across] * mark["original_width"], value[down] * mark["original_height"]
    return x / 100, y / 100


def _box(mark: Any) -> Box:
    (x, y), (width, height) = _pixels(mark, "x", "y"), _pixels(mark, "width", "height")
    return x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5


def _point(mark: Any) -> tuple[str, Point]:
    x, y = _pixels(mark, "x", "y")
    return str(mark["value"][POINTS][0]), (x - 0.5, y - 0.5, JointState.VISIBLE)


def write(labels: AnnotatedPictures, folder: Path, split: str) -> None:
    """``tasks.json``, where the regions of a person have a note in common."""
    tasks = []
    for picture in pictures_of(labels):
        width, height = picture.size
        common = {"original_width": width, "original_height": height, "to_name": "image"}
        result = []
        for n, person in enumerate(picture.persons, start=1):
            common |= {"meta": {"text": [f"person {n}"]}}
            regions: list[tuple[str, str, Box]] = [(BOXES, "person", b) for b in [person.box] if b]
            regions += [(POINTS, j, (x, y, x + 5, y + 5)) for j, (x, y, _) in person.joints.items()]
            for kind, label, (x0, y0, x1, y1) in regions:
                value = {"x": (x0 + 0.5) * 100 / width, "y": (y0 + 0.5) * 100 / height}
                value |= {"width": (x1 - x0) * 100 / width, "height": (y1 - y0) * 100 / height}
                mark = {"id": f"{n} {kind} {label}", "type": kind, "from_name": kind}
                result.append(common | mark | {"value": value | {kind: [label]}})
        data = {"image": f"/data/local-files/?d={quote(picture.name)}"}
        tasks.append({"data": data, "annotations": [{"result": result}]})
    (folder / "tasks.json").write_text(json.dumps(tasks) + "\n", encoding="utf-8")
