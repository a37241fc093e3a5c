"""Check at length what a run promises: kills change nothing, and neither does the process count.

    python tools/check_runs.py recipes/lspet_cpu.yaml --set data.root=PATH/lspet

Trains the recipe some hundred steps through the real command line: once undisturbed; once with
``kill -9`` at random moments, resumed each time; and in float64 with frozen batch norms by one
process and by two. Prints how far the losses are apart: rounding differs in the last digit, and
training amplifies it, so the first twenty steps decide. The tests do the same in small.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from spcnet.tensor_files import read_tensors
from spcnet.training.recipe import load_recipe
from spcnet.training.run_dir import STATE


def command(processes: int, options: list[str]) -> list[str]:
    """``spcnet train``, alone or under torchrun."""
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    return [sys.executable, "-m", *(launch if processes > 1 else []), "spcnet", "train", *options]


def losses(run: Path) -> dict[int, float]:
    """By the step that each window of the log ends with."""
    path = run / "log.jsonl"
    lines = [json.loads(x) for x in path.read_text().splitlines()] if path.is_file() else []
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def finish(run: Path, options: list[str], *, processes: int = 1) -> None:
    """Train to the end.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run(command(processes, [*options, "--run-dir", str(run)]), check=False)
    if done.returncode:
        raise SystemExit(f"{run}: the run failed")


def kill_and_resume(
    run: Path, options: list[str], *, kills: int, steps: int, seed: int
) -> list[int]:
    """Kill a run at random moments and finish it; gives the steps its log had come to."""
    moments, seen = random.Random(seed), []
    for kill in range(kills):
        resume = ["--resume"] if (run / "recipe.yaml").exists() else []
        # Each time it may come a little further before it is killed.
        goal = steps * (kill + moments.random()) / kills
        process = subprocess.Popen(
            command(1, [*options, *resume, "--run-dir", str(run)]), stderr=subprocess.DEVNULL
        )
        while max(losses(run), default=0) < goal and process.poll() is None:
            time.sleep(0.05)
        time.sleep(moments.uniform(0, 1))
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            seen.append(max(losses(run), default=0))
    finish(run, [*options, "--resume"])
    return seen


def main() -> None:
    """Read the arguments, run the checks and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    changes = [*asked.changes, f"training.epochs={asked.epochs}", "training.save_minutes=0.05"]
    exact = [*changes, "training.precision=fp64", "training.frozen_batchnorm=true"]
    load_recipe(asked.recipe, exact)

    def options(values: list[str]) -> list[str]:
        return [asked.recipe, *(part for value in values for part in ("--set", value))]

    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        finish(whole, options(changes))
        expected = losses(whole)
        steps = max(expected)
        seen = kill_and_resume(
            killed, options(changes), kills=asked.kills, steps=steps, seed=asked.seed
        )
        (one, _), (other, _) = (read_tensors(run / STATE) for run in (whole, killed))
        same = all(torch.equal(one[name], other[name]) for name in one)
        print(f"{steps} steps; killed {len(seen)} times, at steps {seen}")
        print(
            f"the state after the last step is {'bit for bit the same' if same else 'NOT the same'}"
        )
        curves = []
        for processes in (1, 2):
            run = Path(folder) / f"processes{processes}"
            os.environ["OMP_NUM_THREADS"] = "1"
            finish(run, options(exact), processes=processes)
            curves.append(losses(run))
        apart = {step: abs(curves[1][step] / loss - 1) for step, loss in curves[0].items()}
        text = ", ".join(f"{value:.1e} at step {step}" for step, value in apart.items())
        print(f"float64, one process and two, the losses' relative difference: {text}")
    if not same or apart[min(apart)] > 1e-6:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
