"""``spcnet bench`` on networks of toy size."""

import json
from pathlib import Path

from command_line import fails, spcnet
from PIL import Image


def test_inference_is_timed_printed_and_drawn(tiny_checkpoint: Path, tmp_path: Path) -> None:
    plot = tmp_path / "speeds.png"
    arguments = (tiny_checkpoint, "--batch", 1, "--batch", 3, "--turns", 1, "--threads", 1)
    done = spcnet("bench", "infer", *arguments, "--json", "-o", plot)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["setting"]["threads"] == 1
    usual, plain, *fused = (pace for pace in found["paces"] if pace["batch"] == 3)
    assert (usual["ratio"], usual["size"]) == (1, 256)
    assert plain["form"] == "fp32 plain"
    assert {pace["form"] for pace in fused} <= {"fp32 fused", "bf16 fused"}
    assert Image.open(plot).width > 500
    fails("bench", "infer", tiny_checkpoint, "-o", plot, told="already exists")
    fails("bench", "infer", "hourglas", told="hourglas")


def test_the_steps_to_a_pose_are_timed(tiny_checkpoint: Path) -> None:
    done = spcnet("bench", "pose", tiny_checkpoint, "--batch", 2, "--turns", 1, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    *steps, whole = found["milliseconds"]["2"].values()
    assert len(steps) == 5 and min(steps) > 0
    assert 0.2 * sum(steps) < whole < 5 * sum(steps)
    assert 0.3 < found["first_pose"] < 300
    assert 50e6 < found["memory"] < 2e9
    fails("bench", "pose", "nobody", told="nobody")
