import os
import time
from pathlib import Path

import pytest

from spcnet.files import remove_leftovers, whole_file


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a file.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(target) as partial:
        partial.write_text("ha")
        assert 1 / 0
    assert target.read_text() == "old"
    with whole_file(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a file.txt"]


def test_leftovers_go_when_they_are_old(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "x") as partial:
        name = partial.name
        raise KeyboardInterrupt
    for kind in (name, ".folder.partial-abc", ".young.partial-1"):
        (tmp_path / kind).mkdir() if "folder" in kind else (tmp_path / kind).write_text("half")
    (tmp_path / "kept").write_text("whole")
    for path in (tmp_path / name, tmp_path / ".folder.partial-abc"):
        os.utime(path, (time.time() - 90_000,) * 2)
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"kept", ".young.partial-1"}
    remove_leftovers(tmp_path, older_than=0)
    assert {path.name for path in tmp_path.iterdir()} == {"kept"}
