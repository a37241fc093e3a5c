import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spcnet.data.coco import coco_labels, read_coco
from spcnet.errors import UserError
from spcnet.skeletons import COCO17, LSP14

OWN = {
    "id": 1,
    "name": "arm",
    "keypoints": ["Left Hand", "Right Hand", "Nose"],
    "skeleton": [[1, 3], [2, 3]],
}


def own_row(**changes: Any) -> dict[str, Any]:
    row = {
        "id": 31,
        "image_id": 7,
        "keypoints": [10, 20, 2, 50, 25, 1, 0, 0, 0],
        "bbox": [5, 6, 60, 30],
        "area": 900,
        "iscrowd": 0,
    }
    return {key: value for key, value in (row | changes).items() if value is not None}


def document(*rows: Any, categories: list[Any] | None = None) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "sub/b.jpg"}],
        "annotations": list(rows),
        "categories": [OWN] if categories is None else categories,
    }


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_a_person_of_own_data(tmp_path: Path) -> None:
    labels = coco_labels(write(tmp_path / "own.json", document(own_row())))
    (person,) = labels.annotations
    assert person.points.tolist() == [[10, 20], [50, 25], [0, 0]]
    assert person.states.tolist() == [2, 1, 0]
    assert person.box.tolist() == [5, 6, 65, 36]  # x, y, width, height in the file
    assert (person.area, person.crowd) == (900, False)
    assert (person.image, person.number, person.image_number) == ("a.jpg", 31, 7)
    assert labels.counts_from == 0


def test_own_joints_make_a_skeleton(tmp_path: Path) -> None:
    skeleton = coco_labels(write(tmp_path / "own.json", document(own_row()))).skeleton
    assert skeleton.name == "arm"
    assert skeleton.joints == ("left_hand", "right_hand", "nose")
    assert skeleton.limbs == (("left_hand", "nose"), ("right_hand", "nose"))
    assert skeleton.flip_permutation == (1, 0, 2)
    assert (skeleton.head, skeleton.torso) == (None, None)


@pytest.mark.parametrize("known", [COCO17, LSP14], ids=lambda skeleton: skeleton.name)
def test_known_joints_are_the_known_skeleton(tmp_path: Path, known: Any) -> None:
    row = own_row(keypoints=[1.5, 2.5, 2] * len(known))
    content = document(row, categories=[known.to_coco_category()])
    labels = coco_labels(write(tmp_path / "known.json", content))
    assert labels.skeleton is known
    assert labels.annotations[0].points.shape == (len(known), 2)


@pytest.mark.parametrize("bbox", [None, [], [0, 0, 0, 0]])
def test_without_a_bbox_the_joints_have_one(tmp_path: Path, bbox: Any) -> None:
    row = own_row(bbox=bbox, area=None)
    (person,) = coco_labels(write(tmp_path / "own.json", document(row))).annotations
    assert person.box.tolist() == [10, 20, 50, 25]
    assert person.area == 40 * 5


def test_crowds_and_people_without_joints_stay(tmp_path: Path) -> None:
    crowd = own_row(keypoints=[0] * 9, iscrowd=1)
    (person,) = coco_labels(write(tmp_path / "own.json", document(crowd))).annotations
    assert person.crowd
    assert not person.annotated.any()
    assert person.box.tolist() == [5, 6, 65, 36]


