"""What every result has to be, whoever wrote it, and what earlier versions wrote."""

import json
from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator

from spcnet.inference.documents import (
    CocoCollection,
    coco_document,
    result_info,
    result_schema,
)
from spcnet.inference.method import Method, PersonSource
from spcnet.inference.pose import Pose
from spcnet.inference.video import FramePoses
from spcnet.skeletons import LSP14, Skeleton

SCHEMA = result_schema()


def check_result(document: dict[str, Any]) -> dict[str, Any]:
    """The document, which is of the schema, and of which every part belongs to the others."""
    Draft202012Validator(SCHEMA).validate(document)
    (category,) = document["categories"]
    joints = len(category["keypoints"])
    assert all(1 <= joint <= joints for limb in category["skeleton"] for joint in limb)
    images = [image["id"] for image in document["images"]]
    videos = {video["id"] for video in document.get("videos", [])}
    assert len(set(images)) == len(images)
    assert {image["video_id"] for image in document["images"] if "video_id" in image} <= videos
    assert [row["id"] for row in document["annotations"]] == list(
        range(1, 1 + len(document["annotations"]))
    )
    for row in document["annotations"]:
        assert row["image_id"] in images and row["category_id"] == category["id"]
        assert len(row["keypoints"]) == 3 * joints
        assert len(row["keypoint_scores"]) == row["num_keypoints"] == joints
        assert set(row["keypoints"][2::3]) <= {1, 2}
    people = [(row["image_id"], row.get("track_id", row["id"])) for row in document["annotations"]]
    assert len(set(people)) == len(people)
    return document


PERSONS = PersonSource(kind="finder", digest="ab", threshold=0.25, people="all")
METHOD = Method(
    version="0.1.0", model="default", weights="0123", precision="fp32", refinement="mass",
    flip=False, scales=None, rotations=(0.0,), skeleton="lsp14", persons=PERSONS,
)  # fmt: skip


def pose(seed: int, presence: float | None = None) -> Pose:
    rng = np.random.default_rng(seed)
    points = rng.uniform(10, 90, (14, 2)).round(2)
    scores = rng.uniform(0.4, 0.9, 14).round(4)
    return Pose(points, scores, np.array([5.0, 6.5, 95.0, 97.25]), LSP14, None, presence)


def walk() -> list[FramePoses]:
    """A video in which the first person is lost once and another comes later."""
    image = np.zeros((100, 120, 3), np.uint8)
    persons = [[pose(1)], [None], [pose(2), pose(3)], [pose(4), None]]
    return [FramePoses(n, n / 25, image, list(of)) for n, of in enumerate(persons)]


def video_document() -> dict[str, Any]:
    videos = [{"id": 1, "name": "walk.mp4", "width": 120, "height": 100}]
    method = replace(METHOD, smoothing="one-euro")
    frames = CocoCollection({"info": result_info(method), "videos": videos}, LSP14)
    for frame in walk():
        frames.add(frame.to_coco("walk.mp4"))
    file = StringIO()
    frames.save(file)
    return check_result(json.loads(file.getvalue()))


def old_frames() -> dict[str, Any]:
    """The same as `spcnet video` of the first versions wrote it."""
    return {
        "info": {"description": "spcnet 0.1.0, model default, no smoothing"},
        "video": {"file_name": "walk.mp4", "width": 120, "height": 100},
        "skeleton": LSP14.to_dict(),
        "frames": [
            {
                "frame": frame.index,
                "time": frame.time,
                "poses": [
                    {
                        "person": n, "score": round(float(each.scores.mean()), 4),
                        "box": each.box.tolist(), "keypoints": each.keypoints.tolist(),
                        "scores": each.scores.tolist(),
                    }
                    for n, each in enumerate(frame.persons) if each is not None
                ],
            }
            for frame in walk()
        ],
    }  # fmt: skip


def old_answer(skeleton: Skeleton = LSP14) -> dict[str, Any]:
    """As `spcnet serve` of the first versions answered, and its page saved it."""
    found = pose(1)
    points = zip(skeleton.joints, found.keypoints.tolist(), found.scores.tolist(), strict=True)
    return {
        "image": {"width": 120, "height": 100},
        "poses": [{
            "keypoints": [{"name": name, "x": x, "y": y, "score": score}
                          for name, (x, y), score in points],
            "box": found.box.tolist(), "score": round(float(found.scores.mean()), 4),
        }],
        "skeleton": {
            "name": skeleton.name, "joints": list(skeleton.joints),
            "sides": [skeleton.side(n) for n in range(14)],
            "limbs": [list(limb) for limb in skeleton.limb_indices],
        },
        "model": {"name": "default", "description": "default, on cpu", "version": "0.1.0",
                  "levels": 4},
    }  # fmt: skip


def old_coco() -> dict[str, Any]:
    """As `spcnet predict` of the first versions wrote it: no schema, no smoothing."""
    method = {name: of for name, of in METHOD.to_dict().items() if name != "smoothing"}
    pictures = [("a.jpg", (100, 120), [pose(1), pose(2)]), ("b.jpg", (50, 60), [])]
    info = {"description": "spcnet 0.1.0, model default", "method": method}
    return coco_document(pictures, LSP14, info)
