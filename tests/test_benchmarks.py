import subprocess
import sys
from pathlib import Path

from PIL import Image

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_the_training_step_benchmark_runs() -> None:
    command = [sys.executable, BENCHMARKS / "training_step.py", "--batch", "2", "--steps", "1",
               "--shrink", "2"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert all(line.endswith("images/s") for line in lines)


def test_the_service_load_benchmark_runs(tiny_checkpoint: Path) -> None:
    command = [sys.executable, BENCHMARKS / "service_load.py", "--model", tiny_checkpoint,
               "--seconds", "1", "--clients", "2", "--boxes", "[[9, 9, 470, 830]]"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["1 clients", "2 clients"]
    assert all(line.endswith("0 refused") for line in lines)


def test_the_runtimes_benchmark_runs(tiny_checkpoint: Path) -> None:
    command = [sys.executable, BENCHMARKS / "runtimes.py", tiny_checkpoint, "--turns", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split(", ")[1].split(":")[0] for line in lines] == ["batch 1", "batch 8"]
    assert all(line.endswith(" ms") for line in lines)


def test_the_folder_benchmark_runs(tiny_checkpoint: Path) -> None:
    command = [sys.executable, BENCHMARKS / "folder.py", "--pictures", "8", "--megapixels", "0.1",
               "--model", tiny_checkpoint]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, *lines = done.stdout.splitlines()
    assert first.endswith(" s")
    assert [line.split(":")[0] for line in lines] == [
        "boxes, JSON", "boxes, JSON and overlays", "no boxes, JSON"
    ]  # fmt: skip


def test_the_growth_benchmark_runs(tiny_checkpoint: Path, tmp_path: Path) -> None:
    command = [sys.executable, BENCHMARKS / "growth.py", "--model", tiny_checkpoint, "--least",
               "--only", "batch", "persons", "megapixels", "pictures", "--turns", "1",
               "--out", tmp_path / "growth.png"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split(", ")[:2] for line in done.stdout.splitlines()]
    assert lines == [
        ["crops a batch", "n"], ["persons", "n"],
        ["megapixels of a JPEG", "with its box"], ["megapixels of a JPEG", "without"],
        ["pictures in a folder", "n"], ["pictures in a folder", "n"],
    ]  # fmt: skip
    assert Image.open(tmp_path / "growth.png").width > 500


def test_the_gpu_benchmark_runs_on_a_cpu_at_toy_size() -> None:
    command = [sys.executable, BENCHMARKS / "gpu.py", "--device", "cpu", "--small", "--turns", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rate, *lines = done.stdout.splitlines()
    assert rate.startswith("cpu: bf16 matrix product")
    assert [line.split(":")[0] for line in lines] == [
        *["batch 1"] * 5, "  floors of SPCNet", *["batch 2"] * 5, "  floors of SPCNet",
        *["training, batch 2"] * 5,
    ]  # fmt: skip
