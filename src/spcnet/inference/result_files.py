"""Files of results read back: of today's form, and of those that earlier versions wrote.

Every form that is read is an entry of `FORMATS`; a further one, such as another program's, is one
more, with a way to load its files where they are no JSON.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from spcnet.angles import Angles, measure_angles
from spcnet.data.label_files import load_json, reading
from spcnet.errors import UserError, dims
from spcnet.geometry import Array
from spcnet.inference.documents import SCHEMA, coco_document, result_info
from spcnet.inference.method import Method
from spcnet.inference.pose import Pose
from spcnet.skeletons import SKELETONS, Skeleton

Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """A form that results come in: whether the content of a file is of it, and what reads it.

    `read` gives a document of `SCHEMA`; what is wrong with the content may be any of `MALFORMED`.
    """

    title: str
    fits: Callable[[Any], bool]
    read: Callable[[Path, Any], Document]
    suffix: str = ".json"
    load: Callable[..., Any] = load_json


def read_result(path: str | Path) -> Document:
    """A file of results, of any of `FORMATS`, as a document of `SCHEMA`; see `poses_of`.

    Raises:
        UserError: it is missing or broken, or of no form that is known.
    """
    path = Path(path)
    suffix = ".json" if path.name.lower().endswith(".json.gz") else path.suffix.lower()
    forms = [form for form in FORMATS.values() if form.suffix == suffix]
    if not forms:
        known = ", ".join(dict.fromkeys(form.suffix for form in FORMATS.values()))
        raise UserError(f"{path}: results are {known} files, got {suffix or 'no suffix'}")
    return as_result(path, forms[0].load(path, wanted="results"), suffix)


def as_result(path: Path, content: Any, suffix: str = ".json") -> Document:
    """The content of a file of results as a document of `SCHEMA`; see `read_result`."""
    found = [form for form in FORMATS.values() if form.suffix == suffix and form.fits(content)]
    if not found:
        known = "; ".join(form.title for form in FORMATS.values())
        held = ", ".join(map(str, content)) if isinstance(content, dict) else "no object"
        raise UserError(
            f"{path}: no results that can be read; it holds {held:.200}; wanted: {known}"
        )
    with reading(path, found[0].title):
        document = found[0].read(path, content)
        for _ in poses_of(document):  # what is wrong is said now
            pass
        json.dumps(document, allow_nan=False)  # in what is not ours neither
    return document


def poses_of(document: Document) -> Iterator[tuple[dict[str, Any], dict[int, Pose]]]:
    """The images of a document, each with its poses by the persons' numbers.

    A number is the ``track_id``, or where there is none the place among the image's persons.
    """
    (category,) = document["categories"]
    skeleton = _skeleton(category["keypoints"], category["skeleton"], first=1)
    rows: dict[int, list[dict[str, Any]]] = {_whole(of["id"]): [] for of in document["images"]}
    for row in document["annotations"]:
        if row["image_id"] not in rows:
            raise ValueError(f"image_id {row['image_id']!r:.40} is of none of the images")
        rows[row["image_id"]].append(row)
    for image in document["images"]:
        for side in ("width", "height", *({"video_id", "frame_id"} & image.keys())):
            _whole(image[side])
        if "frame_id" in image:
            _numbers(image["time"])
        if not isinstance(image["file_name"], str):
            raise ValueError(f"image {image['id']}: file_name must be a text")
        poses = {}
        for n, row in enumerate(rows[image["id"]]):
            _numbers(row["score"])
            x, y, width, height = _numbers(row["bbox"], 4)
            points = _numbers(row["keypoints"], 3 * len(skeleton)).reshape(-1, 3)[:, :2]
            box = [x, y, x + width, y + height]
            presence = float(_numbers(row["presence"])) if "presence" in row else None
            pose = _pose(points, row["keypoint_scores"], box, skeleton, presence)
            poses[_whole(row.get("track_id", n))] = pose
        yield image, poses


def result_angles(path: str | Path, person: int = 0) -> tuple[Array, Angles]:
    """Times (T,) in seconds and angles (T, A) of one person in the result of a video.

    As `spcnet.tables.read_angles` gives those of a table. Another file, or one without the person,
    is a `UserError`.
    """
    frames = [(of["time"], found) for of, found in poses_of(read_result(path)) if "time" in of]
    there = [(time, found[person]) for time, found in frames if person in found]
    if not there:
        persons = sorted({number for _, found in frames for number in found})
        known = f"there are {', '.join(map(str, persons))}" if persons else "there is none"
        raise UserError(f"{path}: no person {person} of a video; {known}")
    times = np.array([time for time, _ in there], float)
    points, scores = (
        np.stack([getattr(pose, name) for _, pose in there]) for name in ("keypoints", "scores")
    )
    return times, measure_angles(points, scores, there[0][1].skeleton)


def _pose(
    points: Any, scores: Any, box: Any, skeleton: Skeleton, presence: float | None = None
) -> Pose:
    joints = len(skeleton)
    points, scores = _numbers(points, joints, 2), _numbers(scores, joints)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("a joint's score is beyond 0..1")
    return Pose(points, scores, _numbers(box, 4), skeleton, presence=presence)


def _numbers(values: Any, *shape: int) -> Array:
    array = np.array(values)
    if array.shape != shape or array.dtype.kind not in "iuf" or not (abs(array) < 1e9).all():
        wanted = f"{dims(shape)} numbers" if shape else "a number"
        raise ValueError(f"wanted {wanted}, got {values!r:.60}")
    return array.astype(np.float64)


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"wanted a whole number, got {value!r:.40}")
    return value


def _skeleton(names: Any, limbs: Any, *, first: int) -> Skeleton:
    """Of named joints and limbs that count them from `first`; a known one of the same joints."""
    named = dict(enumerate(names, start=first))
    if not named.keys() >= {joint for limb in limbs for joint in limb}:
        raise ValueError(f"limbs must count joints from {first} to {max(named)}")
    own = Skeleton("own", tuple(names), tuple((named[a], named[b]) for a, b in limbs))
    return next((known for known in SKELETONS.values() if known.joints == own.joints), own)


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda content: isinstance(content, dict) and set(names) <= content.keys()


def _is_result(content: Any) -> bool:
    info = content.get("info") if isinstance(content, dict) else None
    return isinstance(info, dict) and str(info.get("schema")).startswith("spcnet-result-")


def _of_today(path: Path, content: Any) -> Document:
    if (version := content["info"]["schema"]) != SCHEMA:
        raise UserError(f"{path}: {version!s:.40} is read by a newer spcnet; this reads {SCHEMA}")
    return dict(content)


def _of_coco(path: Path, content: Any) -> Document:
    info = content.get("info", {})
    method = Method.from_dict(info["method"]) if "method" in info else None
    return {**content, "info": result_info(method, str(info.get("description", "")))}


def _of_frames(path: Path, content: Any) -> Document:
    skeleton, video = Skeleton.from_dict(content["skeleton"]), content["video"]
    name, size = video["file_name"], {side: video[side] for side in ("width", "height")}
    document = coco_document([], skeleton, result_info(None, str(content["info"]["description"])))
    images, rows = document["images"], document["annotations"]
    for number, frame in enumerate(content["frames"], start=1):
        place = {"video_id": 1, "frame_id": frame["frame"], "time": frame["time"]}
        images.append({"id": number, "file_name": name, **size, **place})
        for found in frame["poses"]:
            pose = _pose(found["keypoints"], found["scores"], found["box"], skeleton)
            row = pose.to_coco(image_id=number, annotation_id=len(rows) + 1)
            rows.append({**row, "track_id": found["person"]})
    return {"info": document.pop("info"), "videos": [{"id": 1, "name": name, **size}], **document}


def _of_answer(path: Path, content: Any) -> Document:
    of, size, model = content["skeleton"], content["image"], content["model"]
    skeleton = _skeleton(of["joints"], of["limbs"], first=0)
    poses = []
    for person in content["poses"]:
        points = [[joint["x"], joint["y"]] for joint in person["keypoints"]]
        scores = [joint["score"] for joint in person["keypoints"]]
        poses.append(_pose(points, scores, person["box"], skeleton))
    name = path.name.removesuffix(".json").removesuffix(".pose")  # all that is known of it
    words = f"spcnet {model['version']}, model {model['description']}"
    picture = (name, (size["height"], size["width"]), poses)
    return coco_document([picture], skeleton, result_info(None, words))


COCO = "COCO keypoints of spcnet predict (images, annotations with keypoint_scores, categories)"
FRAMES = "an earlier video's frames (video, skeleton, frames, info)"
ANSWER = "an earlier service's answer (image, poses, skeleton, model)"
FORMATS: Mapping[str, Format] = {
    "result": Format(f"results of {SCHEMA}", _is_result, _of_today),
    "coco": Format(COCO, _has("images", "annotations", "categories"), _of_coco),
    "frames": Format(FRAMES, _has("video", "skeleton", "frames"), _of_frames),
    "answer": Format(ANSWER, _has("image", "poses", "skeleton"), _of_answer),
}
