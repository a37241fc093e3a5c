"""docs/extending.md, from its first line to its predictions; and what an extension may do wrong."""

import json
import re
import shlex
from pathlib import Path

import pytest
from command_line import python, spcnet
from loading import BENCHMARKS
from PIL import Image

from spcnet.errors import UserError
from spcnet.registries import Registry, import_extension
from spcnet.synthetic.figure import render_figure

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


def test_the_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("SPCNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    for name, content in re.findall(r"^`([\w.]+)`: .*?```\w+\n(.*?)```", text, re.M | re.S):
        (tmp_path / name).write_text(content)
    Image.fromarray(render_figure(3).image).save(tmp_path / "photo.jpg")
    commands = re.findall(r"^\$ ((?:spcnet|python) .*)$", text, re.M)
    called = [Path(command.split()[1]).stem for command in commands]
    assert called == ["train", "predict", "ablate", "export", "predict"]
    printed = {}
    for name, command in zip(called, commands, strict=True):
        program, *words = shlex.split(command.replace("benchmarks/", f"{BENCHMARKS}/"))
        done = python(*words) if program == "python" else spcnet(*words)
        assert done.returncode == 0, (command, done.stderr)
        printed[name] = done.stdout
    assert "largest over sim" in printed["ablate"] and "the paper" not in printed["ablate"]
    poses = []
    for folder in ("poses", "of_onnx"):
        (found,) = (tmp_path / folder).glob("*.json")
        poses.append(json.loads(found.read_text())["annotations"][0]["keypoints"])
    assert poses[0] == pytest.approx(poses[1], abs=0.1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.py", None, "--import gone.py: no such file"),
        (
            "no_such_module_here",
            None,
            "--import no_such_module_here: cannot be imported: No module",
        ),
        ("bad.py", "1 / 0", "--import bad.py: cannot be imported: division by zero"),
        ("worse.py", "def", "--import worse.py: cannot be imported: invalid syntax"),
        (
            "taken.py",
            "from spcnet.models.network import FUSIONS\nFUSIONS.register('sum')(object())",
            "cannot be imported: fusion 'sum': the name is taken",
        ),
    ],
)
def test_an_extension_that_fails_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_text(content)
    with pytest.raises(UserError, match=message):
        import_extension(name)


def test_import_may_stand_anywhere(tmp_path: Path) -> None:
    for arguments in (("models", "--import", "gone.py"), ("--import=gone.py", "models")):
        done = spcnet(*arguments)
        assert done.returncode == 1
        assert done.stderr.splitlines() == ["spcnet: error: --import gone.py: no such file"]


def test_installed_packages_are_imported_when_a_name_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from spcnet import registries

    known = Registry("thing", {"one": 1})
    loaded = []

    class Entry:
        def load(self) -> None:
            loaded.append(True)
            known.setdefault("two", 2)

    monkeypatch.setattr(registries, "entry_points", lambda group: [Entry()])
    registries.import_installed.cache_clear()
    assert known.knows("one") and not loaded
    assert known.knows("two") and known.knows("two") and len(loaded) == 1
    assert not known.knows("tow")
    assert known.unknown("tow") == "unknown thing 'tow'; did you mean 'two'? there are one, two"
    registries.import_installed.cache_clear()
