import gzip
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matlab_files import as_matlab_73
from result_documents import old_frames, pose, video_document

from spcnet.data.annotations import AnnotatedPictures, Annotation
from spcnet.data.leeds import lsp_labels
from spcnet.errors import UserError
from spcnet.evaluation.predictions import (
    FLIC_WITHOUT_EYES,
    FORMATS,
    Predictions,
    align,
    read_predictions,
)
from spcnet.evaluation.writing import write_predictions
from spcnet.skeletons import COCO17, FLIC11, LSP14, MPII16, Skeleton

h5py = pytest.importorskip("h5py")


def numbered(persons: int, joints: int) -> np.ndarray:
    """Person n's joint k at (n, k) and a bit."""
    points = np.zeros((persons, joints, 2))
    points[..., 0] = np.arange(persons)[:, None] + 0.25
    points[..., 1] = np.arange(joints) + 0.5
    return points


def write_h5(path: Path, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value
    return path


def write_mat(path: Path, **arrays: Any) -> Path:
    scipy.io.savemat(path, arrays)
    return path


def write_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def persons(
    *images: str, skeleton: Skeleton = LSP14, numbers: bool = False, counts_from: int = 0
) -> AnnotatedPictures:
    points = np.zeros((len(skeleton), 2))
    annotations = [
        Annotation(
            image, points, np.full(len(skeleton), 2, np.uint8), number=50 + n if numbers else None
        )
        for n, image in enumerate(images)
    ]
    return AnnotatedPictures("own", "all", skeleton, annotations, counts_from=counts_from)


# --- the order of the axes


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 40),
    joints=st.integers(1, 20),
    coordinates=st.sampled_from([2, 3]),
    order=st.permutations(range(3)),
)
def test_axes_are_recognised_or_declared_ambiguous(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    joints: int,
    coordinates: int,
    order: list[int],
) -> None:
    points = np.random.default_rng(0).uniform(0, 100, (count, joints, coordinates))
    folder = tmp_path_factory.mktemp("axes")
    path = write_npz(folder / "p.npz", preds=points.transpose(order))
    shape = points.transpose(order).shape
    readings = [
        reading
        for reading in itertools.permutations(range(3))
        if (shape[reading[0]], shape[reading[1]]) == (count, joints) and shape[reading[2]] in (2, 3)
    ]
    axes = "".join("nkc"[axis] for axis in order)
    if len(readings) > 1:
        with pytest.raises(UserError, match="several ways; --axes says which"):
            read_predictions(path, persons=count, joints=(joints,))
    else:
        found = read_predictions(path, persons=count, joints=(joints,))
        assert np.array_equal(found.points, points[..., :2])
    # Said aloud, nothing is ambiguous.
    found = read_predictions(path, axes=axes)
    assert np.array_equal(found.points, points[..., :2])


def test_the_number_of_joints_may_be_one_of_several(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "p.npz", preds=numbered(30, 9).transpose(1, 2, 0))
    found = read_predictions(path, persons=30, joints=(11, 9))
    assert np.array_equal(found.points, numbered(30, 9))


def test_an_ambiguous_shape_lists_the_readings(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "p.npz", preds=np.zeros((14, 14, 2)))
    with pytest.raises(UserError, match=r"joints of 14 x 14 x 2.*--axes says which: nkc or knc"):
        read_predictions(path, persons=14, joints=(14,))
    with pytest.raises(UserError, match="nkc or knc"):
        read_predictions(write_npz(tmp_path / "q.npz", preds=np.zeros((30, 14, 2))))


def test_a_shape_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "p.npz", preds=np.zeros((30, 14, 2)))
    with pytest.raises(UserError, match=r"30 x 14 x 2 are not 31 persons x 14 joints x 2"):
        read_predictions(path, persons=31, joints=(14,))
    with pytest.raises(UserError, match="not 30 persons x 11 or 9 joints x 2"):
        read_predictions(path, persons=30, joints=(11, 9))
    with pytest.raises(UserError, match="are not"):
        read_predictions(path, axes="cnk")
    for axes in ("xyz", "nk", "nnk"):
        with pytest.raises(UserError, match=f"--axes {axes}: write the letters n"):
            read_predictions(path, axes=axes)


# --- what files hold


