"""What a data set's folder holds, beside what it should hold."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from spcnet.data.annotations import (
    AnnotatedPictures,
    Annotation,
    alternatives,
    find_labels,
    seen_in,
)
from spcnet.data.datasets import DatasetInfo, dataset_info
from spcnet.data.formats.table import FORMATS, read_document, recognise
from spcnet.data.regions import Region, region_rule
from spcnet.errors import UserError, counted
from spcnet.geometry import Array
from spcnet.media.formats import RAW_SUFFIXES
from spcnet.media.images import read_image, read_shape

EXAMPLES = 5  # of each finding; a report names these and counts the rest
SMALLEST_CROP = 8.0  # pixels: below, a crop shows nobody
BARELY = 0.05  # pixels outside that no label is exact to
FAR_OUT = 0.1  # of a box's longer side: less is a person whom the picture cuts off
BOX_MARGIN = 0.1  # of a box's size, within which its joints are looked for
MOSTLY = 0.5  # of them
WORKERS = 2  # decoders run without the interpreter's lock, and a check is to leave a machine usable
CONTAINING = ("trainval", "all")  # other splits by their nature: a picture of both is no leak

Opened: TypeAlias = Mapping[Path, tuple[int, int] | str]  # height and width, or what is wrong

PROBLEMS = {  # with which the data cannot be used
    "broken-labels": "splits whose labels cannot be used",
    "wrong-counts": "splits with another number of persons than the release has",
    "missing-pictures": "missing pictures",
    "unreadable-pictures": "unreadable pictures",
    "uncroppable": "persons that the data set's crop rule cannot crop",
    "boxes-of-corners": "boxes that are x0, y0, x1, y1, where COCO's are x, y, width, height",
}
KINDS = PROBLEMS | {
    "other-sizes": "pictures of another size than the labels say",
    "unmirrored": "joints whose names say left or right, and that mirror none",
    "leaks": "leak, pictures that are in two splits",
    "duplicates": "pictures that come more than once, byte for byte",
    "joints-outside": "labelled joints outside their picture",
    "degenerate-boxes": f"persons with a box without area, or a crop under {SMALLEST_CROP:.0f} px",
    "boxes-outside": "boxes that reach far out of their picture",
    "boxes-elsewhere": "boxes without most of their person's joints",
    "boxes-of-joints": "persons without a bbox, whose box is that of their joints",
    "null-joints": "joints with coordinates of null, taken as not labelled",
    "repeated-numbers": "persons whose number (id) another one has already",
    "no-joints": "persons without a labelled joint",
    "crowds": "crowds, which are not learned from",
    "without-keypoints": "annotations without keypoints",
    "other-categories": "annotations of other categories",
    "no-reference": "persons with joints but without a reference length",
}


@dataclass(frozen=True)
class FolderLabels:
    """The labels that a folder holds by split, and why others are absent or broken."""

    dataset: str
    root: Path
    splits: Mapping[str, AnnotatedPictures]
    absent: Mapping[str, str]
    broken: Mapping[str, str]
    form: str = ""  # of `spcnet.data.formats.table.FORMATS`, where it is another tool's

    @property
    def named(self) -> dict[Path, str]:
        """Every picture that the labels name, once, and what they call it."""
        return {
            path: person.image
            for part in self.splits.values()
            for path, person in zip(_pictures(part), part.annotations, strict=True)
        }

    @property
    def bare(self) -> bool:
        """There is no folder of pictures."""
        return any(part.images is None for part in self.splits.values())

    @property
    def pictures(self) -> list[Path]:
        """Those that are there."""
        return [path for path in self.named if not self.bare and path.is_file()]


@dataclass(frozen=True)
class SplitCounts:
    """How many persons a split has, and should have by the release; and its pictures."""

    split: str
    persons: int
    expected: int | None
    pictures: int
    missing: int
    unreadable: int


@dataclass(frozen=True)
class Finding:
    """So many things of a kind, the first or worst few, and what follows from them."""

    kind: str
    problem: bool
    count: int
    of: int
    text: str
    examples: list[str]
    note: str = ""


@dataclass(frozen=True)
class Inspection:
    """What came of checking a folder, or with `fast` only the headers of its pictures."""

    dataset: str
    title: str
    root: str
    fast: bool
    splits: list[SplitCounts]
    absent: Mapping[str, str]
    findings: list[Finding]
    terms: str
    citation: str

    @property
    def usable(self) -> bool:
        """Nothing is missing or broken."""
        return not any(finding.problem for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"usable": self.usable, **asdict(self)}


def read_folder(
    name: str, root: str | os.PathLike[str] | None, splits: Sequence[str] = ()
) -> FolderLabels:
    """The labels of some splits, of which all must be there, or of the usual ones that are."""
    info = dataset_info(name)
    if info.packed:
        raise UserError(f"data set {name!r} is checked whenever it is opened")
    if info.drawn is not None:
        raise UserError(
            f"{name} figures are drawn when they are asked for, so there is no folder to check; "
            f"spcnet data browse {name} shows some"
        )
    if root is None:
        raise UserError(f"data set {name!r} needs its folder: --root PATH")
    root = Path(root).expanduser()
    if name == "coco" and not splits and (form := _other_form(root)):
        return FolderLabels(name, root, read_document(root, form), {}, {}, form)
    read: dict[str, AnnotatedPictures] = {}
    absent: dict[str, str] = {}
    broken: dict[str, str] = {}
    for split in splits or (info.find_splits(root) if info.find_splits else info.splits):
        files = info.files.get(split)
        try:
            read[split] = info.persons(root, split)
        except UserError as error:
            if splits:
                raise
            there = not files or find_labels(root, files, title=info.title)
            (broken if there else absent)[split] = str(error)
    if broken and info.releases:
        with suppress(UserError):  # a file of another size has other splits
            whole = info.persons(root, "all")
            absent = dict.fromkeys(broken, "this release does not have it") if read else {}
            broken = {}
            if not read:
                sizes = " or ".join(f"{size:,}" for size in info.releases)
                broken["train"] = (
                    f"{root}: has {counted(len(whole), 'labelled person')}, which is no release of "
                    f"{info.title} ({sizes} images), so its splits are not known"
                )
                read["all"] = whole
    if not read:
        raise UserError(next(iter({**broken, **absent}.values())))
    for split in absent.keys() & info.files.keys():
        absent[split] = f"needs {alternatives(info.files[split])}"
    return FolderLabels(name, root, read, absent, broken)


def _other_form(root: Path) -> str | None:
    """The format of another tool's labels; None of COCO's, each of whose splits may be broken."""
    try:
        form = recognise(root)
    except UserError:
        if root.is_dir() and any(root.rglob("*.json")):
            return None
        raise
    return None if form == "coco" else form


def inspect_folder(
    labels: FolderLabels, *, fast: bool = False, report: Callable[[int], None] = lambda done: None
) -> Inspection:
    """Open the pictures of some labels and say what is there, missing or odd.

    With `fast` only the pictures' headers are read: a file cut short then passes. `report` is
    called with the number of pictures opened, of `FolderLabels.pictures`.
    """
    info = dataset_info(labels.dataset)
    opened: dict[Path, tuple[int, int] | str] = {}
    paths = labels.pictures
    with ThreadPoolExecutor(WORKERS) as pool:
        for path, result in zip(paths, pool.map(partial(_open, fast=fast), paths), strict=True):
            opened[path] = result
            report(len(opened))
    bad = {path: reason for path, reason in opened.items() if isinstance(reason, str)}
    rows = []
    for split, part in labels.splits.items():
        own = set(_pictures(part))
        counts = len(own), len(own - opened.keys()), len(own & bad.keys())
        rows.append(SplitCounts(split, len(part), info.splits.get(split), *counts))
    wrong = [
        f"{row.split}: {counted(row.persons, 'person')}, should be {row.expected:,}"
        for row in rows
        if row.expected not in (None, row.persons)
    ]
    named = labels.named
    missing = [path for path in named if path not in opened]
    note = f"there is no images/ in {labels.root}" if labels.bare else ""
    if not labels.bare and 2 * len(missing) > len(named) and (folder := missing[0].parent).is_dir():
        # Whoever has unpacked the wrong archive sees it by what lies there instead.
        note = f"{folder} holds {seen_in(folder, limit=3)}"
    splits = len(labels.broken) + len(rows) + len(labels.absent)
    unreadable = [f"{path.name}: {reason}" for path, reason in bad.items()]
    found = [
        *_finding("broken-labels", list(labels.broken.values()), splits),
        *_finding("wrong-counts", wrong, len(rows)),
        *_finding("missing-pictures", [named[path] for path in missing], len(named), note=note),
        *_finding("unreadable-pictures", unreadable, len(opened)),
        *_other_sizes(labels, opened),
        *_records(labels),
        *_same_pictures(labels, opened.keys() - bad.keys()),
        *_person_findings(labels, info, opened),
        *_corners(labels, opened),
    ]
    return Inspection(
        dataset=labels.dataset,
        title=FORMATS[labels.form].title if labels.form else info.title,
        root=str(labels.root),
        fast=fast,
        splits=rows,
        absent=labels.absent,
        findings=sorted(found, key=lambda finding: list(KINDS).index(finding.kind)),
        terms=info.terms,
        citation=info.citation,
    )


def _pictures(labels: AnnotatedPictures) -> list[Path]:
    """Of each person; by the name alone where there is no folder of pictures."""
    return [(labels.images or Path()) / person.image for person in labels.annotations]


def _finding(
    kind: str, texts: Sequence[str], of: int, *, note: str = "", splits: Iterable[str] = ()
) -> Iterator[Finding]:
    """What was found of a kind, with a text for each; nothing without any."""
    if texts:
        where = ", ".join(f"{split} {count:,}" for split, count in Counter(splits).items())
        note = "; ".join(filter(None, [note, where]))
        examples = list(dict.fromkeys(texts))[:EXAMPLES]
        yield Finding(kind, kind in PROBLEMS, len(texts), of, KINDS[kind], examples, note)


def _open(path: Path, *, fast: bool) -> tuple[int, int] | str:
    """Height and width of a picture, upright; or why it cannot be read."""
    try:
        if fast and path.suffix.lower() not in RAW_SUFFIXES:
            return read_shape(path)
        height, width = read_image(path).shape[:2]
    except UserError as error:
        return str(error).removeprefix(f"{path}: ")
    return height, width


def _other_sizes(labels: FolderLabels, opened: Opened) -> Iterator[Finding]:
    """Pictures that are of another size than they were labelled at."""
    texts: dict[Path, str] = {}
    for part in labels.splits.values():
        for picture in part.listed:
            size = opened.get(path := (part.images or Path()) / picture.name)
            if isinstance(size, tuple) and (text := picture.differs(size)):
                texts[path] = text
    note = "labels lie elsewhere in them, unless they are of that size too"
    yield from _finding("other-sizes", list(texts.values()), len(opened), note=note)


def _records(labels: FolderLabels) -> Iterator[Finding]:
    """Records that are no persons or were mended, by their kinds; sides that nothing mirrors."""
    records: dict[str, list[tuple[str, str]]] = defaultdict(list)
    parts = labels.splits.values()
    persons = sum(map(len, parts))
    count = persons + sum(len(texts) for part in parts for texts in part.passed_over.values())
    for split, part in labels.splits.items():
        for kind, texts in {**part.passed_over, **part.mended}.items():
            records[kind] += [(split, text) for text in texts]
    skeleton = next(iter(parts)).skeleton
    for kind, rows in records.items():
        splits, names = zip(*rows, strict=True)
        of = persons * len(skeleton) if kind == "null-joints" else count
        yield from _finding(kind, names, of, splits=splits)
    note = "mirrored crops would teach the wrong side; name the pairs in data.mirror"
    yield from _finding("unmirrored", skeleton.unmirrored, len(skeleton), note=note)


def _same_pictures(labels: FolderLabels, paths: Collection[Path]) -> Iterator[Finding]:
    """Pictures that two splits name, and files of the same bytes."""
    splits_of: dict[Path, dict[str, None]] = defaultdict(dict)
    for split, part in labels.splits.items():
        if split not in CONTAINING:
            for path in _pictures(part):
                splits_of[path][split] = None
    leaks = [
        f"{path.name} is in {' and '.join(splits)}"
        for path, splits in splits_of.items()
        if len(splits) > 1
    ]
    within = []
    for group in _same_bytes(path for path in labels.named if path in paths):
        splits = {path: next(iter(splits_of.get(path, {})), "") for path in group}
        if len({split for split in splits.values() if split}) > 1:
            leaks.append(" = ".join(f"{path.name} ({split})" for path, split in splits.items()))
        else:
            within.append(" = ".join(path.name for path in group))
    note = "what is learnt from them is also scored"
    yield from _finding("leaks", leaks, len(splits_of), note=note)
    yield from _finding("duplicates", within, len(splits_of))


def _same_bytes(paths: Iterable[Path]) -> list[list[Path]]:
    """Groups of files with the same content; only files of one size are read."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        by_size[path.stat().st_size].append(path)
    by_digest: dict[bytes, list[Path]] = defaultdict(list)
    for path in (path for alike in by_size.values() if len(alike) > 1 for path in alike):
        by_digest[hashlib.sha256(path.read_bytes()).digest()].append(path)
    return [group for group in by_digest.values() if len(group) > 1]


