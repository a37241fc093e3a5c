"""``spcnet calibrate`` and ``spcnet figure reliability`` from end to end."""

from dataclasses import replace
from pathlib import Path

from command_line import fails, spcnet
from PIL import Image

from spcnet.checkpoints import load_checkpoint, save_checkpoint
from spcnet.data.datasets import SyntheticFigures
from spcnet.evaluation.overlap import learned_from


def test_scores_are_fitted_stored_and_drawn(tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "calibrated.safetensors"
    command = ["calibrate", "--model", tiny_checkpoint, "--dataset", "synthetic", "--split", "1-6"]
    done = spcnet(*command, "-o", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:3] == ["Score", "Right", "Joints"]
    assert "fitted on synthetic 1-6, 6 persons, lspet-pck at 0.2" in done.stderr
    card = load_checkpoint(out)[1]
    assert card.codec.calibration is not None
    assert card.codec.calibration.fitted_on.startswith("synthetic 1-6, 6 persons")
    fails(*command, "-o", out, told="already exists; --force")
    fails(*command, "-o", tmp_path / "model.pt", told="ends in .safetensors")
    picture = tmp_path / "reliability.png"
    drawn = spcnet("figure", "reliability", "--model", out, "--dataset", "synthetic",
                   "--split", "7-9", "-o", picture)  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr
    assert "calibrated: scores and shares are" in drawn.stdout
    assert Image.open(picture).width > 400


def test_pictures_that_a_model_learned_from_are_told(tiny_checkpoint: Path, tmp_path: Path) -> None:
    first = {"recipe": {"name": "first", "data": {"dataset": "synthetic", "train": "1-4"}}}
    second = {"recipe": {"name": "second", "data": {"dataset": "synthetic", "train": "20-30"}}}
    network, card = load_checkpoint(tiny_checkpoint)
    trained = tmp_path / "trained.safetensors"
    card = replace(card, training={**second, "began_with": first})
    save_checkpoint(trained, network.state_dict(), card)
    split = ["--model", trained, "--dataset", "synthetic", "--split"]
    fails("calibrate", *split, "3-8", "-o", tmp_path / "out.safetensors",
          told="the model learned from 2 of its pictures")  # fmt: skip
    assert not (tmp_path / "out.safetensors").exists()
    told = spcnet("evaluate", *split, "4-20")
    assert told.returncode == 0
    assert "warning: the model learned from 2 of these pictures" in told.stderr
    assert "warning" not in spcnet("evaluate", *split, "5-19").stderr


def test_runs_of_a_teacher_count_and_what_is_not_told_is_not_known() -> None:
    figures = SyntheticFigures("3-8")
    data = {"dataset": "synthetic", "train": "1-4"}
    run = {"recipe": {"name": "a", "data": data}}
    other = {"recipe": {"name": "b", "data": {**data, "train": "20-30"}}}
    names = sorted(SyntheticFigures("3-4").picture_names)
    assert learned_from({**other, "teacher": run}, figures, None) == (names, True)
    assert learned_from(other, figures, None) == ([], True)
    assert learned_from({}, figures, None) == ([], False)
    assert learned_from({**other, "began_with": {"seed": 1}}, figures, None) == ([], False)
    packed = {"recipe": {"name": "c", "data": {"dataset": "store", "train": "somewhere"}}}
    assert learned_from(packed, figures, None) == ([], False)
