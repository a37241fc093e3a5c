"""Labels from a file of any of the known forms, without pictures: what scoring needs."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.coco import coco_labels
from spcnet.data.flic import examples_labels, flic_hourglass_labels
from spcnet.data.label_files import load_h5, load_json, load_mat
from spcnet.data.leeds import lsp_labels, lspet_labels
from spcnet.data.mpii import evaluation_labels, hourglass_labels, json_labels, release_labels
from spcnet.errors import UserError

Reader = Callable[[Path, str], AnnotatedPictures]
KNOWN = (
    "joints.mat of LSP or LSP extended, MPII's or FLIC's official .mat, an MPII evaluation .mat "
    "(pos_gt_src), an h5 of the stacked hourglass, the 25,204-person JSON of MPII, "
    "a COCO keypoint JSON"
)


def read_labels(path: str | os.PathLike[str], split: str | None = None) -> AnnotatedPictures:
    """The labels of a file, whose form is recognised by what it holds.

    Args:
        path: a ``.mat``, ``.h5``, ``.json`` or ``.json.gz``.
        split: part of the file, as its data set names them; by default the part that the field
            scores, or all of it.

    Raises:
        UserError: the file is missing or of no known form, or has no such split.
    """
    path = Path(path)
    read, scored = _form(path)
    return read(path, split or scored)


def _form(path: Path) -> tuple[Reader, str]:
    """The reader of a file, and the split that is usually scored."""
    name = path.name.lower()
    if name.endswith((".json", ".json.gz")):
        content = load_json(path, wanted=KNOWN)
        if content == []:
            raise UserError(f"{path}: an empty list, no labels in it; known labels: {KNOWN}")
        return (json_labels, "val") if isinstance(content, list) else (coco_labels, "all")
    if name.endswith((".h5", ".hdf5")):
        part = load_h5(path, wanted=KNOWN).get("part")
        flic = part is not None and part.ndim == 3 and part.shape[1] == 11
        return (
            _one_part(flic_hourglass_labels, {1016: "test", 3987: "train"})
            if flic
            else _one_part(hourglass_labels, {2958: "val", 22246: "train"})
        ), "all"
    if name.endswith(".mat"):
        content = load_mat(path, wanted=KNOWN, structs=True)
        if "RELEASE" in content:
            return release_labels, "trainval"
        if "examples" in content:
            return examples_labels, "test"
        if "pos_gt_src" in content:
            return _one_part(lambda path, split: evaluation_labels(path), {}), "val"
        shape: tuple[int, ...] = getattr(content.get("joints"), "shape", ())
        if shape[:2] == (3, 14):
            return lsp_labels, "test" if shape[2:] == (2000,) else "all"
        if shape[:2] == (14, 3):
            return lspet_labels, "val" if shape[2:] == (8860,) else "all"
        raise UserError(f"{path}: holds {', '.join(content) or 'nothing'}; known labels: {KNOWN}")
    raise UserError(f"{path}: no labels of a known form; known are {KNOWN}")


def _one_part(read: Reader, known: Mapping[int, str]) -> Reader:
    """A reader of files that hold one part only, recognised by the number of its persons."""

    def checked(path: Path, split: str) -> AnnotatedPictures:
        if split not in ("train", "val", "test", "all"):
            raise UserError(f"{path}: holds one of train, val and test, or all, not {split!r}")
        labels = read(path, split)
        part = known.get(len(labels), split)
        if split not in ("all", part):
            raise UserError(f"{path}: holds {labels.name} {part}, not {split}")
        return replace(labels, split=part)

    return checked
