"""The command line: ``spcnet COMMAND``.

Exit status: 0, or 1 when something failed (one clear line on stderr), or 2 for wrong usage. A
command imports what it needs when it runs, so that ``--help`` answers at once.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from spcnet import __version__
from spcnet.cli import (
    ablate,
    bench,
    calibrate,
    card,
    data,
    doctor,
    evaluate,
    export,
    figure,
    finder,
    models,
    predict,
    score,
    serve,
    train,
    video,
    webcam,
)
from spcnet.cli.completion import (
    PROGRAM,
    InstallableShell,
    Shell,
    install_script,
    prepare_completion,
    show_script,
)
from spcnet.errors import UserError

IMPORT = "--import"
SPINS = 1000  # some microseconds

app = typer.Typer(
    name="spcnet",
    help="Single-person human pose estimation with SPCNet.",
    epilog="Example: spcnet predict photo.jpg",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # or it would keep the line breaks of the docstrings
    add_completion=False,  # typer's own guesses the shell, and fails where there is none
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("predict")(predict.predict)
app.command("video")(video.video)
app.command("webcam")(webcam.webcam)
app.command("serve")(serve.serve)
app.command("train")(train.train)
app.command("ablate")(ablate.ablate)
app.command("calibrate")(calibrate.calibrate)
app.command("finder")(finder.finder)
app.command("card")(card.card)
app.command("evaluate")(evaluate.evaluate)
app.command("score")(score.score)
app.command("export")(export.export)
app.command("models")(models.models)
app.add_typer(data.app, name="data")
app.add_typer(figure.app, name="figure")
app.add_typer(bench.app, name="bench")
app.command("doctor")(doctor.doctor)


def _import_extensions(names: list[str] | None) -> None:
    from spcnet.registries import import_extension

    for name in names or []:
        import_extension(name)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"spcnet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    extensions: Annotated[
        list[str] | None,
        typer.Option(
            IMPORT,
            callback=_import_extensions,
            is_eager=True,
            help="A module, or mine.py, that adds networks, fusions, data sets or rules; may stand "
            "anywhere, and be repeated.",
        ),
    ] = None,
    install: Annotated[
        InstallableShell | None,
        typer.Option(
            "--install-completion",
            callback=install_script,
            is_eager=True,
            help="Let the shell complete commands, options and names.",
        ),
    ] = None,
    show: Annotated[
        Shell | None,
        typer.Option(
            "--show-completion",
            callback=show_script,
            is_eager=True,
            help="Print the script that does so.",
        ),
    ] = None,
) -> None:
    pass


def _extensions_first(arguments: Sequence[str]) -> list[str]:
    """The arguments with every ``--import NAME`` in front, wherever it stood."""
    first: list[str] = []
    rest = list(arguments)
    for n in reversed(range(len(rest))):
        if rest[n] == IMPORT and n + 1 < len(rest):
            first = [*rest[n : n + 2], *first]
            del rest[n : n + 2]
        elif rest[n].startswith(IMPORT + "="):
            first = [rest.pop(n), *first]
    return first + rest


def _wait_asleep() -> None:
    """Let torch's threads fall asleep soon where they wait for each other, unless it is set how.

    By default they wait in a loop for milliseconds, so that beside another busy process, which has
    one of the cores that they count on, each of the network's hundreds of operations takes as long.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)  # read when torch is imported


def main() -> None:
    """Run the command line; user errors become one line on stderr."""
    prepare_completion()
    _wait_asleep()
    try:
        app(_extensions_first(sys.argv[1:]), prog_name=PROGRAM)
    except UserError as error:
        print(f"spcnet: error: {error}", file=sys.stderr)
        sys.exit(1)
