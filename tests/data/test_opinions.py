import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spcnet.data.annotations import AnnotatedPictures, Annotation, JointState
from spcnet.data.coco import read_nobody
from spcnet.data.datasets import cached_store, open_dataset
from spcnet.data.opinions import FEWEST, with_opinions
from spcnet.data.packing import pack
from spcnet.data.store import PackedStore
from spcnet.data.unlabelled import read_unlabelled
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.skeletons import BODY19, COCO17, LSP14

ROWS = [[10.0 + n, 20.0 + 2 * n, 0.9] for n in range(17)]


def labels(*, number: int | None = 7) -> AnnotatedPictures:
    person = Annotation(
        "a.png", np.full((14, 2), 30.0) + np.arange(14)[:, None], np.full(14, 2, np.uint8),
        number=number,
    )  # fmt: skip
    return AnnotatedPictures("lspet", "train", LSP14, [person])


def written(folder: Path, content: object) -> Path:
    path = folder / "opinions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("key", ["7", "a.png"])
def test_an_opinion_belongs_to_a_number_or_a_picture(tmp_path: Path, key: str) -> None:
    (person,) = with_opinions(labels(), written(tmp_path, {key: ROWS})).annotations
    assert person.opinion is not None
    assert person.opinion.tolist() == ROWS


def test_a_person_whom_the_model_did_not_see_has_none(tmp_path: Path) -> None:
    both = labels().annotations + labels(number=8).annotations
    both[1] = Annotation("b.png", both[1].points, both[1].states, number=8)
    path = written(tmp_path, {"7": ROWS, "8": None})
    found = with_opinions(AnnotatedPictures("lspet", "train", LSP14, both), path).annotations
    assert [person.opinion is None for person in found] == [False, True]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not a file of opinions"),
        ([ROWS], "must be one JSON object"),
        ({"9": ROWS}, r"has none of the 1 persons of lspet train.* are like 9"),
        ({"7": ROWS[:5]}, r"opinion on a\.png is not 17 x \[x, y, probability\]"),
        ({"7": [["x", 0, 0]] * 17}, "is not 17 x"),
        ({"7": [[1, 2, 1.5]] * 17}, "probabilities beyond 0 and 1"),
    ],
)
def test_files_that_hold_no_opinions_are_refused(
    tmp_path: Path, content: object, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        with_opinions(labels(), written(tmp_path, content))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "images").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(np.zeros((100, 80, 3), np.uint8)).save(folder / "images" / name)
    (folder / "images" / "notes.txt").write_text("no picture")
    return folder


def test_unlabelled_pictures_are_cut_about_what_another_model_sees(
    pictures: Path, tmp_path: Path
) -> None:
    unsure = [[1.0, 1.0, 0.1]] * (17 - FEWEST + 1) + ROWS[: FEWEST - 1]
    some = [[x, y, 0.9 if n < 5 else 0.1] for n, (x, y, _) in enumerate(ROWS)]
    path = written(tmp_path, {"a.png": some, "b.png": unsure})
    plain = read_unlabelled(pictures, "all")
    assert [person.box.tolist() for person in plain.annotations] == [[0, 0, 79, 99]] * 3
    (person,) = with_opinions(plain, path).annotations  # b is unsure, c was not seen
    assert person.image == "a.png"
    assert person.box.tolist() == pytest.approx([9.8, 19.6, 14.2, 28.4])  # 5 % to each side
    assert not person.annotated.any()


