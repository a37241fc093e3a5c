"""The one form of results: what the schema takes, and what it does not."""

import json
from io import StringIO
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError
from result_documents import SCHEMA as RESULT_SCHEMA
from result_documents import check_result

from spcnet.inference.documents import SCHEMA, CocoCollection, coco_document, result_info
from spcnet.inference.method import Method, PersonSource
from spcnet.inference.pose import Maps, Pose
from spcnet.skeletons import LSP14

PERSONS = PersonSource(kind="finder", name="finder", digest="ab", threshold=0.25, people="one")
METHOD = Method(
    version="0.1.0", model="default", weights="0123", precision="fp32", refinement="mass",
    flip=False, scales=(0.9, 1.1), rotations=(0.0,), skeleton="lsp14", persons=PERSONS,
)  # fmt: skip


def pose(presence: float | None = None, maps: Maps | None = None) -> Pose:
    points = np.arange(28, dtype=np.float32).reshape(14, 2)
    box = np.array([0, 0, 26, 27], np.float32)
    return Pose(points, np.full(14, 0.5, np.float32), box, LSP14, maps, presence)


def document() -> dict[str, Any]:
    pictures = [("a.jpg", (30, 40), [pose(), pose(0.5)]), ("b.jpg", (5, 6), [])]
    return coco_document(pictures, LSP14, result_info(METHOD, "a test's"))


def test_the_schema_is_one_and_takes_a_document() -> None:
    Draft202012Validator.check_schema(RESULT_SCHEMA)
    assert RESULT_SCHEMA["properties"]["info"]["properties"]["schema"] == {
        "description": "The version of this form.", "const": SCHEMA
    }  # fmt: skip
    found = check_result(document())
    assert found["info"] == {
        "description": "a test's", "schema": SCHEMA, "method": METHOD.to_dict()
    }  # fmt: skip
    assert [row.get("presence") for row in found["annotations"]] == [None, 0.5]
    check_result(coco_document([], LSP14))


def test_every_field_that_is_written_is_in_the_schema() -> None:
    found, fields = document(), RESULT_SCHEMA["properties"]
    assert found.keys() <= fields.keys()
    assert found["info"].keys() <= fields["info"]["properties"].keys()
    method = fields["info"]["properties"]["method"]["properties"]
    assert METHOD.to_dict().keys() == method.keys()
    assert METHOD.to_dict()["persons"].keys() == method["persons"]["properties"].keys()
    for part in ("images", "annotations", "categories"):
        assert found[part][-1].keys() <= fields[part]["items"]["properties"].keys()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("info", "schema"), "spcnet-result-2"),
        (("info", "method", "flip"), "no"),
        (("images", 0, "file_name"), None),
        (("images", 0, "frame_id"), 3),  # without time and video_id
        (("annotations", 0, "keypoint_scores", 0), 1.5),
        (("annotations", 1, "presence"), -0.1),
        (("annotations", 0, "bbox"), [1, 2, 3]),
        (("categories",), []),
    ],
)
def test_what_is_wrong_is_not_of_the_schema(place: tuple[Any, ...], value: Any) -> None:
    found = json.loads(json.dumps(document()))
    holder = found
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    with pytest.raises(ValidationError):
        check_result(found)


def test_a_collection_has_a_line_per_picture_and_person() -> None:
    collection = CocoCollection({"info": result_info(METHOD, "a test's")}, LSP14)
    for picture in (("a.jpg", (30, 40), [pose(), pose(0.5)]), ("b.jpg", (5, 6), [])):
        collection.add(coco_document([picture], LSP14))
    file = StringIO()
    collection.save(file)
    assert check_result(json.loads(file.getvalue())) == document()
    assert len(file.getvalue().splitlines()) == 1 + 3 + 3 + 1
