"""Kills commands that write, with SIGKILL at many moments, and shows that nothing is lost.

What a user had stays as it was, what bears its name is whole, and the next run leaves nothing half
written: ``python tests/robustness/kills.py [KILLS]`` prints a line for every command.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
KEPT = "of the user's own"
START = """
import cv2, torch, scipy.io, spcnet.inference.results, spcnet.training.loop
from spcnet.cli.main import main
print("ready", flush=True)
main()
"""


def make_inputs(folder: Path) -> None:
    """Pictures, a video and a small model."""
    sys.path.insert(0, str(ROOT / "tests"))
    from fractions import Fraction

    from conftest import untrained

    from spcnet.media.video_files import VideoWriter
    from spcnet.skeletons import LSP14

    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for n in range(12):
        noise = rng.integers(0, 255, (300, 300, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "photos" / f"{n:02}.png")
    with VideoWriter(folder / "v.mp4", ".mp4", (96, 128), time_base=Fraction(1, 90_000)) as video:
        for n in range(30):
            video.write(rng.integers(0, 255, (96, 128, 3), dtype=np.uint8), n / 30)
    untrained(folder / "tiny.safetensors", LSP14)


def commands(folder: Path, out: Path) -> dict[str, list[str]]:
    """What is killed; each goes on, or begins anew, where it was."""
    model = ["--model", str(folder / "tiny.safetensors"), "--device", "cpu"]
    tiny = ["model.variant=spcnet_s1_w64", "model.arguments={channels: 16}", "data.train=1-16",
            "model.input_size=64", "training.epochs=4", "training.batch_size=4",
            "data.holdout=null", "training.save_minutes=0.0001"]  # fmt: skip
    settings = [part for text in tiny for part in ("--set", text)]
    recipe = str(ROOT / "recipes" / "synthetic.yaml")
    resume = ["--resume"] if (out / "run" / "state.safetensors").exists() else []
    return {
        "predict": ["predict", str(folder / "photos"), "--box", "0,0,300,300", "--save",
                    "overlay,json,crops", "-o", str(out), *model],
        "data pack": ["data", "pack", "synthetic", "--split", "1-40", "-o", str(out / "store")],
        "video": ["video", str(folder / "v.mp4"), "--box", "0,0,128,96", "--force",
                  "-o", str(out / "v.mp4"), *model],
        "export": ["export", "--model", str(folder / "tiny.safetensors"), "--force",
                   "-o", str(out / "m.onnx")],
        "train": ["train", recipe, "--run-dir", str(out / "run"), "--device", "cpu", *settings,
                  *resume],
    }  # fmt: skip


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """A command that has imported what it needs."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, *arguments], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    return process


def check_whole(path: Path) -> None:
    """A file under its final name can be read to its end."""
    from spcnet.media.images import read_image
    from spcnet.media.video_files import VideoReader
    from spcnet.tensor_files import read_tensors

    if path.suffix in (".jpg", ".png"):
        read_image(path)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".safetensors":
        read_tensors(path)
    elif path.suffix == ".mp4":
        with VideoReader(path) as video:
            assert sum(1 for _ in video.frames()) == 30
            assert not video.fault
    elif path.suffix == ".onnx":
        import onnx

        onnx.checker.check_model(str(path))


def visible(out: Path) -> list[Path]:
    """Files without those of names that begin with a point, whole folders of them included."""
    return [
        path
        for path in sorted(out.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(out).parts)
    ]


def kill_command(name: str, folder: Path, kills: int, moments: random.Random) -> str:
    """Kill one command so many times, run it to its end, and look at what there is."""
    out = folder / f"out-{name.replace(' ', '-')}"
    out.mkdir()
    (out / "notes.txt").write_text(KEPT)
    began = time.monotonic()
    whole = start(commands(folder, folder / "whole")[name])
    begin = time.monotonic()
    errors = whole.communicate()[1]
    assert whole.returncode == 0, errors
    lasts, killed, left, runs = time.monotonic() - begin, 0, 0, 0
    while killed < kills:
        runs += 1
        process = start(commands(folder, out)[name])
        time.sleep(moments.uniform(0, 1) * lasts)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        left += sum(".partial-" in path.name for path in out.rglob("*"))
        assert (out / "notes.txt").read_text() == KEPT
        for path in visible(out):
            if path.name != "log.jsonl":
                check_whole(path)
        if name == "data pack":
            shutil.rmtree(out / "store", ignore_errors=True)  # it refuses one that is there
        if process.returncode == 0:  # it was done before: the next begins anew
            shutil.rmtree(out / "run", ignore_errors=True)
    last = start(commands(folder, out)[name])
    errors = last.communicate()[1]
    assert last.returncode == 0, errors
    halves = [str(path) for path in out.rglob("*") if ".partial-" in path.name]
    assert not halves, halves
    assert not (out / ".predict.lock").exists()
    for path in visible(out):
        if path.suffix != ".txt":
            check_whole(path)
    names = {str(path.relative_to(out)) for path in visible(out)} - {"notes.txt"}
    shutil.rmtree(folder / "whole" / "run", ignore_errors=True)
    digest = hashlib.sha256("".join(sorted(names)).encode()).hexdigest()[:8]
    return (
        f"{name:10} {killed} kills in {runs} runs, {left} half-written files or folders after "
        f"them, none after the next run; {len(names)} whole results ({digest}), "
        f"{time.monotonic() - began:.0f} s"
    )


def main() -> None:
    """Kill every command."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    moments = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_inputs(folder)
        (folder / "whole").mkdir()
        for name in sys.argv[2].split(",") if len(sys.argv) > 2 else commands(folder, folder):
            print(kill_command(name, folder, kills, moments), flush=True)


if __name__ == "__main__":
    main()
