"""COCO keypoint files: COCO's own (Lin et al., ECCV 2014) and anybody's own data.

README.md says what own data must hold. A file that is not what it should be is a `UserError`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spcnet.data.annotations import (
    AnnotatedPictures,
    Annotation,
    JointState,
    ListedPicture,
    Reader,
    seen_in,
)
from spcnet.data.coco_files import PictureList, category_ids, find_pictures, id_of, named
from spcnet.data.label_files import MALFORMED, load_json, reading
from spcnet.data.leeds import parse_numbers
from spcnet.errors import UserError, counted, first_few, in_words
from spcnet.geometry import Array, box_of_points
from spcnet.skeletons import BODY19, SKELETONS, Skeleton, joint_names, mirror_name

WANTED = "a COCO keypoint file"
PREFIX = "person_keypoints_"
FLAGS = (JointState.MISSING, JointState.OCCLUDED, JointState.VISIBLE)


def read_coco(root: Path, split: str) -> AnnotatedPictures:
    """Persons of a COCO keypoint file, whose pictures lie beside it or in ``images/``.

    `root` is the file, or a folder with ``annotations/person_keypoints_SPLIT.json`` (COCO's own
    layout), ``SPLIT.json`` or ``annotations.json``. Of a lone file, named or not, `split` is
    ``"all"``, or numbers of its pictures in the file's order from 1, such as ``"1-80"``.
    """
    root = Path(root)
    path = root if root.is_file() else _find(root, split)
    # A file is whole by its own name too.
    name = _split_of(path)
    labels = coco_labels(path, "all" if split == name else split)
    base = path.parent.parent if path.parent.name == "annotations" else path.parent
    folders = [base, base / "images", base / split, base / "images" / split]
    return with_pictures(replace(labels, split=name if split == "all" else split), folders)


def with_pictures(labels: AnnotatedPictures, folders: Sequence[Path]) -> AnnotatedPictures:
    """Labels with their pictures, which lie in one of some folders; see `find_pictures`."""
    images, called = find_pictures([picture.name for picture in labels.listed], folders)
    return replace(
        labels,
        images=images,
        annotations=[replace(p, image=called[p.image]) for p in labels.annotations],
        listed=tuple(replace(p, name=called[p.name]) for p in labels.listed),
    )


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
    files = sorted([*root.glob("*.json"), *root.glob(f"annotations/{PREFIX}*.json")])
    if files:
        return UserError(
            f"{root}: no split {split!r} here, but {first_few([*map(_split_of, files)], 6)}; "
            f"numbers of pictures, or all, are of one file, named itself: --root {files[-1]}"
        )
    return UserError(
        f"{root}: no keypoint file here; COCO's is annotations/{PREFIX}{split}.json, own data's "
        f"{split}.json or a JSON file of any name, alone or named itself, and this folder holds "
        f"{seen_in(root)}; spcnet data check {root} knows labels of other tools"
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
    with reading(path, WANTED):
        rows = content["annotations"]
        pictures = PictureList(path, content["images"], rows)
        peopled = {id_of(row["image_id"]) for row in rows}
        listed = [of for number, of in pictures.by_id.items() if number not in peopled]
        if not listed:
            raise UserError(f"{path}: every picture has an annotation; none shows nobody")
        if sizeless := [of.name for of in listed if of.size is None]:
            raise UserError(f"{path}: image {sizeless[0]} needs a width and a height in pixels")
    folders = [folder for folder in (root / "images", root) if folder.is_dir()]
    images, called = find_pictures([of.name for of in listed], folders)
    annotations = [
        Annotation(
            image=called[of.name],
            points=np.zeros((len(BODY19), 2)),
            states=np.full(len(BODY19), JointState.ABSENT, dtype=np.uint8),
            box=np.array([0.0, 0.0, of.size[1] - 1.0, of.size[0] - 1.0]),
        )
        for of in listed
        if of.size is not None
    ]
    return AnnotatedPictures("nobody", split, BODY19, annotations, images)


def coco_labels(path: Path, split: str = "all") -> AnnotatedPictures:
    """The labels of a COCO keypoint file, without pictures: all, or those of some pictures."""
    return labels_of(path, load_json(path, wanted=WANTED), split)


def is_coco(content: object) -> bool:
    """Whether the content of a JSON file may be of COCO's form."""
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def labels_of(path: Path, content: Any, split: str = "all") -> AnnotatedPictures:
    """The labels of a COCO keypoint document, which comes of a file."""
    if not is_coco(content):
        raise UserError(f"{path}: not {WANTED}: wanted an object with images and annotations")
    with reading(path, WANTED):
        categories = [c for c in content.get("categories", []) if c.get("keypoints")]
        rows = list(content["annotations"])
        pictures = PictureList(path, content["images"], rows)
        ids = category_ids(categories)
    if not categories:
        raise UserError(f"{path}: no category names keypoints, so the joints have no names")
    skeleton = skeleton_of(path, categories[0])
    if any(category["keypoints"] != categories[0]["keypoints"] for category in categories):
        called = ", ".join(str(category.get("name")) for category in categories)
        raise UserError(f"{path}: categories of different joints ({called}); keep one of them")
    listed = list(pictures.by_id.values())
    if split != "all":
        asked = set(parse_numbers(split, len(listed), named=("all",)))
        listed = [replace(of, chosen=n in asked) for n, of in enumerate(listed, start=1)]
        pictures.by_id = {of.number: of for of in listed}
    passed_over: dict[str, list[str]] = {}
    mended: dict[str, list[str]] = {}
    annotations: list[Annotation] = []
    faults: list[str] = []
    for n, row in enumerate(rows, start=1):
        try:
            picture, found = _of_row(row, pictures.by_id, ids, len(skeleton))
        except MALFORMED as error:
            faults.append(f"{named(row, n)}: {in_words(error)}")
            continue
        if not picture.chosen:
            continue
        where = f"{picture.name} {named(row, n)}"
        if isinstance(found, Annotation):
            annotations.append(found)
            for kind, text in _mended(row, skeleton):
                mended.setdefault(kind, []).append(where + text)
        else:
            passed_over.setdefault(found, []).append(where)
    if faults:
        raise UserError(f"{path}: {first_few(faults, between='; ')}")
    if not annotations and split == "all":
        others = "".join(f"; {len(of)} {k.replace('-', ' ')}" for k, of in passed_over.items())
        raise UserError(f"{path}: no annotation with keypoints{others}")
    return AnnotatedPictures(
        "coco", split, skeleton, annotations,
        listed=tuple(listed), passed_over=passed_over, mended=mended,
    )  # fmt: skip


