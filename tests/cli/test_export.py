"""``spcnet export`` and what uses its files, from end to end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import spcnet
from conftest import EXAMPLES, OnnxModels
from typer.testing import CliRunner

from spcnet.cli.main import app
from spcnet.errors import UserError
from spcnet.inference.estimator import PoseEstimator

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

EVALUATE = ["evaluate", "--dataset", "synthetic", "--split", "1-6", "--json", "--model"]
BOX = [220.0, 110.0, 440.0, 800.0]


def test_a_quantised_export_from_end_to_end(tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "a folder" / "tiny.onnx"
    done = spcnet(
        "export", "--model", tiny_checkpoint, "--heatmaps", "--int8", "--split", "1-6", "-o", out
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{out}: heatmaps, 0.")
    model, ranges, tracing, agrees, moved = done.stderr.splitlines()  # and no warnings
    assert model == "model tiny (spcnet_s1_w64, 64 px)"
    assert ranges == "int8: ranges of 3 persons of synthetic 1-6"
    assert tracing.startswith("tracing")
    assert agrees.startswith("agrees with torch at batch 1 and 3: heatmaps differ by")
    assert moved.startswith("int8:")
    assert [path.name for path in out.parent.iterdir()] == ["tiny.onnx"]
    found = spcnet("predict", EXAMPLES / "standing.jpg", "--model", out, "--flip", "--json")
    assert found.returncode == 0, found.stderr
    assert "on cpu by onnxruntime (int8)" in found.stderr
    assert len(json.loads(found.stdout)["annotations"][0]["keypoints"]) == 42


def test_what_a_file_of_keypoints_lacks_is_told_before_anything_is_written(
    onnx_models: OnnxModels, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    fails("predict", EXAMPLES / "standing.jpg", "--model", onnx_models.keypoints, "-o", out,
          "--save", "overlay,heatmaps", told="--save heatmaps: ")  # fmt: skip
    assert not out.exists()


def fails(*arguments: object, told: str) -> None:
    """The command is refused with such a line, as `spcnet.cli.main.main` prints it."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(done.exception, UserError), done.output
    assert told in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_file_is_evaluated_as_its_checkpoint_is(onnx_models: OnnxModels) -> None:
    found = []
    for path in (onnx_models.checkpoint, onnx_models.keypoints):
        done = CliRunner().invoke(app, [*EVALUATE, str(path)])
        assert done.exit_code == 0, done.output
        found.append(json.loads(done.stdout)["joints"])
    assert found[0] == pytest.approx(found[1])


def test_the_numpy_example_finds_what_the_estimator_finds(onnx_models: OnnxModels) -> None:
    script, picture = EXAMPLES / "onnx_numpy.py", EXAMPLES / "standing.jpg"
    done = subprocess.run(
        [sys.executable, script, onnx_models.keypoints, picture, *map(str, BOX)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (pose,) = PoseEstimator(str(onnx_models.keypoints)).predict(picture, [BOX])
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == list(pose.skeleton.joints)
    points = np.array([row[1:3] for row in rows], dtype=float)
    scores = np.array([row[3] for row in rows], dtype=float)
    cell = 1.25 * (BOX[3] - BOX[1]) / 16
    near = np.linalg.norm(points - pose.keypoints, axis=1) < 0.5 * cell
    # It resizes by another filter, and an untrained network minds.
    assert near.mean() > 0.5
    assert np.abs(scores - pose.scores)[near].max() < 0.2
    imported = [line for line in script.read_text().splitlines() if "import" in line]
    assert not any("spcnet" in line or "torch" in line for line in imported)


def test_what_torch_does_not_confirm_is_not_written(
    onnx_models: OnnxModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnx import numpy_helper

    wrong = type(onnx_models.traced)()
    wrong.CopyFrom(onnx_models.traced)
    for tensor in wrong.graph.initializer:
        if tensor.name == "network.head.weight":
            array = numpy_helper.to_array(tensor) * np.float32(1.01)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    monkeypatch.setattr("spcnet.export.graph.trace", lambda network, card: wrong)
    command = ["export", "--model", str(onnx_models.checkpoint), "-o", str(tmp_path / "m.onnx")]
    fails(*command, told="does not find what torch finds")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("spcnet.export.graph.trace", lambda network, card: onnx_models.traced)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_an_export_that_cannot_be_is_told_at_once(onnx_models: OnnxModels, tmp_path: Path) -> None:
    model = onnx_models.checkpoint
    mine = tmp_path / "mine.onnx"
    mine.write_text("precious")
    fails("export", "--model", model, "-o", mine, told="already exists; --force overwrites it")
    assert mine.read_text() == "precious"
    fails("export", "--model", model, "-o", tmp_path / "m.pt", told="must end in .onnx")
    fails("export", "--model", onnx_models.keypoints, "-o", tmp_path / "m.onnx",
          told="name the .safetensors")  # fmt: skip
    # Root may write to any folder but those of the kernel.
    folder = Path("/proc/out") if os.geteuid() == 0 else tmp_path / "read only"
    if os.geteuid() != 0:
        folder.mkdir(mode=0o500)
    fails("export", "--model", model, "-o", folder / "m.onnx", told="cannot write here")
    assert CliRunner().invoke(app, ["export", "--dataset", "lspet"]).exit_code == 2


def test_packages_that_are_not_there_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    fails("export", "-o", tmp_path / "m.onnx",
          told="spcnet export needs onnxscript: pip install 'spcnet[onnx]'")  # fmt: skip


def test_attention_and_calibration_want_the_checkpoint(
    onnx_models: OnnxModels, tmp_path: Path
) -> None:
    picture = EXAMPLES / "lunge.jpg"
    fails("figure", "levels", picture, "--model", onnx_models.keypoints,
          "-o", tmp_path / "levels.png", told="gives no attention")  # fmt: skip
    fails("calibrate", "--model", onnx_models.keypoints, "--dataset", "synthetic",
          "--split", "1-4", "-o", tmp_path / "c.safetensors", told="can only be run")  # fmt: skip
