"""``spcnet predict``: pictures in, overlays and COCO JSON out."""

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spcnet.cli.console import (
    Advance,
    expanded,
    output_folder,
    progress,
    refuse_existing,
    replacing,
    say,
)
from spcnet.cli.estimator_options import BY_DEFAULT, EstimatorOptions, with_estimator
from spcnet.cli.options import (
    BOX,
    BOXES,
    FORCE,
    PEOPLE,
    SKELETON,
    parse_box,
)
from spcnet.cli.results import Results, is_result, mirrored_names, parse_kinds, result_names
from spcnet.cli.run_records import RunRecord, forget
from spcnet.cli.words import persons_in_words
from spcnet.errors import UserError
from spcnet.inference.method import Method, PersonSource, digest_of

if TYPE_CHECKING:
    from spcnet.inference.detectors import PersonDetector
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.files import BoxesOf, Predicted
    from spcnet.inference.pose import CocoCollection
    from spcnet.skeletons import Skeleton
    from spcnet.viz.skeletons import Style

COLLECTION = "poses.json"
MAPS = {"heatmaps", "attention"}  # kinds of results that are made of what the network said


@with_estimator
def predict(
    images: Annotated[
        list[str], typer.Argument(help="Picture files, or one folder.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the results; by default poses/."),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Take the folder's sub-folders too.")
    ] = False,
    save: Annotated[
        str,
        typer.Option(
            help="What is written: some of overlay, json, and of each person crops (what the "
            "network looks at), heatmaps, attention (which level it takes where)."
        ),
    ] = "overlay,json",
    box: Annotated[list[str] | None, BOX] = None,
    boxes: Annotated[Path | None, BOXES] = None,
    detector: Annotated[
        Path | None, typer.Option(help="Find the persons with this ONNX model of the YOLO family.")
    ] = None,
    detector_kind: Annotated[
        Literal["auto", "yolov8", "yolox"], typer.Option(help="Of what kind the detector is.")
    ] = "auto",
    people: Annotated[Literal["one", "all"], PEOPLE] = "one",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where no person is found in a picture.")
    ] = False,
    box_score: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Least score of a box from --boxes (by default any) or --detector (0.3).",
        ),
    ] = None,
    options: EstimatorOptions = BY_DEFAULT,
    skeleton: Annotated[str | None, SKELETON] = None,
    joint_score: Annotated[
        float, typer.Option(min=0, max=1, help="Draw no joints of a lower score.")
    ] = 0.0,
    line_width: Annotated[
        float | None,
        typer.Option(min=0.5, help="Of drawn limbs, in pixels; by default by the person's size."),
    ] = None,
    labels: Annotated[bool, typer.Option("--labels", help="Draw the joints' names.")] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print COCO JSON; write files only where -o says."),
    ] = False,
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
        raise typer.BadParameter("use one of --box, --boxes, --detector and --finder")
    if people == "all" and (box or boxes or detector):
        raise typer.BadParameter("--people all goes without --box, --boxes and --detector")
    if box_score is not None and not (boxes or detector):
        raise typer.BadParameter("--box-score goes with --boxes or --detector")
    kinds = parse_kinds(save)
    given = [parse_box(text) for text in box or []]
    paths = [expanded(path) for path in images]
    source = Path(paths[0]) if len(paths) == 1 and os.path.isdir(paths[0]) else None
    if recursive and source is None:
        raise typer.BadParameter("--recursive goes with one folder")
    folder = output or (None if as_json else Path("poses"))
    results = None if folder is None else Results(Path(expanded(str(folder))), kinds, force)
    unreadable: list[str] = []
    if source is None:
        jobs = _jobs_of_files(paths)
    else:
        jobs, unreadable = _jobs_of_folder(source, recursive=recursive)
    if len(jobs) == 1 and source is None and not os.path.lexists(jobs[0].path):
        raise UserError(f"{jobs[0].path}: no such file")
    origin = _people(given, boxes, detector, detector_kind, box_score, options.device)

    from spcnet.viz.skeletons import Style

    estimator = options.open()
    origin = origin or _found_by(estimator, people)
    if results is not None and source is None and not force:
        there = [job for job in jobs if os.path.exists(job.path)]  # the others fail later
        refuse_existing(results.path(job.name, kind) for job in there for kind in kinds)
    with nullcontext() if results is None else output_folder(results.folder):
        view = estimator.view(skeleton)
        say(f"model {estimator.describe()}; {persons_in_words(origin.source)}")
        method = estimator.method(origin.source, view)
        run = _Run(
            estimator=estimator,
            people=origin,
            view=view,
            info=_info(estimator, method),
            whom=people,
            results=results,
            record=None
            if results is None or source is None
            else RunRecord(results.folder, source=source, method=method, force=force),
            style=Style(least=joint_score, line_width=line_width, labels=labels),
            in_folder=source is not None,
            as_json=as_json,
        )
        if results is not None:
            run.check_saved(kinds)
        failures = run.all(jobs)
    for line in unreadable:
        say(f"spcnet: error: {line}")
    if failures:
        say(f"{failures} of {len(jobs)} pictures failed")
    if failures or unreadable or (strict and run.empty):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Job:
    """A picture's path, its name in documents, and the name of its results without their ends."""

    path: str
    shown: str
    name: str