def _person_findings(labels: FolderLabels, info: DatasetInfo, opened: Opened) -> Iterator[Finding]:
    """What is odd about the persons themselves, the worst first."""
    noted: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
    persons = joints = 0
    for split, part in labels.splits.items():
        region = region_rule(info.crop, part)
        numbers: set[int] = set()
        for person, path in zip(part.annotations, _pictures(part), strict=True):
            persons += 1
            joints += int(person.annotated.sum())
            found = opened.get(path)
            size = None if isinstance(found, str) else found
            name = person.image + ("" if person.number is None else f" #{person.number}")
            if person.number in numbers:
                noted["repeated-numbers"].append((0, split, name))
            elif person.number is not None:
                numbers.add(person.number)
            if person.crowd:
                noted["crowds"].append((0, split, name))
            for kind, text, far in _oddities(person, part, info, region, size):
                noted[kind].append((-far, split, name + text))
    of = {"joints-outside": joints, "no-reference": persons - len(noted["no-joints"])}
    form = "COCO's bbox is x, y, width, height"
    left = "without a picture only left of it and above it" if labels.bare else ""
    notes = {
        "joints-outside": left, "boxes-outside": form, "boxes-elsewhere": form,
        "no-reference": f"{info.protocol} leaves them out",
    }  # fmt: skip
    for kind, rows in noted.items():
        rows.sort(key=lambda row: row[0])
        splits, texts = [split for _, split, _ in rows], [text for _, _, text in rows]
        note = notes.get(kind, "")
        yield from _finding(kind, texts, of.get(kind, persons), note=note, splits=splits)