def test_matlab_and_torch_count_from_one_the_rest_from_zero(tmp_path: Path) -> None:
    points = numbered(4, 14)
    found = {
        ".mat": read_predictions(write_mat(tmp_path / "p.mat", preds=points), persons=4),
        ".h5": read_predictions(write_h5(tmp_path / "p.h5", preds=points), persons=4),
        ".npz": read_predictions(write_npz(tmp_path / "p.npz", preds=points), persons=4),
    }
    assert {kind: p.index_base for kind, p in found.items()} == {".mat": 1, ".h5": 1, ".npz": 0}
    for predictions in found.values():
        assert np.array_equal(predictions.points, points)  # as the file has them


def test_the_file_overrules_the_kind_and_the_user_the_file(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "p.h5", preds=numbered(4, 14), index_base=0)
    assert read_predictions(path, persons=4).index_base == 0
    assert read_predictions(path, persons=4, index_base=1).index_base == 1
    path = write_npz(tmp_path / "p.npz", preds=numbered(4, 14), index_base=np.array([[1.0]]))
    assert read_predictions(path, persons=4).index_base == 1
    with pytest.raises(UserError, match="from 0 or 1, got index base 2"):
        read_predictions(path, persons=4, index_base=2)


@pytest.mark.parametrize("key", ["keypoints", "preds", "prediction_all", "pos_pred_src", "mine"])
def test_the_array_of_joints_is_found(tmp_path: Path, key: str) -> None:
    content = {key: numbered(4, 14), "idx": np.arange(4), "scale": np.ones((4, 1))}
    found = read_predictions(write_npz(tmp_path / "p.npz", **content), persons=4)
    assert np.array_equal(found.points, numbered(4, 14))


def test_one_of_several_arrays_may_be_named(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "p.npz", ours=numbered(4, 14), theirs=numbered(4, 14) + 9)
    found = read_predictions(path, persons=4, key="theirs")
    assert found.points[0, 0].tolist() == [9.25, 9.5]
    with pytest.raises(UserError, match=r"which array holds the joints\? It has ours 4 x 14 x 2"):
        read_predictions(path, persons=4)
    with pytest.raises(UserError, match="no array of joints called 'mine'; it holds ours"):
        read_predictions(path, persons=4, key="mine")


def test_whole_numbers_are_no_trap(tmp_path: Path) -> None:
    """Points of uint8 would turn round at 0."""
    path = write_mat(tmp_path / "p.mat", prediction_all=np.zeros((14, 2, 3), np.uint8))
    found = read_predictions(path, persons=3, joints=(14,))
    aligned = align(found, persons("a", "b", "c"))
    assert (aligned.points == -1).all()


def test_matlab_73_and_its_cells(tmp_path: Path) -> None:
    points = numbered(5, 14)
    path = as_matlab_73(tmp_path / "p.mat", {"preds": points})
    with h5py.File(path, "a") as file:
        cell = file.create_group("#refs#").create_dataset("a", data=np.array([97], np.uint16))
        file["joints"] = np.array([[cell.ref] * 14], dtype=h5py.ref_dtype)
    found = read_predictions(path, persons=5, joints=(14,))
    assert np.array_equal(found.points, points)
    assert found.joints is None  # cells lie elsewhere in the file: no names rather than wrong ones
    assert found.index_base == 1


def test_h5_written_by_matlab_has_its_axes_reversed(tmp_path: Path) -> None:
    points = numbered(5, 14)
    path = write_h5(tmp_path / "p.h5", preds=points.transpose(2, 1, 0))
    found = read_predictions(path, persons=5, joints=(14,))
    assert np.array_equal(found.points, points)


def test_names_in_cells_bytes_and_texts(tmp_path: Path) -> None:
    names = [f"left_{n}" for n in range(14)]
    cells = np.array(names, dtype=object)
    files = [
        write_mat(tmp_path / "p.mat", preds=numbered(5, 14), joints=cells),
        write_npz(tmp_path / "p.npz", preds=numbered(5, 14), joints=np.array(names)),
        write_h5(tmp_path / "p.h5", preds=numbered(5, 14), joints=[n.encode() for n in names]),
        write_h5(tmp_path / "q.h5", preds=numbered(5, 14), joints=names),
    ]
    for path in files:
        assert read_predictions(path, persons=5).joints == tuple(names), path.name


