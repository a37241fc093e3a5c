"""``spcnet predict``: pictures in, overlays and COCO JSON out."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from typer import Argument, BadParameter, Exit, Option

from spcnet.cli.console import (
    Advance,
    output_folder,
    print_line,
    progress,
    refuse_existing,
    replacing,
    say,
)  # fmt: skip
from spcnet.cli.estimator_options import BY_DEFAULT, EstimatorOptions, with_estimator
from spcnet.cli.options import BOX, BOXES, FORCE, PEOPLE, SKELETON, WIDE, parse_box
from spcnet.errors import UserError
from spcnet.files import remove_leftovers, writing
from spcnet.inference.method import Method, PersonSource, digest_of
from spcnet.skeletons import Skeleton

if TYPE_CHECKING:
    from spcnet.inference.files import Failed, Predicted
    from spcnet.inference.finder import Finder
    from spcnet.inference.jobs import Job
    from spcnet.inference.pose import CocoCollection
    from spcnet.inference.results import Results

COLLECTION, LOCK = "poses.json", ".predict.lock"
NAMES = {"version": "spcnet", "weights": "model", "skeleton": "joints of"}  # of facts

IMAGES = Argument(help="Picture files, or one folder.", show_default=False)
OUTPUT = Option("--output", "-o", help="Folder for the results; by default poses/.")
RECURSIVE = Option("--recursive", "-r", help="Take the folder's sub-folders too.")
SAVE = Option(
    help="What is written: some of overlay, json, the tables csv (joints) and angles, and of each "
    "person crops (what the network looks at), heatmaps, attention (which level it takes where)."
)
DETECTOR = Option(help="Find the persons with this ONNX model of the YOLO family.")
DETECTOR_KIND = Option(help="Of what kind the detector is.")
STRICT = Option("--strict", help="Exit with 1 where no person is found in a picture.")
BOX_SCORE = Option(
    min=0, max=1, help="Least score of a box from --boxes (by default any) or --detector (0.3)."
)
JOINT_SCORE = Option(min=0, max=1, help="Draw no joints of a lower score.")
LINE_WIDTH = Option(min=0.5, help="Of drawn limbs, in pixels; by default by the person's size.")
AS_JSON = Option("--json", help="Print COCO JSON; write files only where -o says.")


@with_estimator
def predict(
    images: Annotated[list[str], IMAGES],
    output: Annotated[Path | None, OUTPUT] = None,
    recursive: Annotated[bool, RECURSIVE] = False,
    save: Annotated[str, SAVE] = "overlay,json",
    wide: Annotated[bool, WIDE] = False,
    box: Annotated[list[str] | None, BOX] = None,
    boxes: Annotated[Path | None, BOXES] = None,
    detector: Annotated[Path | None, DETECTOR] = None,
    detector_kind: Annotated[Literal["auto", "yolov8", "yolox"], DETECTOR_KIND] = "auto",
    people: Annotated[Literal["one", "all"], PEOPLE] = "one",
    strict: Annotated[bool, STRICT] = False,
    box_score: Annotated[float | None, BOX_SCORE] = None,
    options: EstimatorOptions = BY_DEFAULT,
    skeleton: Annotated[str | None, SKELETON] = None,
    joint_score: Annotated[float, JOINT_SCORE] = 0.0,
    line_width: Annotated[float | None, LINE_WIDTH] = None,
    labels: Annotated[bool, Option("--labels", help="Draw the joints' names.")] = False,
    as_json: Annotated[bool, AS_JSON] = False,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Find the joints of the persons in pictures; nobody is an answer too.

    Writes NAME.pose.jpg, the picture with the skeletons over it, and NAME.pose.json, the joints in
    COCO's keypoint format, for every picture.

    Of a folder, the results lie as its pictures do, poses.json holds all of them, and pictures
    whose results are there are passed over: the same command goes on where it was stopped.
    Pictures that changed since are predicted again.

    Example: spcnet predict photo.jpg -o poses

    Example: spcnet predict photos --recursive --detector yolox_s.onnx -o poses
    """
    if sum(map(bool, (box, boxes, detector, options.finder))) > 1:
        raise BadParameter("use one of --box, --boxes, --detector and --finder")
    if people == "all" and (box or boxes or detector):
        raise BadParameter("--people all goes without --box, --boxes and --detector")
    if box_score is not None and not (boxes or detector):
        raise BadParameter("--box-score goes with --boxes or --detector")
    kinds, given = _parse_kinds(save), [parse_box(text) for text in box or []]
    source, jobs, unreadable = _jobs(images, recursive=recursive)
    persons, found_by = _persons(given, boxes, detector, detector_kind, box_score, options.device)

    from spcnet.inference.results import Results, RunRecord
    from spcnet.viz.skeletons import Style

    estimator = options.open()
    folder = Path(os.path.expanduser(output or "poses"))
    style = Style(least=joint_score, line_width=line_width, labels=labels)
    record, kinds = RunRecord(folder), () if output is None and as_json else kinds
    view = estimator.view(skeleton)
    results = Results(
        folder=folder, kinds=kinds, estimator=estimator, style=style, record=record, force=force,
        view=view, wide=wide,
    )  # fmt: skip
    persons = persons or cast("Finder", estimator.finder).source(people)
    method = estimator.method(persons, skeleton)
    run = _Run(results, method, view, {**found_by, "people": people}, source, as_json)
    failures = run.all(jobs)
    for line in unreadable:
        say(f"spcnet: error: {line}")
    if failures:
        say(f"{failures} of {len(jobs)} pictures failed")
    if failures or unreadable or (strict and run.empty):
        raise Exit(1)


