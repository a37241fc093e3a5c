from pathlib import Path

import numpy as np
import pytest
from command_line import script
from loading import BENCHMARKS, load
from PIL import Image


def test_the_training_step_benchmark_runs() -> None:
    done = script(BENCHMARKS / "training_step.py", "--batch", "2", "--steps", "1", "--shrink", "2")
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert all(line.endswith("images/s") for line in lines)


def test_the_service_load_benchmark_runs(tiny_checkpoint: Path) -> None:
    done = script(
        BENCHMARKS / "service_load.py", "--model", tiny_checkpoint, "--seconds", "1",
        "--clients", "2", "--boxes", "[[9, 9, 470, 830]]",
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["1 clients", "2 clients"]
    assert all(line.endswith("0 refused") for line in lines)


def test_the_runtimes_benchmark_runs(tiny_checkpoint: Path) -> None:
    done = script(BENCHMARKS / "runtimes.py", tiny_checkpoint, "--turns", "1")
    lines = done.stdout.splitlines()
    assert [line.split(", ")[1].split(":")[0] for line in lines] == ["batch 1", "batch 8"]
    assert all(line.endswith(" ms") for line in lines)


def test_the_folder_benchmark_runs(tiny_checkpoint: Path) -> None:
    done = script(
        BENCHMARKS / "folder.py", "--pictures", "8", "--megapixels", "0.1", "--model",
        tiny_checkpoint,
    )  # fmt: skip
    first, *lines = done.stdout.splitlines()
    assert first.endswith(" s")
    assert [line.split(":")[0] for line in lines] == [
        "boxes, JSON", "boxes, JSON and overlays", "no boxes, JSON"
    ]  # fmt: skip


def test_the_motion_benchmark_runs(tiny_checkpoint: Path) -> None:
    done = script(
        BENCHMARKS / "motion.py", "--clips", "1", "--frames", "3", "--model", tiny_checkpoint
    )
    head, *joints = done.stdout.splitlines()
    assert head.split("  ")[1:] == ["sides swapped", "jitter at rest", "lag in motion"]
    assert [line.split()[0] for line in joints] == [
        "raw", "one-euro", "steadied", "1", "before:", "after:", "1", "before:", "after:"
    ]  # fmt: skip


def test_sides_are_counted_where_joints_are_apart() -> None:
    motion = load("motion")
    truth = np.random.default_rng(0).uniform(0, 100, (5, 14, 2))
    assert motion.swapped(truth, truth) == 0
    mirrored = truth[:, motion.LSP14.flip_permutation]
    assert motion.swapped(mirrored, truth) == 1
    mirrored[:3] = truth[:3]
    assert motion.swapped(mirrored, truth) == pytest.approx(0.4, abs=0.07)


def test_the_bfloat16_benchmark_runs(tiny_checkpoint: Path) -> None:
    done = script(BENCHMARKS / "bfloat16.py", "--model", tiny_checkpoint, "--split", "1-3")
    first, scores, moved = done.stdout.splitlines()
    assert first == "lspet-pck over 3 persons of synthetic 1-3, %"
    assert scores.startswith("fp32 ") and ", bf16 " in scores
    assert float(moved.split()[3]) > 0  # it rounds


def test_the_growth_benchmark_runs(tiny_checkpoint: Path, tmp_path: Path) -> None:
    done = script(
        BENCHMARKS / "growth.py", "--model", tiny_checkpoint, "--least", "--only", "batch",
        "persons", "megapixels", "pictures", "--turns", "1", "--out", tmp_path / "growth.png",
    )  # fmt: skip
    lines = [line.split(", ")[:2] for line in done.stdout.splitlines()]
    assert lines == [
        ["crops a batch", "n"], ["persons", "n"],
        ["megapixels of a JPEG", "with its box"], ["megapixels of a JPEG", "without"],
        ["pictures in a folder", "n"], ["pictures in a folder", "n"],
    ]  # fmt: skip
    assert Image.open(tmp_path / "growth.png").width > 500


def test_growth_has_a_panel_each_and_a_line_for_what_is_linear() -> None:
    growth = load("growth")
    curves = {"a": ((1, 2, 4), (10.0, 15.0, 30.0)), "b": ((1, 4), (7.0, 8.0))}
    panels = [
        growth.Growth("size", "ms", "first", curves),
        growth.Growth("size", "MB", "second", {"a": ((1, 2), (5.0, 6.0))}, linear=True),
    ]
    first, second = growth.draw_growth(panels).axes
    *measured, dotted = first.get_lines()
    assert [list(line.get_ydata()) for line in measured] == [[10, 15, 30], [7, 8]]
    assert list(dotted.get_ydata()) == pytest.approx([10, 20, 40])
    assert (first.get_xscale(), second.get_xscale()) == ("log", "linear")
    assert list(first.get_xticks()) == [1, 2, 4]
    assert (first.get_title("left"), second.get_ylabel()) == ("first", "MB")
    assert second.get_ylim()[0] == 0
    assert len(second.get_lines()) == 1


def test_the_gpu_benchmark_runs_on_a_cpu_at_toy_size() -> None:
    done = script(BENCHMARKS / "gpu.py", "--device", "cpu", "--small", "--turns", "1")
    rate, *lines = done.stdout.splitlines()
    assert rate.startswith("cpu: bf16 matrix product")
    assert [line.split(":")[0] for line in lines] == [
        *["batch 1"] * 5, "  floors of SPCNet", *["batch 2"] * 5, "  floors of SPCNet",
        *["training, batch 2"] * 5,
    ]  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="looks into /proc")
def test_the_service_attacks_benchmark_runs(tiny_checkpoint: Path) -> None:
    done = script(
        BENCHMARKS / "service_attacks.py", "--model", tiny_checkpoint, "--seconds", "1",
        "--connections", "3", "--uploads", "2", "--megabytes", "0.2", "--side", "64", "--scans",
        "51", "--clients", "2", "--requests", "10",
    )  # fmt: skip
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert [name.split(",")[0] for name in lines] == [
        *(f"text {number}" for number in range(1, 8)), "4 JPEGs of 51 scans",
        "4 JPEGs of 50 scans", "4 JPEGs of empty segments", "3 connections", "3 connections",
        "2 slow uploads", "2 clients", "8 clients",
        "SIGTERM with half an upload", "SIGTERM with load",
    ]  # fmt: skip
    attacks = [line for line in lines.values() if line.startswith("attackers got")]
    assert len(attacks) == 13
    assert all("after it: 200 x 3 in" in line for line in attacks)
    assert lines["4 JPEGs of 51 scans"].startswith("attackers got 422 x 4 in")
    assert lines["4 JPEGs of 50 scans"].startswith("attackers got 200 x 4 in")
    assert ", status 0; clients got 503 x" in lines["SIGTERM with half an upload"]
    # On a busy machine the service may have ended before the clients came.
    assert ", status 0; clients got " in lines["SIGTERM with load"]