def test_folders_of_unlabelled_pictures_are_read_in_order_and_parts(pictures: Path) -> None:
    assert [p.image for p in read_unlabelled(pictures / "images", "2-3").annotations] == [
        "b.png", "c.png",
    ]  # fmt: skip
    with pytest.raises(UserError, match="not a folder"):
        read_unlabelled(pictures / "none", "all")
    with pytest.raises(UserError, match="no picture here"):
        read_unlabelled(_empty(pictures), "all")
    (pictures / "images" / "d.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"d\.png: cannot be read"):
        read_unlabelled(pictures, "all")


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def person_row(number: int, image: int, **changes: object) -> dict[str, object]:
    keypoints = [v for n in range(17) for v in (20 + n, 30 + n, 2)]
    return {
        "id": number, "image_id": image, "category_id": 1, "bbox": [10, 10, 60, 80],
        "keypoints": keypoints, "iscrowd": 0, **changes,
    }  # fmt: skip


@pytest.fixture
def coco(pictures: Path) -> Path:
    """A person and a crowd in a, one without joints in b, nobody in c."""
    rows = [
        person_row(1, 1),
        person_row(2, 1, iscrowd=1),
        person_row(3, 2, keypoints=[0] * 51),
    ]
    names = ("a.png", "b.png", "c.png")
    (pictures / "train.json").write_text(
        json.dumps(
            {
                "images": [
                    {"id": n, "file_name": name, "width": 80, "height": 100}
                    for n, name in enumerate(names, start=1)
                ],
                "annotations": rows,
                "categories": [COCO17.to_coco_category()],
            }
        )
    )
    return pictures


def test_pictures_without_an_annotation_show_nobody(coco: Path) -> None:
    (record,) = read_nobody(coco, "train").annotations
    assert record.image == "c.png"
    assert (record.states == JointState.ABSENT).all()
    assert record.box.tolist() == [0, 0, 79, 99]
    assert len(open_dataset("nobody", coco, "train")) == 1
    assert len(open_dataset("unlabelled", coco, "all")) == 3
    content = json.loads((coco / "train.json").read_text())
    content["annotations"].append(person_row(4, 3))
    (coco / "train.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="every picture has an annotation"):
        read_nobody(coco, "train")
    (coco / "train.json").write_text("[]")
    with pytest.raises(UserError, match="not a COCO keypoint file"):
        read_nobody(coco, "train")


def test_crowds_and_persons_without_a_joint_are_not_learned_from(
    coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPCNET_CACHE", str(tmp_path / "cache"))
    path = written(tmp_path, {"1": ROWS, "3": ROWS})
    store = cached_store("coco", coco, "train", side=64, opinions=path)
    assert store.persons.keys.tolist() == ["a.png"]
    assert cached_store("coco", coco, "train", side=64).folder != store.folder


def test_opinions_are_packed_in_pixels_of_the_region(tmp_path: Path) -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    states = np.full(14, 2, np.uint8)
    points = np.linspace([100, 100], [300, 300], 14)
    opinion = np.concatenate([np.linspace([120, 90], [280, 310], 17), np.full((17, 1), 0.8)], 1)

    class One:
        name, split, skeleton = "one", "all", LSP14
        picture_names = frozenset({"one.png"})

        def __len__(self) -> int:
            return 1

        def samples(self) -> list[tuple[Array, Annotation]]:
            return [(image, Annotation("one.png", points, states, opinion=opinion))]

    pack(One(), tmp_path / "store", side=125)  # type: ignore[arg-type]
    store = PackedStore(tmp_path / "store")
    body = store.persons_as(BODY19)
    # A person of 250 padded pixels is halved; the region begins at the same place for both.
    offset = points[0] / 2 - store.persons.points[0, 0]
    nose = body.opinions[0, BODY19.index("nose")]
    assert nose[:2] == pytest.approx(opinion[0, :2] / 2 - offset, abs=0.02)
    assert nose[2] == pytest.approx(0.8)
    assert (body.opinions[0, BODY19.index("neck")] == 0).all()  # COCO has none
    assert (body.states[0, 14:] == JointState.MISSING).all()
    hip = BODY19.index("left_hip")
    assert body.points[0, hip] == pytest.approx(store.persons.points[0, LSP14.index("left_hip")])
    assert store.persons.opinions.shape == (1, 14, 3)