def _jobs_of_files(paths: Sequence[str]) -> list[_Job]:
    names = result_names(paths)
    return [_Job(path, Path(path).name, name) for path, name in zip(paths, names, strict=True)]


def _jobs_of_folder(folder: Path, *, recursive: bool) -> tuple[list[_Job], list[str]]:
    """The pictures of a folder, and a line for every sub-folder that cannot be read.

    What this command wrote itself, into the folder or below it, is none of its pictures.
    """
    from spcnet.media.folders import find_pictures

    found, unreadable = find_pictures(folder, recursive=recursive, passed_over=is_result)
    jobs = [
        _Job(str(folder / path), path.as_posix(), name)
        for path, name in zip(found, mirrored_names(found), strict=True)
    ]
    return jobs, unreadable


@dataclass(frozen=True)
class _People:
    """Where the person boxes of a picture come from."""

    source: PersonSource
    boxes_of: "BoxesOf | None" = None
    detector: "PersonDetector | None" = None


def _people(
    given: list[list[float]],
    boxes: Path | None,
    detector: Path | None,
    kind: str,
    score: float | None,
    device: str,
) -> _People | None:
    """Where persons are, if that is known without our finder.

    Raises:
        UserError: what was given for it is of no use.
    """
    if given:
        text = " ".join(",".join(f"{side:g}" for side in box) for box in given)
        source = PersonSource(kind="boxes", name=text, digest=digest_of(text))
        return _People(source, boxes_of=lambda path: given)
    if boxes:
        from spcnet.inference.box_files import read_boxes

        path = Path(expanded(str(boxes)))
        by_picture = read_boxes(path, threshold=score or 0.0)
        source = PersonSource(
            kind="file", name=path.name, digest=digest_of(path), threshold=score or 0.0
        )
        return _People(source, boxes_of=by_picture.of)
    if detector:
        from spcnet.inference.detectors import SCORE, OnnxDetector

        least = SCORE if score is None else score
        path = Path(expanded(str(detector)))
        finder = OnnxDetector(path, kind=kind, threshold=least, device=device)
        source = PersonSource(
            kind="detector", name=finder.describe(), digest=digest_of(path), threshold=least
        )
        return _People(source, detector=finder)
    return None


def _found_by(estimator: "PoseEstimator", people: Literal["one", "all"]) -> _People:
    from spcnet.inference.finder import Finder

    assert isinstance(estimator.finder, Finder)
    return _People(estimator.finder.source(people))


def _info(estimator: "PoseEstimator", method: Method) -> dict[str, Any]:
    """What documents say of how they came about; the method is the same on any device."""
    words = f"{estimator.describe()}; {persons_in_words(method.persons)}"
    joints = "" if method.skeleton == estimator.skeleton.name else f"; joints of {method.skeleton}"
    return {
        "description": f"spcnet {method.version}, model {words}{joints}",
        "method": method.to_dict(),
    }


