"""What the commands share: where they write, progress, tables, devices."""

import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from spcnet.errors import UserError
from spcnet.files import replacing as replacing  # for commands to import from here

if TYPE_CHECKING:
    from spcnet.metrics.paper import Row, Table
    from spcnet.metrics.protocols import Score


def say(text: str) -> None:
    """A line for the person who looks on: on stderr, so that stdout stays for results."""
    print(text, file=sys.stderr, flush=True)


class Advance(Protocol):
    """Takes the number of things done, and a few words on how it goes."""

    def __call__(self, done: int, note: str = "") -> None: ...


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show how far long work is: a bar on a terminal, otherwise a line every tenth.

    Args:
        label: what is counted.
        total: how many there are, about; None where nobody knows.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining(),
            TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=total, note="")

            def move(done: int, note: str = "") -> None:
                bar.update(task, completed=done, note=note)

            yield move
        return
    begin = time.monotonic()
    reported = 0

    def line(done: int, note: str = "") -> None:
        nonlocal reported
        due = done // 100 if total is None else 10 * done // max(1, total)
        if due > reported:
            reported = due
            if total is None:
                say(f"{label}: {done}")
                return
            left = (time.monotonic() - begin) / done * max(0, total - done)
            say(f"{label}: {done} of {total}, {timedelta(seconds=round(left))} left")

    yield line


@dataclass
class StopWish:
    """Whether a run should stop.

    Attributes:
        deadline: when its time is up, by the monotonic clock.
        asked: somebody wishes it.
    """

    deadline: float
    asked: bool = False

    def __call__(self) -> bool:
        return self.asked or time.monotonic() > self.deadline


@contextmanager
def stop_wish(text: str | None, *, max_minutes: float | None = None) -> Iterator[StopWish]:
    """Whether to stop: the time is up, or Ctrl-C or SIGTERM came, so that results are kept first.

    Ctrl-C for the second time stops at once.

    Args:
        text: said when somebody wishes to stop; None for a process that keeps silent.
        max_minutes: after which the time is up.
    """
    deadline = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
    wish = StopWish(deadline)

    def hear(number: int, frame: object) -> None:
        if wish.asked and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: at once
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


def prepare_output(paths: Sequence[Path], *, force: bool) -> None:
    """Make the folders of files to be written, and check that nothing is overwritten.

    Raises:
        UserError: a file exists and `force` is off, or a folder cannot be made or written to.
    """
    if not force:
        refuse_existing(paths)
    for folder in {path.parent for path in paths}:
        _make_writable(folder)


def refuse_existing(paths: Iterable[Path]) -> None:
    """Check that none of the files to be written is there.

    Raises:
        UserError: one is.
    """
    for path in paths:
        if os.path.lexists(path):
            raise UserError(f"{path}: already exists; --force overwrites it, or name another")


def refuse_same(named: Sequence[tuple[str, Path | None]]) -> None:
    """Check that files are different ones, so that none takes another's place.

    Args:
        named: what each is called in the message, and its path, if it has one.

    Raises:
        UserError: two are one.
    """
    there = [(name, path) for name, path in named if path is not None]
    for n, (name, path) in enumerate(there):
        for other_name, other in there[:n]:
            if _same_file(path, other):
                raise UserError(f"{path}: {name} must be another file than {other_name}")


