"""Without an extra, whatever needs it names the pip line, before any work is done."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import EXAMPLES, RECIPES

from spcnet.cli.doctor import EXTRAS, PACKAGES

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
FOR_DEVELOPERS = {"synthetic", "docs", "dev"}  # no command needs them

HIDING = """
import os
from importlib.machinery import PathFinder
find = PathFinder.find_spec
hidden = os.environ["HIDDEN"].split()
PathFinder.find_spec = lambda name, *place: None if name in hidden else find(name, *place)
"""

# Extra, hidden module, command line; {} is a folder with clip.mp4, model.onnx and labels.h5.
COMMANDS = [
    ("video", "av", "video {}/clip.mp4"),
    ("video", "av", "webcam -o {}/out.mp4"),
    ("mocap", "c3d", "video {}/clip.mp4 -o {}/out.mp4 --save c3d"),
    ("onnx", "onnxruntime", f"predict {EXAMPLES}/lunge.jpg --json --detector {{}}/model.onnx"),
    ("openvino", "openvino", f"predict {EXAMPLES}/lunge.jpg --json --model {{}}/model.onnx "
                             "--device openvino"),
    ("serve", "fastapi", "serve --port 0"),
    ("serve", "python_multipart", "serve --port 0"),
    ("serve", "uvicorn", "webcam --port 0"),
    ("h5", "h5py", "score {0}/labels.h5 --protocol mpii-tompson --ground-truth {0}/labels.h5"),
    ("h5", "h5py", "evaluate --dataset synthetic --split 1-9 --predictions {}/out.h5"),
    ("train", "tensorboard", f"train {RECIPES}/synthetic.yaml -d {{}}/run "
                             "--set training.trackers=[tensorboard]"),
    ("trackers", "wandb", f"train {RECIPES}/synthetic.yaml -d {{}}/run "
                          "--set training.trackers=[wandb]"),
    ("trackers", "mlflow", f"train {RECIPES}/synthetic.yaml -d {{}}/run "
                           "--set training.trackers=[mlflow]"),
]  # fmt: skip


def without(modules: str, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as it is where some modules are not installed."""
    hiding = folder / "hiding"
    hiding.mkdir()
    (hiding / "sitecustomize.py").write_text(HIDING)
    path = os.pathsep.join(filter(None, [str(hiding), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "spcnet", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": path, "HIDDEN": modules},
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("extra", "module", "line"),
    COMMANDS,
    ids=[f"{line.split()[0]} without {module}" for _, module, line in COMMANDS],
)
def test_a_command_names_the_extra_that_it_needs(
    extra: str, module: str, line: str, tmp_path: Path
) -> None:
    given = {"clip.mp4", "model.onnx", "labels.h5"}
    for name in given:
        (tmp_path / name).write_bytes(b"never read")
    done = without(module, [part.format(tmp_path) for part in line.split()], tmp_path)
    assert done.returncode == 1, done.stderr
    (told,) = done.stderr.splitlines()
    assert told.startswith("spcnet: error: ")
    assert told.endswith(f" needs {module}: pip install 'spcnet[{extra}]'")
    assert {path.name for path in tmp_path.iterdir()} == given | {"hiding"}


def test_every_extra_of_a_command_is_tried_and_told_by_doctor() -> None:
    extras = {
        extra: packages
        for extra, packages in PROJECT["optional-dependencies"].items()
        if extra not in FOR_DEVELOPERS
    }
    assert {extra for extra, _, _ in COMMANDS} == set(extras)
    assert {extra: list(packages) for extra, packages in EXTRAS.items()} == {
        extra: list(map(_name, packages)) for extra, packages in extras.items()
    }
    assert set(PACKAGES) == set(map(_name, PROJECT["dependencies"]))


def _name(requirement: str) -> str:
    (name,) = re.findall(r"^[\w-]+", requirement)
    return name


def test_doctor_tells_which_extras_are_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from spcnet.cli import doctor

    here = {"h5py": "3.11.0", "onnx": "1.17.0"}
    monkeypatch.setattr(doctor, "_version", here.get)
    monkeypatch.setattr(doctor, "_devices", lambda: "cpu")
    monkeypatch.setattr(doctor, "_weights", dict)
    doctor.doctor(as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["extra h5"] == "h5py 3.11.0"
    assert told["extra onnx"] == "no onnxscript, onnxruntime: pip install 'spcnet[onnx]'"
    assert told["extra video"] == "no av: pip install 'spcnet[video]'"
    assert told["torch"] == "not installed"