def test_numbers_and_other_counts_are_no_joint_names(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "p.npz", preds=numbered(5, 14), joints=np.arange(14))
    assert read_predictions(path, persons=5).joints is None
    path = write_npz(tmp_path / "q.npz", preds=numbered(5, 14), joints=np.array(["a", "b"]))
    assert read_predictions(path, persons=5).joints is None


def test_pictures_by_number(tmp_path: Path) -> None:
    path = write_mat(tmp_path / "p.mat", preds=numbered(2, 14), images=np.array([139.0, 7.0]))
    assert read_predictions(path, axes="nkc").images == ["139", "7"]


def results(*rows: Any) -> list[dict[str, Any]]:
    return [
        {"image_id": image, "category_id": 1, "keypoints": [x, 2.5, 0.5] * 17, "score": 0.75}
        for image, x in rows
    ]


def test_cocos_results_list(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(results((139, 1.0), (7, 2.0))))
    found = read_predictions(tmp_path / "r.json")
    assert found.points[:, 3].tolist() == [[1, 2.5], [2, 2.5]]
    assert found.confidences is not None
    assert found.confidences.tolist() == [0.75, 0.75]
    assert (found.images, found.numbers, found.index_base) == (["139", "7"], None, 0)


@pytest.mark.parametrize("make", [video_document, old_frames])
def test_results_of_a_video_are_read_in_todays_form_and_the_earlier(
    tmp_path: Path, make: Callable[[], dict[str, Any]]
) -> None:
    (tmp_path / "r.json").write_text(json.dumps(make()))
    found = read_predictions(tmp_path / "r.json")
    expected = [pose(seed).keypoints for seed in (1, 2, 3, 4)]
    assert np.array_equal(found.points, expected)
    assert found.joints == LSP14.joints and found.images == ["walk.mp4"] * 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "no predictions in it"),
        ('{"annotations": []}', "no predictions in it"),
        ('{"images": []}', "not COCO keypoint results"),
        ('[{"image_id": 1}]', "not COCO keypoint results.*'keypoints'"),
        ('[{"image_id": 1, "keypoints": [1, 2]}]', "not COCO keypoint results"),
        (
            '[{"image_id": 1, "keypoints": [1, 2, 3]}, {"image_id": 1, "keypoints": []}]',
            "not COCO keypoint results",
        ),
        ("[3]", "not COCO keypoint results"),
        ('[{"image_id": 1, "keypoints": [1, 2, 3], "score": 1e999}]', "a score is inf"),
        ('[{"image_id": [1], "keypoints": [1, 2, 3]}]', "an id must be a number or a text"),
        (
            '{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}',
            "id 1 is a and b",
        ),
        ("[" * 100_000, "half a download"),
        ("3", "not COCO keypoint results"),
        ("[", "half a download"),
    ],
)
def test_other_json_is_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(UserError, match=rf"r\.json: .*{message}"):
        read_predictions(tmp_path / "r.json")


@pytest.mark.parametrize("name", ["p.mat", "p.h5", "p.npz", "p.json", "p.json.gz"])
def test_junk_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"{name}: no such file"):
        read_predictions(tmp_path / name)
    (tmp_path / name).write_bytes(b"<html>" * 40)
    with pytest.raises(UserError, match=rf"{name}: not predictions"):
        read_predictions(tmp_path / name)


def test_an_unknown_kind_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{', '.join(FORMATS)}, got \.csv"):
        read_predictions(tmp_path / "p.csv")


# --- joints by name


def test_joints_come_in_the_skeletons_order() -> None:
    found = Predictions(numbered(2, 14), joints=LSP14.joints[::-1]).of_skeleton(LSP14)
    assert found.points[:, :, 1].tolist() == [[13.5 - k for k in range(14)]] * 2
    assert found.joints == LSP14.joints


def test_joints_that_are_not_predicted_are_nan() -> None:
    found = Predictions(numbered(1, 14), joints=LSP14.joints).of_skeleton(MPII16)
    lacking = [MPII16.joints[k] for k in np.flatnonzero(np.isnan(found.points[0, :, 0]))]
    assert lacking == ["pelvis", "thorax"]
    assert found.points[0, MPII16.index("head_top")].tolist() == [0.25, 13.5]
    back = found.of_skeleton(LSP14)
    assert np.array_equal(back.points, numbered(1, 14))