def _parse_kinds(text: str) -> tuple[str, ...]:
    """The kinds of results that ``--save`` names, in the order they are written in."""
    from spcnet.inference.jobs import ENDS

    named = [part.strip() for part in text.split(",") if part.strip()]
    if not named or not ENDS.keys() >= set(named):
        raise BadParameter(f"--save {text}: wanted some of {', '.join(ENDS)}, with commas")
    return tuple(kind for kind in ENDS if kind in named)


def _jobs(images: list[str], *, recursive: bool) -> "tuple[Path | None, list[Job], list[str]]":
    """The folder if it is one, its pictures or those named, and lines on what is unreadable."""
    from spcnet.inference.jobs import jobs_of_files, jobs_of_folder

    paths = [os.path.expanduser(path) for path in images]
    if len(paths) == 1 and os.path.isdir(paths[0]):
        return Path(paths[0]), *jobs_of_folder(Path(paths[0]), recursive=recursive)
    if recursive:
        raise BadParameter("--recursive goes with one folder")
    if len(paths) == 1 and not os.path.lexists(paths[0]):
        raise UserError(f"{paths[0]}: no such file")
    return None, jobs_of_files(paths), []


def _persons(
    given: list[list[float]],
    boxes: Path | None,
    detector: Path | None,
    kind: str,
    score: float | None,
    device: str,
) -> tuple[PersonSource | None, dict[str, Any]]:
    """Where persons are, if not by our finder, as a fact and as `predict_files` takes it."""
    if given:
        text = " ".join(",".join(f"{side:g}" for side in box) for box in given)
        source = PersonSource(kind="boxes", name=text, digest=digest_of(text))
        return source, {"boxes_of": lambda path: given}
    if boxes:
        from spcnet.inference.box_files import read_boxes

        path, least = Path(os.path.expanduser(boxes)), score or 0.0
        read = read_boxes(path, threshold=least)
        for kind, count in read.passed_over.items():
            say(f"{path.name}: {kind}: {count}, passed over")
        source = PersonSource(kind="file", name=path.name, digest=digest_of(path), threshold=least)
        return source, {"boxes_of": read.of}
    if detector:
        from spcnet.inference.detectors import SCORE, OnnxDetector

        path, least = Path(os.path.expanduser(detector)), SCORE if score is None else score
        found = OnnxDetector(path, kind=kind, threshold=least, device=device)
        source = PersonSource(
            kind="detector", name=found.describe(), digest=digest_of(path), threshold=least
        )
        return source, {"detector": found}
    return None, {}


