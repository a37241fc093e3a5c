"""Folders that are whole, and folders that are not."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image

from spcnet.data.datasets import open_pictures
from spcnet.data.inspection import Finding, Inspection, inspect_folder, read_folder
from spcnet.errors import UserError

JOINTS = ["left_shoulder", "right_shoulder", "left_hip", "right_hip"]
CATEGORY = {"id": 1, "name": "torso", "keypoints": JOINTS, "skeleton": [[1, 2], [3, 4]]}
INSIDE = [[10, 10], [30, 10], [10, 50], [30, 50]]


def write_picture(path: Path, shade: int, size: tuple[int, int] = (40, 60)) -> None:
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(shade).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, quality=90)


def person(points: Any = INSIDE, flags: Any = (2, 2, 2, 2)) -> list[float]:
    return np.column_stack([np.array(points, dtype=float), flags]).ravel().tolist()


def bbox(keypoints: list[float]) -> list[float]:
    """COCO's of all joints."""
    points = np.array(keypoints).reshape(-1, 3)[:, :2]
    return [*points.min(axis=0).tolist(), *np.ptp(points, axis=0).tolist()]


def write_coco(path: Path, persons: dict[str, list[float]], **fields: Any) -> None:
    """A keypoint file with one person a picture."""
    path.parent.mkdir(exist_ok=True)
    content = {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(persons)],
        "annotations": [
            {"id": 70 + n, "image_id": n, "category_id": 1, "keypoints": keypoints}
            | {"bbox": bbox(keypoints), **fields}
            for n, keypoints in enumerate(persons.values())
        ],
        "categories": [CATEGORY],
    }
    path.write_text(json.dumps(content))


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Three pictures for training and two held out, 40 x 60 pixels."""
    for split, names in (("train", ("a", "b", "c")), ("val", ("d", "e"))):
        write_coco(tmp_path / f"{split}.json", {f"{name}.jpg": person() for name in names})
        for name in names:
            write_picture(tmp_path / "images" / f"{name}.jpg", ord(name))
    return tmp_path


def inspect(name: str, root: Path, *splits: str, fast: bool = False) -> Inspection:
    return inspect_folder(read_folder(name, root, splits), fast=fast)


def only(inspection: Inspection, kind: str) -> Finding:
    """The finding of a kind, which must be the only one at all."""
    (finding,) = inspection.findings
    assert finding.kind == kind
    return finding


def test_a_whole_folder_can_be_used_and_nothing_is_found(coco: Path) -> None:
    opened: list[int] = []
    found = inspect_folder(read_folder("coco", coco), report=opened.append)
    assert found.findings == []
    assert found.usable
    assert [(row.split, row.persons, row.pictures, row.missing) for row in found.splits] == [
        ("train", 3, 3, 0), ("val", 2, 2, 0)
    ]  # fmt: skip
    assert opened == [1, 2, 3, 4, 5]
    assert "Lin et al." in found.citation and "CC BY" in found.terms


def test_missing_pictures_are_named_even_the_first(coco: Path) -> None:
    (coco / "images" / "a.jpg").unlink()
    (coco / "images" / "e.jpg").unlink()
    found = inspect("coco", coco)
    finding = only(found, "missing-pictures")
    assert (finding.count, finding.of, finding.examples) == (2, 5, ["a.jpg", "e.jpg"])
    assert not found.usable
    assert [row.missing for row in found.splits] == [1, 1]


def test_what_lies_there_instead_is_told_where_most_is_missing(coco: Path) -> None:
    for picture in (coco / "images").iterdir():
        if picture.name not in ("a.jpg", "e.jpg"):
            picture.rename(picture.with_suffix(".png"))
    assert "a.jpg, b.png, c.png and 2 more" in only(inspect("coco", coco), "missing-pictures").note


def test_a_picture_cut_short_is_found_by_decoding_and_not_by_its_header(coco: Path) -> None:
    picture = coco / "images" / "b.jpg"
    picture.write_bytes(picture.read_bytes()[:-700])
    finding = only(inspect("coco", coco), "unreadable-pictures")
    assert (finding.count, finding.of) == (1, 5)
    assert finding.examples[0].startswith("b.jpg: ")
    assert inspect("coco", coco, fast=True).usable


@pytest.mark.parametrize("fast", [False, True])
def test_an_empty_file_and_a_text_are_no_pictures(coco: Path, fast: bool) -> None:
    (coco / "images" / "a.jpg").write_bytes(b"")
    (coco / "images" / "b.jpg").write_text("moved")
    finding = only(inspect("coco", coco, fast=fast), "unreadable-pictures")
    assert finding.count == 2
    assert "empty" in finding.examples[0]
    assert "not a picture" in finding.examples[1]


def test_a_copy_in_another_split_is_a_leak_and_in_the_same_split_a_duplicate(coco: Path) -> None:
    images = coco / "images"
    (images / "e.jpg").write_bytes((images / "a.jpg").read_bytes())
    (images / "c.jpg").write_bytes((images / "b.jpg").read_bytes())
    found = inspect("coco", coco)
    kinds = {finding.kind: finding.examples for finding in found.findings}
    assert kinds == {"leaks": ["a.jpg (train) = e.jpg (val)"], "duplicates": ["b.jpg = c.jpg"]}
    assert found.usable


def test_a_picture_that_two_splits_name_is_a_leak(coco: Path) -> None:
    write_coco(coco / "val.json", {"a.jpg": person(), "e.jpg": person()})
    finding = only(inspect("coco", coco), "leaks")
    assert (finding.count, finding.of, finding.examples) == (1, 4, ["a.jpg is in train and val"])


def test_joints_outside_are_measured_and_the_worst_come_first(coco: Path) -> None:
    # The picture reaches from -0.5 to 39.5 and 59.5: the third joint lies just within.
    outside = [[-4.5, 10], [44.5, 66], [39.5, 59.5], [900, 900]]
    persons = {"d.jpg": person(outside, (2, 1, 2, 0)), "e.jpg": person()}
    write_coco(coco / "val.json", persons, bbox=None)
    finding, of_joints = inspect("coco", coco).findings
    assert (finding.kind, of_joints.kind) == ("joints-outside", "boxes-of-joints")
    assert (of_joints.count, of_joints.of, of_joints.note) == (2, 5, "val 2")
    assert of_joints.examples == ["d.jpg annotation 70", "e.jpg annotation 71"]
    assert (finding.count, finding.of) == (2, 19)
    assert finding.examples == [
        "d.jpg #70: right_shoulder at (44.5, 66.0) in 40 x 60, 6.5 px outside",
        "d.jpg #70: left_shoulder at (-4.5, 10.0) in 40 x 60, 4.0 px outside",
    ]
    assert inspect("coco", coco).usable


@pytest.mark.parametrize("fast", [False, True])
def test_a_picture_on_its_side_is_measured_upright(coco: Path, fast: bool) -> None:
    sideways = Image.Exif()
    sideways[0x0112] = 6
    Image.new("RGB", (60, 40)).save(coco / "images" / "d.jpg", exif=sideways)
    assert inspect("coco", coco, fast=fast).findings == []


def test_boxes_that_show_nobody_and_persons_without_joints(coco: Path) -> None:
    point = [[10, 10]] * 4
    small = [[10, 10], [14, 10], [10, 14], [14, 14]]
    write_coco(coco / "train.json", {"a.jpg": person(point), "b.jpg": person(small)})
    write_coco(coco / "val.json", {"d.jpg": person(flags=[0] * 4)}, bbox=[5, 5, 20, 30])
    found = {finding.kind: finding for finding in inspect("coco", coco).findings}
    assert found["degenerate-boxes"].examples == [
        "a.jpg #70: box of 0 x 0 px", "b.jpg #71: crop of 5.0 px"
    ]  # fmt: skip
    assert (found["no-joints"].count, found["no-joints"].note) == (1, "val 1")
    assert (found["no-reference"].count, found["no-reference"].of) == (1, 2)  # the box is a point
    assert found["boxes-of-joints"].examples == ["a.jpg annotation 70"]
    assert len(found) == 4


@pytest.mark.parametrize(
    ("bbox", "kind", "example"),
    [
        ([8, 10, 25, 45], None, ""),
        ([-9, 10, 40, 45], "boxes-outside", "box -9,10 of 40 x 45 px in 40 x 60"),
        (
            [0, 0, 20, 20],
            "boxes-elsewhere",
            "box 0,0 of 20 x 20 px holds 25% of the labelled joints",
        ),
    ],
)
def test_boxes_in_another_form_or_of_somebody_else_are_told(
    coco: Path, bbox: list[int], kind: str | None, example: str
) -> None:
    joints = [[12, 15], [30, 15], [12, 50], [30, 50]]  # of a picture of 40 x 60
    write_coco(coco / "val.json", {"d.jpg": person(joints)}, bbox=bbox)
    found = {finding.kind: finding for finding in inspect("coco", coco).findings}
    assert list(found) == ([kind] if kind else [])
    if kind:
        assert found[kind].examples == [f"d.jpg #70: {example}"]
        assert "x, y, width, height" in found[kind].note


@pytest.mark.parametrize(("right", "told"), [(1, True), (2, False)])
def test_boxes_that_are_corners_cannot_be_used(coco: Path, right: int, told: bool) -> None:
    joints = [[12, 15], [30, 15], [12, 50], [30, 50]]
    write_coco(coco / "train.json", dict.fromkeys(["a.jpg", "b.jpg", "c.jpg"], person(joints)))
    content = json.loads((coco / "train.json").read_text())
    for row in content["annotations"][right:]:
        row["bbox"] = [10, 12, 33, 55]
    content["annotations"][0]["bbox"] = [9, 12, 22, 40]  # x, y, width, height
    (coco / "train.json").write_text(json.dumps(content))
    found = inspect("coco", coco, "train")
    kinds = {finding.kind: finding for finding in found.findings}
    assert (("boxes-of-corners" in kinds), found.usable) == (told, not told)
    if told:
        corners = kinds["boxes-of-corners"]
        assert (corners.count, corners.of) == (2, 3)
        assert corners.examples == ["b.jpg: bbox 10,12,33,55", "c.jpg: bbox 10,12,33,55"]
        assert corners.note == "write x1 - x0 and y1 - y0 in place of x1 and y1"


def test_coordinates_of_null_are_counted_apart_from_joints_without_a_label(coco: Path) -> None:
    nulls = person(flags=(2, 0, 2, 2))
    write_coco(coco / "val.json", {"d.jpg": nulls, "e.jpg": person()}, bbox=[8, 8, 30, 50])
    content = json.loads((coco / "val.json").read_text())
    content["annotations"][1]["keypoints"][9:] = [None, None, 0]
    (coco / "val.json").write_text(json.dumps(content))
    finding = only(inspect("coco", coco), "null-joints")
    assert (finding.count, finding.of) == (1, 20)
    assert finding.examples == ["e.jpg annotation 71: right_hip"]


def test_a_number_that_comes_twice_is_told(coco: Path) -> None:
    persons = {"a.jpg": person(), "b.jpg": person(), "c.jpg": person()}
    write_coco(coco / "train.json", persons)
    content = json.loads((coco / "train.json").read_text())
    content["annotations"][2]["id"] = 70  # the first one's
    (coco / "train.json").write_text(json.dumps(content))
    finding = only(inspect("coco", coco), "repeated-numbers")
    assert (finding.count, finding.of, finding.examples) == (1, 5, ["c.jpg #70"])


def test_only_the_splits_that_are_asked_for_are_read(coco: Path) -> None:
    (coco / "train.json").write_text("{")
    assert inspect("coco", coco, "val").usable
    broken = only(inspect("coco", coco), "broken-labels")
    assert (broken.count, broken.of) == (1, 2)
    assert "half a download" in broken.examples[0]
    with pytest.raises(UserError, match="half a download"):
        read_folder("coco", coco, ["train"])


def test_a_file_alone_is_its_own_split(coco: Path) -> None:
    found = inspect("coco", coco / "val.json")
    assert [row.split for row in found.splits] == ["val"]
    assert found.usable


def leeds(folder: Path, count: int, *, extended: bool) -> Path:
    """LSP or its extension with so many persons and two pictures."""
    joints = np.ones((14, 3, count))
    joints[:, 0] = np.linspace(5, 40, 14)[:, None]
    joints[:, 1] = np.linspace(5, 60, 14)[:, None]
    if not extended:
        joints = joints.transpose(1, 0, 2)
    folder.mkdir()
    scipy.io.savemat(folder / "joints.mat", {"joints": joints})
    for n in (1, 2):
        write_picture(folder / "images" / f"im{n:0{5 if extended else 4}d}.jpg", n)
    return folder


def test_a_file_that_counts_from_one_may_name_the_last_pixel(tmp_path: Path) -> None:
    found = inspect("lspet", leeds(tmp_path / "lspet", 4, extended=True), "1-2")
    assert found.findings == []  # the last joint is at (40, 60), in pictures of 40 x 60


def test_leeds_without_pictures_tells_of_its_labels(tmp_path: Path) -> None:
    root = leeds(tmp_path / "lsp", 2000, extended=False)
    for picture in (root / "images").iterdir():
        picture.unlink()
    (root / "images").rmdir()
    found = inspect("lsp", root)
    assert [(row.split, row.persons, row.expected, row.missing) for row in found.splits] == [
        ("train", 1000, 1000, 1000), ("test", 1000, 1000, 1000)
    ]  # fmt: skip
    finding = only(found, "missing-pictures")
    assert (finding.count, finding.of, len(finding.examples)) == (2000, 2000, 5)
    assert "no images/" in finding.note


def test_leeds_of_another_size_is_no_release(tmp_path: Path) -> None:
    found = inspect("lspet", leeds(tmp_path / "lspet", 4, extended=True))
    (broken,) = [finding for finding in found.findings if finding.kind == "broken-labels"]
    assert "4 labelled persons" in broken.examples[0]
    assert "8,860 or 10,000" in broken.examples[0]
    assert [(row.split, row.persons, row.missing) for row in found.splits] == [("all", 4, 2)]


def test_the_official_extension_has_no_validation_images(tmp_path: Path) -> None:
    found = inspect("lspet", leeds(tmp_path / "lspet", 10000, extended=True), fast=True)
    assert [row.split for row in found.splits] == ["train"]
    assert list(found.absent) == ["val"]
    assert {finding.kind for finding in found.findings} == {"missing-pictures"}


def test_mpii_lists_what_its_json_cannot_tell(tmp_path: Path) -> None:
    joints = np.column_stack([np.arange(1, 17) * 2.0, np.arange(1, 17) * 3.0, np.ones(16)])
    headless = joints.copy()
    headless[8:10] = 0  # neck and head top, which the reference length is taken from
    rows = [
        {
            "img_paths": f"{n}.jpg", "joint_self": values.tolist(), "objpos": [20, 30],
            "scale_provided": 0.2, "isValidation": float(n == 2), "annolist_index": n,
            "people_index": 1,
        }
        for n, values in ((1, headless), (2, joints))
    ]  # fmt: skip
    packed = gzip.compress(json.dumps(rows).encode())
    (tmp_path / "mpii_annotations.json.gz").write_bytes(packed)
    for n in (1, 2):
        write_picture(tmp_path / "images" / f"{n}.jpg", n)
    found = inspect("mpii", tmp_path)
    assert sorted(found.absent) == ["test", "trainval"]
    assert "mpii_human_pose_v1_u12_1.mat" in found.absent["test"]
    kinds = {finding.kind: finding for finding in found.findings}
    assert kinds["wrong-counts"].examples == [
        "train: 1 person, should be 22,246", "val: 1 person, should be 2,958"
    ]  # fmt: skip
    assert kinds["no-reference"].examples == ["1.jpg #1001"]
    assert "mpii-tompson" in kinds["no-reference"].note
    assert set(kinds) == {"wrong-counts", "no-reference"}
    with pytest.raises(
        UserError, match=r"split 'test' of MPII .*needs mpii_human_pose_v1_u12_1\.mat"
    ):
        read_folder("mpii", tmp_path, ["test"])
    with pytest.raises(UserError, match=r"unknown split 'dev'.*train, val, trainval, test"):
        read_folder("mpii", tmp_path, ["dev"])


def test_flic_persons_without_a_torso_box_cannot_be_cropped(tmp_path: Path) -> None:
    coords = np.full((2, 29), np.nan)
    coords[:, :17] = np.arange(10, 27)
    fields = {"coords": coords, "filepath": "a.jpg", "istrain": 1, "istest": 0}
    boxed = {**fields, "filepath": "b.jpg", "torsobox": [10.0, 10.0, 20.0, 20.0]}
    names = ("coords", "filepath", "istrain", "istest", "torsobox")
    examples = np.zeros((1, 2), dtype=[(name, "O") for name in names])
    for n, example in enumerate(({**fields, "torsobox": []}, boxed)):
        examples[0, n] = tuple(example[name] for name in names)
    scipy.io.savemat(tmp_path / "examples.mat", {"examples": examples})
    found = inspect("flic", tmp_path, "train")
    (finding,) = [finding for finding in found.findings if finding.kind == "uncroppable"]
    assert (finding.count, finding.of, finding.problem) == (1, 2, True)
    assert "torso box" in finding.examples[0]


def test_what_is_no_data_set_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="synthetic figures are drawn"):
        read_folder("synthetic", tmp_path)
    with pytest.raises(UserError, match="did you mean 'lspet'"):
        read_folder("lspett", tmp_path)
    with pytest.raises(UserError, match="--root PATH"):
        read_folder("mpii", None)
    (tmp_path / "notes.txt").touch()
    for name, wanted in (("mpii", "mpii_annotations.json"), ("flic", "examples.mat"),
                         ("lsp", "joints.mat"), ("coco", "person_keypoints_SPLIT")):  # fmt: skip
        with pytest.raises(UserError, match=f"{wanted}.*holds notes.txt"):
            read_folder(name, tmp_path)
        with pytest.raises(UserError, match="not there"):
            read_folder(name, tmp_path / "gone")


def test_the_real_extension_is_whole(shared_data: Path) -> None:
    found = inspect("lspet", shared_data / "lspet", "val")
    assert found.usable
    assert [(row.persons, row.missing, row.unreadable) for row in found.splits] == [(800, 0, 0)]
    (unmeasured,) = [finding for finding in found.findings if finding.kind == "no-reference"]
    assert (unmeasured.count, unmeasured.of) == (211, 800)  # so that 589 are scored


def test_the_real_flic_has_two_frames_in_both_splits(shared_data: Path) -> None:
    pytest.importorskip("h5py")
    found = inspect("flic", shared_data / "flic")
    assert [(row.persons, row.expected) for row in found.splits] == [(3987, 3987), (1016, 1016)]
    (leak,) = [finding for finding in found.findings if finding.kind == "leaks"]
    assert leak.count == 2
    assert "collateral-disc1-00080111.jpg is in train and test" in leak.examples


def test_pictures_of_another_size_than_they_were_labelled_at_are_told(coco: Path) -> None:
    content = json.loads((coco / "train.json").read_text())
    sizes = [(20, 30), (60, 40), (40, 60)]  # a third, turned, as it is
    for image, (width, height) in zip(content["images"], sizes, strict=True):
        image |= {"width": width, "height": height}
    (coco / "train.json").write_text(json.dumps(content))
    for fast in (False, True):
        found = only(inspect("coco", coco, "train", fast=fast), "other-sizes")
        assert (found.count, found.of, found.problem) == (2, 3, False)
        assert found.examples == [
            "a.jpg 40 x 60, labelled at 20 x 30 (resized after labelling)",
            "b.jpg 40 x 60, labelled at 60 x 40 (turned by its EXIF orientation, which the labels "
            "may not follow)",
        ]


def test_a_picture_of_another_size_is_warned_of_before_training(
    coco: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = json.loads((coco / "train.json").read_text())
    content["images"] = [image | {"width": 10, "height": 10} for image in content["images"]]
    (coco / "train.json").write_text(json.dumps(content))
    assert len(list(open_pictures("coco", coco, "train").samples())) == 3
    (line,) = caplog.messages  # of the first alone
    assert "a.jpg 40 x 60, labelled at 10 x 10 (cropped after labelling, or another" in line


def test_records_that_are_not_learned_from_are_counted_by_kind(coco: Path) -> None:
    content = json.loads((coco / "train.json").read_text())
    box = {"image_id": 0, "category_id": 1, "bbox": [5, 5, 20, 20]}
    content["annotations"] += [
        {"id": 1, **box, "keypoints": [], "bbox": [0, 0, 0, 0]},
        {"id": 2, **box, "category_id": 9},
        {"id": 3, **box, "iscrowd": 1, "segmentation": {"size": [60, 40], "counts": [2400]}},
        {"id": 4, **box, "keypoints": [0] * 12},
    ]
    (coco / "train.json").write_text(json.dumps(content))
    found = inspect("coco", coco, "train")
    assert found.usable
    counts = {of.kind: (of.count, of.of, of.examples) for of in found.findings}
    assert counts == {
        "no-joints": (1, 5, ["a.jpg #4"]),
        "crowds": (1, 5, ["a.jpg #3"]),
        "without-keypoints": (1, 7, ["a.jpg annotation 1"]),
        "other-categories": (1, 7, ["a.jpg annotation 2"]),
    }


def test_sides_that_nothing_mirrors_are_told(coco: Path) -> None:
    content = json.loads((coco / "train.json").read_text())
    content["categories"][0]["keypoints"] = ["ankle_left", "knee_right", "neck", "top"]
    (coco / "train.json").write_text(json.dumps(content))
    found = only(inspect("coco", coco, "train"), "unmirrored")
    assert (found.count, found.of) == (2, 4)
    assert found.examples == ["ankle_left", "knee_right"]


def test_missing_pictures_are_called_as_the_labels_call_them(coco: Path) -> None:
    content = json.loads((coco / "train.json").read_text())
    for image in content["images"]:
        image["file_name"] = f"/mnt/other/{image['id']}/gone.jpg"
    (coco / "train.json").write_text(json.dumps(content))
    found = only(inspect("coco", coco, "train"), "missing-pictures")
    assert found.examples[0] == "/mnt/other/0/gone.jpg"