def test_flics_nine_joints_are_the_first_eight_and_the_nose() -> None:
    found = Predictions(numbered(1, 9)).of_skeleton(FLIC11)
    assert found.points[0, :8, 1].tolist() == [k + 0.5 for k in range(8)]
    assert np.isnan(found.points[0, 8:10]).all()
    assert found.points[0, FLIC11.index("nose"), 1] == 8.5
    assert FLIC_WITHOUT_EYES[8] == "nose"


def test_joints_without_names_must_be_as_many() -> None:
    with pytest.raises(UserError, match=r"16 joints and the labels' skeleton 'lsp14' 14.*--joints"):
        Predictions(numbered(1, 16)).of_skeleton(LSP14)
    with pytest.raises(UserError, match="9 joints"):
        Predictions(numbered(1, 9)).of_skeleton(LSP14)
    assert Predictions(numbered(1, 14)).of_skeleton(LSP14).joints is None


def test_names_of_another_body_are_an_error() -> None:
    names = tuple(f"joint{k}" for k in range(14))
    with pytest.raises(UserError, match=r"none of the predicted joints \(joint0, joint1"):
        Predictions(numbered(1, 14), joints=names).of_skeleton(LSP14)


# --- persons


def found_order(predictions: Predictions, labels: AnnotatedPictures) -> list[int]:
    """Which prediction each labelled person got."""
    return [int(x) for x in align(predictions, labels).points[:, 0, 0]]


@given(order=st.permutations(range(6)), extra=st.integers(0, 3))
def test_persons_are_matched_by_number(order: list[int], extra: int) -> None:
    labels = persons(*"aabbcd", numbers=True)
    points = numbered(6 + extra, 14)
    numbers = [50 + n for n in order] + [90 + n for n in range(extra)]
    found = found_order(Predictions(points, numbers=numbers), labels)
    assert found == [order.index(n) for n in range(6)]


@given(order=st.permutations(range(6)))
def test_persons_are_matched_by_picture_in_its_order(order: list[int]) -> None:
    labels = persons("x/a.jpg", "x/b.jpg", "x/a.jpg", "x/c.jpg", "x/b.jpg", "x/a.jpg")
    images = [Path(labels.annotations[n].image).name for n in order]
    found = found_order(Predictions(numbered(6, 14), images=images), labels)
    for name in "abc":
        rows = [row for row, image in enumerate(images) if image == f"{name}.jpg"]
        people = [n for n, p in enumerate(labels.annotations) if p.image == f"x/{name}.jpg"]
        assert [found[n] for n in people] == rows


@pytest.mark.parametrize(
    "images",
    [["b.jpg", "a.jpg"], ["b", "a"], ["/data/b.png", "/data/a.png"], ["d\\b.jpg", "d\\a.jpg"]],
)
def test_folders_and_suffixes_of_pictures_may_differ(images: list[str]) -> None:
    labels = persons("x/a.jpg", "x/b.jpg")
    assert found_order(Predictions(numbered(2, 14), images=images), labels) == [1, 0]


def test_pictures_of_one_name_in_two_folders() -> None:
    labels = persons("one/1.jpg", "two/1.jpg")
    images = ["two/1.jpg", "one/1.jpg"]
    assert found_order(Predictions(numbered(2, 14), images=images), labels) == [1, 0]
    with pytest.raises(UserError, match="where several pictures have one name"):
        align(Predictions(numbered(2, 14), images=["1.jpg", "1.jpg"]), labels)


def test_dots_in_names_are_no_suffixes() -> None:
    labels = persons("take.001", "take.002")
    images = ["take.002", "take.001"]
    assert found_order(Predictions(numbered(2, 14), images=images), labels) == [1, 0]


def test_pictures_are_matched_by_their_number() -> None:
    people = [
        Annotation(f"{n:012d}.jpg", np.zeros((17, 2)), np.full(17, 2, np.uint8), image_number=n)
        for n in (139, 7)
    ]
    labels = AnnotatedPictures("coco", "all", COCO17, people)
    predictions = Predictions(numbered(3, 17), images=["7", "285", "139"])
    assert found_order(predictions, labels) == [2, 0]


