"""Formats of labels: what tools export is read as they mean it, and what is written comes back."""

import itertools
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_samples import DLC_ONE, LABEL_STUDIO, LABELME, SAMPLES, SLEAP, picture, sample, write

from spcnet.data.annotations import AnnotatedPictures, Annotation, JointState, ListedPicture
from spcnet.data.formats.table import (
    FORMATS,
    LOSSES,
    read_document,
    recognise,
    write_document,
)
from spcnet.errors import UserError
from spcnet.skeletons import COCO17, Skeleton

WRITTEN = [name for name, form in FORMATS.items() if form.write is not None]
POINTS = [[[20, 50], [0, 0], [40, 30]], [[100, 60], [150, 70], [120, 20]]]
JOINTS = ("left_hand", "right_hand", "nose")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_tools_export_is_recognised_and_read(name: str, tmp_path: Path) -> None:
    root = sample(name, tmp_path)
    assert recognise(root) == name
    document = read_document(root)
    assert len(document) == (2 if name == "yolo" else 1)
    for labels in document.values():
        skeleton = labels.skeleton
        order = [skeleton.index(joint) for joint in JOINTS]
        persons = sorted(labels.annotations, key=lambda p: p.box[0])
        points = np.array([p.points[order] for p in persons])
        assert points == pytest.approx(np.array(POINTS), abs=1e-9)
        hidden = 2 if "occluded" in FORMATS[name].loses else 1
        assert [p.states[order].tolist() for p in persons] == [[2, 0, 2], [2, hidden, 2]]
        own = [[10, 20, 50, 60], [90, 10, 170, 70]]
        boxes = (
            own if "boxes" not in FORMATS[name].loses else [[20, 30, 40, 50], [100, 20, 150, 70]]
        )
        assert np.array([p.box for p in persons]) == pytest.approx(np.array(boxes))
        limbs = (
            []
            if "limbs" in FORMATS[name].loses
            else [("left_hand", "nose"), ("right_hand", "nose")]
        )
        assert list(skeleton.limbs) == limbs
        assert labels.images is not None
        for person in labels.annotations:
            assert labels.picture(person).is_file()
        sizes = {"dlc": None, "sleap": None}.get(name, (100, 200))
        assert labels.listed[0].size == sizes


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "roboflow"])
def test_a_lone_file_is_read_as_its_folder_is(name: str, tmp_path: Path) -> None:
    root = sample(name, tmp_path)
    file = root / (SAMPLES[name][2] if name != "yolo" else "data.yaml")
    assert recognise(file) == name
    (whole, alone) = (next(iter(read_document(path).values())) for path in (root, file))
    assert [p.points.tolist() for p in alone.annotations] == [
        p.points.tolist() for p in whole.annotations
    ]


def test_pictures_without_persons_are_listed(tmp_path: Path) -> None:
    train = read_document(sample("yolo", tmp_path / "y"))["train"]
    assert [of.name for of in train.listed] == ["a.png", "empty.png"]
    (labels,) = read_document(sample("dlc", tmp_path / "d")).values()
    assert [of.name for of in labels.listed] == ["film/a.png", "film/b.png"]


def test_a_table_of_one_animal_has_its_paths_in_one_column(tmp_path: Path) -> None:
    write(tmp_path, {"labeled-data/film/CollectedData_Ann.csv": DLC_ONE})
    (labels,) = read_document(tmp_path).values()
    assert [(p.image, p.points.tolist(), p.states.tolist()) for p in labels.annotations] == [
        ("film/a.png", [[1.5, 2.5], [0, 0]], [2, 0]),
        ("film/b.png", [[3, 4], [5, 6]], [2, 2]),
    ]


def test_frames_of_a_film_are_called_by_their_number(tmp_path: Path) -> None:
    film = SLEAP | {"videos": [{"backend": {"filename": "C:\\films\\walk.mp4"}}]}
    (labels,) = read_document(write(tmp_path, {"labels.json": film})).values()
    assert {p.image for p in labels.annotations} == {"walk/000000.png"}