def test_rows_without_keypoints_are_no_persons(tmp_path: Path) -> None:
    content = document({"id": 1, "image_id": 7, "bbox": [0, 0, 5, 5]}, own_row())
    content["categories"].insert(0, {"id": 5, "name": "bicycle"})
    labels = coco_labels(write(tmp_path / "own.json", content))
    assert [person.number for person in labels.annotations] == [31]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": [1, 2, 3] * 3}, "annotation 31: .*none of 0, 1, 2"),
        ({"keypoints": [1, 2, 0.5] * 3}, "annotation 31: .*none of 0, 1, 2"),
        (
            {"keypoints": [1, 2, 2] * 2},
            "annotation 31: keypoints of 6 numbers, wanted x, y, v of 3 joints",
        ),
        ({"keypoints": ["a", 2, 2] * 3}, "annotation 31: 'a' is no number"),
        ({"keypoints": [[1, 2, 2], [3]]}, "annotation 31: a list is wanted whose parts are of one"),
        ({"keypoints": [float("nan"), 2, 2] * 3}, "annotation 31: .*not finite"),
        ({"keypoints": [10**400, 2, 2] * 3}, "annotation 31: a number is too large"),
        ({"bbox": [0, 0, 1e999, 1]}, "annotation 31: bbox .* is not x, y, width, height"),
        ({"area": 1e999}, "annotation 31: area inf"),
        ({"bbox": [1, 2, 3]}, r"annotation 31: bbox \[1, 2, 3\] is not x, y, width, height"),
        ({"bbox": 5}, "annotation 31: bbox 5 is not x, y, width, height"),
        ({"area": [1]}, "annotation 31: a value is of another kind than is wanted"),
        ({"image_id": 8}, "annotation 31: image_id 8 is of none of the 2 images.*7, 9"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        coco_labels(write(tmp_path / "own.json", document(own_row(**changes))))


@pytest.mark.parametrize(
    ("category", "message"),
    [
        ({"keypoints": ["left_hand", "nose"], "skeleton": []}, "make no skeleton: .*right_hand"),
        ({"keypoints": ["nose", "nose"], "skeleton": []}, "make no skeleton: .*named twice"),
        ({"skeleton": [[1, 4]]}, "must count joints from 1 to 3"),
        ({"skeleton": [[0, 2]]}, "must count joints from 1 to 3"),
        ({"skeleton": [[1]]}, "make no skeleton"),
    ],
)
def test_wrong_categories_are_named(tmp_path: Path, category: Any, message: str) -> None:
    content = document(own_row(), categories=[OWN | category])
    with pytest.raises(UserError, match=message):
        coco_labels(write(tmp_path / "own.json", content))


def test_two_kinds_of_bodies_do_not_mix(tmp_path: Path) -> None:
    dog = OWN | {"id": 2, "name": "dog", "keypoints": ["tail", "nose", "neck"]}
    content = document(own_row(), categories=[OWN, dog])
    with pytest.raises(UserError, match=r"different joints \(arm, dog\)"):
        coco_labels(write(tmp_path / "own.json", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "wanted an object with images and annotations"),
        ({"annotations": []}, "wanted an object with images and annotations"),
        (
            {"images": [{"id": 1}], "annotations": []},
            "not a COCO keypoint file: 'file_name' is missing",
        ),
        ({"images": [], "annotations": None}, "not a COCO keypoint file"),
        ({"images": [], "annotations": []}, "no category names keypoints"),
        (document(), "no annotation with keypoints"),
    ],
)
def test_files_of_another_kind_are_told(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"own\.json: .*{message}"):
        coco_labels(write(tmp_path / "own.json", content))


def test_half_a_download_is_told(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text('{"images": [')
    with pytest.raises(UserError, match="half a download"):
        coco_labels(tmp_path / "own.json")
    (tmp_path / "own.json").write_bytes(b"\x1f\x8b\x08half")
    with pytest.raises(UserError, match="half a download"):
        coco_labels(tmp_path / "own.json")


def test_cocos_own_layout(tmp_path: Path) -> None:
    write(tmp_path / "annotations" / "person_keypoints_val2017.json", document(own_row()))
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017" / "a.jpg").touch()
    labels = read_coco(tmp_path, "val2017")
    assert labels.picture(labels.annotations[0]) == tmp_path / "val2017" / "a.jpg"
    assert labels.split == "val2017"


@pytest.mark.parametrize("place", ["", "images", "train", "images/train"])
def test_pictures_of_own_data_lie_beside_the_file_or_below(tmp_path: Path, place: str) -> None:
    file = write(tmp_path / "train.json", document(own_row(), own_row(image_id=9)))
    (tmp_path / place / "sub").mkdir(parents=True)
    (tmp_path / place / "a.jpg").touch()
    for root in (tmp_path, file):
        labels = read_coco(root, "train")
        assert labels.picture(labels.annotations[0]) == tmp_path / place / "a.jpg"
        assert labels.picture(labels.annotations[1]) == tmp_path / place / "sub" / "b.jpg"


def test_a_lone_file_is_taken_whole_or_by_the_numbers_of_its_pictures(tmp_path: Path) -> None:
    rows = [own_row(id=1), own_row(id=2, image_id=9), own_row(id=3)]
    file = write(tmp_path / "my data.json", document(*rows))
    for root in (file, tmp_path):
        assert len(read_coco(root, "all")) == 3
        assert read_coco(root, "all").split == "my data"
        assert [person.number for person in read_coco(root, "1").annotations] == [1, 3]
        assert [person.number for person in read_coco(root, "2").annotations] == [2]
        with pytest.raises(UserError, match="'train': use 'all', or image numbers"):
            read_coco(root, "train")
        with pytest.raises(UserError, match="from 1 to 2"):
            read_coco(root, "2-3")


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"annotations/person_keypoints_val\.json.*own data"):
        read_coco(tmp_path, "val")


