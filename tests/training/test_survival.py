"""Runs that are killed, and runs of several processes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import FORKS
from conftest import RECIPES

from spcnet.tensor_files import read_tensors

TINY = [
    "model.variant=spcnet_s1_w64",
    "model.arguments={channels: 16}",
    "model.input_size=64",
    "data.train=1-16",
    "data.holdout=17-20",
    "training.batch_size=8",
    "training.ema=0.9",
]

# So large an eps divides every gradient by the same, so that a step tells how large it was.
PLAIN_DESCENT = ("optimizer.name=rmsprop", "optimizer.eps=1e3", "optimizer.lr=20",
                 "optimizer.clip=null", "optimizer.warmup_steps=0")  # fmt: skip


KILLS = 4


def be_killed(run: Path, store: Path, epochs: int) -> None:
    """A killer's target: saves after every step; goes on where it was killed."""
    import torch

    from spcnet.data.store import PackedStore
    from spcnet.training.loop import train
    from spcnet.training.recipe import parse_recipe

    torch.set_num_threads(1)
    values = {
        "name": "victim",
        "model": {"variant": "spcnet_s1_w64", "arguments": {"channels": 16}, "input_size": 64},
        "data": {"dataset": "synthetic", "train": "1-12"},
        "loss": {"kind": "softmax"},
        "optimizer": {"name": "rmsprop", "lr": 1e-3, "schedule": "step", "milestones": [3, 6]},
        "training": {"epochs": epochs, "batch_size": 3, "ema": 0.9, "save_minutes": 1e-9},
    }
    train(parse_recipe(values, source="victim"), PackedStore(store), run, resume=None)


def victim(run: Path, store: Path, epochs: int) -> Any:
    process = FORKS.Process(target=be_killed, args=(run, store, epochs))
    process.start()
    return process


def losses(run: Path) -> list[tuple[int, float, float]]:
    """Step, loss and learning rate of every line of the log."""
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"], line["lr"]) for line in lines if "loss" in line]


def saved_step(run: Path) -> int:
    """The step of the last checkpoint; 0 before the first."""
    path = run / "state.safetensors"
    if not path.is_file():
        return 0
    with path.open("rb") as stream:  # opened once: the file may be replaced at any moment
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    step: int = json.loads(header["__metadata__"]["progress"])["step"]
    return step


def test_kills_change_nothing(figures: object, tmp_path: Path) -> None:
    """``kill -9`` at random moments; what goes on from there is bit for bit the whole run."""
    store = figures.folder  # type: ignore[attr-defined]
    epochs, steps = 12, 48
    whole = victim(tmp_path / "whole", store, epochs)
    whole.join(timeout=120)
    assert whole.exitcode == 0
    moments = random.Random(0)
    killed_at: list[int] = []
    for _ in range(20):
        process = victim(tmp_path / "killed", store, epochs)
        if len(killed_at) == KILLS:
            process.join(timeout=120)
            assert process.exitcode == 0
            break
        # Some steps further than the last time, and then at any moment of a step or a save.
        goal = min(saved_step(tmp_path / "killed") + moments.randint(1, 10), steps - 8)
        while process.is_alive() and saved_step(tmp_path / "killed") < goal:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 0.05))
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            killed_at.append(saved_step(tmp_path / "killed"))
    assert len(killed_at) == KILLS
    assert 0 < killed_at[0] < killed_at[-1] < steps
    assert any(step % 4 for step in killed_at)  # in the middle of an epoch, which is logged whole
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    rates = sorted({rate for *_, rate in losses(tmp_path / "killed")})
    assert rates == pytest.approx([1e-5, 1e-4, 1e-3])
    one, _ = read_tensors(tmp_path / "whole" / "state.safetensors")
    other, _ = read_tensors(tmp_path / "killed" / "state.safetensors")
    assert all(np.array_equal(one[name], other[name]) for name in one)
    left = {path.name for path in (tmp_path / "killed").iterdir()}
    assert left == {path.name for path in (tmp_path / "whole").iterdir()}


