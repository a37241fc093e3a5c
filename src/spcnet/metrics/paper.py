"""Tables 1 to 7 of the paper as data, each row under the protocol it follows.

Xiao et al., SPCNet, ECAI 2020. The numbers are the paper's, slips included; what is known to be
off is said in the notes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

import yaml

from spcnet.errors import UserError
from spcnet.metrics.protocols import Score


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        method: whose result it is.
        values: percentages in the table's columns; NaN where there is none.
        protocol: the rule that the numbers follow.
        testing: how the network was applied, where the table tells.
        data: which persons were scored, where these are not the table's.
    """

    method: str
    values: tuple[float, ...]
    protocol: str
    testing: str = ""
    data: str = ""


@dataclass(frozen=True)
class Table:
    """One table of the paper.

    Attributes:
        number: 1 to 7.
        title: what it shows.
        data: which persons were scored.
        part: the data set and the split of these.
        columns: names of the values; the last is the total.
        rows: in the paper's order.
        notes: slips, and what a reader should know before comparing.
    """

    number: int
    title: str
    data: str
    part: tuple[str, str]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def _read() -> dict[int, Table]:
    """The tables of ``paper.yaml``; where all rows follow one rule it stands beside them."""
    text = files("spcnet.metrics").joinpath("paper.yaml").read_text(encoding="utf-8")
    tables = {}
    for entry in yaml.safe_load(text):
        shared = entry.pop("protocol", None)
        rows = tuple(
            Row(**{"protocol": shared, **row, "values": tuple(row["values"])})
            for row in entry.pop("rows")
        )
        lists = {name: tuple(entry.pop(name, ())) for name in ("part", "columns", "notes")}
        table = Table(**{**entry, **lists, "rows": rows})
        tables[table.number] = table
    return tables


TABLES = _read()

# The table that a protocol's numbers stand beside.
TABLE_OF = {
    "mpii-tompson": 4,
    "mpii-msra": 4,
    "mpii-official": 5,
    "lsp-pc": 6,
    "lsp-oc": 6,
    "lsp-pc-corrected": 6,
    "lspet-pck": 6,
    "flic": 7,
}


def comparison(
    score: Score, *, method: str, part: tuple[str, str], testing: str
) -> tuple[Table, Row]:
    """The paper's table that a score stands beside, and the score as a row of it.

    Args:
        score: ours, by any PCK rule.
        method: what to call it.
        part: the data set and the split that were scored.
        testing: how the network was applied.

    Returns:
        The table, with a note where its persons or its rules differ from ours, and our row.

    Raises:
        UserError: no table of the paper has numbers of this kind.
    """
    number = TABLE_OF.get(score.protocol)
    if number is None:
        raise UserError(
            f"no table of the paper has numbers by {score.protocol!r}; there are tables for "
            f"{', '.join(TABLE_OF)}"
        )
    table = TABLES[number]
    values = tuple(score.parts.get(column, score.mean) for column in table.columns)
    notes: Sequence[str] = table.notes
    if score.protocol not in {row.protocol for row in table.rows} or part != table.part:
        notes = (
            f"NOT comparable: our row is {score.protocol} on {' '.join(part)}; the paper's rows "
            f"are {table.rows[0].protocol} on {table.data}.",
            *notes,
        )
    return replace(table, notes=tuple(notes)), Row(
        method, values, score.protocol, testing, " ".join(part)
    )
