"""YOLO-pose as Ultralytics reads it: data.yaml, and a text file per picture.

A line is a class, the box's middle and size, and x, y and maybe a flag of each joint, as shares of
the picture's width and height.
"""

import os
import re
import reprlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from spcnet.data.annotations import AnnotatedPictures, JointState
from spcnet.data.formats.records import Found, Person, Point, at, new_file, pictures_of
from spcnet.data.label_files import load_text
from spcnet.data.yaml_files import load_yaml
from spcnet.media.folders import PICTURE_SUFFIXES
from spcnet.media.images import read_shape
from spcnet.skeletons import COCO17, MOST_JOINTS


def fits(content: Any) -> bool:
    return isinstance(content, dict) and "kpt_shape" in content


def load(path: Path, *, wanted: str) -> Any:
    return load_yaml(path)


def read(splits: dict[str, Found], file: Path) -> None:
    """Every split that the YAML names; the pictures give their sizes."""
    content = load_yaml(file)
    with at(file, "kpt_shape, kpt_names or flip_idx"):
        count, dims = map(int, content["kpt_shape"])
        if not 1 <= count <= MOST_JOINTS or dims not in (2, 3):
            raise ValueError(f"kpt_shape [{count}, {dims}] is not [joints, 2 or 3]")
        names = _joints(content.get("kpt_names"), count)
        flip = [int(partner) for partner in content.get("flip_idx") or ()]
        pairs = [(names[a], names[b]) for a, b in enumerate(flip) if a < b]
    for split in (split for split in ("train", "val", "test") if content.get(split)):
        with at(file, split):
            folder = _folder(file.parent, content.get("path") or "", content[split])
            found = splits[split] = Found(file, [folder], joints=names, pairs=pairs)
            for picture in sorted(folder.rglob("*")):
                if picture.suffix.lower() in PICTURE_SUFFIXES:
                    persons = list(_persons(picture, names, dims))
                    found.add(picture.relative_to(folder).as_posix(), persons, read_shape(picture))


def _joints(stated: Any, count: int) -> list[str]:
    """The joints' names, which most files do not state: by their number COCO's, or counted."""
    if not stated:
        return list(COCO17.joints if count == 17 else (f"joint_{n + 1}" for n in range(count)))
    names = stated[0] if isinstance(stated, list) else next(iter(stated.values()))
    if len(names) != count or not all(isinstance(name, str) for name in names):
        raise ValueError(f"kpt_names are not {count} texts")
    return [*names]


def _folder(base: Path, path: str, entry: Any) -> Path:
    """Of a split's pictures; Roboflow's begin with ../ though they lie beside the file."""
    if isinstance(entry, str):
        for place in (base / path / entry, base / entry, base / entry.removeprefix("../")):
            if os.path.isdir(place):
                return place
    raise ValueError(f"{reprlib.repr(entry)} is no folder of pictures; name one or remove the line")


def _persons(picture: Path, names: list[str], dims: int) -> Iterator[Person]:
    file = Path(re.sub("(.*)/images/", r"\1/labels/", picture.as_posix())).with_suffix(".txt")
    height, width = read_shape(picture)
    lines = load_text(file, wanted="labels of YOLO-pose").splitlines() if file.is_file() else []
    for n, line in enumerate(lines, start=1):
        with at(file, f"line {n}"):
            _, *values = map(float, line.split())
            if len(values) != 4 + dims * len(names):
                raise ValueError(f"{1 + len(values)} numbers, wanted {5 + dims * len(names)}")
            x, y, w, h = (v * side for v, side in zip(values, (width, height) * 2, strict=False))
            joints: dict[str, Point] = {}
            for k, joint in enumerate(names):
                px, py, *flag = values[4 + dims * k : 4 + dims * (k + 1)]
                state = JointState(int(flag[0]) if flag else 2 * (px > 0 or py > 0))
                if state != JointState.MISSING:
                    joints[joint] = (px * width, py * height, state)
            yield Person(joints, (x - w / 2, y - h / 2, x + w / 2, y + h / 2))


def write(labels: AnnotatedPictures, folder: Path, split: str) -> None:
    """``data.yaml``, and labels/ beside where images/ belongs."""
    skeleton, config = labels.skeleton, folder / "data.yaml"
    key = next((key for key in ("val", "test") if split.startswith(key)), "train")
    content: dict[str, Any] = {key: f"images/{split}"}
    if not config.exists():
        content |= {"kpt_shape": [len(skeleton), 3], "flip_idx": [*skeleton.flip_permutation]}
        content |= {"names": {0: "person"}, "kpt_names": {0: [*skeleton.joints]}}
    with config.open("a", encoding="utf-8") as stream:
        yaml.safe_dump(content, stream, sort_keys=False)
    for picture in pictures_of(labels):
        lines = [_line(person, picture.size, skeleton.joints) for person in picture.persons]
        file = new_file(folder / "labels" / split, picture.name, ".txt")
        file.write_text("".join(lines), encoding="utf-8")


def _line(person: Person, size: tuple[int, int], joints: Sequence[str]) -> str:
    x0, y0, x1, y1 = (
        min(1, max(0, value / side)) for value, side in zip(person.around, size * 2, strict=True)
    )
    parts = [f"0 {(x0 + x1) / 2:.6f} {(y0 + y1) / 2:.6f} {x1 - x0:.6f} {y1 - y0:.6f}"]
    for joint in joints:
        x, y, state = person.joints.get(joint, (-1, -1, 0))
        inside = 0 <= x <= size[0] and 0 <= y <= size[1]
        parts.append(f"{x / size[0]:.6f} {y / size[1]:.6f} {state}" if inside else "0 0 0")
    return " ".join(parts) + "\n"
