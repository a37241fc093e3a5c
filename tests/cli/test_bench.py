"""``spcnet bench`` on a network of toy size."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from spcnet.cli.main import app
from spcnet.errors import UserError


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", "--turns", "1", *map(str, arguments)])


def test_models_are_timed_by_precision_threads_and_batch(tiny_checkpoint: Path) -> None:
    given = [tiny_checkpoint, "--threads", 1, "--threads", 2, "--batch", 1, "--batch", 3]
    done = bench(*given, "--precision", "fp32", "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["speeds"]
    assert [(row["threads"], row["batch"]) for row in rows] == [(1, 1), (1, 3), (2, 1), (2, 3)]
    for row in rows:
        assert (row["model"], row["precision"]) == (str(tiny_checkpoint), "fp32")
        assert 0.1 < row["ms per crop"] < 10_000
        assert row["pictures per second"] == pytest.approx(1000 / row["ms per picture"])
    head, _, first, *_ = bench(tiny_checkpoint, "--batch", 2).stdout.splitlines()
    assert head.split("  ")[-1].strip() == "pictures per second"
    assert first.split()[:2] == [str(tiny_checkpoint), "fp32"]


def test_what_cannot_be_timed_is_refused(tiny_checkpoint: Path) -> None:
    for wrong, text in (
        (["infer"], "unknown model 'infer'"),
        ([tiny_checkpoint, "--precision", "fp8"], "one of fp32, bf16, int8, auto, got 'fp8'"),
    ):
        error = bench(*wrong).exception
        assert isinstance(error, UserError) and text in str(error)
