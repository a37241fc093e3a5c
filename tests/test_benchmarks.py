import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_the_training_step_benchmark_runs() -> None:
    command = [sys.executable, BENCHMARKS / "training_step.py", "--batch", "2", "--steps", "1",
               "--shrink", "2"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert all(line.endswith("images/s") for line in lines)
