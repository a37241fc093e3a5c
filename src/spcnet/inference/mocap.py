"""A person's joints and angles over time as files of motion capture: TRC, MOT and C3D.

The picture is the plane z = 0: x is to the right, y up, and 0, 0 the centre of the lowest pixel on
the left. As these formats have no pixels, a pixel is written as a millimetre, or as many as said.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from spcnet.angles import Angles, measure_angles
from spcnet.errors import UserError, needs_extra
from spcnet.files import replacing
from spcnet.geometry import Array
from spcnet.inference.video import FramePoses, joints_of
from spcnet.skeletons import Skeleton

ENDS: Mapping[str, str] = {"trc": ".trc", "mot": ".mot", "c3d": ".c3d"}
MOST_FRAMES = 65_535  # that a C3D file counts


def check_kind(kind: str) -> None:
    """Check, before any work, that a kind of file can be written."""
    if kind == "bvh":
        raise UserError(
            "bvh: needs the rotations of bones in space, which joints in a picture do not give; "
            "trc, mot and c3d can be written"
        )
    if kind == "c3d":
        with needs_extra("mocap", "a C3D file"):
            import c3d  # noqa: F401


@contextmanager
def motion_files(
    paths: Sequence[Path], skeleton: Skeleton, height: int, rate: float, millimetres: float = 1.0
) -> Iterator[Callable[[FramePoses], None]]:
    """Takes the frames of a video, and writes files when all were given; kinds are by their ends.

    Paths are for person 0; of person 1 it is NAME.person1.trc, and so on. Pictures are `height`
    pixels high, `rate` frames a second, and a pixel is so many `millimetres`.
    """
    for path in paths:
        check_kind(path.suffix[1:])
    frames: list[FramePoses] = []
    yield lambda frame: frames.append(frame.without_picture())
    times = np.array([frame.time for frame in frames])
    for number in range(max((len(frame.persons) for frame in frames), default=0)):
        points, scores = joints_of(frames, number, skeleton)
        markers = np.stack([points[..., 0], height - 1 - points[..., 1]], axis=-1) * millimetres
        for path in (of_person(path, number) for path in paths):
            with replacing(path) as partial:
                if path.suffix == ".trc":
                    write_trc(partial, times, markers, skeleton, rate, path.name)
                elif path.suffix == ".c3d":
                    write_c3d(partial, markers, skeleton, rate)
                else:
                    write_mot(partial, times, measure_angles(points, scores, skeleton), path.stem)


def of_person(path: Path, number: int) -> Path:
    """The file of a person, where `path` is that of the first."""
    return path if number == 0 else path.with_name(f"{path.stem}.person{number}{path.suffix}")


def write_trc(
    path: Path, times: Array, points: Array, skeleton: Skeleton, rate: float, name: str
) -> None:
    """Markers as OpenSim and Pose2Sim read them, by the joints' names; an unknown one is blank.

    Points are (T, K, 2) millimetres, y up; OpenSim's documentation, "Marker (.trc) Files".
    """
    hertz, count = f"{rate:g}", len(times)
    rows: list[list[object]] = [
        ["PathFileType", 4, "(X/Y/Z)", name],
        ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate",
         "OrigDataStartFrame", "OrigNumFrames"],
        [hertz, hertz, count, len(skeleton), "mm", hertz, 1, count],
        ["Frame#", "Time", *chain(*((joint, "", "") for joint in skeleton.joints))],
        ["", "", *(f"{axis}{n}" for n in range(1, len(skeleton) + 1) for axis in "XYZ")],
        [],
    ]  # fmt: skip
    for n, (time, places) in enumerate(zip(times, points, strict=True), start=1):
        known = np.isfinite(places).all(axis=1).tolist()
        cells = zip(places.tolist(), known, strict=True)
        at = [(f"{x:.3f}", f"{y:.3f}", "0.000") if sure else ("", "", "") for (x, y), sure in cells]
        rows.append([n, f"{time:.6f}", *chain(*at)])
    _write_rows(path, rows)


def write_mot(path: Path, times: Array, angles: Angles, name: str) -> None:
    """Angles (T, A) in degrees as OpenSim's storage; an unknown one is nan.

    Readers of this format pass over blanks, so that a row with some would be too short.
    """
    head = [name, "version=1", f"nRows={len(times)}", f"nColumns={len(angles.names) + 1}"]
    rows: list[list[object]] = [[line] for line in (*head, "inDegrees=yes", "endheader")]
    rows.append(["time", *angles.names])
    for time, degrees in zip(times, angles.degrees, strict=True):
        rows.append([f"{time:.6f}", *(f"{value:.4f}" for value in degrees)])
    _write_rows(path, rows)


def write_c3d(path: Path, points: Array, skeleton: Skeleton, rate: float) -> None:
    """Markers (T, K, 2) in millimetres, y up, as C3D; an unknown one has the residual -1."""
    if len(points) > MOST_FRAMES:
        raise UserError(f"c3d: a file has at most {MOST_FRAMES} frames, here are {len(points)}")
    with needs_extra("mocap", "a C3D file"):
        import c3d
    rows = np.zeros((*points.shape[:2], 5), dtype=np.float32)  # x, y, z, residual, cameras
    rows[..., :2] = np.nan_to_num(points)
    rows[..., 3] = np.where(np.isfinite(points).all(axis=-1), 0, -1)
    writer = c3d.Writer(point_rate=rate)
    writer.add_frames([(row, np.empty((0, 0))) for row in rows])
    writer.set_point_labels(list(skeleton.joints))
    with path.open("wb") as file:
        writer.write(file)


def _write_rows(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines("\t".join(map(str, row)) + "\n" for row in rows)
