"""Decisions on labels, carried out in a COCO keypoint file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.coco_files import id_of, slashed
from spcnet.data.label_files import load_json, reading
from spcnet.errors import UserError, first_few
from spcnet.skeletons import Skeleton

DECISIONS = "decisions, as the page of spcnet data errors saves them"
REMEDIES = ("exchange", "move", "unlabel")


def read_decisions(path: Path) -> dict[str, Any]:
    """The dataset, the splits and the rows of a file of decisions; else a `UserError`."""
    content = load_json(path, wanted=DECISIONS)
    with reading(path, DECISIONS):
        rows = content["rows"]
        for row in rows:
            if row["decision"] not in ("accept", "reject", None):
                raise ValueError(f"a decision is accept, reject or null, got {row['decision']!r}")
            if row["remedy"] not in REMEDIES:
                raise ValueError(f"a remedy is one of {', '.join(REMEDIES)}: {row['remedy']!r}")
            places = [row["label"], row["prediction"], row["partner_label"] or [0, 0]]
            if np.shape(places) != (3, 2) or not np.isfinite(np.array(places, float)).all():
                raise ValueError("a label or prediction is not x, y")
        return {"dataset": str(content["dataset"]), "splits": list(content["splits"]), "rows": rows}


def coco_document(labels: AnnotatedPictures) -> dict[str, Any]:
    """Labels as a COCO keypoint file; boxes that are those of the joints are left to these."""
    listed = {of.name: of for of in labels.listed}
    numbers: dict[str, int | str] = {
        name: int(of.number) if of.number.isdecimal() else of.number for name, of in listed.items()
    }
    annotations = []
    for n, person in enumerate(labels.annotations, start=1):
        number = len(numbers) + 1 if person.image_number is None else person.image_number
        known = person.annotated
        states = zip(person.points.tolist(), person.states.tolist(), known, strict=True)
        row: dict[str, Any] = {
            "id": n if person.number is None else person.number,
            "image_id": numbers.setdefault(person.image, number),
            "category_id": 1,
            "iscrowd": int(person.crowd),
            "num_keypoints": int(known.sum()),
            "keypoints": [v for (x, y), state, there in states
                          for v in ((x, y, state) if there else (0, 0, 0))],
        }  # fmt: skip
        if person.area is not None:
            row["area"] = person.area
        if not person.boxed_by_joints:
            x0, y0, x1, y1 = person.box.tolist()
            row["bbox"] = [x0, y0, x1 - x0, y1 - y0]
        annotations.append(row)
    images = [
        {"id": number, "file_name": name}
        | (dict(zip(("height", "width"), of.size, strict=True)) if of and of.size else {})
        for name, number in numbers.items()
        for of in [listed.get(name)]
    ]
    categories = [labels.skeleton.to_coco_category()]
    return {"images": images, "annotations": annotations, "categories": categories}


def correct(
    document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], skeleton: Skeleton
) -> None:
    """Carry accepted rows out in a COCO keypoint document, in place; nothing else changes.

    An exchanged pair swaps x, y and flag; a moved joint keeps its flag; one that is not labelled
    any more is 0, 0, 0. `UserError`, before anything is changed, where a label is not there as the
    row has it.
    """
    names = {id_of(of["id"]): slashed(of["file_name"]) for of in document["images"]}
    work: list[tuple[Mapping[str, Any], Any, list[int]]] = []
    changed: list[str] = []
    for row in rows:
        joints = [row["joint"], row["partner"]] if row["partner"] else [row["joint"]]
        places = [3 * skeleton.index(joint) for joint in joints]
        labels = [[*row["label"]], row["partner_label"]][: len(joints)]
        fits = [
            person
            for person in document["annotations"]
            if row["person"] is None or id_of(person.get("id", "")) == str(row["person"])
            if names[id_of(person["image_id"])].endswith(row["picture"])
            if [(person.get("keypoints") or [])[at : at + 2] for at in places] == labels
            if all(person["keypoints"][at + 2] for at in places)
        ]
        if len(fits) == 1:
            work.append((row, fits[0], places))
        else:
            changed.append(f"{row['picture']} {' and '.join(joints)}")
    if changed:
        raise UserError(
            f"{first_few(changed)}: the labels are not those that were judged; run spcnet data "
            "errors again on the file as it is"
        )
    for row, person, (at, *partner) in work:
        keypoints = person["keypoints"]
        if row["remedy"] == "exchange":
            first, second = (slice(n, n + 3) for n in (at, *partner))
            keypoints[first], keypoints[second] = keypoints[second], keypoints[first]
        elif row["remedy"] == "move":
            keypoints[at : at + 2] = row["prediction"]
        else:
            keypoints[at : at + 3] = [0, 0, 0]
            if "num_keypoints" in person:
                person["num_keypoints"] -= 1
