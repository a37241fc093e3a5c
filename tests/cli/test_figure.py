"""The command line's figures, run in this process: each is asked many things, and torch is slow
to import."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from conftest import EXAMPLES
from PIL import Image
from result_documents import old_frames, video_document

from spcnet.checkpoints import ModelCard, save_checkpoint
from spcnet.cli.main import main
from spcnet.codec import Codec
from spcnet.evaluation.training_curves import read_run, short_names
from spcnet.models.registry import create_model
from spcnet.skeletons import LSP14

Call = Callable[..., tuple[int, str, str]]
PHOTO = EXAMPLES / "standing.jpg"


@pytest.fixture
def figure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """``spcnet figure ...``: exit status, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["spcnet", "figure", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


@pytest.fixture
def fails(figure: Call) -> Callable[..., None]:
    """The command ends with 1 and one clear line."""

    def call(*arguments: object, told: str) -> None:
        code, _, err = figure(*arguments)
        assert code == 1, err
        (line,) = (line for line in err.splitlines() if "error:" in line)
        assert told in line

    return call


def run_folder(
    folder: Path, scores: dict[int, float | None], *, holdout: str = "9-12", persons: int = 4
) -> Path:
    """A folder as `spcnet train` leaves it, as far as figures read it."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(f"data: {{dataset: synthetic, holdout: {holdout}}}\n")
    lines: list[dict[str, Any]] = []
    for epoch, mean in scores.items():
        lines.append({"step": epoch * 9, "epoch": epoch, "loss": 1.5, "lr": 1e-3})
        score = {"protocol": "lspet-pck", "mean": 90.0, "mean_limbs": mean, "persons": persons}
        lines.append({"epoch": epoch, "step": epoch * 9, "score": score})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_every_command_shows_an_example(figure: Call) -> None:
    for command in ("panels", "levels", "curves", "epochs"):
        code, out, _ = figure(command, "--help")
        assert code == 0
        assert f"Example: spcnet figure {command}" in out


def test_wrong_usage_is_2(figure: Call) -> None:
    assert figure("panels", PHOTO)[0] == 2
    assert figure("epochs", "-o", "x.png")[0] == 2
    assert figure("panels", PHOTO, "-o", "x.png", "--box", "1,2,3,4", "--boxes", "b.json")[0] == 2
    assert figure("panels", PHOTO, "-o", "x.png", "--box", "1,2,3")[0] == 2
    assert figure("panels", PHOTO, "-o", "x.png", *["--model", "default"] * 3)[0] == 2


def test_panels_of_two_models_in_every_format(
    figure: Call, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    begins = {"a b.png": b"\x89PNG", "x.PDF": b"%PDF", "x.svg": b"<?xml"}
    for name, start in begins.items():
        output = tmp_path / "new folder" / name
        code, out, err = figure(
            "panels", PHOTO, "--box", "200,100,450,800", "--flip",
            *("--model", "default", "--model", tiny_checkpoint), "-o", output,
        )  # fmt: skip
        assert code == 0, err
        assert out.strip() == str(output)
        assert output.read_bytes().startswith(start)
        assert "default" in err and "tiny" in err
    with Image.open(tmp_path / "new folder" / "a b.png") as drawn:
        assert drawn.size == (16 + 5 * 328 - 8, 40 + 320 + 8)
    assert {path.name for path in (tmp_path / "new folder").iterdir()} == set(begins)


def test_a_person_is_a_row_wherever_the_boxes_come_from(
    figure: Call, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes.json"
    rows = [
        {"file_name": "standing.jpg", "bbox": [200, 100, 250, 700]},
        {"file_name": "standing.jpg", "bbox": [0, 0, 300, 300]},
        {"file_name": "lunge.jpg", "bbox": [100, 100, 1, 400]},
    ]
    boxes.write_text(json.dumps(rows))
    output = tmp_path / "x.png"
    for chosen, persons in (
        (["--boxes", boxes], 3),
        (["--box", "0,0,90,90", "--box", "5,5,6,6"], 4),
        ([], 2),
    ):
        code, _, err = figure("panels", PHOTO, EXAMPLES / "lunge.jpg", *chosen,
                              "--model", tiny_checkpoint, "-o", output, "--force")  # fmt: skip
        assert code == 0, err
        with Image.open(output) as drawn:
            assert drawn.height == 40 + persons * 328 - 8 + 8


def test_odd_pictures_are_drawn(figure: Call, tiny_checkpoint: Path, tmp_path: Path) -> None:
    Image.new("L", (40, 90), 77).save(tmp_path / "grey one.png")
    Image.new("RGB", (1, 1), "red").save(tmp_path / "one pixel.png")
    wide = Image.fromarray(np.arange(90, dtype=np.uint8)[None].repeat(40, axis=0))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter: a portrait
    wide.save(tmp_path / "portrait.jpg", exif=exif)
    pictures = sorted(tmp_path.iterdir())
    for command in ("panels", "levels"):
        output = tmp_path / f"{command}.png"
        code, _, err = figure(command, *pictures, "--box=-0.5,-0.5,0.5,0.5",
                              "--model", tiny_checkpoint, "-o", output)  # fmt: skip
        assert code == 0, err
    code, _, err = figure("levels", tmp_path / "grey one.png", "--model", tiny_checkpoint,
                          "-o", tmp_path / "nobody.png")  # fmt: skip
    assert code == 1 and "nobody was found" in err
    # Lying, it would have no pixels in this box.
    code, _, err = figure("levels", tmp_path / "portrait.jpg", "--box", "0,60,39,85",
                          "--model", tiny_checkpoint, "-o", tmp_path / "low.svg")  # fmt: skip
    assert code == 0, err


def test_levels_need_a_network_that_selects_them(
    fails: Callable[..., None], tmp_path: Path
) -> None:
    card = ModelCard(
        variant="hourglass_s2_w96",
        arguments={"stacks": 1, "channels": 8},
        skeleton=LSP14,
        codec=Codec(input_size=64, heatmap="softmax", sigma=1.0),
    )
    path = tmp_path / "plain.safetensors"
    network = create_model("hourglass_s2_w96", num_joints=14, stacks=1, channels=8)
    save_checkpoint(path, network.state_dict(), card)
    fails("levels", PHOTO, "--model", path, "-o", tmp_path / "x.png",
          told="model 'hourglass_s2_w96' has no attention")  # fmt: skip
    assert not (tmp_path / "x.png").exists()


def test_angles_are_drawn_of_a_videos_json_too(
    figure: Call, fails: Callable[..., None], tmp_path: Path
) -> None:
    drawn = []
    for name, document in (("new", video_document()), ("old", old_frames())):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
        code, _, err = figure("angles", tmp_path / f"{name}.json", "-o", tmp_path / f"{name}.png")
        assert code == 0, err
        drawn.append(np.asarray(Image.open(tmp_path / f"{name}.png")))
    assert np.array_equal(drawn[0][100:], drawn[1][100:])  # below the titles
    fails("angles", tmp_path / "new.json", "-o", tmp_path / "x.png", "--person", "5",
          told="new.json: no person 5 of a video; there are 0, 1")  # fmt: skip


def test_levels_are_called_by_their_sizes(
    figure: Call, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import spcnet.viz.panels

    seen: list[tuple[int, ...]] = []
    draw = spcnet.viz.panels.draw_levels

    def record(rows: Any, sizes: tuple[int, ...]) -> Any:
        seen.append(sizes)
        assert rows[0].attention.shape == (4, 16, 16)
        assert np.allclose(rows[0].attention.sum(axis=0), 1, atol=1e-5)
        return draw(rows, sizes)

    monkeypatch.setattr(spcnet.viz.panels, "draw_levels", record)
    code, _, err = figure("levels", PHOTO, "--model", tiny_checkpoint, "-o", tmp_path / "x.pdf")
    assert code == 0, err
    assert seen == [(4, 4, 8, 16)]


def test_what_a_user_can_mend_is_told(
    fails: Callable[..., None], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    model = ("--model", tiny_checkpoint, "-o", tmp_path / "x.png")
    fails("panels", PHOTO, "-o", tmp_path / "x.gif", told=".gif is no format for a figure")
    fails("panels", PHOTO, "-o", tmp_path / "x", told="end in .png, .pdf or .svg")
    fails("panels", tmp_path / "none.jpg", *model, told="none.jpg: no such file")
    fails(
        "levels", PHOTO, *model, "--box", "9000,9,9900,20", told="box 9000,9,9900,20 lies outside"
    )
    empty = tmp_path / "empty.json"
    empty.write_text('{"images": [{"id": 1, "file_name": "standing.jpg"}], "annotations": []}')
    fails("panels", PHOTO, *model, "--boxes", empty, told="no person to draw")
    many = [part for n in range(101) for part in ("--box", f"0,0,{n + 9},9")]
    fails("panels", PHOTO, *model, *many, told="more than 100 persons")
    fails("panels", PHOTO, "--model", "defalt", "-o", tmp_path / "x.png", told="did you mean")
    assert not (tmp_path / "x.png").exists()


def test_nothing_is_overwritten_without_force(
    figure: Call, fails: Callable[..., None], tmp_path: Path
) -> None:
    run = run_folder(tmp_path / "run", {1: 30.0})
    mine = tmp_path / "mine.png"
    mine.write_text("precious")
    for command in (f"panels {shlex.quote(str(PHOTO))}", f"levels {PHOTO}", f"epochs {run}"):
        fails(*shlex.split(command), "-o", mine, told="--force")
    assert mine.read_text() == "precious"
    assert figure("epochs", run, "-o", mine, "--force")[0] == 0
    assert mine.read_bytes().startswith(b"\x89PNG")


def test_epochs_name_the_protocol_the_data_and_the_runs(figure: Call, tmp_path: Path) -> None:
    first = run_folder(tmp_path / "first", {2: 30.0, 4: 41.5})
    second = run_folder(tmp_path / "second", {3: None, 6: 50.0})
    output = tmp_path / "x.svg"
    code, out, err = figure("epochs", first, second / "log.jsonl", "-o", output)
    assert (code, out.strip()) == (0, str(output)), err
    drawn = output.read_text()  # the letters are outlines, and each text stands in a comment
    for text in ("lspet-pck, held out: synthetic 9-12 (4 persons)", "first", "second",
                 "mean of limb joints (%)"):  # fmt: skip
        assert f"<!-- {text} -->" in drawn
    third = run_folder(tmp_path / "third", {1: 20.0}, holdout="1-3", persons=3)
    assert figure("epochs", first, third, "-o", output, "--force")[0] == 0
    drawn = output.read_text()
    assert "<!-- third, synthetic 1-3 (3 persons) -->" in drawn


def test_a_log_is_read_while_it_is_written(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", {2: 30.0, 4: None})
    with (run / "log.jsonl").open("a") as stream:
        stream.write('{"epoch": 6, "score": {"mea')
    log = read_run(run)
    assert log.epochs.tolist() == [2, 4]
    assert np.array_equal(log.limbs, [30, np.nan], equal_nan=True)
    assert log.held_out == "synthetic 9-12 (4 persons)"
    (run / "recipe.yaml").unlink()
    assert read_run(run / "log.jsonl").held_out == "4 persons"


def test_a_log_without_an_evaluation_is_told(fails: Callable[..., None], tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", {})
    output = tmp_path / "x.png"
    fails("epochs", run, "-o", output, told="holds no evaluation; a run is scored where")
    (run / "log.jsonl").write_text('{"step": 1}\nno json\n{"step": 2}\n')
    fails("epochs", run, "-o", output, told="line 2 is not one of a training log")
    (run / "log.jsonl").write_text('[1, 2]\n{"step": 2}\n')
    fails("epochs", run, "-o", output, told="line 1 is not one")
    fails("epochs", tmp_path, "-o", output, told="name a folder that spcnet train wrote")
    fails("epochs", PHOTO, "-o", output, told="not a text file")


def test_curves_of_predictions_end_at_the_protocols_threshold(
    figure: Call, fails: Callable[..., None], tmp_path: Path
) -> None:
    joints = np.ones((14, 3, 5))
    joints[:, :2] = np.random.default_rng(0).uniform(0, 300, (14, 2, 5))
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    np.savez(tmp_path / "p.npz", preds=joints[:, :2].transpose(2, 0, 1))
    command = ["curves", tmp_path / "p.npz", "--ground-truth", tmp_path / "joints.mat"]
    output = tmp_path / "x.svg"
    code, _, err = figure(*command, "--protocol", "lspet-pck", "-o", output)
    assert code == 0, err
    drawn = output.read_text()
    for text in ("lspet-pck, lspet all, 5 persons", "largest error, in reference lengths", "0.200"):
        assert f"<!-- {text} -->" in drawn
    fails(*command, "--protocol", "pck", "-o", tmp_path / "y.svg", told="unknown protocol 'pck'")
    np.savez(tmp_path / "worse.npz", preds=joints[:, :2].transpose(2, 0, 1) + 30)
    two = ["curves", tmp_path / "p.npz", tmp_path / "worse.npz", *command[2:]]
    code, _, err = figure(*two, "--protocol", "lspet-pck", "-o", tmp_path / "two.svg")
    assert code == 0, err
    drawn = (tmp_path / "two.svg").read_text()
    assert "<!-- p.npz -->" in drawn and "<!-- worse.npz -->" in drawn
    assert "<!-- Mean -->" not in drawn


def test_runs_of_two_protocols_are_not_drawn_together(
    fails: Callable[..., None], tmp_path: Path
) -> None:
    runs = [run_folder(tmp_path / name, {1: 20.0}) for name in "ab"]
    log = runs[1] / "log.jsonl"
    log.write_text(log.read_text().replace("lspet-pck", "another"))
    fails("epochs", *runs, "-o", tmp_path / "x.png", told="(another, lspet-pck)")


def test_models_and_runs_are_called_by_what_tells_them_apart() -> None:
    assert short_names(["default", "runs/a/model.safetensors"]) == ["default", "a"]
    assert short_names(["runs/v1.2", "runs/b/log.jsonl", "c.jsonl"]) == ["v1.2", "b", "c"]
    assert short_names(["x/run", "y/run"]) == ["x/run", "y/run"]
