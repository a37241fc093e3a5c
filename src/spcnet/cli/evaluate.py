"""``spcnet evaluate``: a model's score on a data set by a named protocol."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spcnet.cli.completion import crop_rules, protocol_names
from spcnet.cli.console import (
    check_style,
    prepare_output,
    print_score,
    progress,
    say,
    say_foreign,
    table,
)
from spcnet.cli.estimator_options import BY_DEFAULT, EstimatorOptions, with_estimator
from spcnet.cli.options import (
    DATASET,
    FORCE,
    ROOT,
)
from spcnet.cli.prediction_options import AS_JSON, COMPARE, STYLE, THRESHOLD
from spcnet.evaluation.overlap import learned_from

if TYPE_CHECKING:
    from spcnet.inference.estimator import PoseEstimator


@with_estimator
def evaluate(
    options: EstimatorOptions = BY_DEFAULT,
    dataset: Annotated[str, DATASET] = "lspet",
    root: Annotated[Path | None, ROOT] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Score on several data sets by torso-pck, or another --protocol: "
            "DATASET:ROOT:SPLIT, such as coco:PATH/mpii:val; may be repeated.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="A split, or image numbers such as 1-500; by default val or test."),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="By default the data set's own; docs/protocols.md has all.",
            autocompletion=protocol_names,
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            help="box, mpii, lsp-height, lsp-limbs or flic; by default the data set's.",
            autocompletion=crop_rules,
        ),
    ] = None,
    no_boxes: Annotated[
        bool,
        typer.Option("--no-boxes", help="Have the finder look for the persons, as predict does."),
    ] = False,
    threshold: Annotated[float | None, THRESHOLD] = None,
    ground_truth: Annotated[
        Path | None,
        typer.Option(help="Score against the labels of this file, such as observer-centric ones."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Write the joints too: .npz, .mat, .h5 or COCO .json."),
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(help="Write MPII's pred_keypoints_mpii.mat (--dataset mpii --split test)."),
    ] = None,
    by_torso: Annotated[
        bool,
        typer.Option("--by-torso", help="Score persons by how far they are from upright too."),
    ] = False,
    compare: Annotated[bool, COMPARE] = False,
    style: Annotated[str | None, STYLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Score a model by a named protocol.

    Example: spcnet evaluate --model default --dataset lspet --root PATH/lspet --split val

    Example: spcnet evaluate --source lspet:PATH/lspet:val --source coco:PATH/mpii:val
    """
    if options.finder and not no_boxes:
        raise typer.BadParameter("--finder goes with --no-boxes")
    if source:
        if root or split or ground_truth or predictions or submission or compare or by_torso:
            raise typer.BadParameter("--source goes without options of a single data set")
        _score_sources(source, options, protocol=protocol, boxes=not no_boxes, as_json=as_json)
        return
    style = check_style(style, compare=compare, as_json=as_json)
    if no_boxes and (crop or submission):
        raise typer.BadParameter("--no-boxes goes without --crop and --submission")
    prepare_output([path for path in (predictions, submission) if path], force=force)

    from spcnet.data.datasets import (
        default_crop,
        default_protocol,
        default_split,
        open_dataset,
    )
    from spcnet.data.regions import check_rule
    from spcnet.evaluation.evaluate import evaluate as score_model
    from spcnet.evaluation.predictions import Predictions, check_format
    from spcnet.evaluation.scoring import score_predictions
    from spcnet.evaluation.writing import write_predictions
    from spcnet.metrics.paper import comparison

    if predictions is not None:
        check_format(predictions)
    model = options.model
    estimator = options.open()
    if submission is not None:
        _submit(submission, root, model, estimator)
        return
    split = split or default_split(dataset, root)
    protocol = protocol or default_protocol(dataset)
    rule = None if no_boxes else check_rule(crop or default_crop(dataset))
    opened = open_dataset(dataset, root, split)
    say(
        f"model {estimator.describe()}; {dataset} {opened.split}, {len(opened)} persons, "
        f"{f'crop {rule}' if rule else 'no boxes'}, protocol {protocol}"
    )
    say_foreign(protocol, opened.name)
    if shared := learned_from(estimator.card.training, opened, root).shared:
        say(f"warning: the model learned from {len(shared)} of these pictures, such as {shared[0]}")
    began = time.monotonic()
    with progress("persons", len(opened)) as report:
        found = score_model(
            estimator, opened, protocol=protocol, crop=rule, threshold=threshold, report=report
        )
    seconds = time.monotonic() - began
    say(f"{len(opened)} persons in {seconds:.1f} s")
    score = found.score
    if ground_truth is not None:
        from spcnet.data.labels import read_labels

        labels = read_labels(ground_truth, split)
        mine = Predictions(
            found.points,
            index_base=found.labels.counts_from,
            joints=estimator.skeleton.joints,
            images=[person.image for person in found.labels.annotations],
        )
        score = score_predictions(mine, labels, protocol=protocol, threshold=threshold)
    if predictions is not None:
        write_predictions(
            predictions, found.points, found.scores, found.labels, skeleton=estimator.skeleton
        )
        say(f"joints -> {predictions}")
    how: dict[str, Any] = {
        "model": model,
        "dataset": dataset,
        "split": opened.split,
        "crop": rule,
        "refinement": estimator.codec.refinement,
        "flip": options.flip,
        "scales": estimator.testing.scales,
        "rotations": estimator.testing.rotations,
    }
    groups = []
    if by_torso:
        from spcnet.metrics.breakdown import score_by_torso

        groups = score_by_torso(*found.judged())
        how["by_torso"] = [asdict(group) for group in groups if group.persons]
    compared = None
    if compare:
        testing = str(estimator.testing or "single scale")
        compared = comparison(
            score, method=f"SPCNet ({model})", part=(opened.name, opened.split), testing=testing
        )
    print_score(score, compared, style=style, how=how)
    if groups and style != "json":
        rows = [
            {
                "Torso, degrees": group.name,
                "Persons": group.persons,
                "Limbs" if score.mean_limbs is not None else "Mean": f"{group.score:.1f}",
                "95 % interval": "{:.1f} to {:.1f}".format(*group.interval),
            }
            for group in groups
            if group.persons
        ]
        print("\n" + table(rows, right=list(rows[0])[1:], style=style))


