"""The command line: ``spcnet COMMAND``.

Exit status: 0, or 1 when something failed (one clear line on stderr), or 2 for wrong usage. A
command imports what it needs when it runs, so that ``--help`` answers at once.
"""

import errno
import logging
import os
import signal
import sys
from itertools import pairwise
from typing import Annotated

from typer import Exit, Option, Typer

from spcnet import __version__
from spcnet.cli import (
    bench,
    calibrate,
    compare,
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
from spcnet.cli.console import LOST, Warnings, finish_streams, prepare_streams, say
from spcnet.errors import UserError
from spcnet.registries import import_extension

IMPORT = "--import"
WARNINGS = Warnings()

app = Typer(
    name="spcnet",
    help="Single-person human pose estimation with SPCNet.",
    epilog="Example: spcnet predict photo.jpg",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # or it would keep the line breaks of the docstrings
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    predict.predict, video.video, webcam.webcam, serve.serve, train.train, calibrate.calibrate,
    finder.finder, evaluate.evaluate, compare.compare, score.score, export.export,
    models.models, bench.bench,
):  # fmt: skip
    app.command()(command)
for name, group in (("data", data), ("figure", figure)):
    app.add_typer(group.app, name=name)
app.command()(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"spcnet {__version__}")
        raise Exit


def _import_extensions(names: list[str] | None) -> None:
    for name in names or []:
        import_extension(name)


VERSION = Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
EXTENSIONS = Option(
    IMPORT,
    callback=_import_extensions,
    is_eager=True,
    help="A module, or mine.py, with networks, fusions, data sets or rules; anywhere, repeatable.",
)


@app.callback()
def _root(
    version: Annotated[bool, VERSION] = False,
    extensions: Annotated[list[str] | None, EXTENSIONS] = None,
) -> None:
    pass


def _extensions_first(arguments: list[str]) -> list[str]:
    """The arguments with every ``--import NAME`` in front, wherever it stood."""
    first: list[str] = []
    rest: list[str] = []
    for before, argument in pairwise(["", *arguments]):
        extension = IMPORT in (before, argument) or argument.startswith(f"{IMPORT}=")
        (first if extension else rest).append(argument)
    return first + rest


def main() -> None:
    """Run the command line; errors of the user or the disk become one line on stderr."""
    prepare_streams()
    logging.getLogger("spcnet.media").addHandler(WARNINGS)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a container's stop too
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        # Read when torch is imported: its threads that wait fall asleep soon. By default they loop
        # for milliseconds, so that beside a busy process each operation of a network takes as long.
        os.environ["GOMP_SPINCOUNT"] = "1000"  # some microseconds
    status: str | int | None = 1
    error: Exception | None = None
    try:
        app(_extensions_first(sys.argv[1:]), prog_name="spcnet")
    except SystemExit as ended:
        status = ended.code
    except (UserError, OSError) as caught:
        error = caught
        if isinstance(caught, OSError) and not caught.filename and caught.errno == errno.ENOSPC:
            LOST.append(caught)  # files are named
    if (lost := finish_streams()) and not isinstance(error, UserError):
        error = UserError(f"standard output: {lost.strerror}")
    if error is not None:
        say(f"spcnet: error: {error}")
        finish_streams()
    sys.exit(status or int(error is not None))
