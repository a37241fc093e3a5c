"""Predictions that other groups published, against the numbers that they published with them."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from spcnet.data.datasets import read_labels
from spcnet.evaluation.predictions import align, read_predictions
from spcnet.metrics.protocols import GroundTruth, score

pytest.importorskip("h5py")


def load_table() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "golden_table.py"
    spec = importlib.util.spec_from_file_location("golden_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    return module


TABLE = load_table()


@pytest.fixture(scope="session")
def golden(shared_data: Path) -> Path:
    """The folder of published predictions."""
    folder: Path | None = TABLE.golden_folder(shared_data)
    if folder is None:
        pytest.skip(f"no golden/ in or beside {shared_data} (SPCNET_DATA): published predictions")
    return folder


@pytest.mark.parametrize(
    "entry", TABLE.GOLDEN, ids=lambda entry: f"{entry.protocol}-{Path(entry.predictions).stem}"
)
def test_published_numbers_come_out(entry: Any, golden: Path, shared_data: Path) -> None:
    rows = list(TABLE.compare(entry, TABLE.golden_score(entry, shared_data)))
    assert [ours for _, ours, _ in rows] == [published for _, _, published in rows]
    assert [column for column, _, _ in rows] == list(entry.expected)


@pytest.mark.parametrize("name", ["newell_hg8.h5", "hg_s2_b1.mat"])
def test_official_and_msra_differ_in_the_head_column_alone(golden: Path, name: str) -> None:
    labels = read_labels(golden / "mpii" / "ground_truth_val.mat")
    found = read_predictions(golden / "mpii" / name, persons=len(labels), joints=(16,))
    truth = GroundTruth.of(labels.annotations, labels.skeleton)
    points = align(found, labels).points
    official, msra = (score(f"mpii-{rule}", points, truth) for rule in ("official", "msra"))
    assert official.mean == msra.mean
    assert official.joints == msra.joints
    assert {part for part in msra.parts if msra.parts[part] != official.parts[part]} == {"Head"}
    assert msra.persons == 2958


def test_the_same_base_on_both_sides_cancels(golden: Path, shared_data: Path) -> None:
    labels = read_labels(shared_data / "flic" / "valid.h5")
    path = golden / "flic" / "cpm.mat"
    found = read_predictions(path, persons=len(labels), joints=(11, 9))
    assert found.points.shape == (1016, 9, 2)
    assert (align(found, labels).points[:, 0] == found.points[:, 0]).all()
    from_zero = read_predictions(path, persons=len(labels), joints=(11, 9), index_base=0)
    assert (align(from_zero, labels).points[:, 0] == found.points[:, 0] + 1).all()


def test_the_hourglass_labels_score_nearly_alike(golden: Path, shared_data: Path) -> None:
    """Its coordinates are cut to whole pixels, of heads of about a hundred."""
    exact = read_labels(golden / "mpii" / "ground_truth_val.mat")
    cut = read_labels(shared_data / "mpii" / "valid.h5")
    found = read_predictions(golden / "mpii" / "newell_hg8.h5", persons=2958, joints=(16,))
    means = [
        score(
            "mpii-msra",
            align(found, labels).points,
            GroundTruth.of(labels.annotations, labels.skeleton),
        ).mean
        for labels in (exact, cut)
    ]
    assert means[1] == pytest.approx(means[0], abs=0.05)


def test_the_table_is_printed_with_ours_beside_theirs(
    golden: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    entries = (
        TABLE.GOLDEN[-1],
        TABLE.Golden(**vars(TABLE.GOLDEN[-1]) | {"expected": {"Wrist": "1.0"}}),
    )
    monkeypatch.setattr(TABLE, "GOLDEN", entries)
    monkeypatch.setattr(sys, "argv", ["golden_table.py", str(shared_data)])
    assert TABLE.main() == 1  # one differs
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["predictions", "protocol", "column", "ours", "published"],
        ["flic/cpm.mat", "flic", "Elbow", "97.59", "97.59"],
        ["flic/cpm.mat", "flic", "Wrist", "95.03", "95.03"],
        ["flic/cpm.mat", "flic", "Wrist", "95.0", "1.0", "differs"],
    ]


def test_a_folder_without_golden_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(sys, "argv", ["golden_table.py", str(tmp_path / "data")])
    assert TABLE.main() == 1
    assert "no golden/ in it or beside it" in capsys.readouterr().err
