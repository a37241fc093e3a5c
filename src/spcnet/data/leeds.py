"""Leeds Sports Pose (Johnson and Everingham, BMVC 2010) and its extension (CVPR 2011).

The authors' layouts: ``joints.mat`` beside ``images/``. LSP's ``joints`` is (3, 14, 2000), whose
third row is 1 for an **occluded** joint; the extension's is (14, 3, 10000), whose third row is 1
for a **labelled** one. Coordinates are used as they stand. A file that is not what it should be, or
has no such split, is a `UserError`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spcnet.data.annotations import AnnotatedPictures, Annotation, JointState, Reader
from spcnet.data.label_files import another_file, load_mat
from spcnet.errors import UserError, dims
from spcnet.geometry import Array
from spcnet.skeletons import LSP14

FILES = {"all": ("joints.mat",)}
LSP_SPLITS = {"train": "1-1000", "test": "1001-2000"}
# By the number of images. The official release is 10,000, all of them for training; a release of
# 8,860 has its last 800 for validation.
LSPET_SPLITS = {8860: {"train": "1-8060", "val": "8061-8860"}, 10000: {"train": "1-10000"}}


def lsp_labels(path: Path, split: str) -> AnnotatedPictures:
    """The labels of LSP's ``joints.mat``: of a split, or of images such as ``"1-500,620"``."""
    joints = _joints(path, shape=(3, 14), title="LSP").transpose(1, 0, 2)
    states = np.where(joints[:, 2] > 0, JointState.OCCLUDED, JointState.VISIBLE)
    named = LSP_SPLITS if joints.shape[2] == 2000 else {}
    return _pictures("lsp", split, named, joints, states, digits=4)


def lspet_labels(path: Path, split: str) -> AnnotatedPictures:
    """The labels of LSP extended's ``joints.mat``; persons without any label are left out."""
    joints = _joints(path, shape=(14, 3), title="LSP extended")
    states = np.where(joints[:, 2] > 0, JointState.VISIBLE, JointState.MISSING)
    named = LSPET_SPLITS.get(joints.shape[2], {})
    return _pictures("lspet", split, named, joints, states, digits=5)


def recognise_lsp(form: str, content: Any) -> tuple[Reader, str] | None:
    """See `spcnet.data.datasets.DatasetInfo`."""
    shape = _shape(form, content)
    return (lsp_labels, "test" if shape[2:] == (2000,) else "all") if shape[:2] == (3, 14) else None


def recognise_lspet(form: str, content: Any) -> tuple[Reader, str] | None:
    """See `spcnet.data.datasets.DatasetInfo`."""
    shape = _shape(form, content)
    scored = "val" if shape[2:] == (8860,) else "all"
    return (lspet_labels, scored) if shape[:2] == (14, 3) else None


def _shape(form: str, content: Any) -> tuple[int, ...]:
    return getattr(content.get("joints"), "shape", ()) if form == ".mat" else ()


def parse_numbers(ranges: str, count: int, *, named: tuple[str, ...] = ()) -> list[int]:
    """Image numbers within 1..count from text such as ``"1-7760,8000"``, sorted, each once."""
    numbers: set[int] = set()
    for part in ranges.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            span = range(int(first), int(last if dash else first) + 1)
        except ValueError:
            names = "".join(f"{name!r}, " for name in named)
            raise UserError(
                f"unknown split {ranges!r}: use {names}or image numbers such as '1-500,620'"
            ) from None
        if not span:
            raise UserError(f"split {ranges!r}: {part!r} runs backwards; write {last}-{first}")
        if span[0] < 1 or span[-1] > count:
            raise UserError(f"split {ranges!r}: image numbers go from 1 to {count}, got {part!r}")
        numbers.update(span)
    return sorted(numbers)


def _joints(path: Path, *, shape: tuple[int, int], title: str) -> Array:
    """The ``joints`` of a file, float64, whose first two axes must be `shape`."""
    content = load_mat(path, wanted=f"the joints.mat of {title}")
    if "joints" not in content:
        raise another_file(path, f"the joints.mat of {title}", content, "joints")
    joints = np.asarray(content["joints"])
    if joints.ndim != 3 or joints.shape[:2] != shape or joints.dtype.kind not in "iuf":
        other = {(3, 14): "; this is LSP's own file", (14, 3): "; this is LSP extended's file"}
        raise UserError(
            f"{path}: joints of {title} must be {dims(shape)} x N, got {dims(joints.shape)}"
            + (other.get(joints.shape[:2], "") if joints.ndim == 3 else "")
        )
    return joints.astype(np.float64)


def _pictures(
    name: str, split: str, named: Mapping[str, str], joints: Array, states: Array, *, digits: int
) -> AnnotatedPictures:
    """Annotations from joints (14, 3, N) and states (14, N)."""
    count = joints.shape[2]
    splits = {"all": f"1-{count}", **named}
    annotations = [
        Annotation(
            image=f"im{number:0{digits}d}.jpg",
            points=joints[:, :2, number - 1],
            states=states[:, number - 1].astype(np.uint8),
            number=number,
            image_number=number,
        )
        for number in parse_numbers(splits.get(split, split), count, named=tuple(splits))
        # A person without any label has nothing to learn from and nothing to score.
        if states[:, number - 1].any()
    ]
    return AnnotatedPictures(name, split, LSP14, annotations, counts_from=1)
