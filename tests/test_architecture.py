"""Imports point one way: vocabulary, models, the four that use them, the two loops, the commands.

A tier may import itself and what is named for it here; nothing else of the package.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import spcnet

ROOT = Path(spcnet.__file__).parent
VOCABULARY = {
    "skeletons",
    "angles",
    "tables",
    "geometry",
    "codec",
    "registries",
    "boxmaps",
    "heatmaps",
    "errors",
    "devices",
    "files",
    "tensor_files",
    "calibration",
    "bundled",
}
LIBRARY = VOCABULARY | {
    "models",
    "synthetic",
    "media",
    "data",
    "metrics",
    "viz",
    "checkpoints",
}
MAY_IMPORT = {
    **dict.fromkeys(VOCABULARY, VOCABULARY),
    "models": VOCABULARY | {"models"},
    "media": VOCABULARY | {"media"},
    "synthetic": {"synthetic"},
    "data": VOCABULARY | {"synthetic", "media", "data"},
    "metrics": VOCABULARY | {"metrics"},
    "viz": VOCABULARY | {"viz"},
    "checkpoints": VOCABULARY | {"models", "checkpoints"},
    "training": LIBRARY | {"training"},
    "runtime": LIBRARY | {"runtime"},
    "inference": LIBRARY | {"runtime", "inference"},
    "evaluation": LIBRARY | {"training", "runtime", "inference", "evaluation"},
    "export": LIBRARY | {"runtime", "inference", "export"},
    "serve": LIBRARY | {"runtime", "inference", "serve"},
    "cli": LIBRARY
    | {"training", "runtime", "inference", "evaluation"}
    | {"export", "serve", "cli"},
    "__main__": {"cli"},
    "__init__": set(),
}
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def imports(node: ast.AST, package: list[str]) -> Iterator[tuple[int, str]]:
    """Line and full name of all that a module imports, in functions too, but not for typing."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from imports(ast.Module(child.orelse, []), package)
        elif isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            near = package[: len(package) - child.level + 1] if child.level else []
            base = ".".join([*near, *filter(None, [child.module])])
            yield from ((child.lineno, f"{base}.{alias.name}") for alias in child.names)
        else:
            yield from imports(child, package)


def forbidden(source: str, module: Path) -> list[str]:
    """Each import of the package that its tier may not have, as ``path:line: name``."""
    allowed = MAY_IMPORT[module.parts[0].removesuffix(".py")]
    package = ["spcnet", *module.parent.parts]
    return [
        f"{module}:{line}: {name}"
        for line, name in imports(ast.parse(source), package)
        if name.split(".")[0] == "spcnet"
        and name != "spcnet.__version__"
        and [*name.split("."), ""][1] not in allowed
    ]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_imports_only_what_its_tier_may(module: Path) -> None:
    assert forbidden((ROOT / module).read_text(), module) == []


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("geometry.py", "from spcnet.models.network import PoseNetwork", True),
        ("media/crops.py", "def f():\n    import spcnet.metrics.pck", True),
        ("viz/skeletons.py", "from spcnet import data", True),
        ("viz/skeletons.py", "import spcnet", True),
        ("models/network.py", "from ..training import loop", True),
        ("training/loop.py", "from spcnet.inference.pose import Pose", True),
        ("inference/pose.py", "if TYPE_CHECKING:\n    x = 1\nelse:\n    import spcnet.cli", True),
        ("models/network.py", "from .bottlenecks import Bottleneck\nfrom .. import errors", False),
        ("data/store.py", "from spcnet import __version__, geometry", False),
        ("geometry.py", "if TYPE_CHECKING:\n    from spcnet.data import store", False),
        ("checkpoints.py", "try:\n    import spcnet.models.registry\nfinally:\n    pass", False),
    ],
)
def test_the_rule_sees_every_form_of_import(module: str, source: str, wrong: bool) -> None:
    assert bool(forbidden(source, Path(module))) is wrong


def test_no_command_imports_another() -> None:
    main = ast.parse((ROOT / "cli" / "main.py").read_text())
    listed = {name for _, name in imports(main, ["spcnet", "cli"]) if name.count(".") == 2}
    commands = {name.rpartition(".")[2] for name in listed if name.startswith("spcnet.cli.")}
    assert len(commands) > 15
    for name in commands:
        module = ast.parse((ROOT / "cli" / f"{name}.py").read_text())
        found = {[*each.split("."), "", ""][2] for _, each in imports(module, ["spcnet", "cli"])
                 if each.startswith("spcnet.cli.")}  # fmt: skip
        assert not found & (commands - {name}), name


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("spcnet, spcnet.errors, spcnet.geometry, spcnet.skeletons", "torch cv2 typer rich"),
        ("spcnet.cli.serve", "numpy fastapi uvicorn torch cv2"),
        ("spcnet.models.variants", "numpy torch"),
        ("spcnet.training.loop", "cv2 typer rich"),
        ("spcnet.data.store, spcnet.data.augmentation", "cv2 typer rich"),
    ],
)
def test_importing_brings_no_more_than_it_needs(modules: str, absent: str) -> None:
    code = f"import sys, {modules}; print(*[n for n in {absent.split()} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "words", [r"\btold\b", r"\bsee to it\b", r"\bin the way of\b", r"\bof then\b"]
)
def test_sources_are_in_plain_words(words: str) -> None:
    found = [
        f"{path.name}:{number}"
        for path in sorted(ROOT.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(words, line, re.IGNORECASE) and 'found.get("told"' not in line
    ]
    assert found == []


def test_functions_and_modules_can_be_read_in_one_sitting() -> None:
    lines = 0
    for module in MODULES:
        source = (ROOT / module).read_text()
        lines += source.count("\n")
        assert source.count("\n") <= 500, module
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 80, f"{module}: {node.name}"
    assert lines <= 26_150  # what is added is paid for by what goes; 26,000 when all is there
