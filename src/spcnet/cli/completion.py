"""Shell completion: the shells' scripts, and what is offered after TAB.

Somebody waits for every answer, so nothing here imports torch. What begins otherwise than what was
typed is left out by typer; paths are completed by the shell.
"""

import os
from enum import StrEnum
from importlib import import_module
from typing import Any, get_args

import typer

from spcnet.errors import UserError

PROGRAM = "spcnet"
VARIABLE = "_SPCNET_COMPLETE"  # the scripts ask with it


class Shell(StrEnum):
    """Shells that complete by a script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


class InstallableShell(StrEnum):
    """Shells that take a script without their user's policy for scripts being changed."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def prepare_completion() -> None:
    """Make the shells known, where one of them asks."""
    if VARIABLE in os.environ:
        _typer_completion().completion_init()


def show_script(shell: Shell | None) -> None:
    """Print a shell's script and end."""
    if shell is None:
        return
    script = _typer_completion().get_completion_script
    print(script(prog_name=PROGRAM, complete_var=VARIABLE, shell=str(shell)))
    raise typer.Exit


def install_script(shell: InstallableShell | None) -> None:
    """Put a shell's script where the shell finds it, and end.

    Raises:
        UserError: the home folder cannot be written to.
    """
    if shell is None:
        return
    install = _typer_completion().install
    try:
        _, path = install(shell=str(shell), prog_name=PROGRAM, complete_var=VARIABLE)
    except OSError as error:
        raise UserError(
            f"{error.filename}: cannot be written ({error.strerror}); "
            f"spcnet --show-completion {shell} prints the script"
        ) from None
    print(f"{shell} completion -> {path}; it works in shells that are opened from now on")
    raise typer.Exit


def _typer_completion() -> Any:
    """Where typer keeps its scripts, without declaring them its own."""
    return import_module("typer.completion")


def model_names() -> list[str]:
    """Of the models that come with weights."""
    from spcnet.bundled import weights_names

    return weights_names()


def listed_models() -> list[str]:
    """Of all models: the registered variants, and those with weights."""
    from spcnet.models.variants import variant_names

    return [*variant_names(), *model_names()]


def photograph_sets() -> list[str]:
    """Names of the data sets of photographs."""
    from spcnet.data.datasets import DATASETS

    return list(DATASETS)


def dataset_names() -> list[str]:
    """Names of all data sets."""
    return [*photograph_sets(), "synthetic"]


def protocol_names() -> list[str]:
    """Of all scoring rules."""
    from spcnet.metrics import protocols

    return protocols.protocol_names()


def crop_rules() -> list[str]:
    """Of the crops of persons."""
    from spcnet.data.regions import CropRule

    return list(get_args(CropRule))


def skeleton_names() -> list[str]:
    """Of the skeletons that the data sets have."""
    from spcnet.skeletons import SKELETONS

    return list(SKELETONS)


def device_kinds() -> list[str]:
    """Of devices; which of them are here only torch knows."""
    return ["auto", "cpu", "cuda", "mps"]
