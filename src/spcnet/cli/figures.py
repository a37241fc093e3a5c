"""Figures as commands write them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spcnet.cli.console import prepare_output, replacing
from spcnet.errors import UserError
from spcnet.files import picture_bytes

SUFFIXES = (".png", ".pdf", ".svg")


def prepare_figure(output: Path, *, force: bool) -> None:
    """Check that a figure can be written before anything is computed for it.

    Raises:
        UserError: the suffix names no format, the file exists and `force` is off, or the folder
            cannot be written to.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{output}: {output.suffix or 'no suffix'} is no format for a figure; "
            f"let the name end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        )
    prepare_output([output], force=force)


def save_figure(figure: Any, output: Path, *, say: Callable[[str], None] = print) -> None:
    """Write a Matplotlib figure or a Pillow image in the format of a suffix, and say where it is.

    Raises:
        UserError: it cannot be written.
    """
    with replacing(output) as partial:
        partial.write_bytes(picture_bytes(figure, output.suffix[1:].lower()))
    say(str(output))
