from collections.abc import Iterator

import click
from typer.main import get_command

from spcnet.cli.main import app


def every_command() -> Iterator[click.Command]:
    """Commands, and groups of them."""
    waiting = [get_command(app)]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        yield command


def test_force_says_the_same_in_every_command() -> None:
    said = {
        command.name: option.help
        for command in every_command()
        for option in command.params
        if "--force" in option.opts
    }
    assert {"predict", "video", "webcam", "export", "evaluate"} <= said.keys()
    assert len(set(said.values())) == 1


def test_every_help_has_an_example() -> None:
    helps = {
        command.name: f"{command.help} {getattr(command, 'epilog', '')}"
        for command in every_command()
    }
    assert {"spcnet", "predict", "data", "pack", "figure", "bench", "train"} <= helps.keys()
    assert [name for name, text in helps.items() if "Example: spcnet" not in text] == []
