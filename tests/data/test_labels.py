import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from matlab_files import as_matlab_73
from PIL import Image
from test_coco import document, own_row
from test_flic import example, rows, write_examples
from test_flic import write_hourglass as write_flic_hourglass
from test_mpii import PERSONS, write_hourglass, write_json, write_release

from spcnet.data import datasets
from spcnet.data.annotations import AnnotatedPictures, Annotation, JointState
from spcnet.data.datasets import DATASETS, DatasetInfo, open_pictures, read_labels
from spcnet.data.inspection import inspect_folder, read_folder
from spcnet.errors import UserError
from spcnet.skeletons import LSP14
from spcnet.training.recipe import parse_recipe

h5py = pytest.importorskip("h5py")


def write_joints(path: Path, shape: tuple[int, ...]) -> Path:
    scipy.io.savemat(path, {"joints": np.ones(shape, np.float32)}, do_compression=True)
    return path


def write_evaluation(path: Path, count: int = 2) -> Path:
    content = {
        "pos_gt_src": np.ones((16, 2, count)),
        "jnt_missing": np.zeros((16, count), np.uint8),
        "headboxes_src": np.ones((2, 2, count)),
    }
    scipy.io.savemat(path, content)
    return path


def write_coco(path: Path) -> Path:
    path.write_text(json.dumps(document(own_row())))
    return path


@pytest.mark.parametrize(
    ("name", "write", "expected"),
    [
        ("list.json", write_json, ("mpii", "val", 2)),
        ("list.JSON.gz", write_json, ("mpii", "val", 2)),
        ("own.json", write_coco, ("coco", "all", 1)),
        ("valid.h5", lambda path: write_hourglass(path, PERSONS), ("mpii", "all", 3)),
        ("flic.hdf5", lambda path: write_flic_hourglass(path, [2], 1.0), ("flic", "all", 1)),
        ("release.mat", write_release, ("mpii", "trainval", 4)),
        ("examples.mat", lambda path: write_examples(path, *rows()), ("flic", "test", 2)),
        ("gt.mat", write_evaluation, ("mpii", "val", 2)),
        ("lsp.mat", lambda path: write_joints(path, (3, 14, 2000)), ("lsp", "test", 1000)),
        ("some.mat", lambda path: write_joints(path, (3, 14, 5)), ("lsp", "all", 5)),
        ("lspet.mat", lambda path: write_joints(path, (14, 3, 8860)), ("lspet", "val", 800)),
        ("full.mat", lambda path: write_joints(path, (14, 3, 10000)), ("lspet", "all", 10000)),
    ],
)
def test_a_file_is_known_by_what_it_holds(
    tmp_path: Path, name: str, write: Any, expected: tuple[str, str, int]
) -> None:
    labels = read_labels(write(tmp_path / name))
    assert (labels.name, labels.split, len(labels)) == expected
    assert labels.images is None
    with pytest.raises(UserError, match="labels were read without pictures"):
        labels.picture(labels.annotations[0])


@pytest.mark.parametrize(
    ("name", "write", "split", "count"),
    [
        ("list.json.gz", write_json, "train", 1),
        ("list.json", write_json, "all", 3),
        ("release.mat", write_release, "test", 3),
        ("examples.mat", lambda path: write_examples(path, *rows()), "train", 1),
        ("lsp.mat", lambda path: write_joints(path, (3, 14, 2000)), "1001-1003,2000", 4),
        ("full.mat", lambda path: write_joints(path, (14, 3, 10000)), "train", 10000),
    ],
)
def test_another_part_may_be_named(
    tmp_path: Path, name: str, write: Any, split: str, count: int
) -> None:
    labels = read_labels(str(write(tmp_path / name)), split)
    assert (labels.split, len(labels)) == (split, count)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("list.json", write_json),
        ("release.mat", write_release),
        ("examples.mat", lambda path: write_examples(path, *rows())),
        ("lsp.mat", lambda path: write_joints(path, (3, 14, 5))),
        ("gt.mat", write_evaluation),
        ("valid.h5", lambda path: write_hourglass(path, PERSONS)),
    ],
)
def test_an_unknown_part_is_an_error(tmp_path: Path, name: str, write: Any) -> None:
    with pytest.raises(UserError, match="'banana'"):
        read_labels(write(tmp_path / name), "banana")


def test_joints_saved_by_matlab_73(tmp_path: Path) -> None:
    joints = np.arange(14 * 3 * 4.0).reshape(3, 14, 4)
    labels = read_labels(as_matlab_73(tmp_path / "joints.mat", {"joints": joints}))
    assert (labels.name, len(labels)) == ("lsp", 4)
    assert labels.annotations[3].points[5].tolist() == joints[:2, 5, 3].tolist()


def test_structs_of_matlab_73_say_how_to_save_them(tmp_path: Path) -> None:
    path = as_matlab_73(tmp_path / "release.mat", {})
    with h5py.File(path, "a") as file:
        file.create_group("RELEASE")["version"] = 12
    with pytest.raises(UserError, match="save it in MATLAB with -v7"):
        read_labels(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mat", b"", r"a\.mat: not "),
        ("a.mat", b"<html>404</html>" * 50, r"a\.mat: not "),
        ("a.h5", b"half", r"a\.h5: not .*half a download"),
        ("a.json", b"half", r"a\.json: not .*half a download"),
        (
            "a.json.gz",
            gzip.compress(b"{}" * 99, mtime=0)[:20],
            r"a\.json\.gz: not .*half a download",
        ),
        ("a.json", b"3", r"a\.json: not a COCO keypoint file"),
        ("a.csv", b"x,y", r"a\.csv: no labels of a known form; known are .*joints\.mat"),
        ("labels", b"x,y", "no labels of a known form"),
    ],
)
def test_junk_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_labels(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mat", "a.h5", "a.json", "a.json.gz"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_labels(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [{"preds": np.ones((3, 14, 2))}, {"joints": np.ones(3)}, {"joints": "text"}, {}],
    ids=["preds", "flat", "text", "empty"],
)
def test_a_mat_of_other_things_lists_them(tmp_path: Path, content: dict[str, Any]) -> None:
    scipy.io.savemat(tmp_path / "a.mat", content)
    held = ", ".join(content) or "nothing"
    with pytest.raises(UserError, match=rf"a\.mat: holds {held}; known labels"):
        read_labels(tmp_path / "a.mat")


