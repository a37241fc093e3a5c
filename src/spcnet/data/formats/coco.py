"""COCO keypoints: COCO's own, own data, CVAT's export of that name, and Roboflow's folders."""

import json
from collections.abc import Sequence
from pathlib import Path

from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.coco import keypoint_splits, read_coco
from spcnet.data.coco_files import keypoint_file, label_row
from spcnet.data.formats.records import Document

ROBOFLOW = "_annotations.coco.json"


def read(path: Path, files: Sequence[Path]) -> Document:
    """A file, or every split of a folder; Roboflow's are sub-folders: train, valid and test."""
    if files[0].name == ROBOFLOW:
        return {file.resolve().parent.name: read_coco(file, "all") for file in files}
    if path.is_file():
        return {(labels := read_coco(path, "all")).split: labels}
    return {split: read_coco(path, split) for split in keypoint_splits(path)}


def write(labels: AnnotatedPictures, folder: Path, split: str) -> None:
    """``annotations.json``, or a file for each split."""
    persons = labels.annotations
    document = keypoint_file(persons, map(label_row, persons), labels.skeleton, labels.listed)
    content = json.dumps(document) + "\n"
    (folder / f"{split or 'annotations'}.json").write_text(content, encoding="utf-8")
