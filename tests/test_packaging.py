"""The wheel: what is in it, and that it works where nothing else of the project is."""

import json
import os
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import EXAMPLES

from spcnet import __version__

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "spcnet"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed, which builds the wheel: pip install hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "packages of mine"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def metadata(unpacked: Path) -> Message:
    text = (unpacked / f"spcnet-{__version__}.dist-info" / "METADATA").read_text("utf-8")
    return Parser().parsestr(text)


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"spcnet-{__version__}.dist-info/"
    modules = {f"spcnet/{path.relative_to(SOURCE).as_posix()}" for path in SOURCE.rglob("*.py")}
    page = {f"spcnet/serve/page/{path.name}" for path in (SOURCE / "serve" / "page").iterdir()}
    assert len(page) >= 6
    assert names == {
        *modules,
        *page,
        "spcnet/py.typed",
        "spcnet/inference/result.schema.json",
        "spcnet/metrics/paper.yaml",
        "spcnet/viz/contact_page.html",
        "spcnet/viz/figures.mplstyle",
        "spcnet/viz/label_page.html",
        "spcnet/viz/page.css",
        "spcnet/weights/default.safetensors",
        "spcnet/weights/finder/finder.safetensors",
        f"{info}METADATA",
        f"{info}RECORD",
        f"{info}WHEEL",
        f"{info}entry_points.txt",
        f"{info}licenses/LICENSE",
        f"{info}licenses/NOTICE",
    }
    assert wheel.stat().st_size < 20e6


def test_its_metadata_say_what_it_is(unpacked: Path, metadata: Message) -> None:
    assert metadata["Name"] == "spcnet"
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == ["LICENSE", "NOTICE"]
    assert metadata["Requires-Python"] == ">=3.11"
    info = unpacked / f"spcnet-{__version__}.dist-info"
    assert "spcnet = spcnet.cli.main:main" in (info / "entry_points.txt").read_text()
    assert "Root-Is-Purelib: true" in (info / "WHEEL").read_text()


def test_the_version_has_one_place(metadata: Message) -> None:
    assert metadata["Version"] == __version__
    citation = (ROOT / "CITATION.cff").read_text().splitlines()
    assert f"version: {__version__}" in citation


def test_unpacked_elsewhere_it_predicts(unpacked: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(unpacked)}

    def python(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    where = "import spcnet, importlib.metadata as m; print(spcnet.__file__, m.version('spcnet'))"
    assert python("-c", where) == f"{unpacked / 'spcnet' / '__init__.py'} {__version__}"
    assert python("-m", "spcnet", "--version") == f"spcnet {__version__}"
    picture = EXAMPLES / "standing.jpg"
    python("-m", "spcnet", "predict", str(picture), "-o", "out")
    document = json.loads((tmp_path / "out" / "standing.pose.json").read_text())
    (pose,) = document["annotations"]
    assert pose["num_keypoints"] == 19 and pose["score"] > 0.5
    assert (tmp_path / "out" / "standing.pose.jpg").stat().st_size > 1000
