"""What a data set's folder holds, beside what it should hold.

`read_folder` reads the labels of the splits that are there, with or without their pictures;
`inspect_folder` opens the pictures and gives an `Inspection`: a row of counts per split and a list
of findings.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spcnet.data.annotations import AnnotatedPictures, Annotation, find_labels, seen_in
from spcnet.data.datasets import DatasetInfo, dataset_info
from spcnet.data.regions import region_rule
from spcnet.errors import UserError
from spcnet.geometry import Array, box_of_points
from spcnet.media.images import read_image

EXAMPLES = 5  # of each finding; a report names these and counts the rest
SMALLEST_CROP = 8.0  # pixels: below, a crop shows nobody
BARELY = 0.05  # pixels outside that no label is exact to
FAR_OUT = 0.1  # of a box's longer side: less is a person whom the picture cuts off
BOX_MARGIN = 0.1  # of a box's size, within which its joints are looked for
MOSTLY = 0.5  # of them
BOX_FORM = "COCO's bbox is x, y, width, height"
WORKERS = 2  # decoders run without the interpreter's lock, and a check is to leave a machine usable
# These hold other splits by their nature, so that a picture of both is no leak.
CONTAINING = ("trainval", "all")
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class FolderLabels:
    """The labels that a folder holds, by split.

    Attributes:
        dataset: name of the data set.
        root: its folder, or COCO's lone file.
        splits: labels that could be read; `AnnotatedPictures.images` is None without pictures.
        absent: why a usual split of the data set is not here.
        broken: what is wrong with labels that are here and cannot be read.
    """

    dataset: str
    root: Path
    splits: Mapping[str, AnnotatedPictures]
    absent: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def pictures(self) -> list[Path]:
        """Every picture that the labels name and that is there, once."""
        return [path for path in _named(self.splits) if path.is_file()]


@dataclass(frozen=True)
class SplitCounts:
    """A row of an inspection.

    Attributes:
        split: its name.
        persons: annotated ones.
        expected: persons that the release has, where that is a fixed number.
        pictures: that the labels name.
        missing: pictures that are not there.
        unreadable: pictures that are there and cannot be read.
    """

    split: str
    persons: int
    expected: int | None
    pictures: int
    missing: int
    unreadable: int


@dataclass(frozen=True)
class Finding:
    """One thing that an inspection came upon.

    Attributes:
        kind: what a program knows it by, such as ``"missing-pictures"``.
        problem: the data cannot be used with it; otherwise it is worth knowing.
        count: how many there are.
        of: of how many.
        text: what these are, without their number.
        examples: the first or worst few.
        note: what follows from it, or where they are; may be empty.
    """

    kind: str
    problem: bool
    count: int
    of: int
    text: str
    examples: list[str]
    note: str = ""


@dataclass(frozen=True)
class Inspection:
    """What came of checking a folder.

    Attributes:
        dataset: name of the data set.
        title: its name in full.
        root: the folder.
        fast: only the pictures' headers were read.
        splits: counts of each split that was read.
        absent: why a usual split is not here.
        findings: problems first.
        terms: under which the data may be used.
        citation: of the paper that describes it.
    """

    dataset: str
    title: str
    root: str
    fast: bool
    splits: list[SplitCounts]
    absent: dict[str, str]
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
    """The labels that a folder holds, whether or not their pictures are there.

    Args:
        name: of the data set.
        root: its folder; for ``coco`` also a JSON file.
        splits: which to read; without any, the usual ones whose labels are there.

    Raises:
        UserError: the name is unknown or ``synthetic``, there is no such folder or no labels in
            it, or none of the splits (any of them, where they were named) can be read.
    """
    if name == "synthetic":
        raise UserError(
            "synthetic figures are drawn when they are asked for, so there is no folder to check; "
            "spcnet data browse synthetic shows some"
        )
    info = dataset_info(name)
    if root is None:
        raise UserError(f"data set {name!r} needs its folder: --root PATH")
    root = Path(root).expanduser()
    files = _label_files(info, root, splits)
    read: dict[str, AnnotatedPictures] = {}
    absent: dict[str, str] = {}
    broken: dict[str, str] = {}
    for split, path in files.items():
        if path is None:
            absent[split] = f"needs {_alternatives(info.files[split])}"
            continue
        try:
            read[split] = _read(info, root, path, split)
        except UserError as error:
            if splits:
                raise
            broken[split] = str(error)
    if info.releases and broken:
        read, absent, broken = _of_no_release(info, root, read, broken)
    if not read:
        raise UserError(next(iter(broken.values())))
    return FolderLabels(name, root, read, absent, broken)


def inspect_folder(
    labels: FolderLabels, *, fast: bool = False, report: Callable[[int], None] = lambda done: None
) -> Inspection:
    """Open the pictures of some labels and tell what is there, missing or odd.

    Args:
        labels: of `read_folder`.
        fast: read the pictures' headers only; a file cut short then passes.
        report: called with the number of pictures opened, of `FolderLabels.pictures`.
    """
    info = dataset_info(labels.dataset)
    opened: dict[Path, tuple[int, int] | str] = {}
    paths = labels.pictures
    with ThreadPoolExecutor(WORKERS) as pool:
        for path, result in zip(paths, pool.map(partial(_open, fast=fast), paths), strict=True):
            opened[path] = result
            report(len(opened))
    rows = [
        _counts(split, part, info.splits.get(split), opened)
        for split, part in labels.splits.items()
    ]
    findings = [
        *_labels_findings(labels, rows),
        *_picture_findings(labels, opened),
        *_same_pictures(labels, [path for path in paths if not isinstance(opened[path], str)]),
        *_person_findings(labels, info, opened),
    ]
    return Inspection(
        dataset=labels.dataset,
        title=info.title,
        root=str(labels.root),
        fast=fast,
        splits=rows,
        absent=dict(labels.absent),
        findings=sorted(findings, key=lambda finding: not finding.problem),
        terms=info.terms,
        citation=info.citation,
    )


def _label_files(info: DatasetInfo, root: Path, asked: Sequence[str]) -> dict[str, Path | None]:
    """The file that each split's labels lie in, or None; of at least one split there is one."""
    if info.find_files is not None:
        found = info.find_files(root)
        # The reader has the better words for a split that is not there.
        return {split: found.get(split, root) for split in asked or found}
    if not info.files:
        return dict.fromkeys(asked or info.splits, root)
    usual = info.files
    if info.numbered:
        usual = dict.fromkeys(asked or info.splits, info.files["all"])
    for split in asked:
        if split not in usual:
            raise UserError(
                f"unknown split {split!r} of {info.title}; there are {', '.join(usual)}"
            )
    files = {split: find_labels(root, usual[split], title=info.title) for split in asked or usual}
    if not any(files.values()) or (asked and None in files.values()):
        lacking = [split for split, path in files.items() if path is None]
        names = _alternatives(file for split in lacking for file in usual[split])
        splits = f"split {', '.join(asked)}" if asked else "each split"
        raise UserError(
            f"{root}: no labels of {info.title} here; {splits} needs {names}, with "
            f"the pictures in images/, and this folder holds {seen_in(root)}"
        )
    return files


