"""COCO keypoint files: COCO's own (Lin et al., ECCV 2014) and anybody's own data.

README.md says what own data must hold. A file that is not what it should be is a `UserError`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spcnet.data.annotations import AnnotatedPictures, Annotation, JointState, Reader, seen_in
from spcnet.data.label_files import load_json
from spcnet.data.leeds import parse_numbers
from spcnet.errors import UserError
from spcnet.geometry import Array, box_of_points
from spcnet.skeletons import BODY19, SKELETONS, Skeleton

WANTED = "a COCO keypoint file"
PREFIX = "person_keypoints_"
FLAGS = (JointState.MISSING, JointState.OCCLUDED, JointState.VISIBLE)


def read_coco(root: Path, split: str) -> AnnotatedPictures:
    """Persons of a COCO keypoint file, whose pictures lie beside it or in ``images/``.

    `root` is the file, or a folder with ``annotations/person_keypoints_SPLIT.json`` (COCO's own
    layout), ``SPLIT.json`` or ``annotations.json``. Of a lone file, named or not, `split` is
    ``"all"``, or numbers of its pictures in the file's order from 1, such as ``"1-80"``.
    """
    path = root if root.is_file() else _find(root, split)
    # A file is whole by its own name too.
    name = _split_of(path)
    labels = coco_labels(path, "all" if split == name else split)
    base = path.parent.parent if path.parent.name == "annotations" else path.parent
    folders = [base, base / "images", base / split, base / "images" / split]
    # Any picture tells the folder: the first one may be what half a download lacks.
    there = (f for f in folders if any((f / picture).is_file() for picture in labels.picture_names))
    split = name if split == "all" else split
    return replace(labels, split=split, images=next(there, folders[0]))


def _find(root: Path, split: str) -> Path:
    names = (f"annotations/{PREFIX}{split}", f"annotations/{split}", split, "annotations")
    found = [path for name in names if (path := root / f"{name}.json").is_file()]
    lone = [path for path in root.glob("*.json*") if path.is_file()]
    if found or len(lone) == 1:
        return (found or lone)[0]
    raise _none_in(root, split)


def _none_in(root: Path, split: str) -> UserError:
    if not root.is_dir():
        return UserError(f"{root}: not there; name COCO's folder, or a JSON file in its format")
    return UserError(
        f"{root}: no keypoint file here; COCO's is annotations/{PREFIX}{split}.json, own data's "
        f"{split}.json or a JSON file of any name, alone or named itself, and this folder holds "
        f"{seen_in(root)}"
    )


def _split_of(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".json").removeprefix(PREFIX)


def keypoint_splits(root: Path) -> list[str]:
    """The splits of COCO's own files, or else every JSON that own data may be."""
    if root.is_file():
        return [_split_of(root)]
    others = ("captions_", "instances_", "image_info_", "stuff_", "panoptic_")
    for files in (
        root.glob(f"annotations/{PREFIX}*.json"),
        (path for path in root.glob("annotations/*.json") if not path.name.startswith(others)),
        root.glob("*.json"),
    ):
        if found := sorted(files):
            return [_split_of(path) for path in found]
    raise _none_in(root, "SPLIT")


def scored_split(root: Path) -> str:
    """The split that is scored where none is named; a lone file of own data is taken whole."""
    places = {"val2017": f"annotations/{PREFIX}val2017.json", "val": "val.json"}
    return next((split for split, file in places.items() if (root / file).is_file()), "all")


def recognise(form: str, content: Any) -> tuple[Reader, str] | None:
    """See `spcnet.data.datasets.DatasetInfo`."""
    return (coco_labels, "all") if form == ".json" and not isinstance(content, list) else None


