"""The real command line, from end to end."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import fails, spcnet
from conftest import EXAMPLES, RECIPES
from PIL import Image
from result_documents import check_result

from spcnet import __version__
from spcnet.checkpoints import load_checkpoint
from spcnet.skeletons import BODY19


def test_version_help_and_usage() -> None:
    assert spcnet("--version").stdout.strip() == f"spcnet {__version__}"
    help_text = spcnet("--help").stdout
    assert "Example:" in help_text
    for command in ("predict", "train", "evaluate", "models", "data", "doctor"):
        assert command in help_text
    assert spcnet("predict").returncode == 2
    assert spcnet("dance").returncode == 2


def test_help_imports_none_of_what_is_heavy() -> None:
    code = (
        "import sys, atexit; from spcnet.cli.main import main; "
        "heavy = {'torch', 'numpy', 'cv2', 'PIL', 'scipy', 'pydantic', 'yaml', 'matplotlib'}; "
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)))); "
        "sys.argv = ['spcnet', '--help']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Example:" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_predict_writes_an_overlay_and_coco_json(tmp_path: Path) -> None:
    photo = tmp_path / "my photo.jpg"
    photo.write_bytes((EXAMPLES / "standing.jpg").read_bytes())
    done = spcnet("predict", photo, "-o", tmp_path / "out put")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out put" / "my photo.pose.jpg") as overlay:
        assert overlay.size == Image.open(photo).size
    document = check_result(json.loads((tmp_path / "out put" / "my photo.pose.json").read_text()))
    assert 0.5 < document["annotations"][0]["presence"] < 1  # by the finder
    (image,), (annotation,), (category,) = (
        document[key] for key in ("images", "annotations", "categories")
    )
    assert image["file_name"] == "my photo.jpg"
    assert len(annotation["keypoints"]) == 3 * len(category["keypoints"])
    assert "default" in done.stderr


def test_the_bundled_model_sits_right_on_an_example() -> None:
    truth = json.loads((EXAMPLES / "joints.json").read_text())
    by_name = {image["file_name"]: image["id"] for image in truth["images"]}
    rows = {row["image_id"]: row for row in truth["annotations"]}
    done = spcnet("predict", EXAMPLES / "standing.jpg", "--json", "--skeleton", "lsp14")
    assert done.returncode == 0, done.stderr
    found = np.array(json.loads(done.stdout)["annotations"][0]["keypoints"]).reshape(14, 3)
    joints = np.array(rows[by_name["standing.jpg"]]["keypoints"]).reshape(14, 3)
    torso = np.linalg.norm(joints[9, :2] - joints[2, :2])
    correct = np.linalg.norm(found[:, :2] - joints[:, :2], axis=1) <= 0.2 * torso
    assert correct.sum() >= 12


def test_predict_never_overwrites_without_force(tmp_path: Path) -> None:
    mine = tmp_path / "standing.pose.jpg"
    mine.write_text("precious")
    told = "standing.pose.jpg: already exists; --force overwrites it, -o names another"
    fails("predict", EXAMPLES / "standing.jpg", "-o", tmp_path, told=told)
    told = "standing.pose.jpg: already exists; --force overwrites it, --submission names another"
    fails("evaluate", "--submission", mine, told=told)
    assert mine.read_text() == "precious"
    assert spcnet("predict", EXAMPLES / "standing.jpg", "-o", tmp_path, "--force").returncode == 0
    assert Image.open(mine).size == (672, 896)


def test_bad_pictures_get_a_line_each_and_the_others_are_done(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.jpg").write_bytes((EXAMPLES / "lunge.jpg").read_bytes()[:5000])
    with Image.open(EXAMPLES / "standing.jpg") as person:
        person.convert("L").save(tmp_path / "grey.png")
    names = ["empty.jpg", "missing.jpg", "grey.png", "text.png", "cut.jpg"]
    done = spcnet("predict", *(tmp_path / name for name in names), "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if "error:" in line]
    assert [next(n for n in names if n in line) for line in lines] == [
        "empty.jpg", "missing.jpg", "text.png", "cut.jpg"
    ]  # fmt: skip
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "grey.pose.jpg", "grey.pose.json"
    }  # fmt: skip


def test_two_pictures_of_one_name_keep_their_results_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (60, 60)).save(tmp_path / folder / "x.png")
    done = spcnet("predict", tmp_path / "a/x.png", tmp_path / "b/x.png", "-o", tmp_path / "out",
                  "--box", "5,5,50,50")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").glob("*.jpg")} == {
        "x.pose.jpg", "x-2.pose.jpg"
    }  # fmt: skip


def test_boxes_from_the_line_and_from_a_file(tmp_path: Path) -> None:
    photo = EXAMPLES / "standing.jpg"
    box = [200.0, 100.0, 450.0, 800.0]
    done = spcnet("predict", photo, "--json", "--box", ",".join(map(str, box)),
                  "--box", "0,0,100,100")  # fmt: skip
    first, second = json.loads(done.stdout)["annotations"]
    assert first["bbox"] == [200, 100, 250, 700]
    assert second["bbox"] == [0, 0, 100, 100]
    coco = {
        "images": [{"id": 9, "file_name": "standing.jpg"}],
        "annotations": [{"image_id": 9, "bbox": [200, 100, 250, 700]}],
    }
    detections = [{"file_name": "standing.jpg", "bbox": [200, 100, 250, 700], "score": 0.9}]
    for content in (coco, detections):
        path = tmp_path / "boxes.json"
        path.write_text(json.dumps(content))
        done = spcnet("predict", photo, "--json", "--boxes", path)
        # Without the small box, the file is read smaller.
        assert json.loads(done.stdout)["annotations"][0]["keypoints"] == pytest.approx(
            first["keypoints"], abs=4
        )
    fails("predict", EXAMPLES / "lunge.jpg", "--json", "--boxes", path, told="no boxes for this")
    path.write_text('{"boxes": 3}')
    fails("predict", photo, "--json", "--boxes", path, told="COCO-style")


def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    # Root may write to any folder but those of the kernel.
    folder = Path("/proc") if os.geteuid() == 0 else tmp_path
    tmp_path.chmod(0o500)
    fails("predict", EXAMPLES / "standing.jpg", "-o", folder / "out", told="cannot write here")


def test_a_file_in_the_way_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    fails("predict", EXAMPLES / "standing.jpg", "-o", tmp_path / "out", told="cannot write here")


def test_unknown_models_and_devices_are_told() -> None:
    picture = EXAMPLES / "standing.jpg"
    fails("predict", picture, "--json", "--model", "defalt", told="did you mean 'default'")
    fails("predict", picture, "--json", "--device", "gpu", told="device 'gpu'")


def test_models_and_doctor() -> None:
    listed = json.loads(spcnet("models", "spcnet_s1*", "--verbose", "--json").stdout)
    (row,) = listed["models"]
    assert (row["model"], row["levels"], row["receptive field"]) == (
        "spcnet_s1_w64", "16 16 32 64", 124
    )  # fmt: skip
    everything = spcnet("models").stdout
    assert "hourglass_s8_w256" in everything and "default" in everything
    done = spcnet("doctor", "--json")
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout)
    assert report["spcnet"].startswith(__version__)
    assert report["weights default"].endswith("runs")


def test_from_figures_to_a_model_that_predicts(tmp_path: Path) -> None:
    """Train two steps on figures, resume, evaluate, predict with the result."""
    run = tmp_path / "run"
    changes = [
        "data.train=1-8", "data.holdout=9-12", "training.epochs=2", "training.batch_size=4",
        "model.arguments.channels=16", "model.input_size=64",
    ]  # fmt: skip
    options = [part for change in changes for part in ("--set", change)]
    command = ["train", RECIPES / "synthetic.yaml", "--run-dir", run, *options]
    cache = {"SPCNET_CACHE": str(tmp_path / "cache")}
    first = spcnet(*command, "--max-minutes", 0, **cache)
    assert first.returncode == 0, first.stderr
    assert "recipe        name synthetic\n" in first.stderr  # what is not as by default
    assert "training      epochs 2, batch_size 4," in first.stderr
    assert "already contains a run" in spcnet(*command, **cache).stderr
    second = spcnet(*command, "--resume", **cache)
    assert second.returncode == 0, second.stderr
    assert "lspet-pck" in second.stderr
    assert re.search(r"loss [\d.]+ \(predicting nothing: [\d.]+\) lr", second.stderr)
    model = run / "model.safetensors"
    assert second.stdout.strip() == str(model)
    scored = spcnet("evaluate", "--model", model, "--dataset", "synthetic", "--split", "9-12",
                    "--json")  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    score = json.loads(scored.stdout)
    assert (score["protocol"], score["persons"]) == ("lspet-pck", 4)
    assert spcnet("predict", EXAMPLES / "lunge.jpg", "--model", model, "--json").returncode == 0


def test_packing_and_drawing_figures(tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = spcnet("data", "pack", "synthetic", "--split", "1-3", "-o", store)
    assert done.returncode == 0, done.stderr
    assert (store / "store.json").is_file()
    fails("data", "pack", "synthetic", "--split", "1-3", "-o", store, told="already exists")
    fails("data", "pack", "lspet", "-o", tmp_path / "new", told="--root")
    fails("data", "pack", "lspet", "--root", tmp_path, "-o", tmp_path / "new", told="joints.mat")
    fails("data", "pack", "mnist", "-o", tmp_path / "new", told="lspet, flic, coco, synthetic")
    figures = tmp_path / "figures"
    assert spcnet("data", "synth", "-o", figures, "--count", 2).returncode == 0
    document = json.loads((figures / "annotations.json").read_text())
    assert len(document["images"]) == len(document["annotations"]) == 2
    assert Image.open(figures / document["images"][0]["file_name"]).size == (160, 160)


def test_a_dry_run_prints_what_a_run_would_take(tmp_path: Path) -> None:
    done = spcnet("train", RECIPES / "synthetic.yaml", "--dry-run", "--run-dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["parameters"] == "0.25 M"
    assert lines["steps"] == "9 epochs x 125 = 1125"
    assert "4,000 persons" in lines["data"]
    assert "GB a process" in lines["memory"]
    assert not (tmp_path / "run").exists()
    fails("train", RECIPES / "lspet_cpu.yaml", "--dry-run", "--set", "data.train=train",
          told="data.root=PATH")  # fmt: skip


def test_a_wrong_recipe_is_told() -> None:
    fails("train", RECIPES / "synthetic.yaml", "--set", "training.epoch=3",
          told="unknown field 'training.epoch'; did you mean 'epochs'")  # fmt: skip
    fails("train", RECIPES / "lspet_cpu.yaml", told="needs its folder")


def test_a_finder_that_nothing_is_asked_of_is_wrong_usage() -> None:
    done = spcnet("evaluate", "--finder", "none.safetensors", "--root", "nowhere")
    assert done.returncode == 2 and "--finder goes with --no-boxes" in done.stderr


def test_the_bundled_model_keeps_its_promise(shared_data: Path) -> None:
    """Above 60 % over the 12 limb joints of the first 60 validation images, and the same twice."""
    command = ["evaluate", "--model", "default", "--dataset", "lspet",
               "--root", shared_data / "lspet", "--json", "--split"]  # fmt: skip
    first, second = spcnet(*command, "8061-8066"), spcnet(*command, "8061-8066")
    assert first.stdout == second.stdout
    done = spcnet(*command, "8061-8120")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mean_limbs"] > 60
    whole = spcnet(*command, "8061-8064", "--no-boxes")
    assert json.loads(whole.stdout)["crop"] is None
    assert "no boxes, protocol lspet-pck" in whole.stderr
    assert spcnet(*command, "8061", "--no-boxes", "--crop", "box").returncode == 2


def test_a_store_that_travelled_is_trained_on_and_ctrl_c_saves(tmp_path: Path) -> None:
    for name, split in (("train", "1-8"), ("held", "9-10")):
        packed = spcnet("data", "pack", "synthetic", "--split", split, "-o", tmp_path / name)
        assert packed.returncode == 0, packed.stderr
    run = tmp_path / "run"
    changes = [
        "data.dataset=store", f"data.train={tmp_path}/train", f"data.holdout={tmp_path}/held",
        "training.epochs=100000", "training.batch_size=4", "training.evaluate_every=1000",
        "model.arguments.channels=16", "model.input_size=64",
    ]  # fmt: skip
    options = [part for change in changes for part in ("--set", change)]
    command = ["train", RECIPES / "synthetic.yaml", "--run-dir", run, *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "spcnet", *map(str, command)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "images/s" in line:
            process.send_signal(signal.SIGINT)
            break
    remaining = process.stderr.read()
    assert process.wait(timeout=60) == 0, remaining
    assert "--resume goes on" in remaining
    again = spcnet(*command, "--resume", "--max-minutes", 0)
    assert again.returncode == 0, again.stderr


def test_progress_tells_loss_rate_speed_time_left_and_the_latest_score(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from dataclasses import replace

    from spcnet.cli.train import _reporter
    from spcnet.metrics.protocols import Score
    from spcnet.training.log import Progress

    now = Progress(20, 100, 1, 2.5, (2.5,), 1e-3, 31.25, 75.4)
    score = Score("lspet-pck", 41.0, {}, {}, 5, mean_limbs=40.5)
    with _reporter("packed crops in bf16") as report:
        report(now)
        report(replace(now, score=score))
        report(replace(now, step=40))
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "epoch 1 step 20/100 loss 2.5000 lr 1.00e-03 31.2 images/s left 0:01:15",
        "epoch 1: lspet-pck 40.50 % over the limbs, 41.00 % over all, 5 held-out persons, "
        "packed crops in bf16",
        "epoch 1 step 40/100 loss 2.5000 lr 1.00e-03 31.2 images/s score 40.50 left 0:01:15",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "1000 None"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None"),
        ({"OMP_WAIT_POLICY": "active"}, "None active"),
    ],
)
def test_threads_that_wait_fall_asleep_unless_it_is_set_how(
    given: dict[str, str], expected: str
) -> None:
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    code = (
        "import os, sys\nfrom spcnet.cli.main import main\nassert 'torch' not in sys.modules\n"
        "sys.argv[1:] = ['--version']\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(*map(os.environ.get, {names}))"
    )
    clean = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == expected


def test_many_sources_teach_one_network_of_nineteen_joints(tmp_path: Path) -> None:
    """Figures, own pictures with another model's points, and pictures without anybody."""
    figures = tmp_path / "figures"
    assert spcnet("data", "synth", "-o", figures, "--count", 12).returncode == 0
    document = json.loads((figures / "annotations.json").read_text())
    own = tmp_path / "own"
    (own / "images").mkdir(parents=True)
    for image in document["images"]:
        (own / "images" / image["file_name"]).write_bytes(
            (figures / image["file_name"]).read_bytes()
        )
    empty = {"id": 99, "file_name": "empty.png", "width": 90, "height": 60}
    Image.new("RGB", (90, 60), (90, 120, 60)).save(own / "images" / "empty.png")
    for split, ids in (("train", range(1, 9)), ("val", range(9, 13))):
        chosen = {
            **document,
            "images": [image for image in document["images"] if image["id"] in ids] + [empty],
            "annotations": [row for row in document["annotations"] if row["image_id"] in ids],
        }
        (own / f"{split}.json").write_text(json.dumps(chosen))
    points = {
        str(row["id"]): [[60.0 + n, 70.0, 0.9] for n in range(17)]
        for row in document["annotations"]
    }
    (tmp_path / "opinions.json").write_text(json.dumps(points))
    names = {
        image["file_name"]: points[str(row["id"])]
        for image, row in zip(document["images"], document["annotations"], strict=True)
    }
    (tmp_path / "seen.json").write_text(json.dumps(names))
    recipe = {
        "name": "many",
        "model": {"variant": "spcnet_s1_w64", "arguments": {"channels": 16}, "input_size": 64},
        "data": {
            "skeleton": "body19",
            "dataset": "synthetic", "train": "1-8", "holdout": "9-12", "share": 0.4,
            "more": [
                {"dataset": "coco", "root": str(own), "holdout": "val", "doubt": 0.1,
                 "opinions": str(tmp_path / "opinions.json")},
                {"dataset": "unlabelled", "root": str(own), "split": "all",
                 "opinions": str(tmp_path / "seen.json")},
                {"dataset": "nobody", "root": str(own), "share": 0.1},
            ],
        },
        "augmentation": {"cut_probability": 0.3, "neighbour_probability": 0.3},
        "loss": {"kind": "softmax_absent", "astray": 0.05},
        "training": {"epochs": 1, "batch_size": 8},
    }  # fmt: skip
    (tmp_path / "many.yaml").write_text(json.dumps(recipe))
    cache = {"SPCNET_CACHE": str(tmp_path / "cache")}
    run = tmp_path / "run"
    done = spcnet("train", tmp_path / "many.yaml", "--run-dir", run, "--device", "cpu", **cache)
    assert done.returncode == 0, done.stderr
    assert "29 persons of synthetic 1-8 + own train + unlabelled all + nobody train" in done.stderr
    assert "own: " in done.stderr
    (entry,) = [
        json.loads(line)
        for line in (run / "log.jsonl").read_text().splitlines()
        if "sources" in line
    ]
    assert {title: found["persons"] for title, found in entry["sources"].items()} == {
        "synthetic": 4, "own": 4,
    }  # fmt: skip
    for model in ("model", "best"):
        _, card = load_checkpoint(run / f"{model}.safetensors")
        assert card.skeleton == BODY19
        assert [score["data"] for score in card.scores] == [
            "synthetic 9-12, held out", "own val, held out"
        ]  # fmt: skip
        assert [score["score"] for score in card.scores] == list(entry["sources"].values())
    assert str(tmp_path) not in json.dumps(card.training)
    for change, told in (
        ("data.more.1.opinions=null", "by another model's points alone"),
        ("data.more.0.opinions=gone.json", "gone.json: no such file"),
        ("data.more.0.holdout=train", "data.train and data.holdout share 8 pictures"),
        ("data.share=0.95", "shares of the data sets add up to 1.05"),
    ):
        refused = spcnet("train", tmp_path / "many.yaml", "--run-dir", tmp_path / "none",
                         "--set", change, **cache)  # fmt: skip
        assert refused.returncode == 1
        assert told in refused.stderr
        assert not (tmp_path / "none").exists()
    shown = spcnet("predict", EXAMPLES / "lunge.jpg", "--model", run / "model.safetensors",
                   "--json", "--skeleton", "coco17")  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)
    assert document["categories"][0]["keypoints"][0] == "nose"
    scored = spcnet("evaluate", "--model", run / "model.safetensors", "--json",
                    "--source", f"coco:{own}:val", "--source", f"coco:{figures}:all")  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    found = json.loads(scored.stdout)
    assert found["protocol"] == "torso-pck"
    assert {name: row["persons"] for name, row in found["sources"].items()} == {
        "own val": 4, "figures all": 12, "mean": 16,
    }  # fmt: skip
    fails("evaluate", "--source", f"coco:{own}", told="write a source as DATASET:ROOT:SPLIT")
    broken = spcnet("train", tmp_path / "many.yaml", "--run-dir", tmp_path / "two",
                    "--set", "data.skeleton=body20", **cache)  # fmt: skip
    assert broken.returncode == 1
    assert "unknown skeleton 'body20'" in broken.stderr


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from spcnet.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
main()
"""


def test_a_disk_that_is_full_leaves_no_picture_that_is_cut_short(tmp_path: Path) -> None:
    """The limit of a file's size ends a write in its middle, as a full disk does."""
    command = ["predict", str(EXAMPLES / "standing.jpg"), "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", FULL, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "standing.pose.jpg: cannot be written: File too large" in done.stderr
    assert not [path.name for path in (tmp_path / "out").glob("**/*") if "pose.jpg" in path.name]
