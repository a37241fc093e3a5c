"""``spcnet bench`` on networks of toy size."""

import json
from pathlib import Path

import pytest
import torch
from command_line import fails, spcnet
from PIL import Image

from spcnet.bench.training import PHASES
from spcnet.devices import has_bfloat16


def test_the_commands_print_ratios_and_json() -> None:
    tiny = ["--stacks", 1, "--width", 16, "--size", 64]
    done = spcnet("bench", "train", *tiny, "--batch", 2, "--turns", 1, "--loaders", 1,
                  "--pictures", 2, "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["setting"]["steps"] == 1
    assert [c["name"] for c in found["contenders"]] == [
        "usual loop, hourglass, fp32", "our loop, hourglass, fp32", "our loop, hourglass, bf16",
        "our loop, spcnet, fp32", "our loop, spcnet, bf16",
    ]  # fmt: skip
    assert found["contenders"][0]["ratio"] == 1
    for contender in found["contenders"]:
        (phases,), (speed,) = contender["phases"], contender["images_per_second"]
        assert set(phases) == set(PHASES)
        assert all(seconds > 0 for seconds in phases.values())
        assert sum(phases.values()) == pytest.approx(2 / speed, rel=0.2)


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


def test_sizes_that_do_not_fit_are_refused() -> None:
    fails("bench", "train", "--size", 100, told="multiples of 64; the nearest is 128 x 128")
    fails("bench", "memory", "--width", 33, told="channels must be even")


def test_memory_shrinks_by_checkpointing() -> None:
    done = spcnet("bench", "memory", "--stacks", 6, "--width", 32, "--size", 128, "--batch", 16,
                  "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["Precision"], row["Checkpointing"]) for row in rows] == [
        ("fp32", "no"), ("fp32", "yes"), ("bf16", "no"), ("bf16", "yes"),
    ]  # fmt: skip
    added = [float(row["Peak, GB"]) - float(row["Before the step, GB"]) for row in rows]
    assert 0 < added[1] < 0.8 * added[0]
    if has_bfloat16(torch.device("cpu")):  # where it is emulated that takes memory of its own
        assert 0 < added[3] < 0.9 * added[2]
        assert added[2] < added[0]


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
