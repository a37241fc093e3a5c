"""Tables 1 to 7 of the paper as data, each row under the protocol it follows.

Xiao et al., SPCNet, ECAI 2020. The numbers are the paper's, slips included; what is known to be
off is said in the notes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spcnet.errors import UserError
from spcnet.metrics.protocols import Score

PARTS = ("Head", "Sho", "Elb", "Wri", "Hip", "Knee", "Ank")


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


_MPII_VAL = "MPII validation, 2,958 persons"
_COLUMNS = (*PARTS, "Total")
_BASELINE = (96.7, 95.8, 89.9, 84.9, 88.8, 85.0, 80.6, 88.9)
_DHM = (96.6, 96.1, 90.5, 85.4, 89.7, 86.4, 82.3, 89.7)
_SIM = (96.8, 96.0, 90.5, 85.6, 89.5, 86.1, 82.5, 89.6)
_SPCNET = (96.9, 96.4, 90.9, 86.3, 89.8, 86.4, 82.5, 90.0)
SINGLE, FLIP, SIX_SCALES = "single scale", "flip", "six scales and flip"
_INFERRED = "That the totals are plain means of the joints is inferred from the numbers."


def _rows(protocol: str, *lines: tuple[str, tuple[float, ...]], testing: str = "") -> list[Row]:
    return [Row(method, values, protocol, testing) for method, values in lines]


TABLES: dict[int, Table] = {
    table.number: table
    for table in (
        Table(
            1,
            "Dilated Hourglass Module and its dilation rate R",
            _MPII_VAL,
            ("mpii", "val"),
            _COLUMNS,
            tuple(
                _rows(
                    "mpii-tompson",
                    ("Baseline", _BASELINE),
                    ("DHM, R=1", (96.9, 95.6, 90.0, 85.3, 89.3, 84.8, 81.0, 89.0)),
                    ("DHM, R=2", _DHM),
                    ("DHM, R=3", (96.9, 95.7, 90.1, 85.6, 89.4, 85.8, 81.9, 89.4)),
                    testing=SINGLE,
                )
            ),
            (_INFERRED,),
        ),
        Table(
            2,
            "Selective Information Module against other fusions",
            _MPII_VAL,
            ("mpii", "val"),
            _COLUMNS,
            tuple(
                _rows(
                    "mpii-tompson",
                    ("Baseline", _BASELINE),
                    ("Baseline + IC + Sum", (96.8, 95.6, 90.1, 84.8, 89.1, 85.0, 81.6, 89.1)),
                    ("Baseline + IC + Concat", (96.5, 95.9, 90.2, 85.3, 89.1, 85.3, 82.1, 89.3)),
                    ("Baseline + SIM (IC + ID)", _SIM),
                    testing=SINGLE,
                )
            ),
            (_INFERRED,),
        ),
        Table(
            3,
            "Both modules",
            _MPII_VAL,
            ("mpii", "val"),
            _COLUMNS,
            tuple(
                _rows(
                    "mpii-tompson",
                    ("Baseline", _BASELINE),
                    ("DHM", _DHM),
                    ("SIM", _SIM),
                    ("DHM + SIM", _SPCNET),
                    testing=SINGLE,
                )
            ),
            (_INFERRED,),
        ),
        Table(
            4,
            "State of the art on MPII validation, PCKh@0.5",
            _MPII_VAL,
            ("mpii", "val"),
            _COLUMNS,
            (
                *_rows(
                    "mpii-tompson",
                    ("Newell et al.", _BASELINE),
                    ("SPCNet (paper)", _SPCNET),
                    testing=SINGLE,
                ),
                *_rows(
                    "mpii-tompson",
                    ("Newell et al.", (96.8, 96.0, 90.6, 85.9, 89.8, 86.1, 81.1, 89.5)),
                    ("Yang et al.", (96.8, 96.0, 90.4, 86.0, 89.5, 85.2, 82.3, 89.6)),
                    ("Tang et al.", (95.6, 95.9, 90.7, 86.5, 89.9, 86.6, 82.5, 89.8)),
                    testing=FLIP,
                ),
                *_rows(
                    "mpii-msra",
                    ("SimpleBaseline", (97.0, 95.9, 90.3, 85.0, 89.2, 85.3, 81.3, 89.6)),
                    ("HRNet", (97.1, 95.9, 90.3, 86.4, 89.1, 87.1, 83.3, 90.3)),
                    testing=FLIP,
                ),
                Row(
                    "SPCNet (paper)",
                    (97.1, 96.4, 91.3, 87.0, 90.0, 87.1, 83.8, 90.5),
                    "mpii-tompson",
                    FLIP,
                ),
                *_rows(
                    "mpii-tompson",
                    ("Newell et al.", (97.1, 96.1, 90.8, 86.2, 89.9, 85.9, 83.5, 90.0)),
                    ("Yang et al.", (97.4, 96.2, 91.1, 86.9, 90.1, 86.0, 83.9, 90.3)),
                    ("Tang et al.", (97.4, 96.2, 91.0, 86.9, 90.6, 86.8, 84.5, 90.5)),
                    testing=SIX_SCALES,
                ),
                *_rows(
                    "mpii-msra",
                    ("SimpleBaseline", (97.5, 96.1, 90.5, 85.4, 90.1, 85.7, 82.3, 90.1)),
                    ("HRNet", (97.7, 96.3, 90.9, 86.7, 89.7, 87.4, 84.1, 90.8)),
                    testing=SIX_SCALES,
                ),
                Row(
                    "SPCNet (paper)",
                    (97.8, 96.6, 91.9, 87.5, 90.7, 87.5, 84.5, 91.1),
                    "mpii-tompson",
                    SIX_SCALES,
                ),
            ),
            (
                "The paper mixes two rules here: the SimpleBaseline and HRNet rows pool the joints "
                "(mpii-msra), about 0.4 above the plain mean of the others; HRNet's 90.3 is 89.9 "
                "by mpii-tompson.",
            ),
        ),
        Table(
            5,
            "State of the art on MPII test, PCKh@0.5",
            "MPII test, labels held by its authors",
            ("mpii", "test"),
            _COLUMNS,
            tuple(
                _rows(
                    "mpii-official",
                    ("Lifshitz et al.", (97.8, 93.3, 85.7, 80.4, 85.3, 76.6, 70.2, 85.0)),
                    ("Rafi et al.", (97.2, 93.9, 86.4, 81.3, 86.8, 80.6, 73.4, 86.3)),
                    ("Insafutdinov et al.", (96.8, 95.2, 89.3, 84.4, 88.4, 83.4, 78.0, 88.5)),
                    ("Wei et al.", (97.8, 95.0, 88.7, 84.0, 88.4, 82.8, 79.4, 88.5)),
                    ("Bulat & Tzimiropoulos", (97.9, 95.1, 89.9, 85.3, 89.4, 85.7, 81.7, 89.7)),
                    ("Newell et al.", (98.2, 96.3, 91.2, 87.1, 90.1, 87.4, 83.6, 90.9)),
                    ("Chu et al.", (98.5, 96.3, 91.9, 88.1, 90.6, 88.0, 85.0, 91.5)),
                    ("Chen et al.", (98.1, 96.5, 92.5, 88.5, 90.2, 89.6, 86.0, 91.9)),
                    ("Yang et al.", (98.5, 96.7, 92.5, 88.7, 91.1, 88.6, 86.0, 92.0)),
                    ("Ke et al.", (98.5, 96.8, 92.7, 88.4, 90.6, 89.3, 86.3, 92.1)),
                    ("Tang et al.", (98.4, 96.9, 92.6, 88.7, 91.8, 89.4, 86.2, 92.3)),
                    ("HRNet", (98.6, 96.9, 92.8, 89.0, 91.5, 89.0, 85.7, 92.3)),
                    ("Zhang et al.", (98.6, 97.0, 92.8, 88.8, 91.7, 89.8, 86.6, 92.5)),
                    ("SPCNet (paper)", (98.8, 97.1, 93.2, 88.9, 92.0, 89.6, 86.3, 92.6)),
                )
            ),
            ('"Chen et al." cites DeepLab; the numbers are those of another paper.',),
        ),
        Table(
            6,
            "State of the art on LSP test, PCK@0.2",
            "LSP test, 1,000 persons",
            ("lsp", "test"),
            _COLUMNS,
            tuple(
                _rows(
                    "lsp-pc",
                    ("Belagiannis & Zisserman", (95.2, 89.0, 81.5, 77.0, 83.7, 87.0, 82.8, 85.2)),
                    ("Lifshitz et al.", (96.8, 89.0, 82.7, 79.1, 90.9, 86.0, 82.5, 86.7)),
                    ("Pishchulin et al.", (97.0, 91.0, 83.8, 78.1, 91.0, 86.7, 82.0, 87.1)),
                    ("Insafutdinov et al.", (96.8, 95.2, 89.3, 84.4, 88.4, 83.4, 78.0, 88.5)),
                    ("Wei et al.", (97.8, 92.5, 87.0, 83.9, 91.5, 90.8, 89.9, 90.5)),
                    ("Bulat & Tzimiropoulos", (97.2, 92.1, 88.1, 85.2, 92.2, 91.4, 88.7, 90.7)),
                    ("Chu et al.", (98.1, 93.7, 89.3, 86.9, 93.4, 94.0, 92.5, 92.6)),
                    ("Yang et al.", (98.3, 94.5, 92.2, 88.9, 94.4, 95.0, 93.7, 93.9)),
                    ("Zhang et al.", (98.4, 94.8, 92.0, 89.4, 94.4, 94.8, 93.8, 94.0)),
                    ("Tang et al.", (98.3, 95.9, 93.5, 90.7, 95.0, 96.6, 95.7, 95.1)),
                    ("SPCNet (paper)", (98.3, 96.3, 96.2, 95.1, 96.0, 96.7, 95.9, 96.4)),
                )
            ),
            (
                "The Insafutdinov row repeats the one of Table 5 (MPII).",
                'The text says "all keypoints" are best, but the head of Zhang et al. is higher.',
                "Which label set (person-centric, or with 24 images corrected) each row used is "
                "not said.",
            ),
        ),
        Table(
            7,
            "State of the art on FLIC test, PCK@0.2",
            "FLIC test, 1,016 persons",
            ("flic", "test"),
            ("Elbow", "Wrist", "Total"),
            tuple(
                _rows(
                    "flic",
                    ("Wei et al.", (97.8, 95.0, 96.4)),
                    ("Newell et al.", (99.0, 97.0, 98.0)),
                    ("Ke et al.", (99.2, 97.3, 98.3)),
                    ("SPCNet (paper)", (99.3, 98.3, 98.8)),
                )
            ),
            ("The text gives the wrist of SPCNet as 98.2, the table as 98.3.",),
        ),
    )
}

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
    same_part = part == table.part or {part, table.part} == {("flic", "val"), ("flic", "test")}
    if score.protocol not in {row.protocol for row in table.rows} or not same_part:
        notes = (
            f"NOT comparable: our row is {score.protocol} on {' '.join(part)}; the paper's rows "
            f"are {table.rows[0].protocol} on {table.data}.",
            *notes,
        )
    return replace(table, notes=tuple(notes)), Row(
        method, values, score.protocol, testing, " ".join(part)
    )
