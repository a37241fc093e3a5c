import math

import numpy as np
import pytest

from spcnet.errors import UserError
from spcnet.metrics.paper import TABLES, comparison
from spcnet.metrics.protocols import PCK_RULES, Score

PAIRS = slice(1, 7)


def row(number: int, method: str, testing: str = "") -> tuple[float, ...]:
    (values,) = [
        row.values
        for row in TABLES[number].rows
        if row.method == method and (not testing or row.testing == testing)
    ]
    return values


def test_every_row_fits_its_columns_and_names_a_rule() -> None:
    assert sorted(TABLES) == [1, 2, 3, 4, 5, 6, 7]
    for table in TABLES.values():
        assert table.columns[-1] == "Total"
        for line in table.rows:
            assert len(line.values) == len(table.columns)
            assert line.protocol in PCK_RULES
            assert all(50 < value < 100 for value in line.values)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_totals_of_the_ablations_are_plain_means_of_the_joints(number: int) -> None:
    """14 joints: the head top once and each pair twice, and the neck, which no column shows."""
    for line in TABLES[number].rows:
        head, total = line.values[0], line.values[-1]
        neck = 14 * total - head - 2 * sum(line.values[PAIRS])
        if line.protocol == "mpii-tompson":
            assert 94 < neck < 100.5, line  # what a neck scores, within rounding
        else:
            assert neck > 100.5, line  # impossible: these rows pool the joints


def test_the_known_slips_are_there_and_noted() -> None:
    assert row(6, "Insafutdinov et al.") == row(5, "Insafutdinov et al.")
    assert "Insafutdinov" in " ".join(TABLES[6].notes)
    assert row(6, "Zhang et al.")[0] > row(6, "SPCNet (paper)")[0]
    assert "head" in " ".join(TABLES[6].notes)
    assert row(7, "SPCNet (paper)") == (99.3, 98.3, 98.8)
    assert "98.2" in " ".join(TABLES[7].notes)
    rules = {line.method: line.protocol for line in TABLES[4].rows}
    assert rules["HRNet"] == rules["SimpleBaseline"] == "mpii-msra"
    assert rules["Newell et al."] == rules["SPCNet (paper)"] == "mpii-tompson"
    assert "DeepLab" in " ".join(TABLES[5].notes)


def test_flics_totals_are_means_of_elbow_and_wrist() -> None:
    for line in TABLES[7].rows:
        assert line.values[2] == pytest.approx(np.mean(line.values[:2]), abs=0.11)


def test_our_row_has_the_tables_columns() -> None:
    parts = {"Head": 90.0, "Sho": 80.0, "Elb": 70.0, "Wri": 60.0, "Hip": 50.0, "Knee": 40.0}
    ours = Score("lsp-pc", 66.6, parts | {"Ank": 30.0}, {}, 1000)
    table, line = comparison(ours, method="mine", part=("lsp", "test"), testing="flip")
    assert table.number == 6
    assert line.values == (90, 80, 70, 60, 50, 40, 30, 66.6)
    assert not any("NOT comparable" in note for note in table.notes)


def test_other_persons_or_rules_are_called_not_comparable() -> None:
    ours = Score("lspet-pck", 61.2, {}, {}, 589)
    table, _ = comparison(ours, method="mine", part=("lspet", "val"), testing="")
    assert table.number == 6
    assert table.notes[0].startswith("NOT comparable: our row is lspet-pck on lspet val")
    with pytest.raises(UserError, match="pck-box"):
        comparison(Score("pck-box", 1, {}, {}, 1), method="", part=("", ""), testing="")
    val = Score("mpii-official", 87.4, {}, {}, 2958)
    table, _ = comparison(val, method="mine", part=("mpii", "val"), testing="")
    assert table.number == 5  # the test set's
    assert table.notes[0].startswith("NOT comparable: our row is mpii-official on mpii val")
    assert not any(math.isnan(v) for t in TABLES.values() for r in t.rows for v in r.values)
