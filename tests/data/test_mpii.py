import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from conftest import untrained
from PIL import Image

from spcnet.data.annotations import JointState
from spcnet.data.datasets import open_pictures
from spcnet.data.mpii import (
    RELEASE,
    annolist_index,
    evaluation_labels,
    hourglass_labels,
    json_labels,
    read_release,
    release_labels,
    release_persons,
    single_persons,
    submission,
)
from spcnet.errors import UserError
from spcnet.evaluation.evaluate import predict_dataset
from spcnet.evaluation.writing import write_submission
from spcnet.inference.estimator import PoseEstimator
from spcnet.skeletons import BODY19, COCO17, MPII16

h5py = pytest.importorskip("h5py")

EMPTY = np.zeros((0, 0))
NECK, HEAD_TOP = 8, 9


def person(
    number: int, *, validation: bool, missing: tuple[int, ...] = (), hidden: tuple[int, ...] = ()
) -> dict[str, Any]:
    """A person of the JSON: joint k at (100 + 10 k + n, 200 + 7 k), all 1-based."""
    joints = [[100.25 + 10 * k + number, 200.75 + 7 * k, float(k not in hidden)] for k in range(16)]
    for k in missing:
        joints[k] = [0.0, 0.0, 0.0]
    # A head of 60 x 80 has a diagonal of 100: neck and head top lie 80 apart on its middle line.
    if NECK not in missing:
        joints[NECK][:2] = [300.0 + number, 180.0]
    if HEAD_TOP not in missing:
        joints[HEAD_TOP][:2] = [300.0 + number, 100.0]
    return {
        "dataset": "MPI",
        "isValidation": float(validation),
        "img_paths": f"{number:09d}.jpg",
        "objpos": [250.0 + number, 260.0],
        "joint_self": joints,
        "scale_provided": 2.0 + number / 4,
        "annolist_index": float(number),
        "people_index": 2.0 if number == 2 else 1.0,
    }


# By annolist index; the fourth picture is of the test set, the fifth has nobody.
PERSONS = [
    person(1, validation=False),
    person(2, validation=True, missing=(0, 5), hidden=(1, 10)),
    person(3, validation=True, missing=(HEAD_TOP,)),
]


def head_box(number: int) -> dict[str, float]:
    """60 x 80, 1-based."""
    return {"x1": 270.0 + number, "y1": 100.0, "x2": 330.0 + number, "y2": 180.0}


def record(fields: tuple[str, ...], *rows: dict[str, Any]) -> np.ndarray:
    """A MATLAB struct array (1, N); what a row lacks is [] there."""
    array = np.zeros((1, len(rows)), dtype=[(name, "O") for name in fields])
    for n, row in enumerate(rows):
        array[0, n] = tuple(row.get(name, EMPTY) for name in fields)
    return array


def cells(*values: Any) -> np.ndarray:
    array = np.empty((len(values), 1), dtype=object)
    for n, value in enumerate(values):
        array[n, 0] = value
    return array


def point_struct(joints: list[list[float]], flags: tuple[Any, Any], keep: int = 16) -> np.ndarray:
    """``annopoints.point`` as the authors write it: neck and head top without a flag."""
    rows = [
        {
            "x": x,
            "y": y,
            "id": float(k),
            "is_visible": EMPTY if k in (NECK, HEAD_TOP) else flags[int(seen)],
        }
        for k, (x, y, seen) in reversed(list(enumerate(joints)))
        if (x, y) != (0, 0)
    ]
    return record(("x", "y", "id", "is_visible"), *rows[:keep])


def rectangle(values: dict[str, Any], flags: tuple[Any, Any]) -> dict[str, Any]:
    x, y = values["objpos"]
    return {
        **head_box(int(values["annolist_index"])),
        "annopoints": record(("point",), {"point": point_struct(values["joint_self"], flags)}),
        "scale": values["scale_provided"],
        "objpos": record(("x", "y"), {"x": x, "y": y}),
    }


FIELDS = ("x1", "y1", "x2", "y2", "annopoints", "scale", "objpos")