def test_one_persons_joints_are_no_traceback(tmp_path: Path) -> None:
    write_joints(tmp_path / "one.mat", (3, 14, 1))
    assert len(read_labels(tmp_path / "one.mat")) == 1
    write_joints(tmp_path / "one.mat", (3, 14))
    with pytest.raises(UserError, match=r"must be 3 x 14 x N, got 3 x 14"):
        read_labels(tmp_path / "one.mat")


def test_a_lone_example(tmp_path: Path) -> None:
    path = write_examples(tmp_path / "one.mat", example({"nose": (1, 2)}, 1, train=False))
    assert len(read_labels(path)) == 1


def dots_labels(path: Path, split: str) -> AnnotatedPictures:
    points = np.array(json.loads(path.read_text())["dots"], dtype=float)
    persons = [Annotation("a.jpg", points, np.full(14, 2, np.uint8))]
    return AnnotatedPictures("dots", split, LSP14, persons)


def test_a_data_set_of_ones_own_is_one_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its label files are found in a folder, recognised alone, and checked."""
    info = DatasetInfo(
        title="Dots",
        splits={"train": 1, "val": 1},
        joints=14,
        files={"train": ("dots.json",), "val": ("held.json",)},
        labels=dots_labels,
        recognise=lambda form, content: (
            (dots_labels, "train") if form == ".json" and "dots" in content else None
        ),
        forms="a JSON of dots",
    )
    monkeypatch.setitem(DATASETS, "dots", info)
    path = tmp_path / "dots.json"
    path.write_text(json.dumps({"dots": [[n, 2 * n] for n in range(14)]}))
    with pytest.raises(UserError, match=r"no images/ here.*dots\.json"):
        open_pictures("dots", tmp_path, "train")
    with pytest.raises(UserError, match=r"'val' of Dots needs held\.json.*holds dots\.json"):
        open_pictures("dots", tmp_path, "val")
    assert (read_labels(path).name, read_labels(path).split) == ("dots", "train")
    (tmp_path / "images").mkdir()
    labels = open_pictures("dots", tmp_path, "train")
    assert labels.picture(labels.annotations[0]) == tmp_path / "images" / "a.jpg"
    found = inspect_folder(read_folder("dots", tmp_path))
    assert found.absent == {"val": "needs held.json"}
    assert [finding.kind for finding in found.findings] == ["missing-pictures"]


def test_what_a_data_set_teaches_and_needs_is_in_its_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No command knows the bundled ones by their names: the same follows for others."""

    def nobody(root: Path, split: str) -> AnnotatedPictures:
        absent = np.full(14, JointState.ABSENT, np.uint8)
        person = Annotation("a.png", np.zeros((14, 2)), absent, box=np.array([0, 0, 39.0, 39]))
        return AnnotatedPictures("moors", split, LSP14, [person], root)

    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    kinds = {
        "moors": DatasetInfo(
            title="Moors", splits={"all": None}, joints=14, read=nobody, teaches="nobody"
        ),
        "robots": DatasetInfo(
            title="Robots", splits={"1-3": 3}, joints=14, drawn=datasets.SyntheticFigures
        ),
    }
    for name, info in kinds.items():
        monkeypatch.setitem(DATASETS, name, info)
    assert "robots" in datasets.scored_sets() and "moors" not in datasets.scored_sets()
    assert not {"robots", "moors"} & set(datasets.photograph_sets())
    assert len(datasets.open_dataset("robots", None, "1-3")) == 3
    assert datasets.split_size("robots", None, "1-3") == (3, 14)
    with pytest.raises(UserError, match="'robots' has no pictures in files"):
        open_pictures("robots", tmp_path, "1-3")
    with pytest.raises(UserError, match="robots figures are drawn when they are asked for"):
        read_folder("robots", None)
    with pytest.raises(UserError, match=r"'moors' has no joints.*those that have.*robots"):
        datasets.default_protocol("moors")
    assert inspect_folder(read_folder("moors", tmp_path)).findings == []
    with pytest.raises(UserError, match="'moors' has no joints to be scored by"):
        parse_recipe(
            {"name": "r", "data": {"dataset": "moors", "holdout": "all"}}, source="a recipe"
        )


def test_a_labelled_joint_that_is_nowhere_is_an_error_of_its_file(tmp_path: Path) -> None:
    joints = np.ones((14, 3, 4), np.float32)
    joints[5, 1, 2] = np.inf
    path = tmp_path / "joints.mat"
    scipy.io.savemat(path, {"joints": joints})
    for read in (lambda: read_labels(path), lambda: datasets.dataset_info("lspet").persons(
        tmp_path, "all"
    )):  # fmt: skip
        with pytest.raises(
            UserError, match=r"tmp.*joint's coordinates are not finite; the labels"
        ) as e:
            read()
        assert "im00003.jpg" in str(e.value)