def _same_file(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return a.resolve() == b.resolve()


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{folder}: cannot write here ({error.strerror}); -o names another place"
        ) from None


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """A folder to write results to; where none came, it is left as it was found.

    Raises:
        UserError: it cannot be made or written to.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    _make_writable(folder)
    try:
        yield
    finally:
        for path in made:
            with suppress(OSError):  # it is not empty: this is the usual end
                path.rmdir()


def table(
    rows: Sequence[Mapping[str, Any]], *, right: Sequence[str] = (), style: str = "text"
) -> str:
    """A table of rows that share their keys.

    Args:
        rows: what each column holds, by its name.
        right: columns that are flushed right.
        style: ``"text"`` (aligned), ``"markdown"`` or ``"latex"`` (booktabs).
    """
    columns = list(rows[0])
    if style == "latex":
        return _latex(rows, columns, right)
    widths = {c: max(len(c), *(len(str(row[c])) for row in rows)) for c in columns}

    def line(values: Mapping[str, Any]) -> str:
        cells = [
            str(values[c]).rjust(widths[c]) if c in right else str(values[c]).ljust(widths[c])
            for c in columns
        ]
        return "| " + " | ".join(cells) + " |" if style == "markdown" else "  ".join(cells).rstrip()

    rule: dict[str, str] = {c: "-" * widths[c] for c in columns}
    if style == "markdown":
        rule |= {c: "-" * (widths[c] - 1) + ":" for c in columns if c in right}
    return "\n".join([line({c: c for c in columns}), line(rule), *map(line, rows)])


def _latex(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], right: Sequence[str]) -> str:
    def line(values: Sequence[Any]) -> str:
        cells = []
        for value in values:
            text = str(value)
            for special in "&%#_":
                text = text.replace(special, "\\" + special)
            cells.append(text)
        return "  " + " & ".join(cells) + r" \\"

    layout = "".join("r" if column in right else "l" for column in columns)
    body = [line([row[column] for column in columns]) for row in rows]
    return "\n".join(
        [rf"\begin{{tabular}}{{{layout}}}", r"  \toprule", line(columns), r"  \midrule", *body]
        + [r"  \bottomrule", r"\end{tabular}"]
    )


def score_table(score: "Score") -> str:
    """A score as the field prints it: the columns of its tables in one row, then each joint."""
    summary = {part: f"{value:.1f}" for part, value in score.parts.items()}
    summary["Mean"] = f"{score.mean:.2f}"
    if score.mean_limbs is not None:
        summary["Limbs"] = f"{score.mean_limbs:.2f}"
    summary |= {f"@{threshold}": f"{mean:.2f}" for threshold, mean in score.at.items()}
    if score.auc is not None:
        summary["AUC"] = f"{score.auc:.2f}"
    at = "" if score.threshold is None else f"@{score.threshold:g}"
    blocks = [f"{score.protocol}{at} over {score.persons} persons, %"]
    blocks.append(table([summary], right=list(summary)))
    if score.joints:
        joints = [{"Joint": joint, "PCK": f"{value:.1f}"} for joint, value in score.joints.items()]
        blocks.append(table(joints, right=["PCK"]))
    return "\n\n".join(blocks)


def check_style(style: str | None, *, compare: bool, as_json: bool) -> str:
    """The style of the comparison with the paper's table.

    Raises:
        BadParameter: there is no such style, or nothing to print in it.
    """
    if style not in (None, "text", "markdown", "latex"):
        raise typer.BadParameter(f"--format {style}: a table is text, markdown or latex")
    if style is not None and (as_json or not compare):
        raise typer.BadParameter(
            f"--format {style} is how --compare prints its table; use it with --compare and "
            "without --json"
        )
    return "json" if as_json else style or "text"


def say_foreign(protocol: str, data: str) -> None:
    """Warn of a protocol that is applied to another data set than the one it is for."""
    from spcnet.metrics.protocols import PCK_RULES

    rule = PCK_RULES.get(protocol)
    if rule is not None and rule.data not in (None, data, {"synthetic": "lspet"}.get(data)):
        say(f"warning: {protocol} is the rule of {rule.data}, and these labels are {data}'s")


def print_score(
    score: "Score",
    compared: "tuple[Table, Row] | None",
    *,
    style: str,
    how: Mapping[str, Any] | None = None,
) -> None:
    """Print a score, and the paper's table over it where it is compared.

    Args:
        score: the score.
        compared: the table and our row of it.
        style: of the table; in one for documents the table comes alone, and ``"json"`` is one
            object for machines.
        how: what else the object says of how the score came about.
    """
    if style == "json":
        values = score.to_dict() | dict(how or {})
        if compared is not None:
            paper, ours = compared
            values["comparison"] = {**asdict(paper), "ours": asdict(ours)}
        print(json.dumps(values))
        return
    if compared is None or style == "text":
        print(score_table(score))
    if compared is not None:
        text = comparison_table(*compared, score, style=style)
        print(f"\n{text}" if style == "text" else text)


def comparison_table(paper: "Table", ours: "Row", score: "Score", *, style: str) -> str:
    """A score under the paper's table that it stands beside, with the table's notes."""
    rows = []
    for row in (*paper.rows, ours):
        values = {c: f"{v:.1f}" for c, v in zip(paper.columns, row.values, strict=True)}
        testing_column = {"Testing": row.testing} if any(r.testing for r in paper.rows) else {}
        rows.append({"Method": row.method, **values, **testing_column, "Protocol": row.protocol})
    head = f"Table {paper.number} of the paper: {paper.title} ({paper.data})"
    words = filter(None, (ours.data, f"{score.persons} persons", ours.testing))
    notes = [f"Last row: {', '.join(words)}", *paper.notes]
    if style == "latex":
        head, notes = f"% {head}", [f"% {note}" for note in notes]
    text = table(rows, right=paper.columns, style=style)
    return "\n".join([head, "", text, "", *notes])