def write_release(path: Path) -> Path:
    """Six pictures in the official structure, with what its records are known to lack."""
    first, second, third = PERSONS
    bystander = {"scale": 1.0, "objpos": record(("x", "y"), {"x": 50.0, "y": 60.0})}
    lone = {
        **head_box(0),
        "annopoints": record(
            ("point",), {"point": point_struct(first["joint_self"], ("0", "1"), keep=1)}
        ),
    }
    people = [
        record(FIELDS, rectangle(first, ("0", "1"))),
        record(FIELDS, bystander, rectangle(second, (0.0, 1.0))),
        record(FIELDS, rectangle(third, (np.uint8(0), np.uint8(1))), lone),
        record(
            ("scale", "objpos"),
            {"scale": 3.0, "objpos": record(("x", "y"), {"x": 11.0, "y": 21.0})},
            {"scale": 4.0, "objpos": record(("x", "y"), {"x": 12.0, "y": 22.0})},
            {},
        ),
        EMPTY,
        record(("scale", "objpos"), bystander),
    ]
    annolist = record(
        ("image", "annorect", "vididx"),
        *(
            {"image": record(("name",), {"name": f"{n:09d}.jpg"}), "annorect": annorect}
            for n, annorect in enumerate(people, start=1)
        ),
    )
    content = {
        "annolist": annolist,
        "img_train": np.array([[1, 1, 1, 0, 0, 0]], dtype=np.uint8),
        "single_person": cells(1.0, 2.0, EMPTY, np.array([[1.0], [2.0]]), EMPTY, 1.0),
        "version": "12",
    }
    scipy.io.savemat(path, {"RELEASE": content})
    return path


def write_hourglass(path: Path, persons: list[dict[str, Any]]) -> Path:
    """The same persons as the hourglass has them: whole pixels, the crop's margins applied."""
    joints = np.array([p["joint_self"] for p in persons])
    scales = np.array([p["scale_provided"] for p in persons])
    centres = np.array([p["objpos"] for p in persons])
    with h5py.File(path, "w") as file:
        file["part"] = np.trunc(joints[..., :2])
        file["visible"] = joints[..., 2]
        file["center"] = centres + np.stack([0 * scales, 15 * scales], axis=1)
        file["scale"] = scales * 1.25
        file["normalize"] = np.full(len(persons), 60.0)
        file["index"] = np.array([p["annolist_index"] - 1 for p in persons])
        file["person"] = np.array([p["people_index"] - 1 for p in persons])
        file["imgname"] = np.array([p["img_paths"].encode() for p in persons])
        file["torsoangle"] = np.zeros(len(persons))
    return path


def write_json(path: Path, persons: list[dict[str, Any]] = PERSONS) -> Path:
    data = json.dumps(persons).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write_release(tmp_path / RELEASE)


def test_json_counts_from_one_and_labels_from_zero(tmp_path: Path) -> None:
    labels = json_labels(write_json(tmp_path / "mpii_annotations.json"), "train")
    (found,) = labels.annotations
    assert found.points[0].tolist() == [100.25, 199.75]
    assert found.points[15].tolist() == [250.25, 304.75]
    assert found.centre is not None
    assert found.centre.tolist() == [250, 259]
    assert (found.scale, found.image, found.number) == (2.25, "000000001.jpg", 1001)
    assert found.box.tolist() == [100.25, 99, 300, 304.75]
    assert (labels.counts_from, len(labels.skeleton)) == (0, 16)


def test_missing_occluded_and_visible_stay_apart(tmp_path: Path) -> None:
    found = json_labels(write_json(tmp_path / "list.json"), "val").annotations[0]
    expected = [JointState.VISIBLE] * 16
    expected[0] = expected[5] = JointState.MISSING
    expected[1] = expected[10] = JointState.OCCLUDED
    assert found.states.tolist() == expected
    # Missing joints, at (0, 0) in the file, do not stretch the box.
    assert found.box[0] == pytest.approx(100.25 + 10 + 2 - 1)


def test_reference_from_neck_and_head_top_is_six_tenths_of_the_diagonal(tmp_path: Path) -> None:
    first, second, third = json_labels(write_json(tmp_path / "list.json"), "all").annotations
    assert first.reference == pytest.approx(60)
    assert second.reference == pytest.approx(60)
    assert third.reference is None


def test_the_official_file_agrees_with_the_json(release: Path, tmp_path: Path) -> None:
    ours = {p.number: p for p in release_labels(release, "trainval").annotations}
    listed = json_labels(write_json(tmp_path / "list.json.gz"), "all").annotations
    assert [p.number for p in listed] == [1001, 2002, 3001]
    for expected in listed:
        found = ours[expected.number]
        assert found.image == expected.image
        assert found.points[expected.annotated] == pytest.approx(
            expected.points[expected.annotated]
        )
        assert found.states.tolist() == expected.states.tolist()
        assert found.centre == pytest.approx(expected.centre)
        assert found.scale == expected.scale
        assert found.box == pytest.approx(expected.box)