def _score_sources(
    texts: list[str],
    options: EstimatorOptions,
    *,
    protocol: str | None,
    boxes: bool,
    as_json: bool,
) -> None:
    """Print a line for each data set, and their mean."""
    import json

    from spcnet.evaluation.sources import PROTOCOL, evaluate_sources, parse_source
    from spcnet.metrics.kinds import KINDS

    wrong = KINDS[1:]
    sources = [parse_source(text) for text in texts]
    model = options.model
    estimator = options.open()
    protocol = protocol or PROTOCOL
    say(f"model {estimator.describe()}; {'boxes' if boxes else 'no boxes'}, protocol {protocol}")
    for source in sources:
        if shared := learned_from(estimator.card.training, source.open(), source.root).shared:
            say(f"warning: the model learned from {len(shared)} pictures of {source.title}")
    with progress("persons", None) as report:
        scored = evaluate_sources(estimator, sources, protocol=protocol, boxes=boxes, report=report)
    if as_json:
        rows = {found.group.name: {**asdict(found.group), "kinds": found.kinds} for found in scored}
        print(json.dumps({"protocol": protocol, "model": model, "boxes": boxes, "sources": rows}))
        return
    print(
        table(
            [
                {
                    "Data": found.group.name,
                    "Persons": found.group.persons,
                    "PCK": f"{found.group.score:.1f}",
                    "95 % interval": "{:.1f} to {:.1f}".format(*found.group.interval),
                    **{kind.capitalize(): f"{found.kinds[kind]:.1f}" for kind in wrong},
                }
                for found in scored
            ],
            right=["Persons", "PCK", "95 % interval", *(kind.capitalize() for kind in wrong)],
        )
    )


def _submit(path: Path, root: Path | None, model: str, estimator: "PoseEstimator") -> None:
    """Predict MPII's test persons and write the file that its server takes."""
    import scipy.io

    from spcnet.cli.console import replacing
    from spcnet.data.annotations import find_labels
    from spcnet.data.datasets import open_pictures
    from spcnet.data.mpii import RELEASE, annolist_index, read_release
    from spcnet.data.mpii import submission as submitted
    from spcnet.errors import UserError
    from spcnet.evaluation.evaluate import predict_dataset
    from spcnet.skeletons import MPII16

    persons = open_pictures("mpii", root, "test")
    if estimator.skeleton != MPII16:
        raise UserError(
            f"model {model!r} predicts {estimator.skeleton.name!r}; MPII's server wants the 16 "
            "joints of mpii16"
        )
    with progress("persons", len(persons)) as report:
        points, _, annotations = predict_dataset(estimator, persons, crop="mpii", report=report)
    assert root is not None
    release = find_labels(root, (RELEASE, "annot/" + RELEASE), title="MPII")
    assert release is not None
    found = {
        annolist_index(person.number or 0): joints
        for person, joints in zip(annotations, points, strict=True)
    }
    content = submitted(read_release(release), found)
    with replacing(path) as partial:
        scipy.io.savemat(str(partial), content, do_compression=True, appendmat=False)
    print(f"{path}: {len(found)} persons of {content['pred'].shape[1]} test images")
