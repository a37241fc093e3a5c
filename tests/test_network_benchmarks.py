"""``benchmarks/networks.py`` and ``steps.py`` on networks of toy size."""

import json
from pathlib import Path

import pytest
import torch
from command_line import python
from loading import BENCHMARKS, load
from matplotlib.patches import Rectangle
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from spcnet.devices import has_bfloat16
from spcnet.models.registry import create_model

networks = load("networks")


def test_rates_shares_and_ratios_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "USUAL_SIZE", 64)
    monkeypatch.setattr(networks, "MATRIX", 64)
    network = create_model("spcnet_s1_w64", num_joints=5, channels=16).eval()
    done: list[int] = []
    paces = networks.compare_networks(
        {"tiny": (network, 64)}, batches=[1, 2], turns=2, report=done.append
    )
    has_bf16 = has_bfloat16(torch.device("cpu"))
    forms = ["fp32 plain", "fp32 plain", "fp32 fused", *["bf16 fused"] * has_bf16]
    assert [(p.batch, p.form) for p in paces] == [(b, form) for b in (1, 2) for form in forms]
    assert done == list(range(1, 7))
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 64, 64))
    for of_batch in (paces[: len(forms)], paces[len(forms) :]):
        usual, *ours = of_batch
        assert (usual.network, usual.ratio) == (networks.REFERENCE, 1)
        for pace in ours:
            assert pace.gflops * pace.milliseconds == pytest.approx(
                counter.get_total_flops() / 1e9 * 1000
            )
            assert pace.share > 0
            assert pace.ratio == pytest.approx(usual.milliseconds / pace.milliseconds)


def test_bars_are_as_long_as_the_speeds_and_networks_stand_apart() -> None:
    figure = networks.draw_speeds(
        {"a": {"fp32": 4.0, "bf16": 7.0}, "b": {"fp32": 2.5}}, title="speeds"
    )
    (axes,) = figure.axes
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [bar.get_width() for bar in bars] == [4.0, 7.0, 2.5]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["a, fp32", "a, bf16", "b, fp32"]
    assert bars[0].get_facecolor() == bars[2].get_facecolor() != bars[1].get_facecolor()
    first, second, third = (bar.get_y() for bar in bars)
    assert third - second > second - first


def test_networks_are_timed_printed_and_drawn(
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plot = tmp_path / "speeds.png"
    monkeypatch.setattr(networks, "USUAL_SIZE", 64)
    monkeypatch.setattr(networks, "MATRIX", 64)
    arguments = [str(tiny_checkpoint), "--batch", "3", "--turns", "1", "--threads", "1"]
    monkeypatch.setattr("sys.argv", ["networks.py", *arguments, "--json", "--output", str(plot)])
    networks.main()
    found = json.loads(capsys.readouterr().out)
    assert found["setting"]["threads"] == 1
    usual, plain, *fused = found["paces"]
    assert (usual["ratio"], usual["size"]) == (1, 64)
    assert plain["form"] == "fp32 plain"
    assert {pace["form"] for pace in fused} <= {"fp32 fused", "bf16 fused"}
    assert Image.open(plot).width > 500


def test_the_steps_to_a_pose_are_timed(tiny_checkpoint: Path) -> None:
    script = BENCHMARKS / "steps.py"
    done = python(script, tiny_checkpoint, "--batch", 2, "--turns", 1, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    *steps, whole = found["milliseconds"]["2"].values()
    assert len(steps) == 5 and min(steps) > 0
    assert 0.2 * sum(steps) < whole < 5 * sum(steps)
    assert 0.3 < found["first_pose"] < 300
    assert 50e6 < found["memory"] < 2e9