def test_head_boxes_give_the_reference_length(release: Path) -> None:
    found = release_labels(release, "trainval").annotations[0]
    assert found.reference == pytest.approx(0.6 * 100)


def test_training_persons_without_joints_are_left_out(release: Path) -> None:
    labels = release_labels(release, "trainval")
    assert [p.number for p in labels.annotations] == [1001, 2002, 3001, 3002]
    lone = labels.annotations[-1]  # one point, neither scale nor position
    assert (lone.annotated.sum(), lone.scale, lone.centre) == (1, None, None)
    assert lone.points[15].tolist() == pytest.approx([250.25, 304.75])


def test_test_persons_are_the_single_ones_without_joints(release: Path) -> None:
    labels = release_labels(release, "test")
    found = [(p.number, p.scale, p.annotated.any()) for p in labels.annotations]
    assert found == [(4001, 3.0, False), (4002, 4.0, False), (6001, 1.0, False)]
    first = labels.annotations[0]
    assert first.centre is not None
    assert first.centre.tolist() == [10, 20]
    # Without joints the box is the annotated height: 200 * 3 about the position.
    assert first.box.tolist() == [-290, -280, 310, 320]
    assert annolist_index(4002) == (3, 1)


def test_single_persons_of_empty_lone_and_several_cells(release: Path) -> None:
    content = read_release(release)
    assert [single_persons(content, n) for n in range(7)] == [[0], [1], [], [0, 1], [], [0], []]
    places = [(image, name[-5], person) for image, name, person, _ in release_persons(content)]
    assert places == [
        (0, "1", 0), (1, "2", 0), (1, "2", 1), (2, "3", 0), (2, "3", 1),
        (3, "4", 0), (3, "4", 1), (3, "4", 2), (5, "6", 0),
    ]  # fmt: skip


def test_a_release_of_one_picture(tmp_path: Path) -> None:
    annolist = record(
        ("image", "annorect"),
        {
            "image": record(("name",), {"name": "a.jpg"}),
            "annorect": record(FIELDS, *[rectangle(PERSONS[0], ("0", "1"))] * 2),
        },
    )
    content = {"annolist": annolist, "img_train": 1, "single_person": cells(np.array([[1.0, 2]]))}
    scipy.io.savemat(tmp_path / "one.mat", {"RELEASE": content})
    assert single_persons(read_release(tmp_path / "one.mat"), 0) == [0, 1]
    assert len(release_labels(tmp_path / "one.mat", "trainval")) == 2


def test_hourglass_margins_are_taken_back(tmp_path: Path) -> None:
    persons = [p for p in PERSONS if p["isValidation"]]
    listed = json_labels(write_json(tmp_path / "list.json"), "val").annotations
    labels = hourglass_labels(write_hourglass(tmp_path / "valid.h5", persons))
    for found, expected in zip(labels.annotations, listed, strict=True):
        assert (found.image, found.number) == (expected.image, expected.number)
        assert found.states.tolist() == expected.states.tolist()
        assert found.centre == pytest.approx(expected.centre)
        assert found.scale == pytest.approx(expected.scale)
        there = expected.annotated
        assert found.points[there] == pytest.approx(np.floor(expected.points[there]))
        assert found.reference == 60


def test_hourglass_names_kept_as_padded_numbers(tmp_path: Path) -> None:
    path = write_hourglass(tmp_path / "valid.h5", PERSONS)
    with h5py.File(path, "a") as file:
        names = [name.decode().ljust(16, "\0").encode() for name in file["imgname"][()]]
        del file["imgname"]
        file["imgname"] = np.array([list(name) for name in names], dtype=np.float64)
    images = [p.image for p in hourglass_labels(path).annotations]
    assert images == ["000000001.jpg", "000000002.jpg", "000000003.jpg"]


