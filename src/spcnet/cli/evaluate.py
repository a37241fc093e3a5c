"""``spcnet evaluate``: a model's score on a data set by a named protocol."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import BadParameter, Option

from spcnet.cli import scoring
from spcnet.cli.console import prepare_output, progress, say, table
from spcnet.cli.estimator_options import BY_DEFAULT, EstimatorOptions, with_estimator
from spcnet.cli.options import AS_JSON, DATASET, FORCE, ROOT
from spcnet.errors import counted
from spcnet.evaluation.overlap import learned_from

if TYPE_CHECKING:
    from spcnet.data.annotations import Dataset
    from spcnet.evaluation.evaluate import Evaluation
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.metrics.breakdown import Group
    from spcnet.metrics.paper import Row, Table

NO_BOXES = Option("--no-boxes", help="Let the finder look for persons, as predict does.")
PREDICTIONS = Option(help="Write the joints too: .npz, .mat, .h5 or COCO .json.")
SUBMISSION = Option(help="Write MPII's pred_keypoints_mpii.mat, of its test pictures.")
BY_TORSO = Option("--by-torso", help="Score persons by how far they are from upright too.")


@with_estimator
def evaluate(
    options: EstimatorOptions = BY_DEFAULT,
    dataset: Annotated[str, DATASET] = "lspet",
    root: Annotated[Path | None, ROOT] = None,
    source: Annotated[list[str] | None, scoring.SOURCE] = None,
    split: Annotated[str | None, scoring.PERSONS] = None,
    protocol: Annotated[str | None, scoring.OWN_PROTOCOL] = None,
    crop: Annotated[str | None, scoring.CROP] = None,
    no_boxes: Annotated[bool, NO_BOXES] = False,
    threshold: Annotated[float | None, scoring.THRESHOLD] = None,
    sigmas: Annotated[Path | None, scoring.SIGMAS] = None,
    predictions: Annotated[Path | None, PREDICTIONS] = None,
    submission: Annotated[Path | None, SUBMISSION] = None,
    by_torso: Annotated[bool, BY_TORSO] = False,
    compare: Annotated[bool, scoring.COMPARE] = False,
    style: Annotated[str | None, scoring.STYLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Score a model by a named protocol.

    Example: spcnet evaluate --model default --dataset lspet --root PATH/lspet --split val

    Example: spcnet evaluate --source lspet:PATH/lspet:val --source coco:PATH/mpii:val
    """
    if options.finder and not no_boxes:
        raise BadParameter("--finder goes with --no-boxes")
    alone = (root, split, crop, predictions, submission, compare, by_torso, threshold is not None,
             sigmas)  # fmt: skip
    if source and any(alone):
        raise BadParameter("--source goes without options of a single data set")
    style = scoring.check_style(style, compare=compare, as_json=as_json)
    if source:
        _score_sources(source, options, protocol=protocol, boxes=not no_boxes, as_json=as_json)
        return
    if no_boxes and (crop or submission):
        raise BadParameter("--no-boxes goes without --crop and --submission")
    for by, path in (("--predictions", predictions), ("--submission", submission)):
        prepare_output([path] if path else [], force=force, by=by)

    from spcnet.data.datasets import default_crop, default_protocol, default_split, open_dataset
    from spcnet.data.regions import check_rule
    from spcnet.evaluation.predictions import check_format
    from spcnet.evaluation.scoring import check_options
    from spcnet.evaluation.sigmas import read_sigmas
    from spcnet.evaluation.writing import write_predictions, write_submission
    from spcnet.metrics.paper import comparison

    if predictions is not None:
        check_format(predictions)
    if submission is not None:
        estimator = options.open()
        with progress("persons", None) as report:
            persons, images = write_submission(submission, root, estimator, report=report)
        print(f"{submission}: {counted(persons, 'person')} of {counted(images, 'test image')}")
        return
    opened = open_dataset(dataset, root, split or default_split(dataset, root))
    rule = None if no_boxes else check_rule(crop or default_crop(dataset))
    protocol = protocol or default_protocol(dataset)
    given = None if sigmas is None else read_sigmas(sigmas)
    check_options(protocol, opened.skeleton, chosen=threshold is not None, sigmas=given)
    estimator = options.open()
    _warn_of_learned(estimator, opened, root, "these pictures")
    found = _evaluate(
        estimator, opened, protocol=protocol, crop=rule, threshold=threshold, sigmas=given
    )
    if predictions is not None:
        skeleton = estimator.skeleton
        write_predictions(predictions, found.points, found.scores, found.labels, skeleton=skeleton)
        say(f"joints -> {predictions}")
    how = {
        "model": options.model, "dataset": dataset, "split": opened.split, "crop": rule,
        "refinement": estimator.codec.refinement, **asdict(estimator.testing),
    }  # fmt: skip
    compared = None
    if compare:
        part, testing = (opened.name, opened.split), str(estimator.testing or "single scale")
        method = f"SPCNet ({options.model})"
        compared = comparison(found.score, method=method, part=part, testing=testing)
    _print(found, compared, how, style=style, by_torso=by_torso)