def _corners(labels: FolderLabels, opened: Opened) -> Iterator[Finding]:
    """Boxes that are x0, y0, x1, y1: so, most hold all joints; as COCO's, one or more are wrong."""
    texts, boxed, wrong = [], 0, False
    for part in (part for part in labels.splits.values() if part.listed):
        for person, path in zip(part.annotations, _pictures(part), strict=True):
            points, low, high = person.points[person.annotated], person.box[:2], person.box[2:]
            if not len(points) or person.boxed_by_joints:
                continue
            boxed += 1
            if _held(points, low, high - low) == 1:
                sides = (*low, *(high - low))
                texts.append("{}: bbox {:g},{:g},{:g},{:g}".format(person.image, *sides))
                wrong |= _reach(person.box, opened.get(path)) > FAR_OUT
                wrong |= _held(points, low, high) < MOSTLY
    if wrong and len(texts) > MOSTLY * boxed:
        note = "write x1 - x0 and y1 - y0 in place of x1 and y1"
        yield from _finding("boxes-of-corners", texts, boxed, note=note)


def _reach(box: Array, size: tuple[int, int] | str | None) -> float:
    """How far a box reaches out of a picture of (H, W), if that is known, in its longer sides."""
    out = np.max([-box[:2], box[2:] - size[::-1]]) if isinstance(size, tuple) else 0
    return float(out / max(1e-9, *(box[2:] - box[:2])))


