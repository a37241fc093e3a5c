"""Files of motion capture, read back: by hand, and C3D by its package."""

from pathlib import Path

import numpy as np
import pytest

from spcnet.angles import angle_names
from spcnet.errors import UserError
from spcnet.inference.mocap import MOST_FRAMES, check_kind, motion_files, write_c3d
from spcnet.inference.pose import Pose
from spcnet.inference.video import FramePoses
from spcnet.skeletons import LSP14

HEIGHT = 100
POINTS = np.random.default_rng(0).uniform(5, 95, (6, 2, 14, 2)).astype(np.float32)


def write(folder: Path, *kinds: str, millimetres: float = 1.0) -> None:
    """Six frames of two persons, the first of whom is lost in frame 2; the second comes in 1."""
    paths = [folder / f"out{kind}" for kind in kinds]
    with motion_files(paths, LSP14, HEIGHT, 25.0, millimetres) as record:
        for n, points in enumerate(POINTS):
            poses = [Pose(p, np.full(14, 0.9, np.float32), np.zeros(4), LSP14) for p in points]
            persons = [None if n == 2 else poses[0], *([poses[1]] if n else [])]
            record(FramePoses(n, n / 25, np.zeros((1, 1, 3), np.uint8), persons))
        assert not list(folder.iterdir())  # nothing before the end


def cells(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().split("\n")]


def test_a_trc_file_is_as_opensim_reads_it(tmp_path: Path) -> None:
    write(tmp_path, ".trc", millimetres=2.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.person1.trc", "out.trc"]
    first, keys, values, names, axes, blank, *rows, end = cells(tmp_path / "out.trc")
    assert first == ["PathFileType", "4", "(X/Y/Z)", "out.trc"]
    assert dict(zip(keys, values, strict=True)) == {
        "DataRate": "25", "CameraRate": "25", "NumFrames": "6", "NumMarkers": "14", "Units": "mm",
        "OrigDataRate": "25", "OrigDataStartFrame": "1", "OrigNumFrames": "6",
    }  # fmt: skip
    assert names[:2] == ["Frame#", "Time"] and tuple(names[2::3]) == LSP14.joints
    assert axes[:5] == ["", "", "X1", "Y1", "Z1"] and axes[-1] == "Z14"
    assert blank == end == [""]
    assert {len(row) for row in (names, axes, *rows)} == {2 + 3 * 14}
    assert [row[0] for row in rows] == list("123456")
    assert [float(row[1]) for row in rows] == pytest.approx(np.arange(6) / 25)
    assert set(rows[2][2:]) == {""}
    read = np.array([row[2:] for n, row in enumerate(rows) if n != 2], float).reshape(5, 14, 3)
    expected = (POINTS[[0, 1, 3, 4, 5], 0] * [1, -1] + [0, HEIGHT - 1]) * 2.5
    assert read[..., :2] == pytest.approx(expected, abs=1e-3) and not read[..., 2].any()
    second = cells(tmp_path / "out.person1.trc")[6:-1]
    assert set(second[0][2:]) == {""} and "" not in second[1]
    assert cells(tmp_path / "out.person1.trc")[0][-1] == "out.person1.trc"


def test_a_mot_file_is_as_opensim_reads_it(tmp_path: Path) -> None:
    write(tmp_path, ".mot")
    lines = (tmp_path / "out.mot").read_text().splitlines()
    names = angle_names(LSP14)
    head = ["out", "version=1", "nRows=6", f"nColumns={len(names) + 1}", "inDegrees=yes"]
    assert lines[:6] == [*head, "endheader"]
    assert (tmp_path / "out.person1.mot").read_text().startswith("out.person1\n")
    assert lines[6].split("\t") == ["time", *names]
    table = np.array([line.split() for line in lines[7:]], float)  # blanks are passed over
    assert table.shape == (6, len(names) + 1)
    assert np.isnan(table[2, 1:]).all() and np.isfinite(np.delete(table, 2, 0)).all()
    hip, knee, ankle = (POINTS[0, 0, LSP14.index(f"left_{j}")] for j in ("hip", "knee", "ankle"))
    one, other = hip - knee, ankle - knee
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    degrees = table[0, 1 + names.index("left_knee")]
    assert degrees == pytest.approx(np.degrees(np.arccos(cosine)), abs=1e-2)


def test_a_c3d_file_is_read_back_by_its_package(tmp_path: Path) -> None:
    c3d = pytest.importorskip("c3d", reason="c3d is not installed: the extra mocap")
    write(tmp_path, ".c3d")
    with (tmp_path / "out.c3d").open("rb") as file, pytest.warns(UserWarning, match="No analog"):
        reader = c3d.Reader(file)
        frames = [points for _, points, _ in reader.read_frames()]
    assert reader.point_rate == 25 and len(frames) == 6
    assert [label.strip() for label in reader.point_labels] == list(LSP14.joints)
    assert reader.get("POINT:UNITS").string_value.strip() == "mm"
    known = [n for n in range(6) if n != 2]
    assert (frames[2][:, 3] == -1).all()
    expected = POINTS[known, 0] * [1, -1] + [0, HEIGHT - 1]
    assert np.stack([frames[n] for n in known])[..., :2] == pytest.approx(expected, abs=1e-4)


def test_what_cannot_be_written_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bvh: needs the rotations of bones in space"):
        check_kind("bvh")
    with pytest.raises(UserError, match="at most 65535 frames, here are 65536"):
        write_c3d(tmp_path / "a.c3d", np.zeros((MOST_FRAMES + 1, 1, 2)), LSP14, 30.0)


def test_a_video_without_anybody_has_no_files(tmp_path: Path) -> None:
    with motion_files([tmp_path / "out.trc"], LSP14, HEIGHT, 25.0) as record:
        record(FramePoses(0, 0.0, np.zeros((1, 1, 3), np.uint8), []))
    assert not list(tmp_path.iterdir())
