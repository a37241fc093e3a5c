"""What the shell offers after TAB, asked as the shell's script asks."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import spcnet

from spcnet.checkpoints import list_models
from spcnet.cli.completion import listed_models
from spcnet.cli.main import main
from spcnet.metrics.protocols import protocol_names

# Typer asks which shell it is run in, but for its own tests.
BY_NAME = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}

Ask = Callable[[str], list[str]]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """What bash is told to offer at the end of a line."""

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("_SPCNET_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        assert (ended.value.code, told.err) == (0, "")
        return told.out.split()

    return ask


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("spcnet pre", ["predict"]),
        ("spcnet predict --model de", ["default"]),
        ("spcnet serve --model=de", ["default"]),
        ("spcnet predict --device c", ["cpu", "cuda"]),
        ("spcnet figure levels --model ", ["default", "large"]),
        ("spcnet figure panels --model ", ["default", "large"]),
        ("spcnet evaluate --dataset l", ["lsp", "lspet"]),
        ("spcnet evaluate --crop lsp", ["lsp-height", "lsp-limbs"]),
        ("spcnet evaluate --protocol lspet", ["lspet-pck"]),
        ("spcnet score p.npz --joints m", ["mpii16"]),
        ("spcnet data check ", ["mpii", "lsp", "lspet", "flic", "coco"]),
        ("spcnet data pack s", ["synthetic"]),
        ("spcnet data pack coco --crop b", ["box"]),
        ("spcnet models dhm", ["dhm_s8_w256"]),
        ("spcnet predict --model my/own.safe", []),  # bash then completes the path
    ],
)
def test_names_are_offered(offered: Ask, line: str, names: list[str]) -> None:
    assert offered(line) == names


def test_all_protocols_and_all_models_are_offered(offered: Ask) -> None:
    assert offered("spcnet score p.npz --protocol ") == protocol_names()
    assert listed_models() == [*list_models(), *list_models(pretrained=True)]


def test_nobody_waits_for_torch() -> None:
    code = (
        "import sys; from spcnet.cli import completion as c; "
        "c.listed_models(), c.dataset_names(), c.protocol_names(), c.crop_rules(), "
        "c.skeleton_names(); "
        "print([n for n in ('torch', 'cv2', 'scipy', 'pydantic') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_printed_script_completes_in_bash(tmp_path: Path) -> None:
    script = spcnet("--show-completion", "bash", **BY_NAME)
    assert script.returncode == 0, script.stderr
    (tmp_path / "spcnet.sh").write_text(script.stdout)
    program = tmp_path / "spcnet"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m spcnet "$@"\n')
    program.chmod(0o755)
    line = (
        "source spcnet.sh; COMP_WORDS=(spcnet evaluate --dataset ls); COMP_CWORD=3; "
        "_spcnet_completion ./spcnet; printf '%s ' ${COMPREPLY[@]}; complete -p spcnet"
    )
    try:
        done = subprocess.run(
            ["bash", "--norc", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("bash is not installed")
    assert done.stdout.strip() == "lsp lspet complete -o default -F _spcnet_completion spcnet"


def test_a_home_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / ".config").write_text("in the way")
    done = spcnet("--install-completion", "fish", HOME=str(tmp_path), **BY_NAME)
    assert done.returncode == 1
    assert done.stderr.startswith("spcnet: error: ") and ".config" in done.stderr
    assert "Traceback" not in done.stderr
