from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from spcnet.data.datasets import open_pictures
from spcnet.data.flic import examples_labels, flic_hourglass_labels
from spcnet.errors import UserError
from spcnet.skeletons import FLIC11

h5py = pytest.importorskip("h5py")

# The authors' columns, counted from 1 in their lookupPart.m.
COLUMNS = {
    "left_shoulder": 1, "left_elbow": 2, "left_wrist": 3,
    "right_shoulder": 4, "right_elbow": 5, "right_wrist": 6,
    "left_hip": 7, "right_hip": 10, "left_eye": 13, "right_eye": 14, "nose": 17,
}  # fmt: skip
FRONT = {
    "left_shoulder": (380, 200), "left_elbow": (400, 290), "left_wrist": (390, 350),
    "right_shoulder": (300, 210), "right_elbow": (280, 300), "right_wrist": (290, 360),
    "left_hip": (360, 330), "right_hip": (310, 335),
    "left_eye": (350, 130), "right_eye": (330, 131), "nose": (340, 150),
}  # fmt: skip
ARMS_AND_HIPS = [joint for joint in FRONT if not joint.endswith("_eye") and joint != "nose"]


def seen_from_behind() -> dict[str, tuple[int, int]]:
    """The same outline, whose left side is the person's own."""
    other = {"left": "right", "right": "left"}

    def partner(joint: str) -> str:
        side, name = joint.split("_")
        return f"{other[side]}_{name}"

    return {joint: FRONT[partner(joint) if joint in ARMS_AND_HIPS else joint] for joint in FRONT}


def example(joints: dict[str, tuple[int, int]], number: int, *, train: bool) -> tuple[Any, ...]:
    coords = np.full((2, 29), np.nan)
    for joint, point in joints.items():
        coords[:, COLUMNS[joint] - 1] = point
    name = f"film-{number:08d}.jpg"
    torso = np.array([[300.0, 200.0, 381.0, 332.0]])
    return (coords, name, "film", torso, float(train), float(not train), 480.0)


def write_examples(path: Path, *rows: tuple[Any, ...]) -> Path:
    fields = ("coords", "filepath", "moviename", "torsobox", "istrain", "istest", "imgdims")
    array = np.zeros((1, len(rows)), dtype=[(field, "O") for field in fields])
    for n, row in enumerate(rows):
        array[0, n] = row
    scipy.io.savemat(path, {"examples": array})
    return path


def write_hourglass(path: Path, numbers: list[int], normalize: float) -> Path:
    joints = np.array([FRONT[joint] for joint in FLIC11.joints], dtype=np.float64)
    count = len(numbers)
    with h5py.File(path, "w") as file:
        file["part"] = np.tile(joints, (count, 1, 1))
        file["visible"] = np.ones((count, 11))
        file["center"] = np.tile(np.array([340.5, 240.0], dtype=np.float32), (count, 1))
        file["scale"] = np.full(count, 2.2)
        file["normalize"] = np.full(count, normalize)
        file["index"] = np.array(numbers) - 1
        file["person"] = np.zeros(count, dtype=int)
        file["imgname"] = np.array([f"film-{number:08d}.jpg".encode() for number in numbers])
        file["torsoangle"] = np.zeros(count)
    return path


def rows() -> list[tuple[Any, ...]]:
    return [
        example(FRONT, 1, train=True),
        example(FRONT, 2, train=False),
        example(seen_from_behind(), 3, train=False),
    ]


def test_the_authors_file_and_the_hourglass_file_agree(tmp_path: Path) -> None:
    official = examples_labels(write_examples(tmp_path / "examples.mat", *rows()), "test")
    # Right shoulder (300, 210) to left hip (360, 330).
    path = write_hourglass(tmp_path / "valid.h5", [2, 3], float(np.hypot(60, 120)))
    hourglass = flic_hourglass_labels(path)
    assert len(official) == len(hourglass) == 2
    assert (official.counts_from, hourglass.counts_from) == (1, 1)
    for ours, theirs in zip(official.annotations, hourglass.annotations, strict=True):
        assert ours.points.tolist() == theirs.points.tolist()
        assert ours.states.tolist() == theirs.states.tolist() == [2] * 11
        assert ours.centre == pytest.approx(theirs.centre)
        assert (ours.scale, ours.image, ours.number) == (theirs.scale, theirs.image, theirs.number)
        assert ours.box.tolist() == theirs.box.tolist()
    assert official.annotations[0].reference == hourglass.annotations[0].reference


def test_left_and_right_are_the_observers(tmp_path: Path) -> None:
    path = write_examples(tmp_path / "examples.mat", *rows())
    front, behind = examples_labels(path, "test").annotations
    assert behind.points.tolist() == front.points.tolist()
    # The stored length is the person's own diagonal: here left shoulder (380, 200) to right
    # hip (310, 335) of the outline.
    assert behind.reference == pytest.approx(np.hypot(70, 135))