def _held(points: Array, low: Array, high: Array) -> float:
    """The share of points (N, 2) that a box holds, with some margin."""
    margin = BOX_MARGIN * max(high - low)
    inside = ((points >= low - margin) & (points <= high + margin)).all(axis=1)
    return float(inside.mean())


def _oddities(
    person: Annotation,
    labels: AnnotatedPictures,
    info: DatasetInfo,
    region: Region,
    size: tuple[int, int] | None,
) -> Iterator[tuple[str, str, float]]:
    """Kinds that a person is of, what to say after the person's name, and how bad it is."""
    points, low, high = person.points[person.annotated], person.box[:2], person.box[2:]
    width, height = high - low
    within = "" if size is None else f" in {size[1]} x {size[0]}"
    box = f": box {low[0]:g},{low[1]:g} of {width:g} x {height:g} px"
    if not len(points):
        if info.teaches == "joints" and not person.crowd:
            yield "no-joints", "", 0
    elif not _has_reference(person, labels, info):
        yield "no-reference", "", 0
    # A MATLAB-made file that is used as it stands counts the last pixel one higher. Without a
    # picture only what lies left of it and above it is known to be outside.
    last = np.inf if size is None else np.array(size[::-1]) - 0.5 + labels.counts_from
    over = np.maximum(-0.5 - person.points, person.points - last).max(axis=1)
    for joint in np.flatnonzero(person.annotated & ~(over <= BARELY)):
        at = "({:.1f}, {:.1f})".format(*person.points[joint])
        text = f": {labels.skeleton.joints[joint]} at {at}{within}, {over[joint]:.1f} px outside"
        yield "joints-outside", text, float(np.nan_to_num(over[joint], nan=np.inf))
    # A box that is but that of its joints is reported with them.
    if _reach(person.box, size) > FAR_OUT and not person.boxed_by_joints:
        yield "boxes-outside", box + within, 0
    if len(points) and (held := _held(points, low, high)) < MOSTLY:
        yield "boxes-elsewhere", f"{box} holds {held:.0%} of the labelled joints", 0
    if not (width > 0 and height > 0):
        yield "degenerate-boxes", f": box of {width:.0f} x {height:.0f} px", 0
    elif size is not None or info.crop != "lsp-height":
        try:
            side = region(person, size or (0, 0))[1]
        except UserError as error:
            yield "uncroppable", f": {error}", 0
        else:
            if not side >= SMALLEST_CROP:
                yield "degenerate-boxes", f": crop of {side:.1f} px", 0


def _has_reference(person: Annotation, labels: AnnotatedPictures, info: DatasetInfo) -> bool:
    """Whether a person has the length that the data set's scoring rule divides errors by."""
    torso = labels.skeleton.torso
    if info.reference == "torso" and torso is not None:
        ends = [labels.skeleton.index(joint) for joint in torso]
        return bool(person.annotated[ends].all() and np.ptp(person.points[ends], axis=0).any())
    if info.reference == "file":
        return person.reference is not None
    return bool(max(person.box[2:] - person.box[:2]) > 0)
