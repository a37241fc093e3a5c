"""``spcnet predict``: pictures in, overlays and COCO JSON out."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, BadParameter, Exit, Option

from spcnet.cli.console import Advance, print_line, progress, say
from spcnet.cli.estimator_options import BY_DEFAULT, EstimatorOptions, with_estimator
from spcnet.cli.options import BOX, BOXES, DETECTOR, FORCE, PEOPLE, SKELETON, WIDE
from spcnet.cli.parsing import parse_box, parse_kinds, persons_in_words
from spcnet.errors import UserError, counted
from spcnet.inference.method import Method, PersonSource, digest_of

if TYPE_CHECKING:
    from spcnet.inference.jobs import Job
    from spcnet.inference.runs import Outcome, PredictionRun

LOOKED_AT = 100  # pictures by whose sizes boxes are judged
CORNERS = (
    "as x, y, width, height every box reaches out of its picture; these look like x0, y0, x1, y1: "
    "write x1 - x0 and y1 - y0 in place of x1 and y1"
)
LISTED = 10  # pictures that were named, up to which their lines say how far it is
NAMES = {"version": "spcnet", "weights": "model", "skeleton": "joints of"}  # of facts

IMAGES = Argument(help="Picture files, or one folder.", show_default=False)
OUTPUT = Option("--output", "-o", help="Folder for the results; by default poses/.")
RECURSIVE = Option("--recursive", "-r", help="Take the folder's sub-folders too.")
SAVE = Option(
    help="What is written beside the JSON, with commas: overlay, the tables csv (joints) and "
    "angles, and of each person crops (what the network looks at), heatmaps, attention (which "
    "level it takes where); json alone: nothing."
)
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
    save: Annotated[str, SAVE] = "overlay",
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

    Writes NAME.pose.json, the joints in COCO's keypoint format, for every picture, and beside it
    NAME.pose.jpg, the picture with the skeletons over it, or what --save names.

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
    from spcnet.inference.jobs import ENDS

    kinds, given = parse_kinds(save, ENDS), [parse_box(text) for text in box or []]
    source, jobs, unreadable = _jobs(images, recursive=recursive)
    persons, found_by = _persons(
        given, boxes, detector, detector_kind, box_score, options.device, jobs
    )

    from spcnet.inference.results import Results, RunRecord
    from spcnet.inference.runs import PredictionRun
    from spcnet.viz.skeletons import Style

    estimator = options.open()
    folder = Path(os.path.expanduser(output or "poses"))
    style = Style(least=joint_score, line_width=line_width, labels=labels)
    record, kinds = RunRecord(folder), () if output is None and as_json else kinds
    results = Results(
        folder=folder, kinds=kinds, estimator=estimator, style=style, record=record, force=force,
        view=estimator.view(skeleton), wide=wide,
    )  # fmt: skip
    method = estimator.method(persons or people, skeleton)
    text = f"model {estimator.describe()}; {persons_in_words(method.persons)}"
    say(text)
    same = method.skeleton == estimator.skeleton.name
    run = PredictionRun(
        results=results, method=method, source=source, collect=as_json,
        description=text if same else f"{text}; joints of {method.skeleton}",
        how={**found_by, "people": people},
    )  # fmt: skip
    failures = _predict(run, jobs, say if as_json else print_line)
    if as_json and run.collection is not None:
        run.collection.save(sys.stdout)
    for line in unreadable:
        say(f"spcnet: error: {line}")
    if failures:
        thing = "picture" if source else "path"  # which may be a folder's, or nobody's
        say(f"{failures} of {counted(len(jobs), thing)} failed")
    if failures or unreadable or (strict and run.empty):
        raise Exit(1)


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
    first = {os.path.realpath(path): path for path in reversed(paths)}
    once = list(dict.fromkeys(first[os.path.realpath(path)] for path in paths))
    if again := len(paths) - len(once):
        say(f"{counted(again, 'picture')} named more than once; each is predicted once")
    return None, jobs_of_files(once), []


def _persons(
    given: list[list[float]],
    boxes: Path | None,
    detector: Path | None,
    kind: str,
    score: float | None,
    device: str,
    jobs: "Sequence[Job]",
) -> tuple[PersonSource | None, dict[str, Any]]:
    """Where persons are, if not by our finder, as a fact and as `predict_files` takes it."""
    if given:
        return PersonSource.of_boxes(given), {"boxes_of": lambda path: given}
    if boxes:
        from spcnet.inference.box_files import read_boxes

        path, least = Path(os.path.expanduser(boxes)), score or 0.0
        read = read_boxes(path, threshold=least)
        if read.are_corners(job.path for job in jobs[:LOOKED_AT]):
            say(f"warning: {path.name}: {CORNERS}")
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


def _predict(run: "PredictionRun", jobs: "Sequence[Job]", tell: Callable[[str], None]) -> int:
    """Predict every picture that is not done yet; give the number that failed."""
    from spcnet.inference.runs import OtherMethod

    folder, of_folder, failures, finished = run.results.folder, run.source is not None, 0, 0
    try:
        with run.opened(jobs), _bar(len(run.left), of_folder=of_folder) as report:
            for outcome in run.outcomes():
                if outcome.failure:
                    say(f"spcnet: error: {outcome.failure}")
                    failures += 1
                elif outcome.poses is not None and run.results.kinds and not of_folder:
                    tell(_line(outcome))
                if outcome.poses is not None or outcome.failure:
                    finished += 1
                    report(finished + outcome.ahead)
    except OtherMethod as error:
        text = difference_in_words(error.before, error.now)
        remedy = "--force predicts all again, -o names another folder"
        raise UserError(f"{error.path}: was predicted otherwise ({text}); {remedy}") from None
    except KeyboardInterrupt:
        if of_folder and run.results.kinds:
            say("\nstopped; the same command goes on with the pictures that are left")
        raise
    if of_folder:
        for low, high in run.greys.ranges.values():
            say(f"greys of more than 8 bits: {low:g} is black and {high:g} white in all")
        where = f" -> {folder}" if run.results.kinds else ""
        earlier = len(run.jobs) - len(run.left)
        before = f", {counted(earlier, 'was', 'were')} there already" if earlier else ""
        nobody = f", no person found in {run.empty}" if run.empty else ""
        tell(f"{counted(run.predicted, 'picture')} predicted{where}{before}{nobody}")
    return failures


def _bar(total: int, *, of_folder: bool) -> AbstractContextManager[Advance]:
    """How far it is; a few pictures that were named have a line each instead."""
    if of_folder or total > LISTED:
        return progress("pictures", total)
    return nullcontext(lambda done, note="": None)


def _line(outcome: "Outcome") -> str:
    there = f"{outcome.job.path} -> {outcome.target}" if outcome.target else outcome.job.path
    scores = ", ".join(f"{pose.scores.mean():.2f}" for pose in outcome.poses or ())
    return there + (f" (mean joint score {scores})" if scores else ": no person found")


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
