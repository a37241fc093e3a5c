"""Leeds Sports Pose (Johnson and Everingham, BMVC 2010) and its extension (CVPR 2011).

The authors' layouts: ``joints.mat`` beside ``images/``. LSP's ``joints`` is (3, 14, 2000), whose
third row is 1 for an **occluded** joint; the extension's is (14, 3, 10000), whose third row is 1
for a **labelled** one. Coordinates are used as they stand.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from spcnet.data.annotations import AnnotatedPictures, Annotation, JointState, find_labels, seen_in
from spcnet.data.label_files import load_mat
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.skeletons import LSP14

LSP_SPLITS = {"train": "1-1000", "test": "1001-2000", "all": "1-2000"}
# By the number of images. The official release is 10,000, all of them for training; a release of
# 8,860 has its last 800 for validation.
LSPET_SPLITS = {
    8860: {"train": "1-8060", "val": "8061-8860", "all": "1-8860"},
    10000: {"train": "1-10000", "all": "1-10000"},
}


def read_lsp(root: str | os.PathLike[str], split: str) -> AnnotatedPictures:
    """Persons of LSP.

    Args:
        root: folder that holds ``joints.mat`` and ``images/im0001.jpg`` onwards.
        split: ``"train"``, ``"test"``, ``"all"``, or image numbers such as ``"1-500,620"``.

    Raises:
        UserError: the folder or one of its files is not there or not what it should be, or the
            split is unknown.
    """
    return _read(Path(root), lambda path: lsp_labels(path, split), title="LSP")


def read_lspet(root: str | os.PathLike[str], split: str) -> AnnotatedPictures:
    """Persons of LSP extended that have any label.

    Args:
        root: folder that holds ``joints.mat`` and ``images/im00001.jpg`` onwards.
        split: ``"train"``, ``"val"``, ``"all"``, or image numbers such as ``"1-7760,8000"``.

    Raises:
        UserError: as `read_lsp`.
    """
    return _read(Path(root), lambda path: lspet_labels(path, split), title="LSP extended")


def lsp_labels(path: Path, split: str) -> AnnotatedPictures:
    """The labels of LSP's ``joints.mat``, without pictures.

    Raises:
        UserError: as `read_lsp`.
    """
    joints = _joints(path, shape=(3, 14), title="LSP").transpose(1, 0, 2)
    states = np.where(joints[:, 2] > 0, JointState.OCCLUDED, JointState.VISIBLE)
    named = LSP_SPLITS if joints.shape[2] == 2000 else {}
    return _pictures("lsp", split, named, joints, states, digits=4)


def lspet_labels(path: Path, split: str) -> AnnotatedPictures:
    """The labels of LSP extended's ``joints.mat``, without pictures.

    Raises:
        UserError: as `read_lsp`.
    """
    joints = _joints(path, shape=(14, 3), title="LSP extended")
    states = np.where(joints[:, 2] > 0, JointState.VISIBLE, JointState.MISSING)
    return _pictures(
        "lspet", split, LSPET_SPLITS.get(joints.shape[2], {}), joints, states, digits=5
    )


def parse_numbers(ranges: str, count: int, *, named: tuple[str, ...] = ()) -> list[int]:
    """Image numbers from text such as ``"1-7760,8000"``, sorted, each once.

    Raises:
        UserError: the text is no list of ranges, or leaves 1..count.
    """
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


def _read(
    root: Path, labels: Callable[[Path], AnnotatedPictures], *, title: str
) -> AnnotatedPictures:
    path = find_labels(root, ("joints.mat",), title=title)
    if path is None:
        raise UserError(
            f"{root}: no joints.mat here; {title} is a folder with joints.mat and images/, "
            f"and this one holds {seen_in(root)}"
        )
    if not (root / "images").is_dir():
        raise UserError(
            f"{root}: no images/ here; {title} keeps its pictures there, "
            f"and this folder holds {seen_in(root)}"
        )
    return replace(labels(path), images=root / "images")


def _joints(path: Path, *, shape: tuple[int, int], title: str) -> Array:
    """The ``joints`` of a file, float64, whose first two axes must be `shape`."""
    content = load_mat(path, wanted=f"the joints.mat of {title}")
    if "joints" not in content:
        raise UserError(
            f"{path}: not the joints.mat of {title}: it holds {', '.join(content) or 'nothing'}, "
            "wanted joints"
        )
    joints = np.asarray(content["joints"])
    if joints.ndim != 3 or joints.shape[:2] != shape or joints.dtype.kind not in "iuf":
        other = {(3, 14): "LSP's own file", (14, 3): "LSP extended's file"}
        swapped = other.get(joints.shape[:2], "") if joints.ndim == 3 else ""
        raise UserError(
            f"{path}: joints of {title} must be ({shape[0]}, {shape[1]}, N), got {joints.shape}"
            + (f"; this is {swapped}" if swapped else "")
        )
    return joints.astype(np.float64)


def _pictures(
    name: str, split: str, named: Mapping[str, str], joints: Array, states: Array, *, digits: int
) -> AnnotatedPictures:
    """Annotations from joints (14, 3, N) and states (14, N)."""
    count = joints.shape[2]
    splits = {"all": f"1-{count}", **named}
    asked = parse_numbers(splits.get(split, split), count, named=tuple(splits))
    annotations = [
        Annotation(
            image=f"im{number:0{digits}d}.jpg",
            points=joints[:, :2, number - 1],
            states=states[:, number - 1].astype(np.uint8),
            number=number,
            image_number=number,
        )
        for number in asked
        # A person without any label has nothing to learn from and nothing to score.
        if states[:, number - 1].any()
    ]
    return AnnotatedPictures(name, split, LSP14, annotations, counts_from=1)