def test_one_crossed_pair_is_no_back(tmp_path: Path) -> None:
    crossed = FRONT | {"left_hip": FRONT["right_hip"], "right_hip": FRONT["left_hip"]}
    path = write_examples(tmp_path / "e.mat", example(crossed, 1, train=True))
    (found,) = examples_labels(path, "all").annotations
    assert found.points.tolist() == [list(crossed[joint]) for joint in FLIC11.joints]


def test_the_eleven_joints_are_taken_from_29_columns(tmp_path: Path) -> None:
    path = write_examples(tmp_path / "examples.mat", *rows())
    labels = examples_labels(path, "train")
    (found,) = labels.annotations
    assert found.points.tolist() == [list(FRONT[joint]) for joint in FLIC11.joints]
    assert (found.number, found.image, found.scale) == (1, "film-00000001.jpg", 2.2)
    assert found.centre is not None
    assert found.centre.tolist() == [340.5, 240]  # middle of the torso box, and of the frame
    assert len(examples_labels(path, "all")) == 3


def test_unlabelled_joints_are_missing(tmp_path: Path) -> None:
    some = {joint: FRONT[joint] for joint in FRONT if joint not in ("nose", "left_hip")}
    path = write_examples(
        tmp_path / "e.mat", example(some, 1, train=True), example({}, 2, train=True)
    )
    (found,) = examples_labels(path, "train").annotations  # nobody without any joint
    lacking = [FLIC11.index("left_hip"), FLIC11.index("nose")]
    assert np.flatnonzero(~found.annotated).tolist() == lacking
    assert np.isfinite(found.points).all()
    assert found.reference is None
    assert found.box.tolist() == [280, 130, 400, 360]


def test_hourglass_joints_without_coordinates_are_missing(tmp_path: Path) -> None:
    path = write_hourglass(tmp_path / "valid.h5", [1, 2], 0.0)
    with h5py.File(path, "a") as file:
        file["part"][0, 10] = 0
        file["part"][1, 9] = np.nan
        file["visible"][1, 2] = 0
    first, second = flic_hourglass_labels(path).annotations
    assert first.states.tolist() == [2] * 10 + [0]
    assert second.states.tolist() == [2, 2, 1] + [2] * 6 + [0, 2]
    assert first.reference is None  # no length


def test_the_real_files_are_observer_centric(shared_data: Path) -> None:
    labels = flic_hourglass_labels(shared_data / "flic" / "valid.h5", "test")
    assert len(labels) == 1016
    points = np.array([person.points for person in labels.annotations])
    for end in ("shoulder", "hip"):
        left, right = (points[:, FLIC11.index(f"{side}_{end}"), 0] for side in ("left", "right"))
        assert (left >= right).all()
    assert all(person.annotated.all() for person in labels.annotations)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "flic" / "images").mkdir(parents=True)
    return tmp_path / "flic"


def test_either_file_will_do(root: Path) -> None:
    write_examples(root / "examples.mat", *rows())
    assert [person.number for person in open_pictures("flic", root, "test").annotations] == [2, 3]
    write_hourglass(root / "valid.h5", [2], 1.0)
    for split in ("test", "val"):
        labels = open_pictures("flic", root, split)
        assert [person.number for person in labels.annotations] == [2]
    assert labels.picture(labels.annotations[0]) == root / "images" / "film-00000002.jpg"
    assert [person.number for person in open_pictures("flic", root, "train").annotations] == [1]


def test_what_is_missing_is_named(root: Path) -> None:
    with pytest.raises(UserError, match="unknown split 'valid' of Frames Labeled"):
        open_pictures("flic", root, "valid")
    with pytest.raises(UserError, match=r"needs valid\.h5 or examples\.mat.*holds images/"):
        open_pictures("flic", root, "test")
    with pytest.raises(UserError, match="Frames Labeled In Cinema is a folder"):
        open_pictures("flic", root / "nowhere", "test")
    write_examples(root / "examples.mat", *rows())
    (root / "images").rmdir()
    with pytest.raises(UserError, match="no images/ here"):
        open_pictures("flic", root, "test")


def test_files_of_another_kind_are_told(root: Path) -> None:
    path = write_examples(root / "examples.mat", *rows())
    with pytest.raises(UserError, match="train, test and all, not 'trainval'"):
        examples_labels(path, "trainval")
    short = (np.zeros((2, 11)), *rows()[0][1:])
    with pytest.raises(UserError, match=r"example 1 must be 2 x 29, got 2 x 11"):
        examples_labels(write_examples(path, short, short), "train")
    scipy.io.savemat(path, {"joints": np.zeros(3)})
    with pytest.raises(UserError, match="it holds joints, wanted examples with coords"):
        examples_labels(path, "test")
    with h5py.File(root / "valid.h5", "w") as file:
        file["preds"] = np.zeros((2, 11, 2))
    with pytest.raises(UserError, match="it holds preds, wanted center"):
        flic_hourglass_labels(root / "valid.h5")
