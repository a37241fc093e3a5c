import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from spcnet.errors import UserError
from spcnet.files import check_file, remove_leftovers, whole_file, whole_folder


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


def test_leftovers_of_dead_processes_go_and_what_is_no_leftover_stays(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "x") as partial:
        mine = partial.name
        raise KeyboardInterrupt
    dead = subprocess.Popen(["true"])
    dead.wait()
    of_dead = mine.replace(str(os.getpid()), str(dead.pid))
    elsewhere = ".x.partial-another-machine-17"
    for name in (mine, of_dead, elsewhere, ".film.partial", ".a.partial-of-the-users-own"):
        (tmp_path / name).write_text("half")
    (tmp_path / f"{of_dead}-folder").mkdir()
    (tmp_path / "kept").write_text("whole")
    remove_leftovers(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"kept", mine, elsewhere, ".film.partial", ".a.partial-of-the-users-own"}
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 90_000,) * 2)
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == left - {elsewhere}


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    cases = {
        "pipe": "is a pipe, not a file; write its content to a file first",
        "empty": "the file is empty (0 bytes)",
        "missing": "no such file",
    }
    for name, told in cases.items():
        with pytest.raises(UserError, match=re.escape(f"{tmp_path / name}: {told}")):
            check_file(tmp_path / name)
    with pytest.raises(UserError, match="is a device"):
        check_file(Path("/dev/null"))


def test_a_folder_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    monkeypatch.setattr("spcnet.files._to_disk", written.append)
    with whole_folder(tmp_path / "store") as partial:
        (partial / "a").mkdir()
        (partial / "a" / "b").write_text("content")
    assert [path.name for path in written] == ["b"]
    assert (tmp_path / "store" / "a" / "b").read_text() == "content"
