"""Published numbers: Tables 1 to 7 of the paper.

The tables are those of Xiao et al., SPCNet, ECAI 2020, slips included, each row under the protocol
it follows; what is known to be off is said in the notes.
"""

from dataclasses import dataclass, replace
from importlib.resources import files

import yaml
from pydantic import TypeAdapter

from spcnet.errors import UserError
from spcnet.metrics.protocols import PCK_RULES, Score


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    method: str  # whose result it is
    values: tuple[float, ...]  # percentages in the table's columns
    protocol: str  # the rule that the numbers follow
    testing: str = ""  # how the network was applied, where the table tells
    data: str = ""  # which persons were scored, where these are not the table's


@dataclass(frozen=True)
class Table:
    """One table of the paper."""

    number: int  # 1 to 7
    title: str
    data: str  # which persons were scored
    part: tuple[str, str]  # the data set and the split of these
    columns: tuple[str, ...]  # names of the values; the last is the total
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()  # slips, and what a reader should know before comparing


TEXT = files("spcnet.metrics").joinpath("paper.yaml").read_text(encoding="utf-8")
TABLES = {
    table.number: table for table in TypeAdapter(list[Table]).validate_python(yaml.safe_load(TEXT))
}


def comparison(
    score: Score, *, method: str, part: tuple[str, str], testing: str
) -> tuple[Table, Row]:
    """The paper's table that a score of a data set and split stands beside, and its row there.

    A note says so where the table's persons or rules differ; a `UserError` where there is none.
    """
    rules = {name: rule.table for name, rule in PCK_RULES.items() if rule.table}
    if score.protocol not in rules:
        raise UserError(
            f"no table of the paper has numbers by {score.protocol!r}; there are tables for "
            f"{', '.join(rules)}"
        )
    table = TABLES[rules[score.protocol]]
    if score.protocol not in {row.protocol for row in table.rows} or part != table.part:
        note = (
            f"NOT comparable: our row is {score.protocol} on {' '.join(part)}; the paper's rows "
            f"are {table.rows[0].protocol} on {table.data}."
        )
        table = replace(table, notes=(note, *table.notes))
    values = tuple(score.parts.get(column, score.mean) for column in table.columns)
    return table, Row(method, values, score.protocol, testing, " ".join(part))
