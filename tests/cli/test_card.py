"""``spcnet card`` from end to end."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import fails, spcnet
from conftest import EXAMPLES
from PIL import Image

from spcnet.checkpoints import load_checkpoint, save_checkpoint
from spcnet.cli.card_page import _run
from spcnet.evaluation.overlap import runs_of

RUN = {
    "dataset": "synthetic", "images": "1-4", "persons": 4, "seed": 7, "epochs": 2.0,
    "minutes": 12.4, "machine": "a desk",
    "recipe": {"name": "second", "model": {"input_size": 64}, "data": {"dataset": "synthetic",
               "train": "1-4"}, "optimizer": {"name": "muon", "lr": 0.006, "schedule": "cosine"}},
}  # fmt: skip


@pytest.fixture
def trained(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A model that says how it came about, in two runs."""
    network, card = load_checkpoint(tiny_checkpoint)
    first = {**RUN, "recipe": {**RUN["recipe"], "name": "first"}}  # type: ignore[dict-item]
    path = tmp_path / "mine.safetensors"
    card = replace(card, training={**RUN, "began_with": first}, licence="Ask the owner.")
    save_checkpoint(path, network.state_dict(), card)
    return path


def test_the_page_tells_what_was_measured(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    score = {"protocol": "lspet-pck", "mean": 40.0, "mean_limbs": 35.0, "persons": 9}
    lines = [{"epoch": 1, "score": score}, {"epoch": 2, "score": {**score, "mean_limbs": 45.0}}]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = tmp_path / "cards" / "mine.md"
    command = ["card", "--model", trained, "--dataset", "synthetic", "--split", "10-15"]
    done = spcnet(*command, "--run", run, "--pictures", EXAMPLES / "joints.json", "--turns", 1,
                  "-o", page)  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert text.startswith("# Model card: `mine`")
    assert "`lspet-pck` on synthetic 10-15" in text
    for testing in ("no test-time augmentation", "flip", "rotations -15 15 and flip"):
        assert f"| {testing} " in text
    assert "| left elbow " in text
    assert "| parameters | 0.0" in text
    assert " ms from crop to keypoints, fp32, batch 1, " in text
    assert "MoveNet Thunder" in text and "never saw this set's labels" in text
    # The first run comes first.
    assert text.index("1. first") < text.index("2. second")
    assert "| muon, 0.006, cosine |" in text and "| a desk " in text
    assert "Ask the owner." in text
    assert "The model learned from none of these pictures." in text
    assert "peak values of heatmaps, not fitted" in text
    for kind in ("reliability", "epochs", "failures"):
        assert f"(images/mine-{kind}.png)" in text
        assert Image.open(page.parent / "images" / f"mine-{kind}.png").width > 300
    fails(*command, "-o", page, told="already exists; --force")


def test_a_checkpoint_that_tells_little_has_a_card_too() -> None:
    assert _run({"seed": 3, "recipe": {"name": "x", "optimizer": {"name": "adamw"}}}, 1) == {
        "Run": "1. x", "Pictures": "not stated", "Input": "not stated", "Optimiser": "not stated",
        "Epochs": "not stated", "Minutes": "not stated", "Seed": "3", "Machine": "not stated",
    }  # fmt: skip


def test_runs_that_led_to_a_model_in_two_ways_count_once() -> None:
    first = {"recipe": {"name": "first"}}
    second = {"recipe": {"name": "second"}, "began_with": first}
    other = {"recipe": {"name": "other"}}
    assert runs_of({"epochs": 3, "began_with": second, "teacher": second}) == [
        {"epochs": 3, "began_with": second, "teacher": second}, second, first
    ]  # fmt: skip
    assert runs_of({"began_with": first, "teacher": other})[1:] == [first, other]
    assert runs_of({}) == []


def test_a_model_is_not_tested_on_what_it_learned_from(trained: Path, tmp_path: Path) -> None:
    page = tmp_path / "mine.md"
    fails("card", "--model", trained, "--dataset", "synthetic", "--split", "4-8", "-o", page,
          told="the model learned from 1 of its pictures")  # fmt: skip
    assert not page.exists()
    fails("card", "--model", trained, "-o", tmp_path / "card.txt", told="let its name end in .md")
