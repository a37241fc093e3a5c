"""What the commands share: where they write, progress, tables, devices."""

import logging
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Protocol

from spcnet.errors import UserError
from spcnet.files import make_writable, picture_bytes, refuse_existing, replacing

LOST: list[OSError] = []  # what kept lines from stdout
FIRST = 2.0  # seconds after which it is said how long the work takes


def say(text: str) -> None:
    """A line for the person who looks on: on stderr, so that stdout stays for results."""
    with suppress(OSError):  # nobody can be informed where it is full
        print(text, file=sys.stderr, flush=True)


def print_line(text: str) -> None:
    """A line on stdout; that it is full is said by `finish_streams`, when the work is done."""
    try:
        print(text)
    except OSError as error:
        LOST.append(error)


def prepare_streams() -> None:
    """Have both streams take every name, whatever their encoding, and be there at all."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started the command
            nowhere = open(os.devnull, "w", errors="backslashreplace")  # noqa: SIM115
            setattr(sys, name, nowhere)
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def finish_streams() -> OSError | None:
    """Write what is left; give what kept a line from stdout, None where all were written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            if stream is sys.stdout:
                LOST.append(error)
            with open(os.devnull, "wb") as nowhere:  # the interpreter tries again as it ends
                os.dup2(nowhere.fileno(), stream.fileno())
    lost = next(iter(LOST), None)
    LOST.clear()
    return lost


class Warnings(logging.Handler):
    """Says what the library warns of, each once in a row."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if (text := f"warning: {record.getMessage()}") != self.last:
            say(text)
        self.last = text


class Advance(Protocol):
    """Takes the number of things done, and a few words on how it goes."""

    def __call__(self, done: int, note: str = "") -> None: ...


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show how far long work is: a bar on a terminal, otherwise a line every tenth.

    Where nobody knows the total it is a line every hundred. The first line comes after `FIRST`.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        with Progress(
            "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            "{task.fields[note]}", console=Console(stderr=True),
            redirect_stdout=sys.stdout.isatty(),  # or results would not go where they are sent
        ) as bar:  # fmt: skip
            task = bar.add_task(label, total=total, note="")
            yield lambda done, note="": bar.update(task, completed=done, note=note)
        return
    begin = time.monotonic()
    reported = -1

    def line(done: int, note: str = "") -> None:
        nonlocal reported
        due = done // 100 if total is None else 10 * done // max(1, total)
        passed = time.monotonic() - begin
        if due <= max(0, reported) and (reported >= 0 or passed < FIRST):
            return
        reported = due
        if total is None:
            say(f"{label}: {done}, {done / max(1e-6, passed):.1f} per second")
        else:
            left = passed / max(1, done) * max(0, total - done)
            say(f"{label}: {done} of {total}, {timedelta(seconds=round(left))} left")

    yield line


@dataclass
class StopWish:
    """Whether a run should stop: somebody asked for it, or its time is up."""

    deadline: float  # by the monotonic clock
    asked: bool = False

    def __call__(self) -> bool:
        return self.asked or time.monotonic() > self.deadline


@contextmanager
def stop_wish(text: str | None, *, max_minutes: float | None = None) -> Iterator[StopWish]:
    """Whether to stop: the time is up, or Ctrl-C or SIGTERM came, so that results are kept first.

    Then the text is printed. Ctrl-C for the second time stops at once.
    """
    wish = StopWish(math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes)

    def hear(number: int, frame: object) -> None:
        if wish.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        wish.asked = True
        if text:
            # Not by `say`, which may be at work in the moment of the signal.
            with suppress(OSError):
                os.write(2, f"{text}\n".encode())

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def prepare_output(paths: Sequence[Path], *, force: bool, by: str = "-o") -> None:
    """Make the folders of files to be written, and check that nothing is overwritten."""
    if not force:
        refuse_existing(paths, by)
    for folder in {path.parent for path in paths}:
        make_writable(folder)


def refuse_same(named: Sequence[tuple[str, Path | None]]) -> None:
    """Check that files, each after what it is called in the message, are different ones."""
    seen: dict[Path, str] = {}
    for name, path in named:
        if path is not None:
            other = seen.setdefault(path.resolve(), name)
            if other != name:
                raise UserError(f"{path}: {name} must be another file than {other}")


def prepare_figure(output: Path, *, force: bool) -> None:
    """Check that a figure can be written before anything is computed for it."""
    if output.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UserError(
            f"{output}: {output.suffix or 'no suffix'} is no format for a figure; let the name end "
            "in .png, .pdf or .svg"
        )
    prepare_output([output], force=force)


def save_figure(figure: Any, output: Path, *, say: Callable[[str], None] = print) -> None:
    """Write a Matplotlib figure or a Pillow image in its suffix's format, and say where it is."""
    with replacing(output) as partial:
        partial.write_bytes(picture_bytes(figure, output.suffix[1:].lower()))
    say(str(output))


def table(
    rows: Sequence[Mapping[str, Any]], *, right: Sequence[str] = (), style: str = "text"
) -> str:
    """A table of rows that share their keys, as text, markdown or latex (booktabs)."""
    lines = [list(rows[0]), *([str(row[column]) for column in rows[0]] for row in rows)]
    sides = [">" if column in right else "<" for column in rows[0]]  # flushed to
    if style == "latex":
        escaped = [[re.sub("([&%#_])", r"\\\1", cell) for cell in line] for line in lines]
        head, *body = ("  " + " & ".join(line) + r" \\" for line in escaped)
        layout = "".join(sides).translate({ord("<"): "l", ord(">"): "r"})
        return "\n".join(
            [rf"\begin{{tabular}}{{{layout}}}", r"  \toprule", head, r"  \midrule", *body]
            + [r"  \bottomrule", r"\end{tabular}"]
        )
    forms = [
        f"{side}{max(map(len, cells))}"
        for side, cells in zip(sides, zip(*lines, strict=True), strict=True)
    ]
    ends = [":" if side == ">" and style == "markdown" else "-" for side in sides]
    made = [[format(cell, form) for cell, form in zip(line, forms, strict=True)] for line in lines]
    made.insert(1, [end.rjust(len(cell), "-") for end, cell in zip(ends, made[0], strict=True)])
    if style == "markdown":
        return "\n".join(f"| {' | '.join(line)} |" for line in made)
    return "\n".join("  ".join(line).rstrip() for line in made)
