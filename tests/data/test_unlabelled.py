"""Pictures without labels: of a person each, and of nobody; and what of labels is learned from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spcnet.data.annotations import AnnotatedPictures, JointState
from spcnet.data.coco import read_nobody
from spcnet.data.datasets import cached_store, default_crop, open_dataset, split_size
from spcnet.data.opinions import read_unlabelled
from spcnet.errors import UserError
from spcnet.skeletons import BODY19, COCO17

SEEN = [[4.0 + 2 * n, 3.0 + n, 0.9] for n in range(17)]  # within 40 x 30 pixels


def write_picture(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (9, 99, 199)).save(path)


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


# --- unlabelled


def test_every_picture_of_a_folder_is_a_person_without_labels(tmp_path: Path) -> None:
    write_picture(tmp_path / "b.png", (50, 20))
    write_picture(tmp_path / "a.JPG")
    (tmp_path / "notes.txt").write_text("no picture")
    labels = read_unlabelled(tmp_path, "all")
    assert (labels.name, labels.skeleton, labels.images) == ("unlabelled", COCO17, tmp_path)
    assert [person.image for person in labels.annotations] == ["a.JPG", "b.png"]
    assert [person.box.tolist() for person in labels.annotations] == [
        [0, 0, 39, 29], [0, 0, 49, 19]
    ]  # fmt: skip
    assert not any(person.annotated.any() for person in labels.annotations)


def test_pictures_may_lie_in_images_and_be_taken_by_number(tmp_path: Path) -> None:
    for name in "abcd":
        write_picture(tmp_path / "images" / f"{name}.png")
    assert read_unlabelled(tmp_path, "train").picture_names == {"a.png", "b.png", "c.png", "d.png"}
    assert read_unlabelled(tmp_path, "2,4").picture_names == {"b.png", "d.png"}
    with pytest.raises(UserError, match="from 1 to 4"):
        read_unlabelled(tmp_path, "4-5")
    with pytest.raises(UserError, match="unknown split 'val': use 'all'"):
        read_unlabelled(tmp_path, "val")


def test_folders_without_pictures_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone: not a folder"):
        read_unlabelled(tmp_path / "gone", "all")
    with pytest.raises(UserError, match="no picture here"):
        read_unlabelled(tmp_path, "all")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match=r"text\.png: not a picture"):
        read_unlabelled(tmp_path, "all")


# --- nobody


def nobody_file(folder: Path) -> Path:
    images = [{"id": n, "file_name": f"{n}.png", "width": 40 + n, "height": 30} for n in (1, 2, 3)]
    return write(folder / "train.json", {"images": images, "annotations": [{"image_id": 2}]})


def test_pictures_without_any_annotation_show_nobody(tmp_path: Path) -> None:
    nobody_file(tmp_path)
    labels = read_nobody(tmp_path, "train")
    assert (labels.name, labels.skeleton, labels.images) == ("nobody", BODY19, tmp_path)
    assert [person.image for person in labels.annotations] == ["1.png", "3.png"]
    assert [person.box.tolist() for person in labels.annotations] == [
        [0, 0, 40, 29], [0, 0, 42, 29]
    ]  # fmt: skip
    for person in labels.annotations:
        assert (person.states == JointState.ABSENT).all()
        assert not person.annotated.any()  # absent joints have no place
    (tmp_path / "images").mkdir()
    assert read_nobody(tmp_path, "train").images == tmp_path / "images"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"annotations": [], "images": [{"id": 1, "file_name": "a.png"}]},
         "image a.png needs a width and a height"),
        ({"images": []}, "'annotations' is missing"),
        ([1], "not a COCO keypoint file"),
        ({"annotations": [3], "images": []}, "not a COCO keypoint file"),
        ({"annotations": [], "images": [{"id": 1, "file_name": "a", "width": "x", "height": 1}]},
         "image a needs a width and a height"),
        ({"annotations": [], "images": []}, "every picture has an annotation"),
        ({"annotations": [{"image_id": 1}],
          "images": [{"id": 1, "file_name": "a", "width": 9, "height": 9}]}, "none shows nobody"),
    ],
)  # fmt: skip
def test_files_that_do_not_show_nobody_are_told(tmp_path: Path, content: Any, told: str) -> None:
    write(tmp_path / "train.json", content)
    with pytest.raises(UserError, match=told):
        read_nobody(tmp_path, "train")
    with pytest.raises(UserError, match=r"val\.json: no such file"):
        read_nobody(tmp_path, "val")


# --- by name


def test_both_are_opened_by_their_names(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    nobody_file(tmp_path)
    for name, count, joints in (("unlabelled", 1, 17), ("nobody", 2, 19)):
        labels = open_dataset(name, tmp_path, "train")
        assert isinstance(labels, AnnotatedPictures)
        assert (labels.name, len(labels)) == (name, count)
        assert split_size(name, tmp_path, "train") == (count, joints)
        assert default_crop(name) == "box"
        with pytest.raises(UserError, match=f"'{name}' needs its folder"):
            open_dataset(name, None, "train")
        with pytest.raises(UserError, match=f"persons {name} train has is only known from its fo"):
            split_size(name, None, "train")


# --- what is packed


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPCNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_crowds_and_persons_without_a_labelled_joint_are_not_learned_from(
    tmp_path: Path, cache: Path
) -> None:
    write_picture(tmp_path / "a.png")
    here, away = [[4 + n, 3 + n, 2] for n in range(17)], [[0, 0, 0]] * 17
    one = [[0, 0, 0]] * 16 + [[20, 20, 1]]
    rows = [
        {"id": n, "image_id": 1, "bbox": [n, 2, 20, 20], "keypoints": np.ravel(keypoints).tolist(),
         "iscrowd": crowd}
        for n, (keypoints, crowd) in enumerate([(here, 0), (here, 1), (away, 0), (one, 0)])
    ]  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": rows,
        "categories": [COCO17.to_coco_category()],
    }
    write(tmp_path / "train.json", content)
    assert len(open_dataset("coco", tmp_path, "train")) == 4
    assert split_size("coco", tmp_path, "train") == (2, 17)
    assert split_size("coco", tmp_path, "train", joints=False) == (4, 17)
    store = cached_store("coco", tmp_path, "train", side=64)
    assert store.persons.states.astype(bool).sum(axis=1).tolist() == [17, 1]
    # Another model's opinion labels nobody, and stays with the persons that remain.
    opinions = write(tmp_path / "seen", {"0": SEEN, "2": SEEN})
    store = cached_store("coco", tmp_path, "train", side=64, opinions=opinions)
    assert (store.persons.opinions[..., 2] > 0).sum(axis=1).tolist() == [17, 0]


def test_pictures_of_nobody_are_packed_whole(tmp_path: Path, cache: Path) -> None:
    nobody_file(tmp_path)
    write_picture(tmp_path / "1.png", (41, 30))
    write_picture(tmp_path / "3.png", (43, 30))
    persons = cached_store("nobody", tmp_path, "train", side=64).persons
    assert persons.sizes.tolist() == [[30, 41], [30, 43]]
    assert (persons.states == JointState.ABSENT).all()


def test_unlabelled_folders_have_stores_of_their_own_that_follow_their_pictures(
    tmp_path: Path, cache: Path
) -> None:
    """Though one file has the opinions on both."""
    write_picture(tmp_path / "one" / "a.png")
    write_picture(tmp_path / "two" / "b.png")
    opinions = write(tmp_path / "o.json", {f"{name}.png": SEEN for name in "abc"})

    def keys(folder: str) -> list[str]:
        store = cached_store("unlabelled", tmp_path / folder, "all", side=64, opinions=opinions)
        found: list[str] = store.persons.keys.tolist()
        return found

    assert (keys("one"), keys("two")) == (["a.png"], ["b.png"])
    write_picture(tmp_path / "two" / "c.png")
    assert keys("two") == ["b.png", "c.png"]


def test_opinions_are_asked_for_and_refused_where_they_must_be(tmp_path: Path, cache: Path) -> None:
    write_picture(tmp_path / "a.png")
    with pytest.raises(UserError, match="by another model's points alone: name its file"):
        cached_store("unlabelled", tmp_path, "all", side=64)
    for name in ("synthetic", "store"):
        with pytest.raises(UserError, match=f"'{name}' takes no opinions"):
            cached_store(name, None, "1-2", side=64, opinions=tmp_path / "o.json")
    with pytest.raises(UserError, match=r"o\.json: no such file; wanted a file of opinions"):
        cached_store("unlabelled", tmp_path, "all", side=64, opinions=tmp_path / "o.json")