def test_yolo_without_names_has_cocos_joints_or_counted_ones_with_its_pairs(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png", (10, 10))
    line = "0 .5 .5 1 1" + " .1 .2 2" * 17
    write(tmp_path, {"data.yaml": "kpt_shape: [17, 3]\ntrain: images\n", "labels/a.txt": line})
    assert read_document(tmp_path)["train"].skeleton is COCO17
    line = "0 .5 .5 1 1" + " .1 .2" * 2 + " 0 0"
    text = "kpt_shape: [3, 2]\nflip_idx: [1, 0, 2]\ntrain: images\n"
    write(tmp_path, {"data.yaml": text, "labels/a.txt": line})
    labels = read_document(tmp_path)["train"]
    assert labels.skeleton.joints == ("joint_1", "joint_2", "joint_3")
    assert labels.skeleton.flip_permutation == (1, 0, 2)
    assert labels.annotations[0].states.tolist() == [2, 2, 0]
    assert labels.annotations[0].points[:2].tolist() == [[1, 2], [1, 2]]


def test_points_without_a_group_are_of_the_box_that_they_lie_in(tmp_path: Path) -> None:
    loose: Any = json.loads(json.dumps(LABELME))
    for shape in loose["shapes"]:
        shape["group_id"] = None
    (labels,) = read_document(write(tmp_path, {"a.json": loose})).values()
    assert [p.annotated.sum() for p in labels.annotations] == [2, 3]
    shapes = [shape for shape in loose["shapes"] if shape["shape_type"] == "point"][:2]
    write(tmp_path, {"a.json": loose | {"shapes": shapes}})
    (labels,) = read_document(tmp_path).values()
    assert [p.annotated.sum() for p in labels.annotations] == [2]
    write(tmp_path, {"a.json": loose | {"shapes": shapes * 2}})
    with pytest.raises(UserError, match=r"a\.json: shapes or imagePath: nose comes twice for one"):
        read_document(tmp_path)
    twice = [dict(shape, group_id=1) for shape in loose["shapes"]]
    write(tmp_path, {"a.json": loose | {"shapes": twice}})
    with pytest.raises(UserError, match="two boxes of group 1; give each person a group of its"):
        read_document(tmp_path)
    loose["shapes"][-1]["points"] = [[0, 0], [199, 99]]
    write(tmp_path, {"a.json": loose})
    with pytest.raises(UserError, match=r"nose lies in 2 boxes; group it with a person's; correct"):
        read_document(tmp_path)


# Round trips.

NUMBERS = st.integers(1, 1500).map(lambda n: n / 8)  # within the picture, exact in binary
NAMES = st.sampled_from(["a.png", "b c.jpg", "sub/é.png", "sub/deep/d.png", "x&<y>.png"])


@st.composite
def documents(draw: st.DrawFn) -> AnnotatedPictures:
    """Labels of some pictures of 400 x 200 with several persons, and joints of any state."""
    names = draw(st.lists(NAMES, min_size=1, unique=True))
    joints = draw(st.sampled_from([("nose",), ("left_hand", "right_hand", "nose"),
                                   ("front_leg", "rear_leg", "tail", "<head>")]))  # fmt: skip
    limbs = tuple(itertools.pairwise(joints))
    pairs = ((joints[0], joints[1]),) if len(joints) == 4 else ()
    persons = []
    for name in names:
        for _ in range(draw(st.integers(0, 2))):
            states = np.array(draw(st.lists(st.integers(0, 2), min_size=len(joints),
                                            max_size=len(joints))), np.uint8)  # fmt: skip
            points = np.array([[draw(NUMBERS), draw(NUMBERS)] for _ in joints])
            points[states == 0] = 0
            x, y = draw(NUMBERS), draw(NUMBERS)
            corners = np.array([x, y, x + draw(NUMBERS), y + draw(NUMBERS)])
            box = np.empty(0) if states.any() and draw(st.booleans()) else corners
            persons.append(Annotation(name, points, states, box))
    whole = Annotation(names[0], np.ones((len(joints), 2)), np.full(len(joints), 2, np.uint8))
    return AnnotatedPictures(
        "coco", "all", Skeleton("person", joints, limbs, pairs=pairs), [whole, *persons],
        images=Path("pictures"), listed=tuple(ListedPicture(n, str(k), (200, 400))
                                              for k, n in enumerate(names, start=1)),
    )  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(labels=documents())
def test_what_is_written_comes_back(name: str, labels: AnnotatedPictures) -> None:
    form = FORMATS[name]
    lost, key = form.loses.split(), _in_folder if name == "dlc" else str
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        counts = write_document({"all": labels}, name, out)
        assert set(counts) <= set(lost)
        for of in labels.listed:  # that of YOLO's labels tell the size
            picture(out / form.pictures.format(split="").strip("/") / key(of.name), (400, 200))
        assert recognise(out) == name
        (back,) = read_document(out).values()
    everyone = [p for p in labels.annotations if p.states.any() or "jointless" not in lost]
    order = [back.skeleton.index(joint) for joint in labels.skeleton.joints]
    expected = sorted(everyone, key=lambda p: _place(key(p.image), p.points, p.box, lost))
    found = sorted(back.annotations, key=lambda p: _place(p.image, p.points[order], p.box, lost))
    assert sorted(of.name for of in back.listed) == sorted(key(of.name) for of in labels.listed)
    assert [p.image for p in found] == [key(p.image) for p in expected]
    for one, other in zip(found, expected, strict=True):
        states = other.states
        if "occluded" in lost:
            states = np.where(states == JointState.OCCLUDED, JointState.VISIBLE, states)
        assert one.states[order].tolist() == states.tolist()
        assert one.points[order] == pytest.approx(other.points, abs=5e-4)
        if "boxes" not in lost and name != "yolo":
            assert one.box == pytest.approx(other.box, abs=5e-4)
        elif name == "yolo" and other.box[2] > other.box[0] and other.box[3] > other.box[1]:
            assert one.box == pytest.approx(other.box.clip(0, [400, 200, 400, 200]), abs=5e-4)
    if "limbs" not in lost:
        assert back.skeleton.limbs == labels.skeleton.limbs
    if "pairs" not in lost:
        assert back.skeleton.flip_permutation == labels.skeleton.flip_permutation
    assert lost == [] or counts.get("occluded", 0) == (
        sum(int((p.states == 1).sum()) for p in labels.annotations) if "occluded" in lost else 0
    )


def _place(image: str, points: Any, box: Any, lost: list[str]) -> list[object]:
    return [image, points.round(2).tolist(), [] if "boxes" in lost else box.round(2).tolist()]


def _in_folder(image: str) -> str:
    """DeepLabCut has one folder per video, and none in it."""
    parent, _, file = image.rpartition("/")
    return f"{parent.replace('/', '_') or 'pictures'}/{file}"


@pytest.mark.parametrize("name", WRITTEN)
def test_splits_stay_splits(name: str, tmp_path: Path) -> None:
    document = read_document(sample("yolo", tmp_path / "source"))
    form, out = FORMATS[name], tmp_path / "out"
    write_document(document, name, out)
    for split in document:
        picture(out / form.pictures.format(split=split) / "a.png")
    if form.pictures.startswith("{split}"):
        parts = [next(iter(read_document(out / split).values())) for split in document]
    else:
        parts = list(read_document(out).values())
    assert [len(part) for part in parts] == [2, 2]


def test_what_a_format_does_not_hold_is_counted(tmp_path: Path) -> None:
    skeleton = Skeleton("person", ("a", "b", "c"), (("a", "b"),), pairs=(("a", "b"),))
    points = np.array([[5.0, 5], [-3, 7], [0, 0]])
    one = Annotation(
        "a.png", points, np.array([2, 1, 0], np.uint8), np.array([0.0, 0, 9, 9]), area=7
    )
    bare = replace(one, states=np.zeros(3, np.uint8), area=None)
    labels = AnnotatedPictures(
        "coco", "all", skeleton, [one, bare, replace(one, crowd=True, area=None)],
        images=tmp_path, listed=(ListedPicture("a.png", "1", (10, 10)),),
    )  # fmt: skip
    every = {"occluded": 2, "boxes": 3, "limbs": 1, "pairs": 1, "unlabelled": 1, "jointless": 1,
             "outside": 2, "crowds": 1, "areas": 1}  # fmt: skip
    assert every.keys() == LOSSES.keys()
    for name in WRITTEN:
        lost = write_document({"all": labels}, name, tmp_path / name)
        assert lost == {kind: every[kind] for kind in FORMATS[name].loses.split()}


@pytest.mark.parametrize("bad", ["../a.png", "/etc/a.png"])
@pytest.mark.parametrize("name", ["yolo", "labelme"])
def test_no_file_is_written_outside_the_folder(name: str, bad: str, tmp_path: Path) -> None:
    (labels,) = read_document(sample("coco", tmp_path / "coco")).values()
    labels = replace(
        labels,
        listed=tuple(replace(of, name=bad) for of in labels.listed),
        annotations=[replace(p, image=bad) for p in labels.annotations],
    )
    with pytest.raises(UserError, match=r"a\.png: the name of a picture must lead to a place with"):
        write_document({"all": labels}, name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# What is broken.


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("cvat", "<annotations>", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotations>",
         r"annotations\.xml: not .*it declares a document type \(DOCTYPE\); remove that line"),
        ("cvat", "</annotations>", "", r"annotations\.xml: not .*no element found"),
        ("cvat", 'points="40.00,30.00"', 'points="40.00"',
         r"annotations\.xml: image a\.png: a list of 2 is wanted; correct it there, or export ag"),
        ("cvat", "<meta>", "<track/><meta>", "this is CVAT for video; choose CVAT for images 1.1"),
        ("yolo", "0.1 0.5 2 0 0 0", "0.1 0.5 2", r"a\.txt: line 1: 11 numbers, wanted 14; correct"),
        ("yolo", "0.1 0.5 2", "0.1 x 2", r"a\.txt: line 1: 'x' is no number"),
        ("yolo", "0.1 0.5 2", "0.1 0.5 7", r"a\.txt: line 1: 7 is not a valid JointState"),
        ("label-studio", '"keypointlabels": ["nose"]', '"k": 1',
         r"project-1\.json: task 1: 'keypointlabels' is missing; correct it there"),
        ("label-studio", '"rotation": 0', '"rotation": 5', "task 1: .* must not be rotated"),
        ("labelme", '"imagePath"', '"imagePaths"', "holds no labels that are read; these are: "),
        ("dlc", "20.0,50.0", "20.0,", r"CollectedData_Ann\.csv: line 5: 'y' is missing"),
        ("dlc", "x,y,x,y", "x,y,likelihood,y", r"predictions \(likelihood\) are no labels"),
        ("dlc", "b.png", "a.png", r"line 6: picture film/a\.png comes a second time; keep one"),
        ("sleap", '"frame_idx": 0', '"frame_idx": 4', r"labels\.json: frame 1 of labels: "),
        ("sleap", '"x": 40', '"x": "left"', "frame 1 of labels: 'left' is no number"),
    ],
)  # fmt: skip
def test_what_is_broken_is_named_with_its_place(
    name: str, old: str, new: str, told: str, tmp_path: Path
) -> None:
    file = sample(name, tmp_path) / SAMPLES[name][2]
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=told):
        read_document(tmp_path)