def _alternatives(files: Iterable[str]) -> str:
    """Names of files without the folder that they may also lie in."""
    return " or ".join(dict.fromkeys(Path(file).name for file in files))


def _read(info: DatasetInfo, root: Path, path: Path, split: str) -> AnnotatedPictures:
    """The labels of a split as its reader gives them, or alone where there are no pictures."""
    if info.find_files is not None:
        return info.read(path, split)
    if info.labels is None or (root / "images").is_dir():
        return info.read(root, split)
    # The readers want the pictures beside the labels. A check says what is in the labels anyway.
    return info.labels(path, split)


def _of_no_release(
    info: DatasetInfo,
    root: Path,
    read: dict[str, AnnotatedPictures],
    broken: dict[str, str],
) -> tuple[dict[str, AnnotatedPictures], dict[str, str], dict[str, str]]:
    """Tell a file of another size, which has other splits, from one that cannot be read."""
    try:
        path = root / info.files["all"][0]
        whole = _read(info, root, path, "all")
    except UserError:
        return read, {}, broken
    if read:
        return read, dict.fromkeys(broken, "this release does not have it"), {}
    sizes = " or ".join(f"{size:,}" for size in info.releases)
    reason = (
        f"{path}: has {len(whole):,} labelled persons, which is no release of {info.title} "
        f"({sizes} images), so its splits are not known"
    )
    return {"all": whole}, {}, {"train": reason}


