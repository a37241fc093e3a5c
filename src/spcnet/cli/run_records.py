"""What ``spcnet predict`` notes in a folder of results, so that a later run knows what is there."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spcnet.cli.console import replacing
from spcnet.cli.words import difference_in_words
from spcnet.errors import UserError
from spcnet.inference.method import Method

RECORD = ".predict.jsonl"

Rows = dict[tuple[str, str], dict[str, Any]]


class RunRecord:
    """Of which pictures and by what method the results in a folder are.

    A file of JSON lines: first where the pictures lie and the method, then, before a picture's
    results are written and again when they are there, of what picture they are. So results that
    no line names are not ours, and those of a run that was stopped halfway are.

    Args:
        folder: of the results.
        source: the folder of pictures.
        method: how they are predicted.
        force: go on although the earlier results are of another folder or method.

    Attributes:
        is_known: whether an earlier run on the same folder by the same method left a record.

    Raises:
        UserError: they are, or the record cannot be read.
    """

    def __init__(self, folder: Path, *, source: Path, method: Method, force: bool) -> None:
        self.path = folder / RECORD
        self._head: dict[str, Any] = {"source": str(source.resolve()), "method": method.to_dict()}
        self._pictures: dict[str, list[Any]] = {}
        head, self._rows = _read(self.path)
        before = None if head is None else Method.from_dict(head["method"])
        self.is_known = head is not None and (head["source"], before) == (
            self._head["source"], method
        )  # fmt: skip
        self._is_begun = False
        if head is None or before is None or self.is_known:
            return
        if not force:
            remedy = "--force predicts all again, -o names another folder"
            if head["source"] != self._head["source"]:
                raise UserError(f"{folder}: holds the results of {head['source']}; {remedy}")
            text = difference_in_words(before, method)
            raise UserError(f"{folder}: was predicted otherwise ({text}); {remedy}")
        self._rows = {key: {"name": key[0]} for key in self._rows}

    def see(self, name: str, shown: str, path: str) -> None:
        """Look at a picture as it is now, by the name of its results."""
        try:
            status = os.stat(path)
        except OSError:  # reading it gives the error
            return
        self._pictures[name] = [shown, status.st_size, status.st_mtime_ns]

    def is_ours(self, name: str, kind: str) -> bool:
        """Whether a result that lies there was written by this command."""
        return (name, kind) in self._rows

    def persons(self, name: str, kind: str) -> int | None:
        """How many persons an earlier result shows; None if it is not of the picture of now."""
        row = self._rows.get((name, kind), {})
        if "picture" not in row or row["picture"] != self._pictures.get(name):
            return None
        return int(row["persons"])

    def stale(self) -> list[tuple[str, str]]:
        """Names and kinds of results whose pictures are gone, or are called otherwise by now."""
        names = {picture[0]: name for name, picture in self._pictures.items()}
        found = []
        for (name, kind), row in self._rows.items():
            if "picture" in row:
                shown = row["picture"][0]
                gone = not os.path.lexists(os.path.join(self._head["source"], shown))
                if gone or names.get(shown, name) != name:
                    found.append((name, kind))
        return found

    def begin(self, name: str, kinds: Sequence[str]) -> None:
        """Note that results are about to be written.

        Raises:
            UserError: the record cannot be written.
        """
        if not self._is_begun:
            # Written anew, as a run that was killed may have left half a line.
            rows = [{**row, "kinds": [kind]} for (_, kind), row in self._rows.items()]
            with replacing(self.path) as partial:
                partial.write_text("".join(map(_line, (self._head, *rows))))
            self._is_begun = True
        self._add({"name": name, "kinds": list(kinds)})

    def finish(self, name: str, kinds: Sequence[str], persons: int) -> None:
        """Note that they are there.

        Raises:
            UserError: the record cannot be written.
        """
        picture = self._pictures.get(name)
        if picture is not None:
            self._add({"name": name, "kinds": list(kinds), "picture": picture, "persons": persons})

    def _add(self, row: dict[str, Any]) -> None:
        _append(self.path, row)
        self._rows.update({(row["name"], kind): row for kind in row["kinds"]})


def forget(folder: Path, name: str, kinds: Sequence[str]) -> None:
    """Note, where there is a record, that results will no longer be what it says.

    Raises:
        UserError: the record cannot be written.
    """
    if (folder / RECORD).exists():
        _append(folder / RECORD, {"name": name, "kinds": list(kinds)})


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"


def _append(path: Path, row: dict[str, Any]) -> None:
    try:
        with path.open("a") as file:
            file.write(_line(row))
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None


def _read(path: Path) -> tuple[dict[str, Any] | None, Rows]:
    """The first line of a record, None if there is none, and the last of each result."""
    rows: Rows = {}
    try:
        first, *lines = path.read_text().splitlines()
        found = json.loads(first)
        head = {"source": str(found["source"]), "method": found["method"]}
        Method.from_dict(head["method"])
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:  # cut short when the run was killed
                continue
            rows.update({(row["name"], kind): row for kind in row["kinds"]})
    except FileNotFoundError:
        return None, rows
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError):
        raise UserError(f"{path}: no record of a run; remove it to begin anew") from None
    return head, rows