def _print(
    found: "Evaluation",
    compared: "tuple[Table, Row] | None",
    how: dict[str, Any],
    *,
    style: str,
    by_torso: bool,
) -> None:
    """A score with its interval, and by how upright persons are where that is asked for."""
    from spcnet.metrics.breakdown import score_by_torso, score_sources
    from spcnet.metrics.protocols import PCK_RULES

    interval = None
    if found.score.protocol in PCK_RULES:
        rule, points, truth = found.judged()
        interval = score_sources(rule, {"": (points, truth)})[0].interval
    groups = [g for g in score_by_torso(*found.judged()) if g.persons] if by_torso else []
    if by_torso:
        how["by_torso"] = [asdict(group) for group in groups]
    scoring.print_score(found.score, compared, style=style, how=how, interval=interval)
    if groups and style != "json":
        mean = "Mean" if found.score.mean_limbs is None else "Limbs"
        rows = [_row("Torso, degrees", mean, group) for group in groups]
        print("\n" + table(rows, right=list(rows[0])[1:], style=style))


def _evaluate(estimator: "PoseEstimator", opened: "Dataset", **how: Any) -> "Evaluation":
    """Predict and score, and say what, how and in which time."""
    from spcnet.evaluation.evaluate import evaluate as score_model

    scoring.say_foreign(how["protocol"], opened.name)
    boxes = f"crop {how['crop']}" if how["crop"] else "no boxes"
    say(
        f"model {estimator.describe()}; {opened.name} {opened.split}, "
        f"{counted(len(opened), 'person')}, {boxes}, protocol {how['protocol']}"
    )
    began = time.monotonic()
    with progress("persons", len(opened)) as report:
        found = score_model(estimator, opened, report=report, **how)
    say(f"{counted(len(opened), 'person')} in {time.monotonic() - began:.1f} s")
    return found


def _score_sources(
    texts: list[str], options: EstimatorOptions, *, protocol: str | None, boxes: bool, as_json: bool
) -> None:
    """Print a line for each data set, and their mean."""
    from spcnet.evaluation.sources import evaluate_sources, parse_source, protocol_of
    from spcnet.metrics.kinds import KINDS
    from spcnet.metrics.protocols import find_rule

    sources = [parse_source(text) for text in texts]
    protocol = find_rule(protocol or protocol_of(sources)).name
    opened = [source.open() for source in sources]
    estimator = options.open()
    say(f"model {estimator.describe()}; {'boxes' if boxes else 'no boxes'}, protocol {protocol}")
    for source, labels in zip(sources, opened, strict=True):
        _warn_of_learned(estimator, labels, source.root, f"the pictures of {source.title}")
    with progress("persons", sum(map(len, opened))) as report:
        scored = evaluate_sources(estimator, sources, protocol=protocol, boxes=boxes, report=report)
    for each in scored[:-1]:
        scoring.say_left_out(protocol, each.left_out, f"{each.group.name}: ")
    if as_json:
        found = {each.group.name: {**asdict(each.group), "kinds": each.kinds} for each in scored}
        how = {"protocol": protocol, "model": options.model, "boxes": boxes}
        print(json.dumps({**how, "sources": found}))
        return
    rows = [
        _row("Data", "PCK", each.group)
        | {kind.capitalize(): f"{each.kinds[kind]:.1f}" for kind in KINDS[1:]}
        for each in scored
    ]
    print(table(rows, right=list(rows[0])[1:]))


def _row(heading: str, mean: str, group: "Group") -> dict[str, Any]:
    return {
        heading: group.name,
        "Persons": group.persons,
        mean: f"{group.score:.1f}",
        "95 % interval": "{:.1f} to {:.1f}".format(*group.interval),
    }


def _warn_of_learned(estimator: "PoseEstimator", opened: "Dataset", root: object, of: str) -> None:
    if shared := learned_from(estimator.card.training, opened, root).shared:
        say(f"warning: the model learned from {len(shared)} of {of}, such as {shared[0]}")