def _named(splits: Mapping[str, AnnotatedPictures]) -> dict[Path, dict[str, None]]:
    """Every picture that labels name, with the splits that do, in order."""
    named: dict[Path, dict[str, None]] = defaultdict(dict)
    for split, labels in splits.items():
        if labels.images is not None:
            for annotation in labels.annotations:
                named[labels.picture(annotation)][split] = None
    return named


def _open(path: Path, *, fast: bool) -> tuple[int, int] | str:
    """Height and width of a picture, upright; or why it cannot be read."""
    if not fast:
        try:
            height, width = read_image(path).shape[:2]
        except UserError as error:
            return str(error).removeprefix(f"{path}: ")
        return height, width
    try:
        with Image.open(path) as image:
            width, height = image.size
            sideways = image.getexif().get(_ORIENTATION) in SIDEWAYS
    except Exception as error:  # what a broken file makes a decoder raise is past listing
        if path.stat().st_size == 0:
            return "the file is empty (0 bytes)"
        return getattr(error, "strerror", None) or "not a picture that can be read"
    return (width, height) if sideways else (height, width)


def _counts(
    split: str,
    labels: AnnotatedPictures,
    expected: int | None,
    opened: Mapping[Path, tuple[int, int] | str],
) -> SplitCounts:
    names = {annotation.image for annotation in labels.annotations}
    there = [
        opened[path]
        for name in names
        if labels.images is not None and (path := labels.images / name) in opened
    ]
    return SplitCounts(
        split=split,
        persons=len(labels),
        expected=expected,
        pictures=len(names),
        missing=len(names) - len(there),
        unreadable=sum(isinstance(result, str) for result in there),
    )


def _labels_findings(labels: FolderLabels, rows: Sequence[SplitCounts]) -> Iterator[Finding]:
    if labels.broken:
        yield Finding(
            kind="broken-labels",
            problem=True,
            count=len(labels.broken),
            of=len(labels.broken) + len(labels.splits) + len(labels.absent),
            text="splits whose labels cannot be used",
            examples=list(dict.fromkeys(labels.broken.values())),
        )
    wrong = [row for row in rows if row.expected is not None and row.persons != row.expected]
    if wrong:
        yield Finding(
            kind="wrong-counts",
            problem=True,
            count=len(wrong),
            of=len(rows),
            text="splits with another number of persons than the release has",
            examples=[
                f"{row.split}: {row.persons:,} persons, should be {row.expected:,}" for row in wrong
            ],
        )


def _picture_findings(
    labels: FolderLabels, opened: Mapping[Path, tuple[int, int] | str]
) -> Iterator[Finding]:
    wanted = {
        annotation.image: None for part in labels.splits.values() for annotation in part.annotations
    }
    folders = [part.images for part in labels.splits.values()]
    if None in folders:
        yield Finding(
            kind="missing-pictures",
            problem=True,
            count=len(wanted),
            of=len(wanted),
            text="missing pictures",
            examples=list(wanted)[:EXAMPLES],
            note=f"there is no images/ in {labels.root}",
        )
        return
    named = _named(labels.splits)
    missing = [path for path in named if path not in opened]
    if missing:
        # Whoever has unpacked the wrong archive sees it by what lies there instead.
        folder = missing[0].parent
        mostly = 2 * len(missing) > len(named) and folder.is_dir()
        yield Finding(
            kind="missing-pictures",
            problem=True,
            count=len(missing),
            of=len(named),
            text="missing pictures",
            examples=[path.name for path in missing[:EXAMPLES]],
            note=f"{folder} holds {seen_in(folder, limit=3)}" if mostly else "",
        )
    bad = [(path, result) for path, result in opened.items() if isinstance(result, str)]
    if bad:
        yield Finding(
            kind="unreadable-pictures",
            problem=True,
            count=len(bad),
            of=len(opened),
            text="unreadable pictures",
            examples=[f"{path.name}: {reason}" for path, reason in bad[:EXAMPLES]],
        )


