"""``tools/card.py`` from end to end."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import fails, python
from conftest import EXAMPLES, Blobs, dot_picture
from loading import TOOLS, load
from PIL import Image

from spcnet.checkpoints import load_checkpoint, save_checkpoint
from spcnet.data.annotations import AnnotatedPictures, Annotation
from spcnet.errors import UserError
from spcnet.evaluation.overlap import runs_of
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.protocols import PCK_RULES
from spcnet.skeletons import LSP14, Skeleton

SCRIPT = TOOLS / "card.py"
tool = load("card", TOOLS)

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
    command = ["--model", trained, "--dataset", "synthetic", "--split", "10-15"]
    done = python(SCRIPT, *command, "--run", run, "--pictures", EXAMPLES / "joints.json",
                  "--turns", 1, "-o", page)  # fmt: skip
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
    fails(*command, "-o", page, told="already exists; --force", program=SCRIPT)


def test_a_checkpoint_that_tells_little_has_a_card_too() -> None:
    assert tool._run({"seed": 3, "recipe": {"name": "x", "optimizer": {"name": "adamw"}}}, 1) == {
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
    fails("--model", trained, "--dataset", "synthetic", "--split", "4-8", "-o", page,
          told="the model learned from 1 of its pictures", program=SCRIPT)  # fmt: skip
    assert not page.exists()
    fails(
        "--model",
        trained,
        "-o",
        tmp_path / "card.txt",
        told="let its name end in .md",
        program=SCRIPT,
    )


def test_peers_are_scored_by_a_rule_of_ours() -> None:
    assert tool.PEERS_RULE in PCK_RULES
    assert tool.PEERS["MoveNet Thunder"] == 66.0 and len(tool.PEERS) == 9


def persons(
    tmp_path: Path, *, turned: bool = False, missing: str | None = None
) -> AnnotatedPictures:
    """One person of shoulders, hips, and dots beside the shoulders (left) and below (right)."""
    skeleton = Skeleton(
        "dots",
        ("left_dot", "right_dot", "left_shoulder", "right_shoulder", "left_hip", "right_hip"),
        (),
    )
    points = np.array([[30, 24], [44, 80], [40, 20], [50, 20], [40, 50], [50, 50.0]])
    image = dot_picture((100, 90), tuple(points[0]), tuple(points[1]), 5)
    if turned:  # upside down
        points = np.array([89, 99]) - points
        image = image[::-1, ::-1]
    Image.fromarray(np.ascontiguousarray(image)).save(tmp_path / "a.png")
    states = np.array([0 if joint == missing else 2 for joint in skeleton.joints], np.uint8)
    person = Annotation("a.png", points, states)
    return AnnotatedPictures("dots", "all", skeleton, [person], images=tmp_path)


@pytest.fixture
def estimator(tiny_checkpoint: Path) -> PoseEstimator:
    found = PoseEstimator(str(tiny_checkpoint), device="cpu", refinement="none")
    dots = Skeleton("dots", ("left_dot", "right_dot"), ())
    found.network, found.skeleton = Blobs(), dots  # type: ignore[assignment]
    object.__setattr__(found.card.codec, "heatmap", "gaussian")
    return found


@pytest.mark.parametrize("turned", [False, True])
def test_joints_below_the_hips_are_out_of_the_picture(
    estimator: PoseEstimator, tmp_path: Path, turned: bool
) -> None:
    scores, present = tool.presence(estimator, persons(tmp_path, turned=turned))
    # The dots alone: the network does not predict shoulders, and hips do not count.
    assert present.tolist() == [True, False]
    assert scores[0] > 0.3 > 0.1 > scores[1]
    assert tool.auroc(scores, present) == 1.0


def test_a_person_without_a_labelled_torso_is_passed_over(
    estimator: PoseEstimator, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no person whose torso is labelled"):
        tool.presence(estimator, persons(tmp_path, missing="left_hip"))


def test_real_figures_are_judged_joint_by_joint(tiny_checkpoint: Path) -> None:
    from spcnet.data.datasets import SyntheticFigures

    estimator = PoseEstimator(str(tiny_checkpoint), device="cpu", batch_size=3)
    scores, present = tool.presence(estimator, SyntheticFigures("1-8"))
    assert scores.shape == present.shape
    assert 20 < len(scores) <= 8 * (len(LSP14) - 2)
    assert 0.2 < present.mean() < 0.95


def test_auroc_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.7, 0.1])
    positive = np.array([True, False, True, False, False])
    # Pairs: 0.9 wins three of three; 0.7 loses to 0.8, ties once, wins once.
    assert tool.auroc(scores, positive) == pytest.approx((3 + 1.5) / 6)
    assert tool.auroc(positive.astype(float), positive) == 1
    assert math.isnan(tool.auroc(scores, np.ones(5, dtype=bool)))
