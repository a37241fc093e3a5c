"""``spcnet predict`` on folders, with detectors, and what it saves."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from result_documents import check_result

from spcnet.boxmaps import CHANNELS
from spcnet.checkpoints import FinderCard, load_checkpoint, load_finder, save_checkpoint
from spcnet.cli import main
from spcnet.devices import has_bfloat16
from spcnet.files import OWN_MARK
from spcnet.inference.method import digest_of
from spcnet.models.registry import create_model


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("spcnet: error:")]


class Command:
    """``spcnet predict`` in this process, with an untrained network and finder."""

    def __init__(
        self,
        model: Path,
        finder: Path,
        capsys: pytest.CaptureFixture[str],
        patch: pytest.MonkeyPatch,
    ) -> None:
        self.model, self.finder, self.capsys, self.patch = model, finder, capsys, patch

    def __call__(self, *arguments: object) -> Done:
        line = ["spcnet", "predict", *map(str, arguments), "--device", "cpu"]
        if "--model" not in arguments:
            line += ["--model", str(self.model)]
        if not {"--box", "--boxes", "--detector", "--finder"} & set(arguments):
            line += ["--finder", str(self.finder)]
        self.patch.setattr(sys, "argv", line)
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.main()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return Done(code, *self.capsys.readouterr())


@pytest.fixture
def finders(tmp_path: Path) -> dict[str, Path]:
    """Two untrained finders: one that sees people everywhere, one that never does."""
    torch.manual_seed(0)
    arguments = {"channels": 16}
    network = create_model("spcnet_s1_w64", num_joints=CHANNELS, **arguments)
    paths = {}
    for name, threshold in (("keen", 0.0), ("shy", 1.0)):
        card = FinderCard(
            variant="spcnet_s1_w64", arguments=arguments, input_size=64, threshold=threshold
        )
        paths[name] = tmp_path / f"{name}.safetensors"
        save_checkpoint(paths[name], network.state_dict(), card)
    return paths


@pytest.fixture
def predict(
    tiny_checkpoint: Path,
    finders: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    return Command(tiny_checkpoint, finders["keen"], capsys, monkeypatch)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four pictures in three folders, and other files."""
    folder = tmp_path / "my photos"
    rng = np.random.default_rng(0)
    for name in ("b.png", "a.jpg", "x/c.png", "x/y/a.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def read(path: Path) -> dict[str, Any]:
    return check_result(json.loads(path.read_text()))


def test_results_lie_as_the_folder_does(predict: Command, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = predict(photos, "-r", "-o", out)
    assert done.code == 0, done.err
    stems = ("a", "b", "x/c", "x/y/a")
    assert files(out) == {f"{s}.pose.{end}" for s in stems for end in ("jpg", "json")} | {
        "poses.json", ".predict.jsonl"
    }  # fmt: skip
    assert done.out == f"4 pictures predicted -> {out}\n"
    every = read(out / "poses.json")
    names = [image["file_name"] for image in every["images"]]
    assert names == ["a.jpg", "b.png", "x/c.png", "x/y/a.jpg"]
    assert [row["image_id"] for row in every["annotations"]] == [1, 2, 3, 4]
    single = read(out / "x/y/a.pose.json")
    assert single["images"][0]["file_name"] == "x/y/a.jpg"
    assert single["annotations"][0]["keypoints"] == every["annotations"][3]["keypoints"]


def test_a_damaged_result_fails_alone_and_is_kept(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(photos, "-r", "-o", out)
    (out / "b.pose.json").write_text("{")
    done = predict(photos, "-r", "-o", out)
    assert done.code == 1
    assert done.out == f"0 pictures predicted -> {out}, 4 were there already\n"
    assert "1 of 4 pictures failed" in done.err
    assert (out / "b.pose.json").read_text() == "{"


def test_it_goes_on_where_it_was_stopped(predict: Command, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(photos, "-r", "-o", out)
    first = read(out / "poses.json")
    (out / "b.pose.jpg").write_text("kept")
    (out / "x/c.pose.json").unlink()
    (out / "poses.json").unlink()
    done = predict(photos, "-r", "-o", out)
    assert done.code == 0, done.err
    assert done.out == f"1 picture predicted -> {out}, 3 were there already\n"
    assert (out / "b.pose.jpg").read_text() == "kept"
    assert read(out / "poses.json") == first
    again = predict(photos, "-r", "-o", out, "--force")
    assert again.out == f"4 pictures predicted -> {out}\n"
    assert Image.open(out / "b.pose.jpg").size == (30, 40)


def test_results_that_no_picture_has_any_more_stay_but_not_in_the_document_of_all(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(photos, "-o", out)
    Image.open(photos / "a.jpg").save(photos / "a.png")
    (photos / "b.png").unlink()
    done = predict(photos, "-o", out)
    assert done.code == 0, done.err
    assert {"a.jpg.pose.json", "a.png.pose.json", "a.pose.json", "b.pose.json"} <= files(out)
    assert [row["file_name"] for row in read(out / "poses.json")["images"]] == ["a.jpg", "a.png"]


def test_ctrl_c_says_how_to_go_on(
    predict: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spcnet.inference import runs as module

    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.PredictionRun, "_keep", stopped)
        done = predict(photos, "-o", tmp_path / "out")
    assert done.code == 130
    assert "the same command goes on" in done.err
    assert "Traceback" not in done.err
    assert predict(photos, "-o", tmp_path / "out").code == 0


def test_a_second_run_on_one_folder_is_refused_and_the_first_leaves_no_lock(
    predict: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spcnet.inference import runs as module

    seconds: list[Done] = []
    keep = module.PredictionRun._keep
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    line = ["--model", predict.model, "--finder", predict.finder, "--device", "cpu"]
    command = [sys.executable, "-m", "spcnet", "predict", photos, "-o", tmp_path / "out", *line]

    def meanwhile(*arguments: Any) -> Any:
        if not seconds:
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            seconds.append(Done(done.returncode, done.stdout, done.stderr))
        return keep(*arguments)

    monkeypatch.setattr(module.PredictionRun, "_keep", meanwhile)
    first = predict(photos, "-o", tmp_path / "out")
    assert (first.code, seconds[0].code) == (0, 1)
    assert "another spcnet predict writes here; wait for it, or -o" in seconds[0].errors[0]
    assert not (tmp_path / "out" / module.LOCK).exists()


def test_a_result_that_came_meanwhile_is_not_overwritten(
    predict: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spcnet.inference import runs as module

    keep = module.PredictionRun._keep

    def meanwhile(*arguments: Any) -> Any:
        (tmp_path / "out" / "b.pose.json").write_text("of another run")
        return keep(*arguments)

    monkeypatch.setattr(module.PredictionRun, "_keep", meanwhile)
    done = predict(photos / "b.png", "-o", tmp_path / "out")
    assert done.code == 1
    assert "b.pose.json: already exists" in done.errors[0]
    assert (tmp_path / "out" / "b.pose.json").read_text() == "of another run"


def test_what_a_killed_run_left_half_written_is_removed(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = [f"x/y/.a.pose.jpg{OWN_MARK}{dead.pid}", f".poses.json{OWN_MARK}{dead.pid}"]
    for name in left:
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text("half")
    assert predict(photos, "-o", tmp_path / "out", "-r").code == 0
    assert not files(tmp_path / "out") & set(left)


def test_results_of_another_method_are_not_mixed(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    predict(photos, "-o", tmp_path / "out")
    done = predict(photos, "-o", tmp_path / "out", "--flip")
    assert done.code == 1
    assert "predicted otherwise" in done.errors[0] and "--force" in done.errors[0]
    assert predict(photos, "-o", tmp_path / "out", "--flip", "--force").code == 0


@pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="this CPU has no bfloat16")
def test_results_in_other_numbers_are_not_mixed(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    predict(photos, "-o", tmp_path / "out")
    done = predict(photos, "-o", tmp_path / "out", "--precision", "bf16")
    assert done.code == 1
    assert "predicted otherwise (precision fp32, now bf16)" in done.errors[0]


def test_results_of_another_folder_are_not_mixed(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    out, others = tmp_path / "out", tmp_path / "others"
    others.mkdir()
    Image.new("RGB", (30, 40)).save(others / "a.jpg")
    predict(photos, "-o", out)
    before = (out / "a.pose.json").read_bytes(), (out / "poses.json").read_bytes()
    done = predict(others, "-o", out)
    assert done.code == 1
    assert f"{out}: holds the results of {photos}; --force" in done.errors[0]
    assert before == ((out / "a.pose.json").read_bytes(), (out / "poses.json").read_bytes())
    assert predict(others, "-o", out, "--force").out.startswith("1 picture predicted")
    assert len(read(out / "poses.json")["images"]) == 1
    assert predict(others, "-o", out).out.startswith("0 pictures predicted")


def test_a_picture_that_changed_is_predicted_again(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(photos, "-o", out)
    Image.new("RGB", (50, 60)).save(photos / "a.jpg")
    # Of each kind of result it is known of which picture it is.
    for kind in ("json", "overlay"):
        done = predict(photos, "-o", out, "--save", kind)
        assert done.out == f"1 picture predicted -> {out}, 1 was there already\n", done.err
    assert Image.open(out / "a.pose.jpg").size == (50, 60)
    assert [row["width"] for row in read(out / "poses.json")["images"]] == [50, 30]
    # A result that was replaced by another command is none of the folder's any more.
    predict(photos / "a.jpg", "-o", out, "--force", "--flip")
    assert predict(photos, "-o", out).out.startswith("1 picture predicted")


def test_the_method_is_known_by_the_record(predict: Command, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(photos, "-o", out, "--save", "overlay")
    done = predict(photos, "-o", out, "--save", "overlay", "--flip")
    assert done.code == 1 and "predicted otherwise" in done.errors[0]
    assert predict(photos, "-o", out, "--save", "overlay").out.startswith("0 pictures predicted")
    # The record's end may be cut off when a run is killed.
    record = out / ".predict.jsonl"
    record.write_text(record.read_text()[:-5])
    assert predict(photos, "-o", out, "--save", "overlay").out.startswith("1 picture predicted")
    assert predict(photos, "-o", out, "--save", "overlay").out.startswith("0 pictures predicted")


def test_own_pictures_are_never_predicted(predict: Command, photos: Path) -> None:
    for _ in range(2):
        done = predict(photos, "-r", "-o", photos / "poses", "--save", "overlay,json,crops")
        assert done.code == 0, done.err
    assert done.out.startswith("0 pictures predicted")
    beside = predict(photos, "-r", "-o", photos, "--save", "overlay,json")
    assert beside.out.startswith("4 pictures predicted"), beside.err
    assert "x/c.pose.jpg" in files(photos)
    assert predict(photos, "-r", "-o", photos).out.startswith("0 pictures predicted")


def test_a_bad_file_stops_nothing(predict: Command, photos: Path, tmp_path: Path) -> None:
    (photos / "aa.png").write_text("no picture")
    (photos / "x" / "empty.jpg").touch()
    done = predict(photos, "-r", "-o", tmp_path / "out")
    assert done.code == 1
    assert [line.split(": ")[2] for line in done.errors] == [
        str(photos / "aa.png"), str(photos / "x/empty.jpg")
    ]  # fmt: skip
    assert "2 of 6 pictures failed" in done.err
    assert len(read(tmp_path / "out/poses.json")["images"]) == 4


def test_json_of_a_folder_is_one_document(predict: Command, photos: Path, tmp_path: Path) -> None:
    done = predict(photos, "-r", "--json")
    assert done.code == 0
    assert len(check_result(json.loads(done.out))["images"]) == 4
    assert not (tmp_path / "poses").exists()
    # With a folder of results, those that are there are in it too.
    predict(photos, "-r", "-o", tmp_path / "out")
    again = predict(photos, "-r", "-o", tmp_path / "out", "--json")
    assert "0 pictures predicted" in again.err
    assert json.loads(again.out)["annotations"] == check_result(json.loads(done.out))["annotations"]


def test_pictures_that_differ_by_suffix_keep_their_results_apart(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (9, 9)).save(photos / "A.png")
    predict(photos, "-o", tmp_path / "out", "--save", "json")
    assert files(tmp_path / "out") == {
        "A.png.pose.json", "a.jpg.pose.json", "b.pose.json", "poses.json", ".predict.jsonl"
    }  # fmt: skip


def test_each_person_has_a_crop_and_panels(predict: Command, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = predict(photos / "a.jpg", "-o", out, "--save", "crops",
                   "--box", "0,0,20,30", "--box", "5,5,30,40")  # fmt: skip
    assert done.code == 0, done.err
    assert predict(photos / "b.png", "-o", out, "--save", "attention,heatmaps").code == 0
    assert files(out) == {
        "a.crop-1.png", "a.crop-2.png", "a.pose.json",
        "b.attention-1.png", "b.heatmaps-1.png", "b.pose.json",
    }  # fmt: skip
    assert Image.open(out / "a.crop-1.png").size == (64, 64)  # the network's input
    (told,) = predict(photos / "a.jpg", "-o", out, "--save", "crops").errors
    assert "a.pose.json: was predicted otherwise (boxes 0,0,20,30 5,5,30,40, now" in told
    (told,) = predict(photos / "b.png", "-o", out, "--save", "attention").errors
    assert "b.attention-1.png: already exists; --force overwrites it" in told or "json" in told
    (told,) = predict(photos / "b.png", "-o", out / "a.pose.json").errors
    assert "a.pose.json: cannot write here (results go into a folder, and this is a file)" in told
    assert predict(photos / "a.jpg", "-o", out, "--save", "crops", "--force").code == 0
    assert "a.crop-1.png" in files(out) and "a.crop-2.png" not in files(out)


def test_folders_that_hold_nothing_leave_nothing(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    empty, out = tmp_path / "empty", tmp_path / "new" / "out"
    empty.mkdir()
    assert "no picture in this folder" in predict(empty, "-o", out).errors[0]
    (empty / "x.png").write_text("no picture")
    assert predict(empty, "-o", out).code == 1
    assert predict(empty / "x.png", "-o", out).code == 1
    assert predict(photos, "-o", out, "--model", "defalt").code == 1
    assert not out.parent.exists()
    out.mkdir(parents=True)
    predict(empty, "-o", out)
    assert out.exists()  # it was there before


def test_a_home_that_the_shell_left_alone(
    predict: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(photos))
    assert predict("~/a.jpg", "-o", tmp_path / "out").code == 0
    assert predict("~/x", "-o", "~/poses").code == 0
    assert (photos / "poses" / "c.pose.json").exists()


def test_foreign_files_in_the_way_are_left_alone(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for name in ("poses.json", "a.pose.json"):
        out.mkdir(exist_ok=True)
        (out / name).write_text('{"mine": 1}')
        done = predict(photos, "-o", out)
        assert done.code == 1 and name in done.errors[0]
        assert "already exists and was not written" in done.errors[0]
        assert files(out) == {name}
        (out / name).unlink()


def test_a_folder_in_the_place_of_the_collection_is_told(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "out" / "poses.json").mkdir(parents=True)
    for force in ((), ("--force",)):
        done = predict(photos, "-o", tmp_path / "out", *force)
        assert done.code == 1
        assert done.errors == [
            f"spcnet: error: {tmp_path / 'out/poses.json'}: is a folder; -o names another place"
        ]


def test_an_earlier_result_that_cannot_be_removed_is_told(
    predict: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = (photos / "a.jpg", "-o", tmp_path / "out", "--save", "crops", "--box", "0,0,20,30")
    predict(*crops, "--box", "5,5,30,40")
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == "a.crop-2.png":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    done = predict(*crops, "--force")
    assert done.code == 1
    assert "a.crop-2.png: cannot be removed: Permission denied" in done.errors[0]


def test_persons_by_a_detector(predict: Command, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from onnx_detectors import bright_detector

    detector = bright_detector(tmp_path / "d.onnx")
    photos = tmp_path / "photos"
    photos.mkdir()
    picture = np.full((64, 64, 3), 40, np.uint8)
    Image.fromarray(picture).save(photos / "nobody.png")
    picture[10:50, 20:40] = 250
    Image.fromarray(picture).save(photos / "one.png")
    out = tmp_path / "out"
    everything = ("--detector", detector, "--save", "overlay,json,crops")
    done = predict(photos, "-o", out, *everything)
    assert done.code == 0, done.err
    assert "persons by d.onnx (boxes, 64 x 64 px) from score 0.3" in done.err
    (person,) = read(out / "one.pose.json")["annotations"]
    assert person["bbox"] == [19.5, 9.5, 20, 40]
    assert read(out / "nobody.pose.json")["annotations"] == []
    assert "nobody.crop-1.png" not in files(out)
    again = predict(photos, "-o", out, *everything)
    assert again.out.startswith("0 pictures predicted")
    single = predict(photos / "nobody.png", "-o", tmp_path / "two", "--detector", detector)
    assert (single.code, "no person found" in single.out) == (0, True)
    wrong = predict(photos, "-o", out, "--detector", photos / "one.png")
    assert "not an ONNX model" in wrong.errors[0]


def test_boxes_of_a_file_by_score(predict: Command, photos: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    rows = [
        {"file_name": name, "bbox": [0, 0, 20, 30], "score": score}
        for name in ("a.jpg", "b.png")
        for score in (0.9, 0.4)
    ]
    boxes.write_text(json.dumps(rows))
    found = predict(photos, "--json", "--boxes", boxes, "--box-score", "0.5")
    assert len(json.loads(found.out)["annotations"]) == 2
    every = predict(photos, "--json", "--boxes", boxes)
    assert len(json.loads(every.out)["annotations"]) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("--box", "0,0,9,9", "--detector", "d.onnx"),
        ("--box-score", "0.5"),
        ("--boxes", "b.json", "--box-score", "5"),
        ("--recursive",),
        ("--line-width", "0"),
        ("--detector", "d.onnx", "--detector-kind", "v5"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_wrong_usage(predict: Command, photos: Path, arguments: tuple[str, ...]) -> None:
    assert predict(photos / "a.jpg", *arguments).code == 2


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--save", "overlay,skeletons", "'skeletons' is none of overlay, json, csv, angles, crops"),
        ("--box", "1,2,3", "--box 1,2,3: write it as x0,y0,x1,y1"),
        ("--box", "9,2,3,4", "--box 9,2,3,4: must be x0,y0,x1,y1 with x0 < x1 and y0 < y1"),
        ("--box", "1,2,nan,4", "--box 1,2,nan,4: must be x0,y0,x1,y1"),
        ("--scales", "large",
         "pyranet, chu or factors from 0.1 to 10 such as 0.8,1.0,1.2, got 'large'"),
        ("--rotations", "999", "degrees from -360 to 360 such as -30,0,30, got '999'"),
        ("--precision", "int4", "'int4' is not one of 'fp32', 'bf16', 'int8', 'auto'"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_what_is_accepted(
    predict: Command, photos: Path, option: str, value: str, told: str
) -> None:
    done = predict(photos / "a.jpg", option, value)
    assert done.code == 2
    assert told in " ".join(done.err.replace("│", " ").split())


def test_from_a_shell(photos: Path, tiny_checkpoint: Path, finders: dict[str, Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spcnet", "predict", "my photos", "-r", "--model", tiny_checkpoint,
         "--finder", finders["keen"]],
        capture_output=True, text=True, cwd=photos.parent, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "4 pictures predicted -> poses\n"), done.stderr
    assert "pictures: 4 of 4" in done.stderr and "the main person by keen" in done.stderr
    assert "x/y/a.pose.jpg" in files(photos.parent / "poses")


def test_results_have_the_joints_that_are_asked_for(predict: Command, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(np.full((60, 40, 3), 120, np.uint8)).save(photo)
    done = predict(photo, "-o", tmp_path / "out", "--skeleton", "mpii16", "--box", "0,0,39,59",
                   "--save", "overlay,json,heatmaps")  # fmt: skip
    assert done.code == 0, done.err
    document = read(tmp_path / "out" / "photo.pose.json")
    assert document["categories"][0]["keypoints"][6:8] == ["pelvis", "thorax"]
    assert len(document["annotations"][0]["keypoints"]) == 48
    assert document["info"]["method"]["skeleton"] == "mpii16"
    assert document["info"]["description"].endswith("; joints of mpii16")
    refused = predict(photo, "-o", tmp_path / "more", "--skeleton", "coco17")
    assert refused.code == 1
    assert "skeleton 'coco17'" in refused.errors[0]


def test_another_model_or_box_file_of_the_same_name_is_another_run(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    network, card = load_checkpoint(predict.model)
    for name, factor in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        weights = {key: factor * tensor for key, tensor in network.state_dict().items()}
        save_checkpoint(tmp_path / name / "model.safetensors", weights, card)
    first, second = (tmp_path / name / "model.safetensors" for name in ("a", "b"))
    assert predict(photos, "-o", tmp_path / "out", "--model", first).code == 0
    again = predict(photos, "-o", tmp_path / "out", "--model", second)
    assert again.code == 1
    digests = [digest_of(path) for path in (first, second)]
    assert f"(model model {digests[0]}, now model {digests[1]})" in again.errors[0]
    assert predict(photos, "-o", tmp_path / "out", "--model", first).out.startswith("0 pictures")

    boxes = tmp_path / "boxes.json"
    rows = [{"file_name": name, "bbox": [1, 2, 20, 30]} for name in ("a.jpg", "b.png")]
    boxes.write_text(json.dumps(rows))
    assert predict(photos, "-o", tmp_path / "two", "--boxes", boxes).code == 0
    boxes.write_text(json.dumps([{**row, "bbox": [3, 4, 20, 30]} for row in rows]))
    again = predict(photos, "-o", tmp_path / "two", "--boxes", boxes)
    assert again.code == 1
    assert "(boxes of boxes.json " in again.errors[0]


def test_other_joints_are_another_run(predict: Command, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((60, 40, 3), 120, np.uint8)).save(tmp_path / "in" / "a.png")
    assert predict(tmp_path / "in", "-o", tmp_path / "out").code == 0
    again = predict(tmp_path / "in", "-o", tmp_path / "out", "--skeleton", "mpii16")
    assert again.code == 1
    assert "was predicted otherwise" in again.errors[0]


def test_nobody_is_an_answer(predict: Command, photos: Path, finders: dict[str, Path]) -> None:
    out = photos.parent / "out"
    done = predict(photos, "-r", "-o", out, "--finder", finders["shy"])
    assert done.code == 0, done.err
    assert done.out.strip().endswith("no person found in 4")
    document = read(out / "poses.json")
    assert len(document["images"]) == 4
    assert document["annotations"] == []
    assert not list(out.rglob("*.pose.jpg"))
    again = predict(photos, "-r", "-o", out, "--finder", finders["shy"], "--strict")
    assert "4 were there already, no person found in 4" in again.out
    assert again.code == 1
    single = next(photos.rglob("*.png"))
    shown = predict(single, "-o", out / "one", "--finder", finders["shy"])
    assert (shown.code, "no person found" in shown.out) == (0, True)
    strict = predict(single, "-o", out / "two", "--finder", finders["shy"], "--strict")
    assert strict.code == 1


def test_all_people_or_the_main_one(
    predict: Command, photos: Path, finders: dict[str, Path]
) -> None:
    single = next(photos.rglob("*.png"))
    counts = {}
    for whom in ("one", "all"):
        done = predict(single, "--json", "--finder", finders["keen"], "--people", whom)
        assert done.code == 0, done.err
        counts[whom] = len(check_result(json.loads(done.out))["annotations"])
    assert counts["one"] == 1
    assert counts["all"] > 1
    wrong = predict(single, "--people", "all", "--box", "1,1,9,9")
    assert wrong.code == 2
    assert "--people all goes without" in wrong.err


def test_a_picture_that_is_named_twice_is_predicted_once(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    single, other = sorted(photos.rglob("*.png"))[:2]
    (tmp_path / "link.png").symlink_to(single)
    relative = os.path.relpath(single)
    done = predict(single, relative, tmp_path / "link.png", other, single, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "3 pictures named more than once; each is predicted once" in done.err
    assert len(list((tmp_path / "out").glob("*.json"))) == 2
    assert done.out.count(" -> ") == 2


def test_a_folder_among_pictures_says_what_to_do_and_the_others_are_done(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    single = min(photos.rglob("*.png"))
    done = predict(single, photos, "-o", tmp_path / "out")
    assert done.code == 1
    assert f"{photos}: is a folder, not a picture; name it alone, or the pictures in it" in done.err
    assert "1 of 2 paths failed" in done.err
    assert len(list((tmp_path / "out").glob("*.json"))) == 1


def test_a_model_of_poses_is_no_finder(predict: Command, photos: Path) -> None:
    single = next(photos.rglob("*.png"))
    done = predict(single, "--json", "--finder", predict.model)
    assert done.code == 1
    assert "holds no spcnet-finder model card, but a model of poses" in done.errors[0]


def test_another_finder_of_the_same_name_is_another_run(
    predict: Command, photos: Path, finders: dict[str, Path]
) -> None:
    out = photos.parent / "out"
    finder = finders["keen"]
    assert predict(photos, "-o", out, "--finder", finder).code == 0
    network, card = load_finder(finder)
    save_checkpoint(finder, {name: 2 * t for name, t in network.state_dict().items()}, card)
    again = predict(photos, "-o", out, "--finder", finder)
    assert again.code == 1
    assert "was predicted otherwise" in again.errors[0]


# --- tables


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_has_one_table_of_all_pictures_and_one_of_each(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = predict(photos, "-o", out, "--save", "json,csv,angles", "--box", "0,0,30,30")
    assert done.code == 0, done.err
    document = read(out / "poses.json")
    joints = rows_of(out / "poses.csv")
    of = [row["file_name"] for row in document["images"]]
    assert [row["source"] for row in joints[::14]] == of and len(joints) == 14 * len(of)
    first = document["annotations"][0]
    assert [float(joints[0]["x"]), float(joints[0]["y"])] == first["keypoints"][:2]
    assert float(joints[0]["score"]) == first["keypoint_scores"][0]
    one = next(path for path in out.glob("*.pose.csv"))
    assert len(rows_of(one)) == 14
    angles = rows_of(out / "poses.angles.csv")
    assert {row["source"] for row in angles} == set(of) and len(angles) == 17 * len(of)


def test_a_table_goes_on_and_another_form_is_written_anew(
    predict: Command, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    how = (photos, "-o", out, "--box", "0,0,30,30", "--save", "csv")
    assert predict(*how).code == 0
    whole = (out / "poses.csv").read_text()
    gone = next(out.glob("*.pose.csv"))
    gone.unlink()
    done = predict(*how)
    assert "1 picture predicted" in done.out and (out / "poses.csv").read_text() == whole
    done = predict(*how, "--wide")
    assert done.code == 0 and "were there already" not in done.out
    assert len(rows_of(out / "poses.csv")) == len(whole.splitlines()) // 14
    (out / "poses.csv").write_text("mine\n")
    done = predict(*how)
    assert done.code == 1 and "poses.csv: already exists and was not written by" in done.err
    assert (out / "poses.csv").read_text() == "mine\n"


def test_a_picture_with_nobody_has_a_table_without_rows(
    predict: Command, photos: Path, tmp_path: Path, finders: dict[str, Path]
) -> None:
    picture = photos / "a.jpg"
    done = predict(picture, "-o", tmp_path / "out", "--save", "csv", "--finder", finders["shy"])
    assert done.code == 0 and "no person found" in done.out
    (table,) = (tmp_path / "out").glob("*.csv")
    assert rows_of(table) == [] and table.read_text().startswith("source,frame,time,person,joint")