@dataclass(frozen=True, kw_only=True)
class _Run:
    """How pictures are predicted, and what becomes of the poses.

    The record is that of a folder's results; single pictures have none.
    """

    estimator: "PoseEstimator"
    people: _People
    whom: Literal["one", "all"]
    view: "Skeleton"
    info: dict[str, Any]
    results: Results | None
    record: RunRecord | None
    style: "Style"
    in_folder: bool
    as_json: bool
    empty: list[str] = field(default_factory=list)  # paths of pictures in which nobody was found

    def check_saved(self, kinds: Collection[str]) -> None:
        """Check that the model has the heatmaps or the attention that are to be saved.

        Raises:
            UserError: it has none.
        """
        import numpy as np

        nobody, box = np.zeros((8, 8, 3), np.uint8), [0, 0, 8, 8]
        for kind in set(kinds) & MAPS:
            try:
                look = getattr(self.estimator, kind)
                look(nobody, box)
            except UserError as error:
                raise UserError(f"--save {kind}: {error}") from None

    def all(self, jobs: Sequence[_Job]) -> int:
        """Predict every picture that is not done yet; give the number that failed.

        Raises:
            UserError: what lies in the folder of results is none of this run.
        """
        from spcnet.inference.files import Failed, predict_files
        from spcnet.media.images import GreyRange

        collection = self._collection()
        done = self._done(jobs, needed=collection is not None)
        outcomes = predict_files(
            self.estimator,
            (job.path for job in jobs if job.name not in done),
            self.people.boxes_of,
            detector=self.people.detector,
            keep=self._looks_at_pixels(),
            people=self.whom,
            skeleton=self.view,
            maps=self.results is not None and bool(MAPS & set(self.results.kinds)),
            greys=(greys := GreyRange()),
        )
        failures = finished = 0
        with self._resumable(), self._progress(len(jobs) - len(done)) as report:
            for job in jobs:
                if job.name in done:
                    if self._was_empty(job):
                        self.empty.append(job.path)
                    if collection is not None:
                        collection.add(self._earlier(job))
                    continue
                outcome = next(outcomes)
                try:
                    if isinstance(outcome, Failed):
                        raise UserError(outcome.reason)
                    document = self._keep(job, outcome)
                    if not outcome.poses:
                        self.empty.append(job.path)
                    if collection is not None:
                        collection.add(document)
                except UserError as error:
                    say(f"spcnet: error: {error}")
                    failures += 1
                finished += 1
                report(finished + outcome.ahead)
        if collection is not None:
            self._save(collection)
        for low, high in greys.ranges.values() if self.in_folder else ():
            say(f"greys of more than 8 bits: {low:g} is black and {high:g} white in all")
        if self.in_folder:
            self._sum_up(finished - failures, len(done))
        return failures

    def _was_empty(self, job: _Job) -> bool:
        """Whether an earlier run found nobody in a picture."""
        assert self.record is not None and self.results is not None
        return self.record.persons(job.name, next(iter(self.results.kinds))) == 0

    def _looks_at_pixels(self) -> bool:
        """Whether anything is written that shows the pictures."""
        return self.results is not None and any(kind != "json" for kind in self.results.kinds)

    def _done(self, jobs: Sequence[_Job], *, needed: bool) -> set[str]:
        """The names of a folder's results that are there from an earlier run.

        Args:
            jobs: the pictures.
            needed: whether their JSON is needed too.

        Raises:
            UserError: what lies there is no result of an earlier run.
        """
        done: set[str] = set()
        if self.record is None or self.results is None:
            return done
        for job in jobs:
            self.record.see(job.name, job.shown, job.path)
            for kind in () if self.results.force else self.results.kinds:
                path = self.results.path(job.name, kind)
                if os.path.lexists(path) and not self.record.is_ours(job.name, kind):
                    raise UserError(
                        f"{path}: already exists and was not written by an earlier run on this "
                        "folder; --force overwrites it, -o names another folder"
                    )
            wanted = (*self.results.kinds, "json") if needed else self.results.kinds
            if not self._missing(job, wanted) and (not needed or self.results.earlier(job.name)):
                done.add(job.name)
        return done

    def _missing(self, job: _Job, kinds: Sequence[str]) -> list[str]:
        """The kinds of results that a picture as it is now does not have yet."""
        assert self.results is not None
        if self.record is None or self.results.force:
            return list(kinds)
        found = {kind: self.record.persons(job.name, kind) for kind in kinds}
        return [
            kind
            for kind, persons in found.items()
            if persons is None or not self.results.are_there(job.name, kind, persons)
        ]

    def _earlier(self, job: _Job) -> dict[str, Any]:
        assert self.results is not None
        earlier = self.results.earlier(job.name)
        if earlier is None:
            raise UserError(f"{self.results.path(job.name, 'json')}: vanished while this ran")
        return earlier

    def _keep(self, job: _Job, outcome: "Predicted") -> dict[str, Any]:
        """Write the results of one picture where they are wanted; give its document."""
        from spcnet.inference.pose import coco_document

        document = {
            "info": self.info,
            **coco_document([(job.shown, outcome.shape, outcome.poses)], self.view),
        }
        if self.results is not None:
            kinds = self._missing(job, self.results.kinds)
            if self.record is None:
                forget(self.results.folder, job.name, kinds)
            else:
                self.record.begin(job.name, kinds)
            target = self.results.write(
                job.name, kinds, outcome.picture, outcome.poses, document,
                estimator=self.estimator, style=self.style,
            )  # fmt: skip
            if self.record is not None:
                self.record.finish(job.name, kinds, len(outcome.poses))
            if not self.in_folder:
                scores = ", ".join(f"{pose.scores.mean():.2f}" for pose in outcome.poses)
                text = f" (mean joint score {scores})" if scores else ""
                there = f"{job.path} -> {target}{text}" if target else job.path
                line = there if scores else f"{there}: no person found"
                say(line) if self.as_json else print(line)
        return document

    def _collection(self) -> "CocoCollection | None":
        """Where the documents of all pictures are collected, if they are wanted as one.

        Raises:
            UserError: a file that is none of ours would be overwritten by it.
        """
        from spcnet.inference.pose import CocoCollection

        target = self._collection_path()
        if target is None and not self.as_json:
            return None
        if target is not None and target.is_dir():
            raise UserError(f"{target}: is a folder; -o names another place")
        if target is not None and not (self.results and self.results.force) and target.exists():
            try:
                with target.open(errors="replace") as file:
                    ours = file.read(100).startswith('{"info": {"description": "spcnet ')
            except OSError as error:
                raise UserError(f"{target}: cannot be read: {error.strerror}") from None
            if not ours or self.record is None or not self.record.is_known:
                raise UserError(
                    f"{target}: already exists and was not written by spcnet; --force overwrites it"
                )
        return CocoCollection({"info": self.info}, self.view)

    def _collection_path(self) -> Path | None:
        if not self.in_folder or self.results is None or "json" not in self.results.kinds:
            return None
        return self.results.folder / COLLECTION

    def _save(self, collection: "CocoCollection") -> None:
        target = self._collection_path()
        if target is not None and collection.pictures:
            with replacing(target) as partial, partial.open("w") as file:
                collection.save(file)
        if self.as_json:
            collection.save(sys.stdout)

    def _sum_up(self, predicted: int, passed_over: int) -> None:
        where = "" if self.results is None else f" -> {self.results.folder}"
        there = f", {passed_over} were there already" if passed_over else ""
        nobody = f", no person found in {len(self.empty)}" if self.empty else ""
        line = f"{predicted} pictures predicted{where}{there}{nobody}"
        say(line) if self.as_json else print(line)
        self._tell_stale()

    def _tell_stale(self) -> None:
        """Warn of results that an earlier run left and this one did not renew."""
        if self.record is None or self.results is None:
            return
        paths = [self.results.path(name, kind) for name, kind in self.record.stale()]
        left = [path for path in paths if path.exists()]
        if left:
            say(
                f"warning: {len(left)} results are of pictures that are gone, or have another name "
                f"by now, such as {left[0]}; nobody needs them"
            )

    @contextmanager
    def _resumable(self) -> Iterator[None]:
        """Says after Ctrl-C what becomes of the rest."""
        try:
            yield
        except KeyboardInterrupt:
            if self.record is not None:
                say("\nstopped; the same command goes on with the pictures that are left")
            raise

    @contextmanager
    def _progress(self, total: int) -> Iterator[Advance]:
        """A bar for a folder; single pictures have a line each anyway."""
        if self.in_folder:
            with progress("pictures", total) as report:
                yield report
        else:
            yield lambda done, note="": None
