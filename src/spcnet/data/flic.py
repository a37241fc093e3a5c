"""Frames Labeled In Cinema (Sapp and Taskar, CVPR 2013), upper bodies from films.

The authors' ``examples.mat`` has 29 joints, most never annotated; the stacked hourglass's h5 files
the eleven that are. Coordinates are used as they stand. Left and right are **observer-centric**, as
in the h5; in ``examples.mat`` they are the person's own, so arms and hips of persons seen from
behind (one in twenty) change sides as they are read. A file that is not what it should be, or has
no such split, is a `UserError`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from spcnet.data.annotations import AnnotatedPictures, Annotation, JointState, Reader, joint_states
from spcnet.data.label_files import (
    another_file,
    as_list,
    load_hourglass,
    load_mat,
    positive,
    reading,
    text,
)
from spcnet.errors import UserError, dims
from spcnet.geometry import Array
from spcnet.skeletons import FLIC11, mirror_name

SPLITS = {"train": 3987, "test": 1016}
_TEST = ("valid.h5", "annot/valid.h5", "examples.mat")
FILES = {"train": ("train.h5", "annot/train.h5", "examples.mat"), "test": _TEST, "val": _TEST}
# Columns of examples.mat's ``coords``, in the order of FLIC11's joints.
COLUMNS = (0, 1, 2, 3, 4, 5, 6, 9, 12, 13, 16)
MIDDLE_ROW = 240.0  # of the 720x480 frames, as the hourglass line crops them
# A person is seen from behind where both of the left are left of those of the right.
LEFT, RIGHT = (
    [FLIC11.index(f"{side}_{end}") for end in ("shoulder", "hip")] for side in ("left", "right")
)
# The joints' partners among arms and hips; the authors' own evaluation leaves the face alone.
OTHER_SIDE = [FLIC11.index(j if j.endswith("_eye") else mirror_name(j)) for j in FLIC11.joints]


def file_labels(path: Path, split: str) -> AnnotatedPictures:
    """The labels of one of `FILES`, without pictures."""
    return (examples_labels if path.suffix == ".mat" else flic_hourglass_labels)(path, split)


def recognise(form: str, content: Any) -> tuple[Reader, str] | None:
    """See `spcnet.data.datasets.DatasetInfo`."""
    if form == ".mat" and "examples" in content:
        return examples_labels, "test"
    if form == ".h5" and getattr(content.get("part"), "shape", ())[1:2] == (11,):
        return flic_hourglass_labels, "all"
    return None


def flic_hourglass_labels(path: Path, split: str = "all") -> AnnotatedPictures:
    """The labels of the stacked hourglass's ``train.h5`` or ``valid.h5``.

    Its ``normalize`` is the distance of the person's own right shoulder and left hip: but for
    persons seen from behind the other diagonal than the one that scores are usually normalised by.
    """
    parts = {count: part for part, count in SPLITS.items()}
    split = "test" if split == "val" else split
    arrays, split = load_hourglass(path, split, title="FLIC", joints=11, parts=parts)
    points = arrays["part"].astype(np.float64)
    labelled = np.isfinite(points).all(axis=-1) & (points != 0).any(axis=-1)
    states = joint_states(labelled, arrays["visible"] > 0)
    annotations = [
        Annotation(
            image=text(arrays["imgname"][n]),
            points=np.nan_to_num(points[n]),
            states=states[n],
            reference=positive(arrays["normalize"][n]),
            centre=arrays["center"][n].astype(np.float64),
            scale=float(arrays["scale"][n]),
            number=int(arrays["index"][n]) + 1,
        )
        for n in np.flatnonzero(labelled.any(axis=1))
    ]
    return AnnotatedPictures("flic", split, FLIC11, annotations, counts_from=1)


def examples_labels(path: Path, split: str) -> AnnotatedPictures:
    """The labels of the authors' ``examples.mat``."""
    flags = {"train": "istrain", "test": "istest", "all": ""}
    split = "test" if split == "val" else split
    if split not in flags:
        raise UserError(f"{path}: has the splits train, test and all, not {split!r}")
    content = load_mat(path, wanted="the examples.mat of FLIC", structs=True)
    examples = as_list(content.get("examples", []))
    if not examples or not hasattr(examples[0], "coords"):
        raise another_file(path, "the examples.mat of FLIC", content, "examples with coords")
    with reading(path, "the examples.mat of FLIC"):
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
        raise UserError(
            f"{path}: coords of example {number} must be 2 x 29, got {dims(coords.shape)}"
        )
    points = coords[:, COLUMNS].T
    # Right shoulder to left hip, which the hourglass's h5 keeps as ``normalize``.
    reference = positive(np.linalg.norm(points[RIGHT[0]] - points[LEFT[1]]))
    if (points[LEFT, 0] < points[RIGHT, 0]).all():
        points = points[OTHER_SIDE]
    labelled = np.isfinite(points).all(axis=1)
    if not labelled.any():
        return None
    torso = np.ravel(getattr(example, "torsobox", []))
    centre: Array | None = None
    if torso.size == 4 and np.isfinite(torso.astype(np.float64)).all():
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
