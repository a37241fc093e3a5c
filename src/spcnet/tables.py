"""Poses and angles as rows of plain values, which pandas and polars take as they are.

    pandas.DataFrame(to_records(poses))

Long rows are one per joint or angle, wide ones one per person; the columns of either are always the
same, so that tables of many pictures or frames can be joined.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

import numpy as np

from spcnet.angles import Angles, angle_names, measure_angles
from spcnet.errors import UserError
from spcnet.files import replacing
from spcnet.skeletons import Skeleton

if TYPE_CHECKING:
    from spcnet.inference.pose import Pose

Row: TypeAlias = dict[str, Any]
What: TypeAlias = Literal["joints", "angles"]

WHERE = ("source", "frame", "time", "person")
TABLES: Mapping[str, What] = {"csv": "joints", "angles": "angles"}  # what commands call them
ENDS = {"csv": ".csv", "angles": ".angles.csv"}  # of the files' names


def to_records(
    poses: "Iterable[Pose | None] | Mapping[int, Pose]",
    *,
    source: str = "",
    frame: int = 0,
    time: float = 0.0,
    what: What = "joints",
    wide: bool = False,
) -> Iterator[Row]:
    """Rows of one picture or frame; persons are counted from 0, and a None among them has no row.

    Or their poses by their numbers, as `spcnet.inference.result_files.poses_of` gives them.

    `source` is the picture's or video's name, `time` is in seconds. Long rows of joints have the
    columns of `WHERE`, joint, x, y (pixels) and score; those of angles angle, degrees, low, high
    and score. Wide rows have left_knee_x, left_knee_y, left_knee_score, or left_knee,
    left_knee_low and so on, after ``score``, the mean of the joints'. Anything but the poses of one
    picture is a `UserError`.
    """
    if what not in TABLES.values():
        raise UserError(f"what must be {' or '.join(TABLES.values())}, got {what!r}")
    if not isinstance(poses, Iterable) or isinstance(poses, str):
        raise UserError(
            "poses must be those of one picture, such as `predict` gives, or the `persons` of a "
            f"video's frame, got {type(poses).__name__}"
        )
    at = dict(zip(WHERE, (source, frame, round(time, 6)), strict=False))
    return _rows(poses, at, what, wide)


def _rows(
    poses: "Iterable[Pose | None] | Mapping[int, Pose]", at: Row, what: What, wide: bool
) -> Iterator[Row]:
    for person, pose in poses.items() if isinstance(poses, Mapping) else enumerate(poses):
        if pose is None:
            continue
        where = {**at, "person": person}
        cells = _joints(pose) if what == "joints" else _angles(pose)
        if not wide:
            name = what.removesuffix("s")
            yield from ({**where, name: of, **values} for of, values in cells.items())
            continue
        row = {**where, "score": round(float(np.mean(pose.scores)), 4)}
        for of, values in cells.items():
            row |= {of if key == "degrees" else f"{of}_{key}": v for key, v in values.items()}
        yield row


def columns(skeleton: Skeleton, what: What = "joints", *, wide: bool = False) -> list[str]:
    """The names of the columns of `to_records`, for tables that may stay empty."""
    cells = ("x", "y", "score") if what == "joints" else ("degrees", "low", "high", "score")
    if not wide:
        return [*WHERE, what.removesuffix("s"), *cells]
    names = skeleton.joints if what == "joints" else angle_names(skeleton)
    ends = ["" if cell == "degrees" else f"_{cell}" for cell in cells]
    return [*WHERE, "score", *(name + end for name in names for end in ends)]


class TableWriter:
    """Writes rows as CSV, the head first, each as it comes; an unknown number is an empty cell."""

    def __init__(self, file: TextIO, names: Sequence[str]) -> None:
        self._writer = csv.DictWriter(file, names, lineterminator="\n")
        self._writer.writeheader()

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add some rows."""
        for row in rows:
            self._writer.writerow(
                {key: "" if value is None else value for key, value in row.items()}
            )


@contextmanager
def table_file(
    path: Path, skeleton: Skeleton, what: What, *, wide: bool = False
) -> Iterator[TableWriter]:
    """A new CSV file of such rows, which takes its name when all are written."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield TableWriter(file, columns(skeleton, what, wide=wide))


def read_angles(path: Path, person: int = 0) -> tuple[np.ndarray, Angles]:
    """Times (T,) in seconds and the angles (T, A) of one person, of a long table of angles.

    An angle that a frame does not have is NaN there. Another file, or one without the person, is a
    `UserError`.
    """
    wanted = ["time", "person", "angle", "degrees", "low", "high", "score"]
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            ours = set(wanted) <= set(table.fieldnames or ())
            rows = [row for row in table if ours]
        persons = sorted({int(row["person"]) for row in rows})
        rows = [row for row in rows if int(row["person"]) == person]
        cells = {
            (float(row["time"]), row["angle"]): [float(row[n] or "nan") for n in wanted[3:]]
            for row in rows
        }
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}: no table of angles: {error}") from None
    if ours and not persons:
        raise UserError(f"{path}: nobody is in this table")
    if not ours:
        raise UserError(
            f"{path}: no long table of angles; spcnet video --save angles writes one (without "
            "--wide)"
        )
    if not cells:
        raise UserError(f"{path}: no person {person}; there are {', '.join(map(str, persons))}")
    times = sorted({time for time, _ in cells})
    names = tuple(dict.fromkeys(row["angle"] for row in rows))
    unknown = [math.nan] * 4
    values = np.array([[cells.get((time, name), unknown) for name in names] for time in times])
    return np.array(times), Angles(names, *np.moveaxis(values, -1, 0))


def _joints(pose: "Pose") -> dict[str, Row]:
    points, scores = np.asarray(pose.keypoints, float), np.asarray(pose.scores, float)
    return {
        joint: {"x": _number(x, 2), "y": _number(y, 2), "score": _number(score, 4)}
        for joint, (x, y), score in zip(pose.skeleton.joints, points, scores, strict=True)
    }


def _angles(pose: "Pose") -> dict[str, Row]:
    found = measure_angles(pose.keypoints, pose.scores, pose.skeleton)
    values = zip(found.names, found.degrees, found.low, found.high, found.scores, strict=True)
    return {
        name: {
            "degrees": _number(degrees, 1), "low": _number(low, 1), "high": _number(high, 1),
            "score": _number(score, 4),
        }
        for name, degrees, low, high, score in values
    }  # fmt: skip


def _number(value: float, digits: int) -> float | None:
    """As a plain number; None where it is not known."""
    return round(float(value), digits) if np.isfinite(value) else None
