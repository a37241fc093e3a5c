"""The documentation is true: links lead somewhere, what it tells to type works, the site builds."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import pytest
import yaml
from conftest import EXAMPLES

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


def test_own_data_is_trained_on_as_its_page_says(tmp_path: Path) -> None:
    page = DOCS / "own-data.md"
    recipe, transfer = blocks(page, "yaml")
    (tmp_path / "mine.yaml").write_text(recipe)
    values = yaml.safe_load(recipe)
    for section, changes in yaml.safe_load(transfer).items():
        values[section] |= changes
    assert parse_recipe(values, source="page").model.joints["left_foot"] == "left_ankle"
    environment = {**os.environ, "SPCNET_CACHE": str(tmp_path / "cache"), "NO_COLOR": "1"}
    printed = ""
    for program, *arguments in commands(page):
        assert program == "spcnet"
        done = subprocess.run(
            [sys.executable, "-m", "spcnet", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        printed += done.stdout + done.stderr
    for line in "".join(blocks(page, "console")).splitlines():
        assert line.startswith("$ ") or line in printed
    assert "pck-box" in printed
    assert (tmp_path / "poses" / "figure000100.pose.json").is_file()


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
