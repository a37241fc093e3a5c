"""DeepLabCut: labeled-data/VIDEO/CollectedData_SCORER.csv, of one animal or of several."""

import csv
from collections import defaultdict
from pathlib import Path, PurePosixPath

from spcnet.data.annotations import AnnotatedPictures, JointState
from spcnet.data.coco_files import slashed
from spcnet.data.formats.records import Found, Person, at, pictures_of
from spcnet.data.label_files import load_text

HEAD = ("scorer", "individuals", "bodyparts", "coords")


def fits(text: str) -> bool:
    return text.startswith("scorer")


def read(splits: dict[str, Found], file: Path) -> None:
    """The pictures of a table, one per line; each joint of each animal has two columns."""
    found = splits[""]
    found.folders = [file.resolve().parents[1]]
    rows = list(csv.reader(load_text(file, wanted="a table of DeepLabCut").splitlines()))
    with at(file, f"the head of {', '.join(HEAD)}"):
        head = {row[0]: row for row in rows[:4] if row}
        first = head["coords"].index("x")  # the columns before are the picture's path
        animals = head.get("individuals", head["scorer"])
        columns = list(zip(animals, head["bodyparts"], head["coords"], strict=True))[first:]
        if {axis for *_, axis in columns} != {"x", "y"}:
            raise ValueError("coords must be x and y; predictions (likelihood) are no labels")
        found.joints += [part for _, part, _ in columns]
    for line, row in enumerate(rows, start=1):
        with at(file, f"line {line}"):
            if not row or row[0] in HEAD:
                continue
            people: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
            for (animal, part, axis), cell in zip(columns, row[first:], strict=True):
                if cell.strip().lower() not in ("", "nan"):
                    people[animal][part][axis] = float(cell)
            persons = [
                Person({part: (of["x"], of["y"], JointState.VISIBLE) for part, of in parts.items()})
                for parts in people.values()
            ]
            found.add(slashed("/".join(row[:first])).removeprefix("labeled-data/"), persons)


def write(labels: AnnotatedPictures, folder: Path, split: str) -> None:
    """A table for each folder of pictures, as DeepLabCut has one for each video."""
    pictures, skeleton = pictures_of(labels), labels.skeleton
    most = max(len(picture.persons) for picture in pictures)
    animals = [f"individual{n + 1}" for n in range(most)]
    columns = [
        ("spcnet", *of)
        for a in animals
        for j in skeleton.joints
        for of in ((a, j, "x"), (a, j, "y"))
    ]
    head = [
        [title, "", "", *of] for title, of in zip(HEAD, zip(*columns, strict=True), strict=True)
    ]
    for picture in pictures:
        place = PurePosixPath(picture.name)
        video = "_".join(place.parent.parts) or "pictures"
        people = [*picture.persons, *[Person()] * (most - len(picture.persons))]
        points = [of.joints.get(joint, ("", ""))[:2] for of in people for joint in skeleton.joints]
        row = ["labeled-data", video, place.name, *(cell for point in points for cell in point)]
        (folder / "labeled-data" / video).mkdir(parents=True, exist_ok=True)
        target = folder / "labeled-data" / video / "CollectedData_spcnet.csv"
        new = [] if target.exists() else [of for of in head if most > 1 or of[0] != HEAD[1]]
        with target.open("a", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([*new, row])