def read_nobody(root: Path, split: str) -> AnnotatedPictures:
    """The pictures of ``SPLIT.json`` that have no annotation at all: nobody is there.

    Each is one record without a person, whose joints are absent and whose box is the picture.
    """
    path = root / f"{split}.json"
    content = load_json(path, wanted=WANTED)
    try:
        peopled = {row["image_id"] for row in content["annotations"]}
        annotations = [
            Annotation(
                image=str(image["file_name"]),
                points=np.zeros((len(BODY19), 2)),
                states=np.full(len(BODY19), JointState.ABSENT, dtype=np.uint8),
                box=np.array([0.0, 0.0, image["width"] - 1.0, image["height"] - 1.0]),
            )
            for image in content["images"]
            if image["id"] not in peopled
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not {WANTED}: {type(error).__name__} {error}") from None
    if not annotations:
        raise UserError(f"{path}: every picture has an annotation; none shows nobody")
    images = next(f for f in (root / "images", root) if f.is_dir())
    return AnnotatedPictures("nobody", split, BODY19, annotations, images)


def coco_labels(path: Path, split: str = "all") -> AnnotatedPictures:
    """The labels of a COCO keypoint file, without pictures: all, or those of some pictures."""
    content = load_json(path, wanted=WANTED)
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        raise UserError(f"{path}: not {WANTED}: wanted an object with images and annotations")
    try:
        categories = [c for c in content.get("categories", []) if c.get("keypoints")]
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        rows = [row for row in content["annotations"] if "keypoints" in row]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not {WANTED}: {type(error).__name__} {error}") from None
    if not categories:
        raise UserError(f"{path}: no category names keypoints, so the joints have no names")
    skeleton = _skeleton(path, categories[0])
    if any(category["keypoints"] != categories[0]["keypoints"] for category in categories):
        called = ", ".join(str(category.get("name")) for category in categories)
        raise UserError(f"{path}: categories of different joints ({called}); keep one of them")
    annotations = [_of_row(path, row, names, len(skeleton)) for row in rows]
    if not annotations:
        raise UserError(f"{path}: no annotation with keypoints")
    if split != "all":
        pictures = list(dict.fromkeys(person.image for person in annotations))
        asked = parse_numbers(split, len(pictures), named=("all",))
        chosen = {pictures[number - 1] for number in asked}
        annotations = [person for person in annotations if person.image in chosen]
    return AnnotatedPictures("coco", split, skeleton, annotations)


def _skeleton(path: Path, category: dict[str, Any]) -> Skeleton:
    """The skeleton of a category; a known one where the joints are the same."""
    joints = tuple(str(name).strip().lower().replace(" ", "_") for name in category["keypoints"])
    for known in SKELETONS.values():
        if known.joints == joints:
            return known

    def pair(*names: str) -> tuple[str, str] | None:
        return (names[0], names[1]) if set(names) <= set(joints) else None

    try:
        pairs = [(int(a), int(b)) for a, b in category.get("skeleton", [])]
        if any(not 1 <= joint <= len(joints) for limb in pairs for joint in limb):
            raise ValueError(f"its limbs must count joints from 1 to {len(joints)}")
        limbs = tuple((joints[a - 1], joints[b - 1]) for a, b in pairs)
        return Skeleton(
            name=str(category.get("name", "own")),
            joints=joints,
            limbs=limbs,
            head=pair("neck", "head_top"),
            torso=pair("left_shoulder", "right_hip"),
        )
    except (ValueError, TypeError, IndexError) as error:
        raise UserError(f"{path}: the category's keypoints make no skeleton: {error}") from None


def _of_row(path: Path, row: dict[str, Any], names: dict[Any, str], joints: int) -> Annotation:
    try:
        number = int(row.get("id", 0))
        values = np.array(row["keypoints"], dtype=np.float64)
        if values.size != 3 * joints:
            raise ValueError(f"{values.size} numbers are not x, y, v for {joints} joints")
        values = values.reshape(joints, 3)
        points, flags = values[:, :2], values[:, 2]
        if not np.isin(flags, FLAGS).all():
            raise ValueError("a visibility flag is none of 0, 1, 2")
        if not np.isfinite(points[flags > 0]).all():
            raise ValueError("a labelled joint's coordinates are not finite")
        box = _tight(row.get("bbox"))
        if box is None:
            if not (flags > 0).any():
                raise ValueError("neither keypoints nor a bbox")
            box = box_of_points(points[flags > 0])
        return Annotation(
            image=names[row["image_id"]],
            points=points,
            states=flags.astype(np.uint8),
            box=box,
            area=float(row.get("area") or np.prod(box[2:] - box[:2])),
            crowd=bool(row.get("iscrowd", 0)),
            number=number,
            image_number=row["image_id"] if isinstance(row["image_id"], int) else None,
        )
    except KeyError as error:
        what = f"{error} is missing, or the image that it names"
        raise UserError(f"{path}: annotation {row.get('id')}: {what}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: annotation {row.get('id')}: {error}") from None


def _tight(bbox: Sequence[float] | None) -> Array | None:
    x, y, width, height = map(float, bbox or (0, 0, 0, 0))  # zeros are what tools write too
    return np.array([x, y, x + width, y + height]) if width > 0 and height > 0 else None