def _same_pictures(labels: FolderLabels, paths: Iterable[Path]) -> Iterator[Finding]:
    """Pictures that two splits name, and files of the same bytes."""
    by_name: dict[str, dict[str, None]] = defaultdict(dict)
    for split, part in labels.splits.items():
        for annotation in part.annotations:
            if split not in CONTAINING:
                by_name[str((part.images or Path()) / annotation.image)][split] = None
    leaks = [
        f"{Path(name).name} is in {' and '.join(splits)}"
        for name, splits in by_name.items()
        if len(splits) > 1
    ]
    within = []
    groups = _same_bytes(paths)
    for group in groups:
        splits = {path: next(iter(by_name.get(str(path), {})), "") for path in group}
        text = " = ".join(f"{path.name} ({split})" for path, split in splits.items())
        if len({split for split in splits.values() if split}) > 1:
            leaks.append(text)
        else:
            within.append(" = ".join(path.name for path in group))
    if leaks:
        yield Finding(
            kind="leaks",
            problem=False,
            count=len(leaks),
            of=len(by_name),
            text="leak, pictures that are in two splits",
            examples=leaks[:EXAMPLES],
            note="what is learnt from them is also scored",
        )
    if within:
        yield Finding(
            kind="duplicates",
            problem=False,
            count=len(within),
            of=len(by_name),
            text="pictures that come more than once, byte for byte",
            examples=within[:EXAMPLES],
        )


