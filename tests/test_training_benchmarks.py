"""The measurements measure what they say; how fast it is, no test can tell."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from spcnet.devices import has_bfloat16
from spcnet.models.registry import create_model

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from reference import ReferenceNetwork  # noqa: E402
from training_loop import (  # noqa: E402
    PHASES,
    Contender,
    Pace,
    UsualSamples,
    _draw,
    draw_pictures,
    pace_of,
    usual_loss,
)


def kernels(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.ndim == 4)


def test_the_usual_network_is_the_baseline_with_biases() -> None:
    with torch.device("meta"):
        usual = ReferenceNetwork(joints=16)
        ours = create_model("hourglass_s8_w256")
    assert kernels(usual) == kernels(ours)
    convolutions = [m for m in usual.modules() if isinstance(m, nn.Conv2d)]
    assert all(convolution.bias is not None for convolution in convolutions)
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (usual, ours)]
    assert norms[0] == norms[1]
    # What the hourglass repositories report for eight stacks: 25.6 million.
    assert sum(p.numel() for p in usual.parameters()) == pytest.approx(25.6e6, rel=0.01)


def test_usual_outputs_and_loss() -> None:
    network = ReferenceNetwork(joints=3, stacks=2, width=16)
    outputs = network(torch.zeros(2, 3, 64, 64))
    assert [tuple(output.shape) for output in outputs] == [(2, 3, 16, 16)] * 2
    flat = [torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 3.0)]
    assert usual_loss(flat, torch.ones(1, 1, 2, 2)).item() == 1 + 4


def test_drawn_gaussians() -> None:
    heatmap = _draw(np.array([2.2, 5.6]), 8)
    assert np.unravel_index(heatmap.argmax(), heatmap.shape) == (6, 2)
    assert heatmap[6, 2] == 1
    assert heatmap[6, 4] == pytest.approx(math.exp(-2))
    assert heatmap[7, 3] == pytest.approx(math.exp(-1))
    assert heatmap[6, 6] == 0  # beyond three standard deviations
    assert not _draw(np.array([-9.0, 3.0]), 8).any()
    assert _draw(np.array([8.0, 3.0]), 8)[3, 7] == pytest.approx(math.exp(-0.5))


def test_samples_turn_picture_and_joints_alike(tmp_path: Path) -> None:
    pictures = draw_pictures(tmp_path / "pictures", 2, size=(320, 180))
    assert [path.name for path in sorted(pictures.images.iterdir())] == [  # type: ignore[union-attr]
        "frame000.jpg", "frame001.jpg",
    ]  # fmt: skip
    image, person = next(pictures.samples())
    assert image.shape == (180, 320, 3)
    assert ((person.points > 0) & (person.points < [320, 180])).all()
    samples = UsualSamples(pictures, size=64, count=5)
    assert len(samples) == 5
    crop, heatmaps = samples[3]
    assert (crop.shape, heatmaps.shape) == ((3, 64, 64), (14, 16, 16))
    assert (heatmaps.amax(dim=(1, 2)) > 0).sum() >= 10
    assert torch.equal(heatmaps, samples[3][1])
    assert not torch.equal(heatmaps, samples[1][1])  # the same person, turned otherwise


def test_turns_are_taken_one_after_the_other_and_the_first_is_not_counted() -> None:
    order: list[str] = []

    def contender(name: str, backward: float) -> Contender:
        def step() -> dict[str, float]:
            order.append(name)
            return {"data": 1.0, "forward": 2.0, "backward": backward, "optimizer": 1.0}

        return Contender(name, step)

    seen: list[int] = []
    paces = pace_of(
        [contender("a", 4.0), contender("b", 6.0)], batch=3, steps=2, turns=2, report=seen.append
    )
    assert order == ["a", "a", "b", "b"] * 3
    assert seen == [1, 2, 3]
    assert [len(pace.images_per_second) for pace in paces] == [2, 2]
    assert [pace.share("backward") for pace in paces] == [0.5, 0.6]
    assert Pace("c", [1.0, 9.0, 2.0]).speed == 2


def run(script: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, BENCHMARKS / script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_training_loop_benchmark_prints_ratios_and_json() -> None:
    tiny = ["--stacks", 1, "--width", 16, "--size", 64, "--batch", 2, "--turns", 1]
    done = run("training_loop.py", *tiny, "--loaders", 1, "--pictures", 2, "--json")
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


def test_memory_shrinks_by_checkpointing() -> None:
    # Where bfloat16 is emulated it is slow, and takes memory of its own.
    precisions = ["fp32", "bf16"] if has_bfloat16(torch.device("cpu")) else ["fp32"]
    size = ["--stacks", 6, "--width", 32, "--size", 128, "--batch", 16]
    done = run("training_memory.py", *size, "--precisions", *precisions)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    cases = [(row["precision"], row["checkpointing"]) for row in rows]
    assert cases == [(precision, keeps) for precision in precisions for keeps in (False, True)]
    added = [row["peak"] - row["before"] for row in rows]
    assert 0 < added[1] < 0.8 * added[0]
    if len(rows) == 4:
        assert 0 < added[3] < 0.9 * added[2]
        assert added[2] < added[0]
