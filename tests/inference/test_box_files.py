import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spcnet.errors import UserError
from spcnet.inference.box_files import BoxFile, read_boxes


def read(folder: Path, content: Any) -> BoxFile:
    (folder / "b.json").write_text(json.dumps(content))
    return read_boxes(folder / "b.json")


def listed(*rows: Any, **more: Any) -> dict[str, Any]:
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "sub\\b.jpg"}]
    return {"images": images, "annotations": list(rows), **more}


BOX = {"image_id": 1, "bbox": [1, 2, 30, 40]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gzip"])
def test_files_of_any_encoding_are_read(tmp_path: Path, encoding: str) -> None:
    text = json.dumps([{"file_name": "\u00e9.jpg", "bbox": [1, 2, 30, 40]}], ensure_ascii=False)
    path = tmp_path / "b.json"
    path.write_bytes(gzip.compress(text.encode()) if encoding == "gzip" else text.encode(encoding))
    assert read_boxes(path).of("\u00e9.jpg") == [[1, 2, 31, 42]]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"keypoints": [1, 2, 2]}, "records without a bbox"),
        ({"bbox": None}, "records without a bbox"),
        ({"bbox": [1, 2, 0, 40]}, "boxes without area"),
        ({"bbox": [1, 2, 30, 40], "iscrowd": 1}, "crowds"),
        ({"bbox": [1, 2, 30, 40], "category_id": 9}, "boxes of other categories"),
    ],
)
def test_what_is_no_persons_box_is_passed_over_and_counted(
    tmp_path: Path, row: dict[str, Any], kind: str
) -> None:
    people = [{"id": "3", "name": "Person"}, {"id": 9, "name": "carrot"}]
    found = read(tmp_path, listed(BOX, {"image_id": 1, **row}, categories=people))
    assert found.of("a.jpg") == [[1, 2, 31, 42]]
    assert found.passed_over == {kind: 1}


def test_a_list_of_several_categories_has_cocos_persons(tmp_path: Path) -> None:
    rows = [BOX | {"category_id": 1}, BOX | {"category_id": 57}]
    found = read(tmp_path, rows)
    assert (found.of("1.jpg"), found.passed_over["boxes of other categories"]) == (
        [[1, 2, 31, 42]], 1,
    )  # fmt: skip
    assert len(read(tmp_path, [row | {"category_id": 0} for row in rows]).of("1.jpg")) == 2
    with pytest.raises(UserError, match="categories 0, 57 without their names"):
        read(tmp_path, [rows[0] | {"category_id": 0}, rows[1]])


def test_ids_are_joined_to_pictures_by_one_rule(tmp_path: Path) -> None:
    found = read(tmp_path, listed(*(BOX | {"image_id": of} for of in (1, "1", 1.0, 2))))
    assert len(found.of("a.jpg")) == 3
    assert len(found.of("sub/b.jpg")) == 1
    with pytest.raises(
        UserError, match="annotation 2 of the list: image_id 3 is of none of the 2 images"
    ):
        read(tmp_path, listed(BOX, BOX | {"image_id": 3}))
    twice = listed(BOX)
    twice["images"].append({"id": 1, "file_name": "c.jpg"})
    with pytest.raises(UserError, match=r"image id 1 is a\.jpg and c\.jpg"):
        read(tmp_path, twice)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"bbox": [1, 2, 3]}, "entry 1: bbox must be 4 finite numbers"),
        ({"bbox": [1, 2, 1e12, 4]}, "entry 1: bbox must be 4 finite numbers"),
        ({"bbox": [1, 2, 3, float("nan")]}, "entry 1: bbox must be 4 finite numbers"),
        ({"bbox": [1, 2, 3, 4], "score": 10**400}, "too large"),
        ({"bbox": [1, 2, 3, 4], "score": float("inf")}, "entry 1: score must be 1 finite number,"),
        ({"bbox": [1, 2, 3, 4], "image_id": {"a": 1}}, "an id must be a number or a text"),
        ({"bbox": "wide"}, "'w' is no number"),
    ],
)
def test_absurd_numbers_are_refused_in_a_line(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"b\.json: not COCO-style boxes.*{message}"):
        read(tmp_path, [{"image_id": 1, **row}])


@pytest.mark.parametrize(
    ("boxes", "corners"),
    [
        ([[30, 40, 90, 75], [5, 60, 70, 79]], True),
        ([[30, 40, 90, 75], [5, 6, 30, 40]], False),  # one lies in the picture as it is
        ([[30, 40, 90, 75], [90, 6, 30, 40]], False),  # one is none with x0 < x1
        ([], False),
    ],
)
def test_boxes_that_are_x0_y0_x1_y1_are_known_by_the_pictures(
    tmp_path: Path, boxes: list[list[float]], corners: bool
) -> None:
    Image.new("RGB", (100, 80)).save(tmp_path / "a.jpg")
    found = read(tmp_path, listed(*({"image_id": 1, "bbox": box} for box in boxes)))
    pictures = [str(tmp_path / name) for name in ("a.jpg", "gone.jpg")]
    assert found.are_corners(pictures) is corners