def _same_bytes(paths: Iterable[Path]) -> list[list[Path]]:
    """Groups of files with the same content; only files of one size are read."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        by_size[path.stat().st_size].append(path)
    by_digest: dict[bytes, list[Path]] = defaultdict(list)
    for size, alike in by_size.items():
        if size and len(alike) > 1:
            for path in alike:
                with path.open("rb") as file:
                    by_digest[hashlib.file_digest(file, "sha256").digest()].append(path)
    return [group for group in by_digest.values() if len(group) > 1]


def _person_findings(
    labels: FolderLabels, info: DatasetInfo, opened: Mapping[Path, tuple[int, int] | str]
) -> Iterator[Finding]:
    """What is odd about the persons themselves."""
    outside: list[tuple[float, str]] = []
    joints = persons = with_joints = 0
    unsized = False
    tiny, uncropped, jointless, unmeasured, repeated = (_Noted() for _ in range(5))
    beyond, elsewhere = _Noted(), _Noted()
    for split, part in labels.splits.items():
        region = region_rule(info.crop, part)
        numbers: set[int] = set()
        for person in part.annotations:
            persons += 1
            result = None if part.images is None else opened.get(part.picture(person))
            size = None if isinstance(result, str) else result
            unsized |= size is None
            name = _called(person)
            if person.number in numbers:
                repeated.note(split, name)
            elif person.number is not None:
                numbers.add(person.number)
            if not person.annotated.any():
                jointless.note(split, name)
            else:
                with_joints += 1
                joints += int(person.annotated.sum())
                outside += _outside(person, part, size, name)
                if not _has_reference(person, part, info.protocol):
                    unmeasured.note(split, name)
            box = _shown_box(person)
            if size is not None and _reaches_out(person, size):
                beyond.note(split, f"{name}: {box} in {size[1]} x {size[0]}")
            if (inside := _joints_inside(person)) < MOSTLY:
                elsewhere.note(split, f"{name}: {box} holds {inside:.0%} of the labelled joints")
            width, height = person.box[2:] - person.box[:2]
            if not (width > 0 and height > 0):
                tiny.note(split, f"{name}: box of {width:.0f} x {height:.0f} px")
                continue
            if size is None and info.crop == "lsp-height":
                continue
            try:
                side = region(person, size or (0, 0))[1]
            except UserError as error:
                uncropped.note(split, f"{name}: {error}")
                continue
            if not side >= SMALLEST_CROP:
                tiny.note(split, f"{name}: crop of {side:.1f} px")
    if outside:
        outside.sort(key=lambda pair: -pair[0])
        yield Finding(
            kind="joints-outside",
            problem=False,
            count=len(outside),
            of=joints,
            text="labelled joints outside their picture",
            examples=[text for _, text in outside[:EXAMPLES]],
            note="without a picture only left of it and above it" if unsized else "",
        )
    yield from uncropped.finding(
        "uncroppable", f"persons that the rule {info.crop!r} cannot crop", persons, problem=True
    )
    yield from tiny.finding(
        "degenerate-boxes",
        f"persons with a box without area, or a crop under {SMALLEST_CROP:.0f} px",
        persons,
    )
    yield from beyond.finding(
        "boxes-outside", "boxes that reach far out of their picture", persons, note=BOX_FORM
    )
    yield from elsewhere.finding(
        "boxes-elsewhere", "boxes without most of their person's joints", persons, note=BOX_FORM
    )
    yield from repeated.finding(
        "repeated-numbers", "persons whose number (id) another one has already", persons
    )
    yield from jointless.finding("no-joints", "persons without a labelled joint", persons)
    yield from unmeasured.finding(
        "no-reference",
        "persons with joints but without a reference length",
        with_joints,
        note=f"{info.protocol} leaves them out",
    )


@dataclass
class _Noted:
    """Persons that one thing is true of."""

    by_split: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def note(self, split: str, example: str) -> None:
        self.by_split[split] = self.by_split.get(split, 0) + 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)

    def finding(
        self, kind: str, text: str, of: int, *, problem: bool = False, note: str = ""
    ) -> Iterator[Finding]:
        if self.by_split:
            where = ", ".join(f"{split} {count:,}" for split, count in self.by_split.items())
            note = f"{note}; {where}" if note else where
            yield Finding(kind, problem, sum(self.by_split.values()), of, text, self.examples, note)


def _called(person: Annotation) -> str:
    return person.image + ("" if person.number is None else f" #{person.number}")


def _outside(
    person: Annotation, labels: AnnotatedPictures, size: tuple[int, int] | None, name: str
) -> Iterator[tuple[float, str]]:
    """How far, in pixels, each labelled joint lies outside, and a line that tells it."""
    low = -0.5
    # A MATLAB-made file that is used as it stands counts the last pixel one higher.
    high = np.inf if size is None else np.array(size[::-1]) - 0.5 + labels.counts_from
    over: Array = np.maximum(low - person.points, person.points - high).max(axis=1)
    for joint in np.flatnonzero(person.annotated & ~(over <= BARELY)):
        x, y = person.points[joint]
        picture = "" if size is None else f" in {size[1]} x {size[0]}"
        yield (
            float(np.nan_to_num(over[joint], nan=np.inf)),
            f"{name}: {labels.skeleton.joints[joint]} at ({x:.1f}, {y:.1f}){picture}, "
            f"{over[joint]:.1f} px outside",
        )


def _shown_box(person: Annotation) -> str:
    x0, y0, x1, y1 = person.box
    return f"box {x0:g},{y0:g} of {x1 - x0:g} x {y1 - y0:g} px"


def _reaches_out(person: Annotation, size: tuple[int, int]) -> bool:
    """Whether a box lies out of a picture (height, width) by more than a part of its own side.

    One that is but that of its joints is reported with them.
    """
    box, points = person.box, person.points[person.annotated]
    if len(points) and np.allclose(box, box_of_points(points)):
        return False
    over = np.concatenate([-box[:2], box[2:] - np.array(size[::-1])])
    return bool(over.max() > FAR_OUT * (box[2:] - box[:2]).max())


def _joints_inside(person: Annotation) -> float:
    """The share of a person's labelled joints in a box a little larger than its own."""
    if not person.annotated.any():
        return 1.0
    points, margin = person.points[person.annotated], BOX_MARGIN * np.ptp(person.box.reshape(2, 2))
    inside = (points >= person.box[:2] - margin) & (points <= person.box[2:] + margin)
    return float(inside.all(axis=1).mean())


def _has_reference(person: Annotation, labels: AnnotatedPictures, protocol: str) -> bool:
    """Whether a person has the length that the data set's scoring rule divides errors by."""
    if protocol.startswith("mpii"):
        return person.reference is not None
    if protocol == "pck-box":
        return bool(max(person.box[2:] - person.box[:2]) > 0)
    assert labels.skeleton.torso is not None, "every other rule is for a skeleton with a torso"
    ends = [labels.skeleton.index(joint) for joint in labels.skeleton.torso]
    first, second = person.points[ends]
    return bool(person.annotated[ends].all() and np.linalg.norm(first - second) > 0)
