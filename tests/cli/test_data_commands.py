"""``spcnet data`` on folders as people have them: whole, half downloaded, mixed up."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from label_samples import COCO, SAMPLES, sample, write
from PIL import Image
from result_documents import SCHEMA, check_result, old_answer, old_coco, old_frames, video_document

from spcnet.cli.main import main
from spcnet.data.datasets import photograph_sets, scored_sets
from spcnet.data.formats.table import FORMATS
from spcnet.data.store import PackedStore


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Data:
    """``spcnet data ...`` in this process, as it is asked many things; a traceback fails a test."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> Done:
        self.monkeypatch.setattr(sys, "argv", ["spcnet", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = self.capsys.readouterr()
        return Done(int(left.value.code or 0), out, err)

    def fails(self, *arguments: object, told: str) -> None:
        """The command ends with 1, prints nothing, and says one clear line."""
        check_failure(self(*arguments), told)


def check_failure(done: "Done | subprocess.CompletedProcess[str]", told: str) -> None:
    assert done.returncode == 1, done.stdout
    errors = [line for line in done.stderr.splitlines() if line.startswith("spcnet: error: ")]
    assert len(errors) == 1, done.stderr
    assert re.search(told, errors[0]), errors[0]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Data:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    return Data(monkeypatch, capsys)


@pytest.fixture
def leeds(tmp_path: Path) -> Path:
    """LSP extended with four pictures; the third's left wrist is far outside."""
    rng = np.random.default_rng(0)
    joints = np.ones((14, 3, 4))
    joints[:, :2] = rng.uniform(10, 70, (14, 2, 4))
    joints[10:12, 2, 1] = 0
    joints[11, :2, 2] = 300, 20
    root = tmp_path / "lspet"
    (root / "images").mkdir(parents=True)
    scipy.io.savemat(root / "joints.mat", {"joints": joints})
    for n in range(1, 5):
        noise = rng.integers(0, 255, (80, 80, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / "images" / f"im{n:05d}.jpg")
    return root


def test_help_names_every_data_set(data: Data) -> None:
    for command in ("check", "browse", "pack"):
        text = data(command, "--help").stdout
        assert "Example: spcnet data" in text
        for name in photograph_sets() if command == "check" else scored_sets():
            assert re.search(rf"\b{name}\b", text), (command, name)


def test_a_check_tells_all_that_is_wrong_with_a_folder(data: Data, leeds: Path) -> None:
    images = leeds / "images"
    (images / "im00001.jpg").unlink()
    (images / "im00003.jpg").write_bytes((images / "im00004.jpg").read_bytes())
    (images / "im00002.jpg").write_bytes((images / "im00002.jpg").read_bytes()[:2000])
    command = ("check", "lspet", "--root", leeds, "--split", "1-3", "--split", "4")
    done = data(*command)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    report = " ".join(done.stdout.split())
    for told in (
        "1-3 3 - 3 1 1",
        "4 1 - 1 0 0",
        "missing pictures: 1 of 4 im00001.jpg",
        "unreadable pictures: 1 of 3 im00002.jpg: ",
        "leak, pictures that are in two splits: 1 of 4",
        "im00003.jpg (1-3) = im00004.jpg (4)",
        "left_wrist at (300.0, 20.0) in 80 x 80, 219.5 px outside",
        "Johnson, Everingham: Learning Effective Human Pose Estimation",
        "Cannot be used as it is",
    ):
        assert told in report, told
    assert max(map(len, done.stdout.splitlines()[1:])) <= 100  # the first one names the folder
    as_json = json.loads(data(*command, "--json", "--fast").stdout)
    assert as_json["usable"] is False
    assert [row["missing"] for row in as_json["splits"]] == [1, 0]
    kinds = {finding["kind"]: finding["count"] for finding in as_json["findings"]}
    assert kinds == {"missing-pictures": 1, "leaks": 1, "joints-outside": 1}  # headers alone


def test_a_whole_folder_exits_with_0(data: Data, leeds: Path) -> None:
    done = data("check", "lspet", "--root", leeds, "--split", "1-2")
    assert done.returncode == 0, done.stdout
    assert "Can be used; every picture that is there was decoded." in done.stdout
    assert "Problems" not in done.stdout


def test_wrong_folders_get_one_line(data: Data, tmp_path: Path, leeds: Path) -> None:
    data.fails(
        "check", "mpii", "--root", leeds, told=r"needs mpii_annotations.json.*holds images/, join"
    )
    data.fails("check", "lspet", "--root", tmp_path / "gone", told="gone: not there; .*joints.mat")
    data.fails("check", "synthetic", told="no folder to check")
    data.fails(
        "browse", "mpii", "--root", leeds, "-o", tmp_path / "o", told="mpii_annotations.json"
    )
    assert not (tmp_path / "o").exists()


def test_the_command_itself_shows_no_traceback(leeds: Path) -> None:
    labels = leeds / "joints.mat"
    labels.write_bytes(labels.read_bytes()[:900])
    command = [sys.executable, "-m", "spcnet", "data", "check", "lspet", "--root", str(leeds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    check_failure(done, told="half a download")


def test_files_cut_short_get_one_line(data: Data, tmp_path: Path, leeds: Path) -> None:
    labels = leeds / "joints.mat"
    labels.write_bytes(labels.read_bytes()[:900])
    told = r"joints.mat: not the joints.mat of LSP extended, or half a download"
    data.fails("check", "lspet", "--root", leeds, told=told)
    data.fails("pack", "lspet", "--root", leeds, "-o", tmp_path / "store", told=told)
    (leeds / "mpii_annotations.json.gz").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\0")
    data.fails("check", "mpii", "--root", leeds, told="json.gz: .*half a download")
    (leeds / "train.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90))
    pytest.importorskip("h5py")
    data.fails("check", "flic", "--root", leeds, told="train.h5: .*half a download")


def test_swapped_files_are_told_apart(data: Data, leeds: Path) -> None:
    joints = scipy.io.loadmat(leeds / "joints.mat")["joints"].transpose(1, 0, 2)
    scipy.io.savemat(leeds / "joints.mat", {"joints": joints})
    data.fails("check", "lspet", "--root", leeds, told=r"must be 14 x 3 x N, .* LSP's own file")
    h5py = pytest.importorskip("h5py")
    with h5py.File(leeds / "train.h5", "w") as file:
        columns = ("center", "imgname", "index", "normalize", "person", "scale", "visible")
        for name in columns:
            file[name] = np.zeros((2, 2))
        file["part"] = np.zeros((2, 11, 2))
    data.fails("check", "mpii", "--root", leeds, told=r"must be N x 16 x 2, .*FLIC's file")


def test_browsing_writes_a_sheet_and_a_page(data: Data, tmp_path: Path, leeds: Path) -> None:
    (leeds / "images" / "im00001.jpg").unlink()
    (leeds / "images" / "im00003.jpg").write_bytes(b"")
    out = tmp_path / "out"
    command = ("browse", "lspet", "--root", leeds, "--split", "all", "-o", out)
    done = data(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(out / "sheet.png"), str(out / "index.html")]
    assert "2 of 4 persons; passed over: 1 without a picture file, 1 with a" in done.stderr
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width >= 2 * 256
    page = (out / "index.html").read_text()
    assert re.findall(r'alt="(.*?)"', page) == [
        "Person 2 in im00002.jpg: 12 of 14 joints labelled; missing left elbow, left wrist",
        "Person 4 in im00004.jpg: 14 of 14 joints labelled",
    ]
    assert {path.name for path in out.iterdir()} == {"sheet.png", "index.html"}
    data.fails(*command, told="--force")
    assert data(*command, "--force", "--first", 4).returncode == 0
    assert len(re.findall("alt=", (out / "index.html").read_text())) == 1
    data.fails(*command, "--force", "--first", 5, told="this split has 4 persons")
    assert data(*command, "--first", 1, "--random", 1).returncode == 2


def test_browsing_at_random_is_the_same_for_a_seed(data: Data, tmp_path: Path) -> None:
    def shown(seed: int) -> list[str]:
        done = data(
            "browse", "synthetic", "--random", seed, "--count", 3, "-o", tmp_path, "--force"
        )
        assert done.returncode == 0, done.stderr
        return re.findall(r"<h2>(\S+)</h2>", (tmp_path / "index.html").read_text())

    first = shown(1)
    assert len(set(first)) == 3
    assert shown(1) == first != shown(2)


def test_nobody_to_show_is_told(data: Data, tmp_path: Path, leeds: Path) -> None:
    for picture in (leeds / "images").iterdir():
        picture.unlink()
    data.fails(
        "browse",
        "lspet",
        "--root",
        leeds,
        "--split",
        "all",
        "-o",
        tmp_path / "o",
        told="nobody to show; passed over: 4 without a picture file",
    )


def test_packing_takes_a_crop_rule_and_by_default_the_data_sets(
    data: Data, tmp_path: Path, leeds: Path
) -> None:
    sides = {}
    for name, options in (("own", ()), ("height", ("--crop", "lsp-height"))):
        done = data(
            "pack", "lspet", "--root", leeds, "--split", "1-2", "-o", tmp_path / name, *options
        )
        assert done.returncode == 0, done.stderr
        sides[name] = PackedStore(tmp_path / name).persons.sides
    assert (sides["height"] == 100).all()  # 1.25 times 80 pixels
    assert (sides["own"] < 80).all()
    data.fails(
        "pack",
        "lspet",
        "--root",
        leeds,
        "-o",
        tmp_path / "new",
        "--crop",
        "tight",
        told="unknown crop rule 'tight'; there are box, mpii, lsp-height",
    )
    data.fails(
        "pack", "coco", "--root", leeds, "-o", tmp_path / "new", told="no keypoint file here"
    )


def test_the_real_folders_are_read_as_they_are(data: Data, shared_data: Path) -> None:
    done = data("check", "lsp", "--root", shared_data / "lsp")
    assert done.returncode == 1
    assert "missing pictures: 1,997 of 2,000 (99." in done.stdout
    done = data("check", "lspet", "--root", shared_data / "lspet", "--fast", "--json")
    assert done.returncode == 0
    assert [row["persons"] for row in json.loads(done.stdout)["splits"]] == [8060, 800]


def test_results_of_earlier_versions_are_converted(data: Data, tmp_path: Path) -> None:
    for name, make, counts in (
        ("video", old_frames, "4 images, 4 poses"),
        ("answer", old_answer, "1 image, 1 pose"),
        ("poses", old_coco, "2 images, 2 poses"),
        ("today", video_document, "4 images, 4 poses"),
    ):
        old, new = tmp_path / f"{name}.json", tmp_path / "new" / f"{name}.json"
        old.write_text(json.dumps(make()))
        done = data("convert", old, "-o", new)
        assert (done.returncode, done.stdout) == (0, f"{old} -> {new}: {counts}\n"), done.stderr
        check_result(json.loads(new.read_text()))
    assert json.loads((tmp_path / "new" / "today.json").read_text()) == video_document()


def test_a_conversion_overwrites_nothing_and_fails_in_one_line(data: Data, tmp_path: Path) -> None:
    old, mine = tmp_path / "old.json", tmp_path / "mine.json"
    old.write_text(json.dumps(old_frames()))
    mine.write_text("precious")
    data.fails(
        "convert", old, "-o", mine, told=r"mine\.json: already exists; --force overwrites it"
    )
    assert mine.read_text() == "precious"
    assert data("convert", old, "-o", mine, "--force").returncode == 0
    check_result(json.loads(mine.read_text()))
    (tmp_path / "labels.json").write_text('{"people": []}')
    nowhere = tmp_path / "x" / "new.json"
    data.fails("convert", tmp_path / "labels.json", "-o", nowhere,
               told=r"labels\.json: no results that can be read; it holds people; ")  # fmt: skip
    data.fails("convert", tmp_path / "no.json", "-o", nowhere, told=r"no\.json: no such file")
    assert not nowhere.parent.exists()


def test_labels_are_converted_to_a_new_folder(data: Data, tmp_path: Path) -> None:
    source, out = sample("cvat", tmp_path / "cvat"), tmp_path / "out"
    done = data("convert", source, "-o", out, "--to", "dlc")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{source} -> {out} (DeepLabCut): 1 picture, 2 persons\n"
    assert done.stderr.splitlines() == [
        "lost in DeepLabCut: occluded joints, which become visible (1)",
        "lost in DeepLabCut: boxes, in place of which those of the joints stand (2)",
        "lost in DeepLabCut: limbs of the skeleton (2)",
        f"the pictures belong in {out}/labeled-data; copy them there",
    ]
    data.fails("convert", source, "-o", out, "--to", "coco", told="out: already exists; remove it")
    new = tmp_path / "new"
    data.fails("convert", source, "-o", new, "--to", "labelmee",
               told="unknown format of labels 'labelmee'; did you mean 'labelme'")  # fmt: skip
    data.fails("convert", source, "-o", new, "--to", "roboflow", told="read only; choose coco")
    data.fails("convert", source, "-o", new, "--to", "coco", "--from", "dlc",
               told="DeepLabCut has CollectedData_.*, and this has not")  # fmt: skip
    data.fails("convert", tmp_path / "no.xml", "-o", new, "--to", "coco", told=r"no\.xml: no such")
    (tmp_path / "a.xml").write_text("<html/>")
    data.fails("convert", tmp_path / "a.xml", "-o", new, "--to", "coco", told="holds no labels th")
    for wrong in (["--to", "coco", "--force"], [], ["--from", "cvat"]):
        assert data("convert", source, "-o", new, *wrong).returncode == 2
    assert not new.exists()


def test_a_record_that_is_no_person_is_named_when_labels_are_converted(
    data: Data, tmp_path: Path
) -> None:
    rows = [*COCO["annotations"], {"id": 3, "image_id": 1, "category_id": 9, "bbox": [0, 0, 5, 5]}]
    write(tmp_path, {"labels.json": COCO | {"annotations": rows}})
    done = data("convert", tmp_path / "labels.json", "-o", tmp_path / "out", "--to", "yolo")
    assert "passed over: 1 annotations of other categories" in done.stderr


@pytest.mark.parametrize("name", SAMPLES)
def test_labels_of_any_tool_are_checked_by_their_path(
    name: str, data: Data, tmp_path: Path
) -> None:
    source = sample(name, tmp_path / "here")
    done = data("check", source)
    assert done.returncode == 0, done.stderr
    title = "COCO keypoints, or own data" if name == "coco" else FORMATS[name].title
    assert done.stdout.startswith(title)
    line = f"spcnet data convert {source} -o FOLDER --to coco"
    assert (line in done.stderr) == (name != "coco")
    again = data("check", "coco", "--root", source)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    found = json.loads(data("check", source, "--json").stdout)
    assert [row["persons"] for row in found["splits"]] == [2] * len(found["splits"])
    for picture in source.rglob("a.png"):
        picture.unlink()
    assert data("check", source).returncode == 1


def test_the_schema_of_results_is_printed(data: Data) -> None:
    done = data("schema")
    assert done.returncode == 0 and json.loads(done.stdout) == SCHEMA
