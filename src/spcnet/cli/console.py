"""What the commands share: where they write, progress, tables, devices."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spcnet.errors import UserError

if TYPE_CHECKING:
    from spcnet.metrics.protocols import Score


def say(text: str) -> None:
    """A line for the person who looks on: on stderr, so that stdout stays for results."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far long work is: a bar on a terminal, otherwise a line every tenth.

    Gives a function that takes the number of things done.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.update(task, completed=done)
        return
    tenths = 0

    def line(done: int) -> None:
        nonlocal tenths
        if 10 * done // max(1, total) > tenths:
            tenths = 10 * done // max(1, total)
            say(f"{label}: {done} of {total}")

    yield line


def prepare_output(paths: Sequence[Path], *, force: bool) -> None:
    """Make the folders of files to be written, and see to it that nothing is overwritten.

    Raises:
        UserError: a file exists and `force` is off, or a folder cannot be made or written to.
    """
    for path in paths:
        if os.path.lexists(path) and not force:
            raise UserError(f"{path}: already exists; --force overwrites, -o names another folder")
    for folder in {path.parent for path in paths}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UserError(
                f"{folder}: cannot write here ({error.strerror}); -o names another folder"
            ) from None


def table(rows: Sequence[Mapping[str, Any]], *, right: Sequence[str] = ()) -> str:
    """Plain aligned text of rows that share their keys; columns of `right` are flushed right."""
    columns = list(rows[0])
    widths = {c: max(len(c), *(len(str(row[c])) for row in rows)) for c in columns}

    def line(values: Mapping[str, Any]) -> str:
        cells = [
            str(values[c]).rjust(widths[c]) if c in right else str(values[c]).ljust(widths[c])
            for c in columns
        ]
        return "  ".join(cells).rstrip()

    rule = {c: "-" * widths[c] for c in columns}
    return "\n".join([line({c: c for c in columns}), line(rule), *map(line, rows)])


def score_table(score: "Score") -> str:
    """A score as the field prints it: parts in one row, then each joint."""
    parts = {part: f"{value:.1f}" for part, value in score.parts.items()}
    summary = {**parts, "Mean": f"{score.mean:.2f}", "Limbs": f"{score.mean_limbs:.2f}"}
    joints = [{"Joint": joint, "PCK": f"{value:.1f}"} for joint, value in score.joints.items()]
    head = f"{score.protocol} over {score.persons} persons, %"
    return "\n\n".join([head, table([summary], right=list(summary)), table(joints, right=["PCK"])])