def test_the_real_list_and_the_real_hourglass_file_agree(shared_data: Path) -> None:
    listed = json_labels(shared_data / "mpii" / "mpii_annotations.json.gz", "val").annotations
    cropped = hourglass_labels(shared_data / "mpii" / "valid.h5").annotations
    assert len(listed) == 2958
    assert [p.number for p in listed] == [p.number for p in cropped]
    assert [p.image for p in listed] == [p.image for p in cropped]
    assert np.array_equal([p.states for p in listed], [p.states for p in cropped])
    centres, others = (np.array([p.centre for p in group]) for group in (listed, cropped))
    assert others == pytest.approx(centres)
    there = np.array([p.annotated for p in listed])
    points, whole = (np.array([p.points for p in group]) for group in (listed, cropped))
    # Cut towards zero; the list is rounded to thousandths, which can carry a joint over.
    cut = np.trunc(points[there] + 1) - (whole[there] + 1)
    assert np.abs(cut).max() <= 1
    assert (cut == 0).mean() > 0.9999
    ratios = [
        p.reference / q.reference
        for p, q in zip(listed, cropped, strict=True)
        if p.reference and q.reference
    ]
    assert np.mean(np.abs(np.array(ratios) - 1) < 0.01) == pytest.approx(0.986, abs=0.001)


def test_real_persons_survive_the_official_structure(shared_data: Path, tmp_path: Path) -> None:
    with gzip.open(shared_data / "mpii" / "mpii_annotations.json.gz") as file:
        people = json.load(file)[:400:8]
    people = list({p["annolist_index"]: p for p in people}.values())
    by_image = {int(p["annolist_index"]): p for p in people}
    rows = []
    for index in range(1, max(by_image) + 1):
        rectangles: np.ndarray = EMPTY
        if index in by_image:
            before = int(by_image[index]["people_index"]) - 1
            rectangles = record(FIELDS, *[{}] * before, rectangle(by_image[index], ("0", "1")))
        name = by_image[index]["img_paths"] if index in by_image else ""
        rows.append({"image": record(("name",), {"name": name}), "annorect": rectangles})
    content = {
        "annolist": record(("image", "annorect"), *rows),
        "img_train": np.ones((1, len(rows))),
        "single_person": cells(*[EMPTY] * len(rows)),
    }
    scipy.io.savemat(tmp_path / RELEASE, {"RELEASE": content})
    found = {p.number: p for p in release_labels(tmp_path / RELEASE, "trainval").annotations}
    listed = json_labels(write_json(tmp_path / "list.json", people), "all").annotations
    assert len(found) == len(listed) > 20
    for expected in listed:
        ours = found[expected.number]
        assert ours.image == expected.image
        assert np.array_equal(ours.annotated, expected.annotated)
        flagged = [k for k in range(16) if k not in (NECK, HEAD_TOP)]
        assert np.array_equal(ours.states[flagged], expected.states[flagged])
        assert ours.points[ours.annotated] == pytest.approx(expected.points[ours.annotated])
        assert ours.box == pytest.approx(expected.box)


def read_back(path: Path) -> np.ndarray:
    pred: np.ndarray = scipy.io.loadmat(path)["pred"]
    return pred


def test_submission_is_what_the_server_reads(release: Path, tmp_path: Path) -> None:
    joints = {
        place: np.arange(32.0).reshape(16, 2) + 100 * n
        for n, place in enumerate([(3, 0), (3, 1), (5, 0)])
    }
    content = submission(read_release(release), joints)
    scipy.io.savemat(tmp_path / "pred_keypoints_mpii.mat", content)
    pred = read_back(tmp_path / "pred_keypoints_mpii.mat")
    assert pred.shape == (1, 3)  # annolist(img_train == 0): pictures 4, 5 and 6
    assert [str(row["image"]["name"][0, 0][0]) for row in pred[0]] == [
        "000000004.jpg",
        "000000005.jpg",
        "000000006.jpg",
    ]
    fourth = pred[0, 0]["annorect"]
    assert (fourth.shape, pred[0, 1]["annorect"].size) == ((1, 3), 0)
    assert fourth[0, 2]["annopoints"].size == 0  # not one of the single persons
    for rectangle_, n in ((fourth[0, 0], 0), (fourth[0, 1], 1), (pred[0, 2]["annorect"][0, 0], 2)):
        points = rectangle_["annopoints"]["point"][0, 0]
        assert points.shape == (1, 16)
        values = [[float(p[f][0, 0]) for f in ("x", "y", "id")] for p in points[0]]
        assert values == [[2 * k + 1 + 100 * n, 2 * k + 2 + 100 * n, k] for k in range(16)]