def test_without_names_or_numbers_the_order_counts() -> None:
    labels = persons("a", "b", "c")
    assert found_order(Predictions(numbered(3, 14)), labels) == [0, 1, 2]
    with pytest.raises(UserError, match="4 predictions for the 3 labelled persons of own all"):
        align(Predictions(numbered(4, 14)), labels)


@pytest.mark.parametrize("first", [0, 1])
def test_running_numbers_of_pictures_give_the_order(first: int) -> None:
    labels = persons("a", "b", "c")
    shuffled = [str(first + n) for n in (2, 0, 1)]
    assert found_order(Predictions(numbered(3, 14), images=shuffled), labels) == [1, 2, 0]
    for images in (["7", "8", "9"], ["0", "0", "1"], ["1", "2", "4"]):
        with pytest.raises(UserError, match="is one of own all, such as a"):
            align(Predictions(numbered(3, 14), images=images), labels)


def test_lsps_pictures_are_known_by_their_numbers(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": np.ones((3, 14, 3))})
    labels = lsp_labels(tmp_path / "joints.mat", "2-3")
    assert found_order(Predictions(numbered(2, 14), index_base=1, images=["3", "2"]), labels) == [
        1,
        0,
    ]


def test_predictions_of_other_pictures_are_an_error() -> None:
    labels = persons("im1001.jpg", "im1002.jpg")
    with pytest.raises(UserError, match=r"such as im0001\.jpg, is one of own all"):
        align(Predictions(numbered(2, 14), images=["im0001.jpg", "im0002.jpg"]), labels)


@pytest.mark.parametrize("images", [["a", "a", "b"], ["a"], ["b", "b"]])
def test_every_person_wants_one_prediction(images: list[str]) -> None:
    labels = persons("a", "b")
    with pytest.raises(UserError, match=r"picture \w has 1 labelled person and"):
        align(Predictions(numbered(len(images), 14), images=images), labels)


def test_numbers_count_only_where_the_pictures_agree() -> None:
    labels = persons("a", "b", numbers=True)
    predictions = Predictions(numbered(2, 14), images=["b", "a"], numbers=[50, 51])
    assert found_order(predictions, labels) == [1, 0]


@pytest.mark.parametrize(("theirs", "ours", "shift"), [(0, 0, 0), (1, 1, 0), (1, 0, -1), (0, 1, 1)])
def test_pixels_are_moved_into_the_labels_frame(theirs: int, ours: int, shift: int) -> None:
    labels = persons("a", "b", counts_from=ours)
    aligned = align(Predictions(numbered(2, 14), index_base=theirs), labels)
    assert np.array_equal(aligned.points, numbered(2, 14) + shift)
    assert aligned.index_base == ours


# --- writing


LABELS = {
    "mpii-like": persons("a.jpg", "b.jpg", "a.jpg", skeleton=MPII16, numbers=True),
    "lsp-like": persons("im0001.jpg", "im0002.jpg", "im0003.jpg", numbers=True, counts_from=1),
    "nameless": persons("", "", ""),
    "unnumbered": persons("é/a.jpg", "b.jpg", "é/a.jpg"),
    "as many as joints": persons(*"abcdefghijklmn", numbers=True),
    "lone": persons("a.jpg", counts_from=1),
}


@pytest.mark.parametrize("suffix", [*FORMATS, ".hdf5", ".json.gz"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_what_is_written_is_read_back(
    tmp_path: Path, suffix: str, labels: AnnotatedPictures
) -> None:
    points = np.random.default_rng(1).uniform(0, 500, (len(labels), len(labels.skeleton), 2))
    scores = np.random.default_rng(2).uniform(0, 1, points.shape[:2])
    path = tmp_path / f"p{suffix}"
    write_predictions(path, points, scores, labels, skeleton=labels.skeleton)
    found = read_predictions(path)
    assert found.index_base == (1 if suffix in (".mat", ".h5", ".hdf5") else labels.counts_from)
    assert found.points == pytest.approx(points + found.index_base - labels.counts_from, abs=1e-4)
    assert found.joints == labels.skeleton.joints
    aligned = align(found, labels)
    assert aligned.points == pytest.approx(points, abs=1e-4)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_part_of_what_was_written_is_found(tmp_path: Path, suffix: str) -> None:
    labels = LABELS["as many as joints"]
    points = numbered(14, 14)
    write_predictions(tmp_path / f"p{suffix}", points, np.ones((14, 14)), labels, skeleton=LSP14)
    some = AnnotatedPictures("own", "part", LSP14, labels.annotations[9:3:-2])
    aligned = align(read_predictions(tmp_path / f"p{suffix}", persons=3, joints=(14,)), some)
    assert aligned.points == pytest.approx(points[9:3:-2])


@pytest.mark.parametrize("suffix", FORMATS)
def test_joints_of_another_skeleton_are_read_by_name(tmp_path: Path, suffix: str) -> None:
    labels = LABELS["mpii-like"]
    path = tmp_path / f"p{suffix}"
    write_predictions(path, numbered(3, 14), np.ones((3, 14)), labels, skeleton=LSP14)
    aligned = align(read_predictions(path), labels)
    columns = [MPII16.index(joint) for joint in LSP14.joints]
    assert aligned.points[:, columns] == pytest.approx(numbered(3, 14))
    assert np.isnan(aligned.points[:, MPII16.index("thorax")]).all()


def test_mpiis_files_count_from_one(tmp_path: Path) -> None:
    labels = LABELS["mpii-like"]
    for suffix in (".mat", ".h5"):
        path = tmp_path / f"p{suffix}"
        write_predictions(path, numbered(3, 16), np.ones((3, 16)), labels, skeleton=MPII16)
    assert np.array_equal(scipy.io.loadmat(tmp_path / "p.mat")["preds"], numbered(3, 16) + 1)
    with h5py.File(tmp_path / "p.h5") as file:
        assert np.array_equal(file["preds"][()], numbered(3, 16) + 1)


def test_json_is_a_coco_file_with_results(tmp_path: Path) -> None:
    labels = LABELS["mpii-like"]
    path = tmp_path / "p.json.gz"
    write_predictions(path, numbered(3, 16), np.full((3, 16), 0.5), labels, skeleton=MPII16)
    content = json.loads(gzip.decompress(path.read_bytes()))
    assert content["images"] == [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    rows = content["annotations"]
    assert [row["image_id"] for row in rows] == [1, 2, 1]
    assert [row["id"] for row in rows] == [50, 51, 52]
    assert rows[1]["keypoints"][3:6] == [1.25, 1.5, 0.5]
    assert rows[1]["score"] == 0.5
    assert content["categories"][0]["keypoints"] == list(MPII16.joints)


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_existing_file_is_replaced(tmp_path: Path, suffix: str) -> None:
    labels = persons("a", "b")
    path = tmp_path / f"p{suffix}"
    for shift in (0, 100):
        write_predictions(path, numbered(2, 14) + shift, np.ones((2, 14)), labels, skeleton=LSP14)
    assert align(read_predictions(path), labels).points == pytest.approx(numbered(2, 14) + 100)


@pytest.mark.parametrize("suffix", [*FORMATS, ".json.gz"])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "nowhere" / f"p{suffix}"
    with pytest.raises(UserError, match=r"nowhere/p.*cannot be written"):
        write_predictions(path, numbered(1, 14), np.ones((1, 14)), persons("a"), skeleton=LSP14)


def test_without_h5py_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_h5(tmp_path / "p.h5", preds=numbered(2, 14))
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(UserError, match=r"pip install 'spcnet\[h5\]'"):
        read_predictions(path)
    with pytest.raises(UserError, match=r"pip install 'spcnet\[h5\]'"):
        write_predictions(path, numbered(1, 14), np.ones((1, 14)), persons("a"), skeleton=LSP14)


@given(st.integers(2, 40), st.integers(2, 20))
def test_of_skeleton_keeps_every_named_joint(count: int, joints: int) -> None:
    assume(joints <= 14)
    names = LSP14.joints[:joints][::-1]
    found = Predictions(numbered(count, joints), joints=names).of_skeleton(LSP14)
    for column, name in enumerate(names):
        assert np.array_equal(
            found.points[:, LSP14.index(name)], numbered(count, joints)[:, column]
        )
    assert np.isnan(found.points[:, joints:]).all()
