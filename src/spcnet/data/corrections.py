"""Decisions on labels, carried out in a COCO keypoint file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spcnet.data.coco import coco_labels
from spcnet.data.coco_files import id_of, keypoint_file, label_row, slashed
from spcnet.data.datasets import dataset_info
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


def corrected(decisions: Path, root: Path) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
    """The labels that were judged, with the accepted rows of a file of decisions; and these rows.

    `root` is the COCO file, which stays as it is but for these, or another data set's folder, whose
    persons of the splits that were judged make such a file. See `correct` for what is an error.
    """
    made = read_decisions(decisions)
    if root.is_file() and root.name.endswith((".json", ".json.gz")):
        skeleton = coco_labels(root).skeleton
        document = load_json(root, wanted="a COCO keypoint file")
    elif made["dataset"] == "coco":
        raise UserError(f"{root}: name the COCO file itself that was judged: --root LABELS.json")
    else:
        parts = [dataset_info(made["dataset"]).persons(root, split) for split in made["splits"]]
        everyone = [person for part in parts for person in part.annotations]
        skeleton = parts[0].skeleton
        document = keypoint_file(everyone, map(label_row, everyone), skeleton)
    rows = [row for row in made["rows"] if row["decision"] == "accept"]
    correct(document, rows, skeleton)
    return document, rows


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
