"""Streams that cannot take what is printed, and signals: the work is done, and nothing is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spcnet.cli.main import main

NAMES = ("plain.png", "人.png", os.fsdecode(b"caf\xe9.png"))


@pytest.fixture
def command(tiny_checkpoint: Path, tmp_path: Path) -> list[str]:
    """``spcnet predict`` of pictures whose names not every stream takes."""
    for name in NAMES:
        noise = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
        try:
            Image.fromarray(noise).save(tmp_path / name)
        except OSError:
            pytest.skip("the disk takes no names that are not Unicode")
    paths = [str(tmp_path / name) for name in reversed(NAMES)]
    model = ["--model", str(tiny_checkpoint), "--box", "0,0,30,40", "--device", "cpu"]
    return [
        sys.executable, "-m", "spcnet", "predict", *paths, *model, "-o", str(tmp_path / "out")
    ]  # fmt: skip


def results(folder: Path) -> set[str]:
    return {path.name for path in (folder / "out").iterdir()}


@pytest.mark.parametrize("encoding", ["ascii", "utf-8:strict"])
def test_a_name_that_stdout_cannot_write_ends_nothing(
    command: list[str], tmp_path: Path, encoding: str
) -> None:
    done = subprocess.run(
        command, env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path)) == 6
    assert len(done.stdout.splitlines()) == 3
    assert b"caf\\udce9.png -> " in done.stdout
    if encoding == "ascii":
        assert b"\\u4eba.png -> " in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("full", "status", "said"),
    [
        ("stdout", 1, "spcnet: error: standard output: No space left on device\n"),
        ("stderr", 0, ""),
    ],
)
def test_a_full_stream_ends_nothing(
    command: list[str], tmp_path: Path, full: str, status: int, said: str
) -> None:
    with open("/dev/full", "wb") as nowhere:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {full: nowhere}
        done = subprocess.run(command, **streams, text=True, check=False)
    assert done.returncode == status
    assert len(results(tmp_path)) == 6
    assert (done.stderr or "").endswith(said)
    assert "Exception ignored" not in (done.stderr or "")


def test_closed_streams_end_nothing(command: list[str], tmp_path: Path) -> None:
    shell = ["sh", "-c", '"$@" >&- 2>&-', "sh", *command]
    assert subprocess.run(shell, check=False).returncode == 0
    assert len(results(tmp_path)) == 6


def test_sigterm_ends_a_run_as_ctrl_c_does(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: object
) -> None:
    from spcnet.inference import runs as module

    def terminated(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(folder / "a.png")
    line = ["spcnet", "predict", folder, "--model", tiny_checkpoint, "--box", "0,0,30,40"]
    monkeypatch.setattr(sys, "argv", [str(part) for part in (*line, "-o", tmp_path / "out")])
    monkeypatch.setattr(module.PredictionRun, "_keep", terminated)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 130
    assert "the same command goes on" in capfd.readouterr().err  # type: ignore[attr-defined]
    assert not (tmp_path / "out").exists()
