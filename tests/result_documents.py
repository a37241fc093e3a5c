"""What every result has to be, whoever wrote it."""

from typing import Any

from jsonschema import Draft202012Validator

from spcnet.inference.documents import result_schema

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