def test_other_exports_of_a_tool_are_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.slp").write_bytes(b"\x89HDF\r\n")
    with pytest.raises(UserError, match=r"a\.slp: .*sleap-convert .*a\.slp --format json"):
        read_document(tmp_path / "a.slp")
    write(tmp_path / "min", {"min.json": [{"img": "a.png", "kp": [], "annotation_id": 4}]})
    with pytest.raises(UserError, match=r"task 1: this is JSON-MIN, .* choose JSON to export"):
        read_document(tmp_path / "min")
    with pytest.raises(UserError, match=r"LabelMe has \*\*/\*\.json, and this has not"):
        read_document(sample("cvat", tmp_path / "c"), "labelme")
    write(tmp_path / "none", {"a.json": LABELME | {"shapes": []}})
    with pytest.raises(UserError, match="no joint is labelled; label some and export again"):
        read_document(tmp_path / "none")
    undone = [{**LABEL_STUDIO[0], "annotations": []}]
    with pytest.raises(UserError, match="no joint is labelled"):
        read_document(write(tmp_path / "undone", {"a.json": undone}))


@pytest.mark.parametrize("name", SAMPLES)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_is_an_error_of_ours_or_harmless(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    root = sample(name, tmp_path)
    (file, *_) = [root / SAMPLES[name][2]] if name != "yolo" else data.draw(
        st.permutations([root / "data.yaml", root / "train/labels/a.txt"])
    )  # fmt: skip
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        piece = data.draw(st.sampled_from(
            [b"", b"\0", b"\xff", b"-", b"1e999", b"nan", b"null", b"[]", b"{}", b'"', b"<", b",",
             b"\n", b"9" * 30, b"true"]
        ))  # fmt: skip
        content[at : at + data.draw(st.sampled_from([0, 1, 4, 30]))] = piece
    file.write_bytes(content)
    try:
        document = read_document(root)
        for n, to in enumerate(WRITTEN):
            with tempfile.TemporaryDirectory() as folder:
                write_document(document, to, Path(folder) / str(n))
    except UserError as error:
        assert "\n" not in str(error)