def test_a_split_that_is_no_file_says_which_are(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path / f"{split}.json", document(own_row()))
    with pytest.raises(UserError) as raised:
        read_coco(tmp_path, "1-3")
    assert str(raised.value) == (
        f"{tmp_path}: no split '1-3' here, but train, val; numbers of pictures, or all, are of one "
        f"file, named itself: --root {tmp_path / 'val.json'}"
    )
    assert len(read_coco(tmp_path / "val.json", "1-2").annotations) == 1


def test_files_read_back_what_a_skeleton_writes(tmp_path: Path) -> None:
    row = own_row(keypoints=np.arange(51).reshape(17, 3).tolist())
    row["keypoints"] = [[x, y, 2] for x, y, _ in row["keypoints"]]
    content = document(row, categories=[COCO17.to_coco_category()])
    (person,) = coco_labels(write(tmp_path / "own.json", content)).annotations
    assert person.points[16].tolist() == [48, 49]


# --- what other people's files have


@pytest.mark.parametrize(
    "row",
    [
        {"keypoints": [], "num_keypoints": 0, "bbox": [0, 0, 0, 0]},  # a track that nobody touched
        {"keypoints": [0] * 9, "bbox": [3, 3, 0, 8]},
        {"bbox": [1, 2, 3, 4]},  # of whatever it is
    ],
)
def test_a_record_that_is_no_person_is_passed_over_and_counted(tmp_path: Path, row: Any) -> None:
    content = document(own_row(), {"id": 5, "image_id": 7, **row})
    labels = coco_labels(write(tmp_path / "own.json", content))
    assert [person.number for person in labels.annotations] == [31]
    assert labels.passed_over == {"without-keypoints": ["a.jpg annotation 5"]}


def test_a_person_without_keypoints_has_a_box_all_the_same(tmp_path: Path) -> None:
    row = own_row() | {"keypoints": None, "category_id": 1}
    (person,) = coco_labels(write(tmp_path / "own.json", document(row))).annotations
    assert person.states.tolist() == [0, 0, 0]
    assert person.box.tolist() == [5, 6, 65, 36]


def test_other_categories_are_no_persons(tmp_path: Path) -> None:
    rows = own_row(category_id="1"), own_row(id=5, category_id=2), own_row(id=6, category_id=7.0)
    labels = coco_labels(write(tmp_path / "own.json", document(*rows)))
    assert [(person.number, person.category) for person in labels.annotations] == [(31, "1")]
    assert len(labels.passed_over["other-categories"]) == 2


def test_null_of_a_joint_without_a_label_is_no_number_anywhere(tmp_path: Path) -> None:
    for third in ([None, None, 0], [None, None, None], [None, 5, 0]):
        row = own_row(keypoints=[[10, 20, 2], [50, 25, 1], third])
        (person,) = coco_labels(write(tmp_path / "own.json", document(row))).annotations
        assert np.isfinite(person.points).all()
        assert person.states.tolist() == [2, 1, 0]


@pytest.mark.parametrize("written", [7, 7.0, "7", " 7.0"])
def test_an_id_is_one_however_it_is_written(tmp_path: Path, written: Any) -> None:
    row = own_row(image_id=written)
    (person,) = coco_labels(write(tmp_path / "own.json", document(row))).annotations
    assert (person.image, person.image_number) == ("a.jpg", 7)


def test_ids_may_be_texts(tmp_path: Path) -> None:
    content = document(own_row(id="3f-a", image_id="x-1"))
    content["images"][0]["id"] = "x-1"
    (person,) = coco_labels(write(tmp_path / "own.json", content)).annotations
    assert (person.image, person.image_number, person.number) == ("a.jpg", "x-1", None)


def test_an_id_of_two_pictures_is_refused_by_both_names(tmp_path: Path) -> None:
    content = document(own_row())
    content["images"].append({"id": "7", "file_name": "c.jpg"})
    with pytest.raises(UserError, match=r"image id 7 is a\.jpg and c\.jpg"):
        coco_labels(write(tmp_path / "own.json", content))


def test_all_ids_that_are_wrong_are_counted_by_kind(tmp_path: Path) -> None:
    content = document(own_row(), *[own_row(id=n, image_id=10 * n) for n in range(1, 6)])
    content["images"] += [{"id": of, "file_name": f"{of}.jpg"} for of in (7, 9)]
    path = write(tmp_path / "own.json", content)
    with pytest.raises(UserError) as raised:
        coco_labels(path)
    assert str(raised.value) == (
        f"{path}: image id 7 is a.jpg and 7.jpg, image id 9 is sub/b.jpg and 9.jpg; give each "
        "picture an id of its own; annotation 1: image_id 10, annotation 2: image_id 20, "
        "annotation 3: image_id 30 and 2 more are of none of the 2 images, whose ids are like 7, "
        "9; list the pictures, or remove what names them"
    )