def test_submission_wants_every_single_person(release: Path) -> None:
    with pytest.raises(UserError, match=r"person 2 of test image 000000004\.jpg \(annolist 4\)"):
        submission(read_release(release), {(3, 0): np.zeros((16, 2)), (5, 0): np.zeros((16, 2))})


def test_a_submission_is_what_a_network_of_more_joints_says_of_every_single_person(
    release: Path, body_checkpoint: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in (4, 6):
        pixels = rng.integers(0, 255, (600, 600, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number:09d}.jpg")
    target = tmp_path / "pred_keypoints_mpii.mat"
    body = PoseEstimator(str(body_checkpoint), device="cpu")
    assert write_submission(target, tmp_path, body) == (3, 3)  # persons, pictures
    points, _, persons = predict_dataset(body, open_pictures("mpii", tmp_path, "test"), crop="mpii")
    last = read_back(target)[0, 2]["annorect"][0, 0]["annopoints"]["point"][0, 0][0]
    assert annolist_index(persons[2].number or 0) == (5, 0)
    for joint, channels in (
        ("left_wrist", ["left_wrist"]), ("pelvis", ["left_hip", "right_hip"]),
        ("thorax", ["left_shoulder", "right_shoulder"]),
    ):  # fmt: skip
        expected = points[2][[BODY19.index(name) for name in channels]].mean(axis=0) + 1
        row = last[MPII16.index(joint)]
        assert [float(row["x"][0, 0]), float(row["y"][0, 0])] == pytest.approx(expected)
    coco = PoseEstimator(str(untrained(tmp_path / "coco.safetensors", COCO17)), device="cpu")
    with pytest.raises(UserError, match="'mpii16': 'coco17' can be seen as flic11"):
        write_submission(target, tmp_path, coco)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data folder with pictures and no labels."""
    (tmp_path / "mpii" / "images").mkdir(parents=True)
    return tmp_path / "mpii"


def references(root: Path) -> list[float | None]:
    return [p.reference for p in open_pictures("mpii", root, "val").annotations]


def test_the_list_alone_has_approximate_references(root: Path) -> None:
    write_json(root / "mpii_annotations.json.gz")
    labels = open_pictures("mpii", root, "val")
    assert [p.number for p in labels.annotations] == [2002, 3001]
    assert [p.reference for p in labels.annotations] == [pytest.approx(60), None]
    assert labels.picture(labels.annotations[0]) == root / "images" / "000000002.jpg"
    assert [p.number for p in open_pictures("mpii", root, "train").annotations] == [1001]


def test_the_list_takes_exact_references_from_the_hourglass_file(root: Path) -> None:
    write_json(root / "mpii_annotations.json")
    (root / "annot").mkdir()
    path = write_hourglass(root / "annot" / "valid.h5", PERSONS[1:])
    with h5py.File(path, "a") as file:
        file["normalize"][...] = [61.5, 62.5]
    assert references(root) == [61.5, 62.5]
    # Coordinates stay those of the list, which the h5 has cut to whole pixels.
    assert open_pictures("mpii", root, "val").annotations[0].points[2].tolist() == [121.25, 213.75]


def test_the_list_takes_head_boxes_from_the_official_file(root: Path) -> None:
    write_json(root / "mpii_annotations.json")
    write_release(root / RELEASE)
    third = open_pictures("mpii", root, "val").annotations[1]
    assert third.number == 3001
    assert third.reference == pytest.approx(60)
    assert [p.number for p in open_pictures("mpii", root, "val").annotations] == [2002, 3001]


def test_the_hourglass_file_alone(root: Path) -> None:
    write_hourglass(root / "valid.h5", PERSONS[1:])
    write_hourglass(root / "train.h5", PERSONS[:1])
    assert [p.number for p in open_pictures("mpii", root, "val").annotations] == [2002, 3001]
    assert [p.number for p in open_pictures("mpii", root, "train").annotations] == [1001]


def test_the_official_file_alone_has_no_validation_split(root: Path) -> None:
    write_release(root / RELEASE)
    assert len(open_pictures("mpii", root, "trainval")) == 4
    assert len(open_pictures("mpii", root, "test")) == 3
    with pytest.raises(UserError, match=r"'val' of MPII Human Pose needs mpii_annotations\.json"):
        open_pictures("mpii", root, "val")


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown split 'valid'"):
        open_pictures("mpii", root, "valid")
    with pytest.raises(UserError, match=rf"'test' of MPII Human Pose needs {RELEASE}"):
        open_pictures("mpii", root, "test")
    with pytest.raises(UserError, match=r"needs .* or train\.h5, .*and this folder holds images/"):
        open_pictures("mpii", root, "train")
    with pytest.raises(UserError, match="not there; MPII Human Pose is a folder"):
        open_pictures("mpii", tmp_path / "nowhere", "val")
    write_json(root / "mpii_annotations.json")
    (root / "images").rmdir()
    with pytest.raises(UserError, match="no images/ here"):
        open_pictures("mpii", root, "val")


def test_splits_that_a_file_does_not_have(release: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="trainval and test, not 'val'"):
        release_labels(release, "val")
    with pytest.raises(UserError, match="train, val and all, not 'test'"):
        json_labels(write_json(tmp_path / "list.json"), "test")


def test_files_of_another_kind_are_told(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "other.mat", {"joints": np.zeros(3)})
    with pytest.raises(UserError, match="it holds joints, wanted RELEASE"):
        read_release(tmp_path / "other.mat")
    with pytest.raises(UserError, match="not an evaluation file of MPII"):
        evaluation_labels(tmp_path / "other.mat")
    (tmp_path / "half.mat").write_bytes(b"MATLAB 5.0" + b"\0" * 100)
    with pytest.raises(UserError, match=r"half\.mat: not the official"):
        release_labels(tmp_path / "half.mat", "trainval")
    for content in ('{"images": []}', '[{"isValidation": 1}]', "[1]", "[", ""):
        (tmp_path / "list.json").write_text(content)
        with pytest.raises(UserError, match=r"list\.json: not the 25,204-person JSON"):
            json_labels(tmp_path / "list.json", "val")
    with h5py.File(tmp_path / "flic.h5", "w") as file:
        for name in ("center", "imgname", "index", "normalize", "person", "scale", "visible"):
            file[name] = np.zeros(2)
        file["part"] = np.zeros((2, 11, 2))
    with pytest.raises(UserError, match=r"must be N x 16 x 2.*this is FLIC's file"):
        hourglass_labels(tmp_path / "flic.h5")


def test_an_h5_cut_in_one_array_is_told(tmp_path: Path) -> None:
    path = write_hourglass(tmp_path / "valid.h5", PERSONS)
    with h5py.File(path, "a") as file:
        del file["scale"]
        file["scale"] = np.ones(2)
    with pytest.raises(UserError, match=r"scale of 3 persons has 2 values, wanted 3"):
        hourglass_labels(path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("scale", np.ones((3, 16, 2)), "scale of 3 persons has 3 x 16 x 2 values"),
        ("index", np.full(3, np.nan), "index holds nan"),
        ("visible", np.ones((3, 4)), r"visible of 3 persons .* wanted 3 x 16"),
        ("normalize", np.array([b"a", b"b", b"c"]), "normalize holds .*, wanted numbers"),
        ("imgname", np.float64(3), "imgname of 3 persons has 1 values"),
    ],
)
def test_an_h5_of_other_arrays_is_told(
    tmp_path: Path, name: str, array: np.ndarray, message: str
) -> None:
    path = write_hourglass(tmp_path / "valid.h5", PERSONS)
    with h5py.File(path, "a") as file:
        del file[name]
        file[name] = array
    with pytest.raises(UserError, match=message):
        hourglass_labels(path)


def test_an_h5_of_more_than_fits_is_not_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("part", shape=(10**9, 16, 2), chunks=(1, 16, 2), dtype="f8")
    with pytest.raises(UserError, match=r"would unpack to 256\.0 GB"):
        hourglass_labels(tmp_path / "a.h5")


def test_evaluation_files_have_head_boxes_by_corner(tmp_path: Path) -> None:
    points = np.arange(64.0).reshape(16, 2, 2) + 1
    missing = np.zeros((16, 2), np.uint8)
    missing[3, 1] = 1
    heads = np.array([[[11, 1], [21, 1]], [[41, 4], [61, 5]]])  # corner, coordinate, person
    scipy.io.savemat(
        tmp_path / "gt.mat",
        {"pos_gt_src": points, "jnt_missing": missing, "headboxes_src": heads},
    )
    first, second = evaluation_labels(tmp_path / "gt.mat").annotations
    assert first.points[1].tolist() == [4, 6]
    assert first.reference == pytest.approx(0.6 * 50)
    assert second.reference == pytest.approx(0.6 * 5)
    assert second.states.tolist() == [2] * 3 + [0] + [2] * 12