def skeleton_of(path: Path, category: Mapping[str, Any]) -> Skeleton:
    """The skeleton of a category; a known one where the joints are the same."""
    with reading(path, WANTED):
        joints = joint_names(category["keypoints"])
        called = dict(zip(category["keypoints"], joints, strict=True))
        mirrored = [(called[a], called[b]) for a, b in category.get("pairs", ())]
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
            pairs=tuple(pair for pair in mirrored if mirror_name(pair[0]) == pair[0]),
        )
    except MALFORMED as error:
        raise UserError(
            f"{path}: the category's keypoints make no skeleton: {in_words(error)}"
        ) from None


def _of_row(
    row: Any, pictures: Mapping[str, ListedPicture], categories: set[str], joints: int
) -> tuple[ListedPicture, Annotation | str]:
    """A record's picture and person, or the kind of record that it is in place of a person."""
    picture = pictures[id_of(row["image_id"])]
    category = None if row.get("category_id") is None else id_of(row["category_id"])
    if categories and category is not None and category not in categories:
        return picture, "other-categories"
    points, flags = _joints(row.get("keypoints"), joints)
    box = _tight(row.get("bbox"))
    if box is None and not flags.any():
        return picture, "without-keypoints"
    if box is None:
        box = box_of_points(points[flags > 0])
    if row.get("keypoints") is None and category is None:
        return picture, "without-keypoints"  # of whatever the box is
    area = float(row.get("area") or np.prod(box[2:] - box[:2]))
    if not np.isfinite(area):
        raise ValueError(f"area {area} is no number")
    return picture, Annotation(
        image=picture.name,
        points=points,
        states=flags.astype(np.uint8),
        box=box,
        area=area,
        crowd=bool(row.get("iscrowd", 0)),
        number=_whole(row.get("id")),
        image_number=picture.number if (of := _whole(picture.number)) is None else of,
        category=category,
    )


def _mended(row: Any, skeleton: Skeleton) -> Iterator[tuple[str, str]]:
    """Kinds of what a person's record lacks, and what to say after its name."""
    if _tight(row.get("bbox")) is None:
        yield "boxes-of-joints", ""
    values = np.array(row.get("keypoints") or [], dtype=np.float64).reshape(-1, 3)
    for joint in np.flatnonzero(np.isnan(values[:, :2]).any(axis=1)):
        yield "null-joints", f": {skeleton.joints[joint]}"


def _whole(value: object) -> int | None:
    """An id that is a number; others tell records apart, but carry no number."""
    text = "" if value is None else id_of(value)
    return int(text) if text.removeprefix("-").isdecimal() else None


def _joints(keypoints: Any, joints: int) -> tuple[Array, Array]:
    """Points (K, 2) and visibility flags (K,); none is labelled where there are no keypoints."""
    values = np.array([] if keypoints is None else keypoints, dtype=np.float64)
    if not values.size:
        return np.zeros((joints, 2)), np.zeros(joints)
    if values.size != 3 * joints:
        wanted = f"wanted x, y, v of {counted(joints, 'joint')}"
        raise ValueError(f"keypoints of {counted(values.size, 'number')}, {wanted}")
    points, flags = np.split(values.reshape(joints, 3), [2], axis=1)
    unknown = np.isnan(points).any(axis=1) & np.isnan(flags[:, 0])  # null, null, null
    flags = np.where(unknown, 0, flags[:, 0])
    if not np.isin(flags, FLAGS).all():
        raise ValueError("a visibility flag is none of 0, 1, 2")
    return points, flags


def _tight(bbox: Sequence[float] | None) -> Array | None:
    with suppress(TypeError, ValueError):
        x, y, width, height = map(float, bbox or (0, 0, 0, 0))  # zeros are what tools write too
        if np.isfinite([x, y, width, height]).all():
            return np.array([x, y, x + width, y + height]) if width > 0 and height > 0 else None
    raise ValueError(f"bbox {json.dumps(bbox):.60} is not x, y, width, height")
