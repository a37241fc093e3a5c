"""The documentation is true: links lead somewhere, what it tells to type works, the site builds."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import yaml
from command_line import spcnet
from conftest import EXAMPLES
from label_samples import SAMPLES, sample

from spcnet.cli.main import main
from spcnet.data.formats.table import read_document
from spcnet.inference.documents import CocoCollection, coco_document
from spcnet.inference.mocap import motion_files
from spcnet.inference.pose import Pose
from spcnet.inference.video import FramePoses
from spcnet.skeletons import BODY19, COCO17
from spcnet.tables import table_file, to_records
from spcnet.training.recipe import parse_recipe

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(DOCS.glob("*.md"))]
BLOCK = re.compile(r"(<!-- not run: [^\n]+-->\n)?```(\w+)\n(.*?)```", re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
ELSEWHERE = ("http://", "https://", "//")


def blocks(page: Path, language: str) -> list[str]:
    """The page's fenced blocks of a language, without those that it says are not run."""
    found = BLOCK.findall(page.read_text())
    return [text for not_run, of, text in found if of == language and not not_run]


def commands(page: Path) -> list[list[str]]:
    """What the page's console blocks tell to type."""
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    return [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ ")]


def anchor(heading: str) -> str:
    """The anchor that a heading has on the site, and where else Markdown is shown."""
    words = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
    return re.sub(r"[\s-]+", "-", words)


def anchors(page: Path) -> set[str]:
    prose = BLOCK.sub("", page.read_text())
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_of_a_page_are_there(page: Path) -> None:
    for target in LINK.findall(BLOCK.sub("", page.read_text())):
        if target.startswith(("http", "mailto:")):
            continue
        path, _, part = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if part and not part.startswith("spcnet."):  # the site's test looks after the reference
            assert part in anchors(file), f"{page.name}: {target}"


def test_the_navigation_names_every_page() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(leaves(nav)) == sorted(page.name for page in DOCS.glob("*.md"))


def leaves(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for part in nav.values():
            yield from leaves(part)
    elif isinstance(nav, list):
        for part in nav:
            yield from leaves(part)


def test_own_data_is_trained_on_as_its_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = DOCS / "own-data.md"
    recipe, transfer = blocks(page, "yaml")
    (tmp_path / "mine.yaml").write_text(recipe)
    values = yaml.safe_load(recipe)
    for section, changes in yaml.safe_load(transfer).items():
        values[section] |= changes
    assert parse_recipe(values, source="page").model.joints["left_foot"] == "left_ankle"
    printed = ""
    for program, *arguments in commands(page):
        assert program == "spcnet"
        done = spcnet(*arguments, SPCNET_CACHE=str(tmp_path / "cache"))
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        printed += done.stdout + done.stderr
    for line in "".join(blocks(page, "console")).splitlines():
        assert line.startswith("$ ") or line in printed
    assert "pck-box" in printed
    assert (tmp_path / "poses" / "figure000100.pose.json").is_file()


@pytest.mark.parametrize("name", SAMPLES)
def test_labels_of_a_tool_are_converted_as_their_page_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever tool's export is handed over."""
    monkeypatch.chdir(tmp_path)
    sample(name, tmp_path / "exported")
    table = (DOCS / "formats.md").read_text().split("## What is read")[0]
    assert f"`{name}`" in table or name == "roboflow"
    document = read_document(Path("exported"))
    for split, labels in document.items():  # the pictures belong there, says the command
        assert labels.images is not None
        shutil.copytree(labels.images, Path("mine", "images", split if len(document) > 1 else ""))
    shutil.move("mine", "pictures")
    for program, *arguments in commands(DOCS / "formats.md"):
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0, capsys.readouterr().err
        if not Path("mine", "images").exists():
            shutil.move("pictures/images", "mine")
    printed = "".join(capsys.readouterr())
    assert "spcnet data convert exported -o FOLDER --to coco" in printed or name == "coco"
    occluded = {"label-studio": 0, "labelme": 0, "dlc": 0, "yolo": 2}.get(name, 1)
    told = f"lost in LabelMe: occluded joints, which become visible ({occluded})"
    assert (told in printed) == (occluded > 0)


@pytest.mark.parametrize("name", ["start.md", "python.md", "results.md"])
def test_python_of_a_page_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(DOCS / name, "python"):
        exec(compile(block, name, "exec"), names)
    promised = re.findall(r"^ *print\(.*\)  # (.+)$", (DOCS / name).read_text(), re.MULTILINE)
    printed = capsys.readouterr().out.splitlines()
    for line in promised:
        assert line in printed


def test_results_go_into_other_programs_as_their_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On results that the library wrote: a photo's JSON, and files of a video of three frames."""
    monkeypatch.chdir(tmp_path)
    write_results(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks(DOCS / "use.md", "python"):
        exec(compile(block, "use.md", "exec"), names)
    promised = re.findall(r"^print\(.*\)  # (.+)$", (DOCS / "use.md").read_text(), re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == promised
    assert names["path"].shape == (3, 2)
    assert "left_knee" in names["ranges"].index
    (task,) = json.loads(Path("tasks.json").read_text())
    marks = [mark["value"] for mark in task["predictions"][0]["result"]]
    assert len(marks) == 17 and marks[0]["x"] == 100 * 10.5 / 200
    files = sorted(path.name for path in Path("pose/cam01_json").iterdir())
    assert files[-1] == "cam01_000000000002_keypoints.json"
    last = json.loads((Path("pose/cam01_json") / files[-1]).read_text())
    assert last["people"][0]["pose_keypoints_2d"][:3] == [12.0, 5.0, 0.9]
    assert names["heights"].iloc[:, 0].tolist() == [94.0] * 3


def write_results(folder: Path) -> None:
    """What `spcnet predict` and `spcnet video` leave, of one person who moves to the right."""
    points = np.stack([np.arange(10, 27), np.arange(5, 22)], axis=1).astype(np.float32)
    scores, box = np.full(17, 0.9, np.float32), np.array([9, 4, 30, 30], np.float32)
    poses = [Pose(points + [n, 0], scores, box, COCO17) for n in range(3)]
    document = coco_document([("photo.jpg", (100, 200), poses[:1])], COCO17)
    (folder / "poses").mkdir()
    (folder / "poses" / "photo.pose.json").write_text(json.dumps(document))
    frames = [FramePoses(n, n / 30, np.zeros((1, 1, 3)), [pose]) for n, pose in enumerate(poses)]
    with (folder / "out.json").open("w") as file:
        video = CocoCollection({"videos": [{"id": 1, "name": "walk.mp4"}]}, COCO17)
        for frame in frames:
            video.add(frame.to_coco("walk.mp4"))
        video.save(file)
    for what, name in (("joints", "out.csv"), ("angles", "out.angles.csv")):
        with table_file(folder / name, COCO17, what) as table:
            for frame in frames:
                at = {"frame": frame.index, "time": frame.time, "what": what}
                table.write(to_records(frame.persons, source="walk.mp4", **at))
    points = np.stack([np.append(p.keypoints, p.keypoints[-2:], axis=0) for p in poses])
    with motion_files([folder / "out.trc"], BODY19, 100, 30.0) as record:
        for frame, joints in zip(frames, points, strict=True):
            pose = Pose(joints, np.full(19, 0.9, np.float32), box, BODY19)
            record(replace(frame, persons=[pose]))


def test_the_notebook_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for picture in EXAMPLES.glob("*.jpg"):
        shutil.copy(picture, tmp_path)
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((EXAMPLES / "pose.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells)
    names: dict[str, object] = {}
    with mpl.rc_context({"backend": "agg"}):
        for number, cell in enumerate(cells, start=1):
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    assert (tmp_path / "lunge-heatmaps.png").stat().st_size > 10_000


class References(HTMLParser):
    """The scripts, styles, icons and pictures that a built page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            loads = name in ("src", "srcset", "poster") or (tag == "link" and name == "href")
            if loads and value:
                self.loaded.append(value)


def test_the_site_builds_without_warnings_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material is not installed: the extra docs")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed: the extra docs")
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == len(list(DOCS.glob("*.md"))) + 1  # and the one for what is not found
    for page in pages:
        found = References()
        found.feed(page.read_text())
        assert found.loaded
        assert [one for one in found.loaded if one.startswith(ELSEWHERE)] == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text()), sheet
    assert (
        'id="spcnet.inference.estimator.PoseEstimator"' in (site / "api" / "index.html").read_text()
    )
