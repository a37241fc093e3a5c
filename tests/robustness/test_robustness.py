"""Whatever a file holds, reading it gives a value or one clear line, soon and in little memory."""

from pathlib import Path

import pytest
from kinds import NAMES
from watched import watch

COUNTS = {"videos": 60, "cards": 40, "safetensors": 60}  # others are faster


@pytest.mark.parametrize("name", NAMES)
def test_broken_files_give_a_value_or_one_clear_line(name: str, tmp_path: Path) -> None:
    report = watch(name, tmp_path, count=COUNTS.get(name, 200), seconds=60)
    assert not report.places
    assert report.count >= 40
    assert report.outcomes["UserError"]
