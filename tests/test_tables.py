"""Poses and angles as rows: columns, values, files."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from test_angles import pose as points_of

from spcnet.errors import UserError
from spcnet.inference.pose import Pose
from spcnet.skeletons import COCO17, LSP14
from spcnet.tables import TableWriter, columns, read_angles, table_file, to_records


def pose(**changes: tuple[float, float]) -> Pose:
    scores = np.linspace(0.3, 0.95, 14, dtype=np.float32)
    box = np.array([60, 10, 140, 270], np.float32)
    return Pose(points_of(changes).astype(np.float32), scores, box, LSP14)


def test_long_rows_are_one_per_joint() -> None:
    rows = list(to_records([None, pose()], source="a.jpg", frame=3, time=0.12))
    assert len(rows) == 14
    assert rows[0] == {
        "source": "a.jpg", "frame": 3, "time": 0.12, "person": 1,
        "joint": "right_ankle", "x": 85.0, "y": 260.0, "score": 0.3,
    }  # fmt: skip
    assert [row["joint"] for row in rows] == list(LSP14.joints)
    assert list(rows[0]) == columns(LSP14)


def test_wide_rows_are_one_per_person() -> None:
    (row,) = to_records([pose()], wide=True)
    assert row["left_knee_x"] == 115.0 and row["left_knee_y"] == 200.0
    assert row["score"] == pytest.approx(0.625, abs=1e-4)
    assert list(row) == columns(LSP14, wide=True)


@pytest.mark.parametrize("wide", [False, True])
def test_angles_have_their_interval_and_score(wide: bool) -> None:
    rows = list(to_records([pose(left_ankle=(175, 200))], what="angles", wide=wide))
    if wide:
        (row,) = rows
        knee = {"degrees": row["left_knee"]} | {
            key: row[f"left_knee_{key}"] for key in ("low", "high", "score")
        }
    else:
        (found,) = (row for row in rows if row["angle"] == "left_knee")
        knee = {key: found[key] for key in ("degrees", "low", "high", "score")}
    assert knee["degrees"] == 90.0
    assert knee["low"] < 90 < knee["high"]
    # The left hip is the least sure of hip, knee and ankle.
    assert knee["score"] == pytest.approx(0.3 + 3 * 0.05, abs=1e-3)
    assert list(rows[0]) == columns(LSP14, "angles", wide=wide)


def test_what_is_not_known_is_none_and_an_empty_cell() -> None:
    (row,) = to_records([pose(left_knee=(115, 140))], what="angles", wide=True)
    assert row["left_knee"] is row["left_knee_low"] is None
    file = io.StringIO()
    TableWriter(file, columns(LSP14, "angles", wide=True)).write([row])
    (read,) = csv.DictReader(io.StringIO(file.getvalue()))
    assert read["left_knee"] == "" and read["right_knee"] == "180.0"


def test_a_table_is_read_back_by_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(to_records([pose(), pose()], what="angles"))
    knees = frame[frame.angle == "left_knee"]
    assert knees.degrees.tolist() == [180.0, 180.0] and knees.person.tolist() == [0, 1]


def test_angles_of_a_file_are_those_that_were_written(tmp_path: Path) -> None:
    path = tmp_path / "walk.angles.csv"
    poses = [pose(), pose(left_ankle=(175, 200)), pose(left_knee=(115, 140))]
    with table_file(path, LSP14, "angles") as table:
        for frame, of in enumerate(poses):
            table.write(to_records([None, of], frame=frame, time=frame / 25, what="angles"))
    times, angles = read_angles(path, person=1)
    assert times.tolist() == [0.0, 0.04, 0.08]
    knee = angles.degrees[:, angles.names.index("left_knee")]
    assert knee[:2].tolist() == [180, 90] and np.isnan(knee[2])
    with pytest.raises(UserError, match="no person 0; there are 1"):
        read_angles(path)
    with pytest.raises(UserError, match=r"gone\.csv: cannot be read: No such file"):
        read_angles(tmp_path / "gone.csv")


def test_a_table_without_rows_has_nobody(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    with table_file(path, LSP14, "angles"):
        pass
    with pytest.raises(UserError, match=r"empty\.csv: nobody is in this table"):
        read_angles(path)


def test_what_are_no_poses_is_an_error_at_once() -> None:
    with pytest.raises(UserError, match="what must be joints or angles, got 'joint'"):
        to_records([pose()], what="joint")  # type: ignore[arg-type]
    for wrong in (pose(), "photo.jpg"):
        with pytest.raises(UserError, match=f"poses must be .* got {type(wrong).__name__}"):
            to_records(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "time,person,angle\n0,0,left_knee\n"])
def test_another_file_is_no_table_of_angles(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"other\.csv: no long table of angles; spcnet video"):
        read_angles(path)


def test_broken_numbers_are_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_text("time,person,angle,degrees,low,high,score\n0,0,left_knee,x,1,2,0.5\n")
    with pytest.raises(UserError, match=r"broken\.csv: no table of angles: could not convert"):
        read_angles(path)


def test_every_skeleton_has_its_columns() -> None:
    assert columns(COCO17, wide=True)[5:8] == ["nose_x", "nose_y", "nose_score"]
    assert len(columns(COCO17, "angles", wide=True)) == 5 + 4 * 17
