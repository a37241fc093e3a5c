"""Frames Labeled In Cinema (Sapp and Taskar, CVPR 2013), upper bodies from films.

Its authors distribute ``examples.mat`` (29 joints, most of them never annotated); the stacked
hourglass distributes ``train.h5`` and ``valid.h5`` with the eleven that are. Coordinates are used
as they stand. Left and right are **observer-centric**: those of a person who faces the camera. The
h5 has them so; ``examples.mat`` has the person's own, so arms and hips of persons seen from behind
(one in twenty) change sides as they are read.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spcnet.data.annotations import AnnotatedPictures, Annotation, JointState, find_labels, seen_in
from spcnet.data.label_files import as_list, check_hourglass, load_h5, load_mat, text
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.skeletons import FLIC11, mirror_name

# Columns of examples.mat's ``coords``, in the order of FLIC11's joints.
COLUMNS = (0, 1, 2, 3, 4, 5, 6, 9, 12, 13, 16)
MIDDLE_ROW = 240.0  # of the 720x480 frames, as the hourglass line crops them
# A person is seen from behind where both of the left are left of those of the right.
SIDES, ENDS = ("left", "right"), ("shoulder", "hip")


def read_flic(root: str | os.PathLike[str], split: str) -> AnnotatedPictures:
    """Persons of FLIC.

    Args:
        root: folder that holds ``images/`` and ``examples.mat`` or ``train.h5`` and ``valid.h5``.
        split: ``"train"`` (3,987 persons) or ``"test"`` (1,016; ``"val"`` is the same).

    Raises:
        UserError: the folder or one of its files is not there or not what it should be, or the
            split is unknown.
    """
    root = Path(root)
    if split not in ("train", "test", "val"):
        raise UserError(f"unknown split {split!r} of FLIC; there are train and test")
    name = "train.h5" if split == "train" else "valid.h5"
    path = find_labels(root, (name, "annot/" + name), title="FLIC")
    official = find_labels(root, ("examples.mat",), title="FLIC")
    if path is None and official is None:
        raise UserError(
            f"{root}: split {split!r} of FLIC needs {name} or examples.mat, and this folder holds "
            f"{seen_in(root)}"
        )
    if path is not None:
        labels = flic_hourglass_labels(path, split)
    else:
        assert official is not None
        labels = examples_labels(official, split)
    if not (root / "images").is_dir():
        raise UserError(
            f"{root}: no images/ here; FLIC keeps its pictures there, "
            f"and this folder holds {seen_in(root)}"
        )
    return replace(labels, images=root / "images")


FILES = {
    "train": ("train.h5", "annot/train.h5", "examples.mat"),
    "test": ("valid.h5", "annot/valid.h5", "examples.mat"),
}


def file_labels(path: Path, split: str) -> AnnotatedPictures:
    """The labels of one of `FILES`, without pictures.

    Raises:
        UserError: as `read_flic`.
    """
    return (examples_labels if path.suffix == ".mat" else flic_hourglass_labels)(path, split)


def flic_hourglass_labels(path: Path, split: str = "all") -> AnnotatedPictures:
    """The labels of the stacked hourglass's ``train.h5`` or ``valid.h5``.

    Its ``normalize`` is the distance of the person's own right shoulder and left hip: but for
    persons seen from behind the other diagonal than the one that scores are usually normalised by.

    Raises:
        UserError: as `read_flic`.
    """
    arrays = load_h5(path, wanted="a FLIC h5 of the stacked hourglass")
    check_hourglass(path, arrays, joints=11)
    points = arrays["part"].astype(np.float64)
    labelled = np.isfinite(points).all(axis=-1) & (points != 0).any(axis=-1)
    states = np.where(arrays["visible"] > 0, JointState.VISIBLE, JointState.OCCLUDED) * labelled
    annotations = [
        Annotation(
            image=text(arrays["imgname"][n]),
            points=np.nan_to_num(points[n]),
            states=states[n].astype(np.uint8),
            reference=_positive(arrays["normalize"][n]),
            centre=arrays["center"][n].astype(np.float64),
            scale=float(arrays["scale"][n]),
            number=int(arrays["index"][n]) + 1,
        )
        for n in range(len(points))
        if labelled[n].any()
    ]
    return AnnotatedPictures("flic", split, FLIC11, annotations, counts_from=1)


def examples_labels(path: Path, split: str) -> AnnotatedPictures:
    """The labels of the authors' ``examples.mat``.

    Raises:
        UserError: as `read_flic`.
    """
    flags = {"train": "istrain", "test": "istest", "val": "istest", "all": ""}
    if split not in flags:
        raise UserError(f"{path}: has the splits train, test and all, not {split!r}")
    content = load_mat(path, wanted="the examples.mat of FLIC", structs=True)
    examples = as_list(content.get("examples", []))
    if not examples or not hasattr(examples[0], "coords"):
        raise UserError(
            f"{path}: not the examples.mat of FLIC: it holds {', '.join(content) or 'nothing'}, "
            "wanted examples with coords"
        )
    annotations = [
        annotation
        for n, example in enumerate(examples, start=1)
        if (split == "all" or bool(getattr(example, flags[split], False)))
        and (annotation := _of_example(path, example, n)) is not None
    ]
    return AnnotatedPictures("flic", split, FLIC11, annotations, counts_from=1)


def _of_example(path: Path, example: Any, number: int) -> Annotation | None:
    coords = np.asarray(getattr(example, "coords", None), dtype=np.float64)
    if coords.ndim != 2 or coords.shape[0] != 2 or coords.shape[1] <= max(COLUMNS):
        raise UserError(f"{path}: coords of example {number} must be (2, 29), got {coords.shape}")
    points = coords[:, COLUMNS].T
    reference = _diagonal(points)
    left, right = (points[[FLIC11.index(f"{side}_{end}") for end in ENDS]] for side in SIDES)
    if (left[:, 0] < right[:, 0]).all():
        points = points[[FLIC11.index(_other_side(joint)) for joint in FLIC11.joints]]
    labelled = np.isfinite(points).all(axis=1)
    if not labelled.any():
        return None
    torso = np.ravel(getattr(example, "torsobox", []))
    centre: Array | None = None
    if torso.size == 4 and np.isfinite(torso).all():
        centre = np.array([(torso[0] + torso[2]) / 2, MIDDLE_ROW])
    return Annotation(
        image=str(getattr(example, "filepath", "")),
        points=np.nan_to_num(points),
        states=np.where(labelled, JointState.VISIBLE, JointState.MISSING).astype(np.uint8),
        reference=reference,
        centre=centre,
        scale=2.2,
        number=number,
    )


def _other_side(joint: str) -> str:
    """A joint's partner among arms and hips; the authors' own evaluation leaves the face alone."""
    return joint if joint.endswith("_eye") else mirror_name(joint)


def _diagonal(points: Array) -> float | None:
    """Right shoulder to left hip, which the hourglass's h5 keeps as ``normalize``."""
    right, left = FLIC11.index("right_shoulder"), FLIC11.index("left_hip")
    return _positive(np.linalg.norm(points[right] - points[left]))


def _positive(length: Any) -> float | None:
    return float(length) if np.isfinite(length) and length > 0 else None
