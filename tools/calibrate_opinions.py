"""Files of opinions from a teacher's points: its scores as probabilities of being right.

    python tools/calibrate_opinions.py PEOPLE OUT

PEOPLE holds, for each of some data sets in COCO's format, NAME/train.json (labels) and
NAME/teacher.json (annotation id -> 17 x [x, y, score]), NAME/teacher.json of pictures without
labels (file name -> the same), and NAME_teacher.npz (keypoints (N, 17, 3), whose first row is
picture 1, pixels counted as the labels count). A point is right within 0.2 of the torso's length of
its label; the curve from score to probability is isotonic, over the labelled persons of the
training parts. OUT gets NAME.json each, as `spcnet.data.opinions` reads them.
"""

import json
import sys
from pathlib import Path

import numpy as np

from spcnet.calibration import Calibration, fit_calibration
from spcnet.skeletons import COCO17


def judged(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Scores (M,) of a data set's labelled joints and whether the teacher was right (M,)."""
    labels = json.loads((folder / "train.json").read_text())
    teacher = json.loads((folder / "teacher.json").read_text())
    names = labels["categories"][0]["keypoints"]
    shared = [(names.index(joint), n) for n, joint in enumerate(COCO17.joints) if joint in names]
    own, seen = np.array(shared).T
    scores, right = [], []
    for person in labels["annotations"]:
        rows = teacher.get(str(person["id"]))
        if not rows or person["iscrowd"] or not person["num_keypoints"]:
            continue
        points, opinion = np.reshape(person["keypoints"], (-1, 3)), np.array(rows)
        shoulder, hip = points[names.index("left_shoulder")], points[names.index("right_hip")]
        if not (shoulder[2] and hip[2]):
            continue
        torso = np.linalg.norm(shoulder[:2] - hip[:2])
        there = points[own, 2] > 0
        errors = np.linalg.norm(points[own, :2] - opinion[seen, :2], axis=1)[there]
        scores.append(opinion[seen, 2][there])
        right.append(errors <= 0.2 * torso)
    return np.concatenate(scores), np.concatenate(right)


def calibrated(rows: object, curve: Calibration) -> list[list[float]]:
    """Points with probabilities in place of scores."""
    opinion = np.array(rows, dtype=float)
    opinion[:, 2] = curve(opinion[:, 2])
    return [[round(value, 3) for value in row] for row in opinion.tolist()]


def main(people: Path, out: Path) -> None:
    """Calibrate on what has labels, and write everything."""
    out.mkdir(parents=True, exist_ok=True)
    labelled = [f for f in sorted(people.iterdir()) if (f / "train.json").is_file()]
    labelled = [f for f in labelled if (f / "teacher.json").is_file()]
    parts = [judged(folder) for folder in labelled]
    scores, right = (np.concatenate(column) for column in zip(*parts, strict=True))
    curve = fit_calibration(scores, right)
    print("score       ", *(f"{peak:.2f}" for peak in curve.peaks))
    print("probability ", *(f"{share:.2f}" for share in curve.shares))
    for path in sorted(people.glob("*/teacher.json")):
        content = json.loads(path.read_text())
        written = {key: calibrated(rows, curve) if rows else None for key, rows in content.items()}
        (out / f"{path.parent.name}.json").write_text(json.dumps(written))
    for path in sorted(people.glob("*_teacher.npz")):
        rows = np.load(path)["keypoints"]
        written = {str(n): calibrated(row, curve) for n, row in enumerate(rows, start=1)}
        (out / f"{path.stem.removesuffix('_teacher')}.json").write_text(json.dumps(written))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
