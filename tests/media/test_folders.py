import os
from pathlib import Path
from typing import Any

import pytest

from spcnet.errors import UserError
from spcnet.media.folders import find_pictures


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder: Path, **how: bool) -> list[str]:
    return [path.as_posix() for path in find_pictures(folder, **how)[0]]  # type: ignore[arg-type]


def test_pictures_come_by_suffix_and_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a.png", "b/c.webp", "notes.txt", "film.mp4", "x.jpg.zip", "B.heic",
          "._b.JPG", ".thumbs/a.jpg", "b/d/e.tif")  # fmt: skip
    assert found(tmp_path) == ["B.heic", "a.png", "b.JPG"]
    assert found(tmp_path, recursive=True) == [
        "B.heic", "a.png", "b/c.webp", "b/d/e.tif", "b.JPG"
    ]  # fmt: skip


def test_what_is_passed_over_is_no_picture(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "mine.png")
    paths, _ = find_pictures(tmp_path, passed_over=lambda name: name == "mine.png")
    assert paths == [Path("a.png")]


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    touch(elsewhere, "far.jpg")
    folder = tmp_path / "folder"
    touch(folder, "a/near.jpg")
    (folder / "a" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "self").symlink_to(folder / "self")
    (folder / "link").symlink_to(elsewhere, target_is_directory=True)
    (folder / "again").symlink_to(elsewhere, target_is_directory=True)
    assert found(folder, recursive=True) == ["a/near.jpg", "again/far.jpg"]


def test_folders_without_pictures_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no picture in this folder") as told:
        find_pictures(tmp_path, recursive=True)
    assert "--recursive" not in str(told.value)
    touch(tmp_path, "below/a.png")
    with pytest.raises(UserError, match="its sub-folders hold some: --recursive"):
        find_pictures(tmp_path)


def test_a_folder_that_cannot_be_read_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.png", "shut/b.png", "zoo/c.png")
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    paths, unreadable = find_pictures(tmp_path, recursive=True)
    assert [path.as_posix() for path in paths] == ["a.png", "zoo/c.png"]
    assert unreadable == [f"{tmp_path / 'shut'}: cannot be read: Permission denied"]
    with pytest.raises(UserError, match="shut: cannot be read: Permission denied"):
        find_pictures(tmp_path / "shut")