def start(
    processes: int, run: Path, cache: Path, *settings: str, more: tuple[str, ...] = ()
) -> "subprocess.Popen[str]":
    """``spcnet train`` alone, or among several processes of torchrun."""
    alone = [sys.executable, "-m", "spcnet"]
    together = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        "--nproc-per-node", str(processes), "-m", "spcnet",
    ]  # fmt: skip
    overrides = [part for setting in (*TINY, *settings) for part in ("--set", setting)]
    return subprocess.Popen(
        [*(alone if processes == 1 else together), "train", str(RECIPES / "synthetic.yaml"),
         "--run-dir", str(run), "--device", "cpu", *overrides, *more],
        env=os.environ | {"SPCNET_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_two_processes_take_the_steps_of_one(cache: Path, tmp_path: Path) -> None:
    """4 + 4 persons are 8: twenty steps in float64, and the same score of every held-out person."""
    settings = (
        "training.precision=fp64", "training.frozen_batchnorm=true", "training.epochs=10",
        "training.evaluate_every=10", "data.holdout=17-21", *PLAIN_DESCENT,
    )  # fmt: skip
    logs = []
    for processes in (1, 2):
        process = start(processes, tmp_path / str(processes), cache, *settings)
        _, error = process.communicate(timeout=240)
        assert process.returncode == 0, error
        lines = (tmp_path / str(processes) / "log.jsonl").read_text().splitlines()
        logs.append([json.loads(line) for line in lines])
    one, two = ([line["loss"] for line in log if "loss" in line] for log in logs)
    assert len(one) == 10  # a line an epoch of two steps
    assert two == pytest.approx(one, rel=1e-6)
    assert one[-1] < one[0]
    first, second = ([line["score"] for line in log if "score" in line] for log in logs)
    assert first == second
    assert first[0]["persons"] == 5  # not a multiple of two


def test_sigterm_saves_and_the_next_start_goes_on(cache: Path, tmp_path: Path) -> None:
    process = start(1, tmp_path / "run", cache, "training.epochs=10000")
    deadline = time.monotonic() + 120
    while not losses_so_far(tmp_path / "run") and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    _, metadata = read_tensors(tmp_path / "run" / "state.safetensors")
    assert json.loads(metadata["progress"])["step"] >= losses(tmp_path / "run")[-1][0]


def test_sigterm_to_torchrun_saves_once_and_the_next_start_goes_on(
    cache: Path, tmp_path: Path
) -> None:
    settings = ("training.epochs=10000", "training.save_minutes=100", "data.holdout=null")
    process = start(2, tmp_path / "run", cache, *settings)
    deadline = time.monotonic() + 120
    while not losses_so_far(tmp_path / "run") and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=90)
    _, metadata = read_tensors(tmp_path / "run" / "state.safetensors")
    saved = json.loads(metadata["progress"])["step"]
    assert saved >= losses(tmp_path / "run")[-1][0] > 0
    # With nothing but the time to take one step left.
    again = start(2, tmp_path / "run", cache, *settings, more=("--resume", "--max-minutes", "0"))
    _, error = again.communicate(timeout=120)
    assert again.returncode == 0, error
    _, metadata = read_tensors(tmp_path / "run" / "state.safetensors")
    assert json.loads(metadata["progress"])["step"] == saved + 1


def losses_so_far(run: Path) -> bool:
    return (run / "log.jsonl").is_file() and '"loss"' in (run / "log.jsonl").read_text()


def test_a_worker_that_dies_takes_the_run_down(cache: Path, tmp_path: Path) -> None:
    process = start(2, tmp_path / "run", cache, "training.epochs=10000", "data.holdout=null")
    deadline = time.monotonic() + 120
    while not losses_so_far(tmp_path / "run") and time.monotonic() < deadline:
        time.sleep(0.1)
    listed = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    )
    workers = sorted(map(int, listed.stdout.split()))
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    process.communicate(timeout=90)
    assert process.returncode != 0
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