def test_all_rows_that_are_wrong_are_counted(tmp_path: Path) -> None:
    rows = [own_row(id=n, area=float("inf")) for n in range(1, 6)]
    path = write(tmp_path / "own.json", document(own_row(), *rows))
    with pytest.raises(UserError) as raised:
        coco_labels(path)
    told = "; ".join(f"annotation {n}: area inf is no number" for n in (1, 2, 3))
    assert str(raised.value) == f"{path}: {told} and 2 more"


def test_numbers_of_pictures_are_those_of_the_list_of_images(tmp_path: Path) -> None:
    rows = [own_row(id=1, image_id=9), own_row(id=2), own_row(id=3, image_id=9)]
    content = document(*rows)
    content["images"].insert(0, {"id": 4, "file_name": "nobody.jpg"})
    file = write(tmp_path / "own.json", content)
    found = {n: [p.number for p in read_coco(file, n).annotations] for n in ("1", "2", "3", "1-3")}
    assert found == {"1": [], "2": [2], "3": [1, 3], "1-3": [1, 2, 3]}


@pytest.mark.parametrize(
    "named",
    [
        "images\\sub\\b.jpg",
        "/mnt/other/images/sub/b.jpg",
        "C:\\me\\images\\sub\\b.jpg",
        "sub/b.jpg",
    ],
)
def test_pictures_are_found_by_names_of_other_machines(tmp_path: Path, named: str) -> None:
    content = document(own_row(image_id=9))
    content["images"][1]["file_name"] = named
    file = write(tmp_path / "own.json", content)
    (tmp_path / "images" / "sub").mkdir(parents=True)
    (tmp_path / "images" / "sub" / "b.jpg").touch()
    labels = read_coco(file, "all")
    assert labels.picture(labels.annotations[0]).is_file()


def test_names_that_are_one_without_their_folders_stay_whole(tmp_path: Path) -> None:
    content = document(own_row(), own_row(image_id=9))
    content["images"] = [
        {"id": 7, "file_name": "/x/one/a.jpg"},
        {"id": 9, "file_name": "/x/two/a.jpg"},
    ]
    (tmp_path / "a.jpg").touch()
    labels = read_coco(write(tmp_path / "own.json", content), "all")
    assert labels.picture_names == {"/x/one/a.jpg", "/x/two/a.jpg"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "gzip"])
def test_files_of_any_encoding_are_read(tmp_path: Path, encoding: str) -> None:
    text = json.dumps(document(own_row()))
    data = gzip.compress(text.encode()) if encoding == "gzip" else text.encode(encoding)
    (tmp_path / "own.json").write_bytes(data)
    assert len(coco_labels(tmp_path / "own.json")) == 1


@pytest.mark.parametrize(
    ("names", "joints", "flips"),
    [
        (["r_ankle", "l_ankle", "neck"], ("right_ankle", "left_ankle", "neck"), (1, 0, 2)),
        (["ankle_right", "ankle_left", "nose"], ("right_ankle", "left_ankle", "nose"), (1, 0, 2)),
        (["RightAnkle", "LeftAnkle", "Neck"], ("right_ankle", "left_ankle", "neck"), (1, 0, 2)),
        (["rightAnkle", "leftAnkle", "neck"], ("right_ankle", "left_ankle", "neck"), (1, 0, 2)),
        (["R.Ankle", "L.Ankle", "neck"], ("right_ankle", "left_ankle", "neck"), (1, 0, 2)),
        (["RAnkle", "LAnkle", "MidHip"], ("right_ankle", "left_ankle", "mid_hip"), (1, 0, 2)),
        (["hand_right", "foot_left", "tail"], ("hand_right", "foot_left", "tail"), (0, 1, 2)),
    ],
)
def test_sides_mirror_however_they_are_named(
    tmp_path: Path, names: list[str], joints: tuple[str, ...], flips: tuple[int, ...]
) -> None:
    content = document(own_row(), categories=[{"id": 1, "name": "x", "keypoints": names}])
    skeleton = coco_labels(write(tmp_path / "own.json", content)).skeleton
    assert (skeleton.joints, skeleton.flip_permutation) == (joints, flips)
    assert skeleton.unmirrored == (() if flips[0] else ("hand_right", "foot_left"))


@pytest.mark.parametrize("label_first", [True, False])
def test_nobody_is_refused_for_a_lone_broken_person(tmp_path: Path, label_first: bool) -> None:
    broken = {"id": 1, "image_id": 7, "keypoints": None}
    rows = [own_row(), broken] if label_first else [broken, own_row()]
    assert len(coco_labels(write(tmp_path / "own.json", document(*rows)))) == 1
    with pytest.raises(UserError, match="no annotation with keypoints; 1 without keypoints"):
        coco_labels(write(tmp_path / "own.json", document(broken)))