@dataclass
class _Run:
    """How pictures are predicted, and what becomes of the poses."""

    results: "Results"
    method: Method
    view: Skeleton
    how: dict[str, Any]  # further arguments of `predict_files`
    source: Path | None  # the folder of the pictures; None where they were named one by one
    as_json: bool
    predicted: int = 0  # pictures, without those that failed or were there already
    empty: int = 0  # pictures in which nobody was found
    collection: "CocoCollection | None" = None  # of the documents of all pictures

    def __post_init__(self) -> None:
        results, persons = self.results, persons_in_words(self.method.persons)
        self.words = f"{results.estimator.describe()}; {persons}"
        self.tell: Callable[[str], None] = say if self.as_json else print_line
        collected = self.source is not None and "json" in results.kinds
        self.target = results.folder / COLLECTION if collected else None  # documents of all

    def all(self, jobs: "Sequence[Job]") -> int:
        """Predict every picture that is not done yet; give the number that failed."""
        results = self.results
        if self.source is None and not results.force:
            there = [job for job in jobs if os.path.exists(job.path)]  # the others fail later
            refuse_existing(results.path(job, kind) for job in there for kind in results.kinds)
        with output_folder(results.folder) if results.kinds else nullcontext(), self._alone(jobs):
            say(f"model {self.words}")
            self.collection = self._open_collection(known=self._goes_on())
            results.check_maps()
            if self.source is not None:
                results.check_joined()
            done = self._done(jobs)
            try:
                failures = self._predict(jobs, done)
            except KeyboardInterrupt:
                if self.source is not None and results.kinds:
                    say("\nstopped; the same command goes on with the pictures that are left")
                raise
            self._save()
            if self.source is not None:
                results.join_tables(jobs)
        if self.source is not None:
            where = f" -> {results.folder}" if results.kinds else ""
            before = f", {len(done)} were there already" if done else ""
            nobody = f", no person found in {self.empty}" if self.empty else ""
            self.tell(f"{self.predicted} pictures predicted{where}{before}{nobody}")
        return failures

    @contextmanager
    def _alone(self, jobs: "Sequence[Job]") -> Iterator[None]:
        """Keep other runs on folders out of the results; a dead one's hold ends with it."""
        if self.source is None or not self.results.kinds:
            yield
            return
        from filelock import FileLock, Timeout

        lock = FileLock(self.results.folder / LOCK)
        with writing(self.results.folder):
            try:
                lock.acquire(blocking=False)
            except Timeout:  # an OSError too
                raise UserError(
                    f"{self.results.folder}: another spcnet predict writes here; wait for it, or "
                    "-o names another folder"
                ) from None
        try:
            for folder in {self.results.path(job, "json").parent for job in jobs}:
                remove_leftovers(folder)
            yield
        finally:
            with suppress(OSError):
                os.unlink(lock.lock_file)
            lock.release()

    def _goes_on(self) -> bool:
        """Whether an earlier run on the same folder, by the same method, is gone on with."""
        record, folder = self.results.record, self.results.folder
        if self.source is None or not self.results.kinds:
            return False
        now = (str(self.source.resolve()), self.method)
        earlier = record.read()
        if earlier is not None and earlier != now and not self.results.force:
            remedy = "--force predicts all again, -o names another folder"
            if earlier[0] != now[0]:
                raise UserError(f"{folder}: holds the results of {earlier[0]}; {remedy}")
            text = difference_in_words(earlier[1], self.method)
            raise UserError(f"{folder}: was predicted otherwise ({text}); {remedy}")
        record.start(*now, same=earlier == now)
        return earlier == now

    def _done(self, jobs: "Sequence[Job]") -> set[str]:
        """The names of a folder's results that are there from an earlier run."""
        if self.source is None:
            return set()
        for job in jobs:
            self.results.refuse_foreign(job)
        kinds = {*self.results.kinds, *(["json"] if self.collection is not None else [])}
        return {job.name for job in jobs if all(self.results.has(job, kind) for kind in kinds)}

    def _predict(self, jobs: "Sequence[Job]", done: set[str]) -> int:
        """Predict what is not done; collect the documents of all; give the number that failed."""
        from spcnet.inference.files import predict_files
        from spcnet.media.images import GreyRange
        from spcnet.tables import TABLES

        kinds = set(self.results.kinds)
        outcomes = predict_files(
            self.results.estimator,
            (job.path for job in jobs if job.name not in done),
            keep=bool(kinds - {"json", *TABLES}),
            skeleton=self.view,
            maps=bool(kinds & {"heatmaps", "attention"}),
            greys=(greys := GreyRange()),
            **self.how,
        )
        failures = finished = 0
        bar: AbstractContextManager[Advance] = nullcontext(lambda done, note="": None)
        if self.source is not None:  # others have a line each
            bar = progress("pictures", len(jobs) - len(done))
        with bar as report:
            for job in jobs:
                outcome = None if job.name in done else next(outcomes)
                try:
                    self._take(job, outcome)
                except UserError as error:
                    say(f"spcnet: error: {error}")
                    failures += 1
                if outcome is not None:
                    finished += 1
                    report(finished + outcome.ahead)
        if self.source is not None:
            for low, high in greys.ranges.values():
                say(f"greys of more than 8 bits: {low:g} is black and {high:g} white in all")
        return failures

    def _take(self, job: "Job", outcome: "Predicted | Failed | None") -> None:
        """Write the results of a picture, unless they are there, and collect its document."""
        if outcome is not None:
            document = self._keep(job, outcome)
            self.predicted += 1
            self.empty += not document["annotations"]
        else:
            self.empty += self.results.record.persons(job, self.results.kinds[0]) == 0
            document = self.results.earlier(job) if self.collection is not None else {}
        if self.collection is not None:
            self.collection.add(document)

    def _keep(self, job: "Job", outcome: "Predicted | Failed") -> dict[str, Any]:
        """Write the results of one picture where they are wanted; give its document."""
        from spcnet.inference.files import Failed
        from spcnet.inference.pose import coco_document

        if isinstance(outcome, Failed):
            raise UserError(outcome.reason)
        poses = outcome.poses
        rows = coco_document([(job.shown, outcome.shape, poses)], self.view)
        document = {"info": self._info, **rows}
        if self.source is None and not self.results.force:  # another run may have been quicker
            refuse_existing(self.results.path(job, kind) for kind in self.results.kinds)
        target = self.results.write(job, outcome, document)
        if self.source is None and self.results.kinds:
            there = f"{job.path} -> {target}" if target else job.path
            scores = ", ".join(f"{pose.scores.mean():.2f}" for pose in poses)
            found = f" (mean joint score {scores})" if poses else ": no person found"
            self.tell(there + found)
        return document

    @cached_property
    def _info(self) -> dict[str, Any]:
        """What documents say of how they came about; the method is the same on any device."""
        method = self.method
        same = method.skeleton == self.results.estimator.skeleton.name
        joints = "" if same else f"; joints of {method.skeleton}"
        text = f"spcnet {method.version}, model {self.words}{joints}"
        return {"description": text, "method": method.to_dict()}

    def _open_collection(self, *, known: bool) -> "CocoCollection | None":
        """Where the documents of all pictures are collected, if they are wanted as one."""
        from spcnet.inference.pose import CocoCollection

        target = self.target
        if target is None:
            return CocoCollection({"info": self._info}, self.view) if self.as_json else None
        if target.is_dir():
            raise UserError(f"{target}: is a folder; -o names another place")
        if target.exists() and not self.results.force:
            with target.open(encoding="utf-8", errors="replace") as file:
                ours = file.read(100).startswith('{"info": {"description": "spcnet ')
            if not (known and ours):
                raise UserError(
                    f"{target}: already exists and was not written by spcnet; --force overwrites it"
                )
        return CocoCollection({"info": self._info}, self.view)

    def _save(self) -> None:
        if self.collection is None:
            return
        if self.target is not None and self.collection.pictures:
            with replacing(self.target) as partial, partial.open("w", encoding="utf-8") as file:
                self.collection.save(file)
        if self.as_json:
            self.collection.save(sys.stdout)


def persons_in_words(source: PersonSource) -> str:
    """Where the boxes of persons come from."""
    whom = "the main person" if source.people == "one" else "all people"
    kinds = {"boxes": "boxes", "file": "boxes of", "detector": "persons by", "finder": f"{whom} by"}
    least = f" from score {source.threshold:g}" if source.threshold else ""
    return f"{kinds[source.kind]} {source.name}{least}"


def difference_in_words(before: Method, now: Method) -> str:
    """In what two methods differ, such as ``precision fp32, now bf16``."""
    parts = []
    for name in before.differences(now):
        if not name.startswith("persons."):
            old, new = (getattr(method, name) for method in (before, now))
            if name == "weights":
                old, new = f"{before.model} {old}", f"{now.model} {new}"
            parts.append(f"{NAMES.get(name, name)} {old}, now {new}")
    if before.persons != now.persons:
        old, new = (persons_in_words(method.persons) for method in (before, now))
        if old == new:
            old, new = (f"{old} {method.persons.digest}" for method in (before, now))
        parts.append(f"{old}, now {new}")
    return "; ".join(parts)
