"""A model card, from the checkpoint and an evaluation made for it.

python tools/card.py --root PATH/lspet --run runs/mine -o card.md
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image
from scipy.stats import rankdata
from typer import Option

from spcnet.calibration import reliability
from spcnet.checkpoints import ModelCard
from spcnet.cli import scoring
from spcnet.cli.console import prepare_output, progress, save_figure, say, table
from spcnet.cli.options import DATASET, DEVICE, FORCE, MODEL, ROOT
from spcnet.codec import square_of_box
from spcnet.data.annotations import Annotation, Dataset, JointState
from spcnet.data.datasets import default_split, open_dataset, open_pictures
from spcnet.data.regions import region_rule
from spcnet.errors import UserError
from spcnet.evaluation.calibrate import joint_outcomes
from spcnet.evaluation.evaluate import Evaluation, in_crops, predict_dataset
from spcnet.evaluation.overlap import runs_of
from spcnet.evaluation.predictions import in_order
from spcnet.evaluation.sources import evaluate_sources, parse_source
from spcnet.evaluation.speed import measure_speed
from spcnet.evaluation.training_curves import draw_runs
from spcnet.files import replacing
from spcnet.geometry import Array, apply_affine, crop_affine
from spcnet.inference.estimator import PoseEstimator
from spcnet.media.crops import extract_crop
from spcnet.metrics.breakdown import Group, score_by_torso, torso_columns
from spcnet.models.summary import summarise
from spcnet.viz.contact_sheet import contact_sheet, draw_labels
from spcnet.viz.curves import draw_reliability

OUTPUT = Option("--output", "-o", help="The page, a .md; its pictures go to images/ beside.")
ROTATIONS = Option(help="The turned crops of the strongest test (degrees).")
RUNS = Option("--run", help="A training run, for its curve; may be repeated.")
PICTURES = Option(help="Labels (COCO JSON) of pictures that may be shown: the worst of them are.")
WORST = 6
OFF = 0.08  # of the crop's side: an error that anyone sees
TILE = 256  # side of a picture in the sheet, pixels

USE = """\
Meant for pictures of one person each, or of several with a box around each: sport, dance, fitness,
animation, research on pose. It says where joints are in the picture, not who someone is.

Not meant for decisions about people: not for surveillance, identification, or judging health, age
or intent; not where a wrong joint can hurt someone, unless a person checks. How it does on
children, on people with other bodies or aids, or in clothes that hide the limbs, was not measured.\
"""
# What a data set's persons are like.
PERSONS = {
    "lspet": "LSP extended shows people in parkour, gymnastics and athletics, in photographs from "
    "Flickr of the years before 2011; crowd workers labelled them, and about one person in four "
    "has a clearly wrong joint."
}
RUN_COLUMNS = {  # of a run's record, and first its optimizer
    "Pictures": "{dataset} {images}, {persons} persons",
    "Input": "{recipe[model][input_size]} px",
    "Optimiser": "{0[name]}, {0[lr]:g}, {0[schedule]}",
    "Epochs": "{epochs:g}",
    "Minutes": "{minutes:.0f}",
    "Seed": "{seed}",
    "Machine": "{machine}",
}
# What pretrained models that people can install reach on images like LSP extended's: the mean over
# the limb joints, percent.
PEERS_RULE = "lspet-pck"
PEERS_NOTE = (
    "measured on 1,000 images like the validation part of LSP extended, by the same rule; they "
    "never saw this set's labels, and a model trained on its other images did"
)
PEERS = {
    "PoseNet": 29.2,
    "OpenVINO human-pose-estimation-0001": 47.0,
    "MediaPipe Pose lite": 49.7,
    "MediaPipe Pose full": 53.9,
    "MediaPipe Pose heavy": 57.2,
    "MediaPipe Pose heavy, its detector's threshold lowered": 61.6,
    "MoveNet Lightning": 58.9,
    "MoveNet Thunder": 66.0,
    "MoveNet Thunder, averaged over four rotations": 68.6,
}


def card(
    output: Annotated[Path, OUTPUT],
    model: Annotated[str, MODEL] = "default",
    dataset: Annotated[str, DATASET] = "lspet",
    root: Annotated[Path | None, ROOT] = None,
    split: Annotated[str | None, scoring.PERSONS] = None,
    source: Annotated[list[str] | None, scoring.SOURCE] = None,
    rotations: Annotated[str, ROTATIONS] = "-15,15",
    runs: Annotated[list[Path] | None, RUNS] = None,
    pictures: Annotated[Path | None, PICTURES] = None,
    turns: Annotated[int, Option(min=1, help="Turns of the timing.")] = 50,
    device: Annotated[str, DEVICE] = "auto",
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Test a model and write its card: scores, sizes, speed, training, what it fails on."""
    if output.suffix != ".md":
        raise UserError(f"{output}: the page is Markdown; let its name end in .md")
    name = Path(model).name.removesuffix(".safetensors")
    wanted = {"reliability": True, "epochs": runs, "failures": pictures}
    images = {kind: f"images/{name}-{kind}.png" for kind, given in wanted.items() if given}
    files = {kind: output.parent / image for kind, image in images.items()}
    prepare_output([output, *files.values()], force=force)
    drawn: dict[str, Any] = {}
    # What may be wrong with the arguments is found before minutes of measuring.
    if runs:
        drawn["epochs"] = draw_runs(runs)
    chosen = [parse_source(text) for text in source or []]
    opened = open_dataset(dataset, root, split := split or default_split(dataset, root))
    plain = PoseEstimator(model, device=device)
    known = scoring.refuse_learned(plain, opened, root, f"--split {split}")
    mirrored = PoseEstimator(model, device=device, flip=True)
    turned = PoseEstimator(model, device=device, flip=True, rotations=rotations)
    tests = {
        str(estimator.testing): scoring.evaluate_persons(estimator, opened, dataset)
        for estimator in (plain, mirrored, turned)
    }
    sources = {
        str(estimator.testing): [scored.group for scored in evaluate_sources(estimator, chosen)]
        for estimator in (plain, mirrored)
        if chosen
    }
    first = next(iter(tests.values()))
    bins = reliability(*joint_outcomes(first))
    with progress("persons, their pictures cut at the hips", len(opened)) as report:
        there = presence(plain, opened, report=report)
    title = f"{name}, {first.score.protocol}, {opened.name} {opened.split}"
    drawn["reliability"] = draw_reliability(bins, title=title)
    if pictures:
        drawn["failures"] = draw_worst(plain, pictures)
    with progress("turns of timing", turns + 1) as report:
        speed = measure_speed({name: plain}, turns=turns, report=report)[name]
    for kind, path in files.items():
        save_figure(drawn[kind], path, say=say)
    page = write_page(
        name, plain, tests, sources, known=known, milliseconds=speed.crop,
        reliability_error=bins.error, auroc=auroc(*there), images=images,
    )  # fmt: skip
    with replacing(output) as partial:
        partial.write_bytes(page.encode(errors="backslashreplace"))
    say(f"card -> {output}")


def write_page(
    name: str,
    estimator: PoseEstimator,
    tests: Mapping[str, Evaluation],
    sources: Mapping[str, Sequence[Group]],
    *,
    known: bool,
    milliseconds: float,
    reliability_error: float,
    auroc: float,
    images: Mapping[str, str],
) -> str:
    """The card as Markdown; `tests` and `sources` are by their test-time augmentation.

    It is `known` whether all that the model learned from is known, and is none of these pictures.
    """
    meaning = "Scores are peak values of heatmaps, not fitted to anything."
    if calibration := estimator.codec.calibration:
        meaning = f"Scores were fitted on {calibration.fitted_on}."
    parts = [
        f"# Model card: `{name}`",
        "Written by `tools/card.py`, which tested the model for it.",
        *_network(estimator, milliseconds),
        *_sources(sources),
        *_accuracy(tests, known),
        "## What its scores mean",
        f"{meaning} On the persons above, scores and the shares of right joints are "
        f"{100 * reliability_error:.1f} points apart.",
        f"![Reliability]({images['reliability']})",
        "On the same persons with their pictures cut at the hips, a joint in the picture has a "
        f"higher score than one outside it in {100 * auroc:.1f} % of pairs (AUROC).",
        *_training(estimator.card),
    ]
    if "epochs" in images:
        parts.append(f"![Scores over the epochs]({images['epochs']})")
    if "failures" in images:
        parts += [
            "## What it fails on",
            "Of pictures that may be shown, those with the largest errors first.",
            f"![Failures]({images['failures']})",
        ]
    parts += ["## Intended use", USE, "## Licence", estimator.card.licence or "Not stated."]
    return "\n\n".join(parts) + "\n"


def _network(estimator: PoseEstimator, milliseconds: float) -> list[str]:
    card = estimator.card
    size = card.codec.input_size
    cost = summarise(estimator.network, input_size=size)
    device = f"{torch.get_num_threads()} CPU threads"
    if estimator.device.type != "cpu":
        device = torch.cuda.get_device_name(estimator.device)
    rows = {
        "network": f"{card.variant} {card.arguments or ''}".rstrip(),
        "input": f"{size} x {size} pixels",
        "joints": f"{card.skeleton.name}: {', '.join(card.skeleton.joints)}".replace("_", " "),
        "parameters": f"{cost.parameters / 1e6:.2f} M",
        "file": f"{estimator.path.stat().st_size / 1e6:.1f} MB, fp16",
        "multiply-adds": f"{cost.gmac:.2f} G an image",
        "time": f"{milliseconds:.1f} ms from crop to keypoints, fp32, batch 1, {device}",
        "refinement": card.codec.refinement,
    }
    return [
        "## The network",
        "\n".join(["| | |", "|---|---|", *(f"| {key} | {text} |" for key, text in rows.items())]),
    ]


def _sources(sources: Mapping[str, Sequence[Group]]) -> list[str]:
    if not sources:
        return []
    return [
        "## How good it is, by kind of picture",
        "`torso-pck`, the mean of the 12 limb joints, percent, with 95 % intervals from "
        "resampled persons; tight person boxes. In the mean each kind counts alike. None of "
        "these persons was learned from.",
        _groups("Data", sources),
    ]


def _accuracy(tests: Mapping[str, Evaluation], known: bool) -> list[str]:
    first = next(iter(tests.values()))
    labels, score = first.labels, first.score
    scores = {testing: found.score for testing, found in tests.items()}
    summary, by_joint = [], []
    for testing, one in scores.items():
        limbs = {} if one.mean_limbs is None else {"Limbs": f"**{one.mean_limbs:.2f}**"}
        summary.append({"Testing": testing, **limbs, "All joints": f"{one.mean:.2f}"})
    for joint in score.joints:
        values = {testing: f"{one.joints[joint]:.1f}" for testing, one in scores.items()}
        by_joint.append({"Joint": joint.replace("_", " "), **values})
    by_angle = {testing: score_by_torso(*found.judged()) for testing, found in tests.items()}
    unseen = "The checkpoint does not tell whether the model learned from these pictures."
    if known:
        unseen = "The model learned from none of these pictures."
    parts = [
        f"## How good it is on {labels.name}",
        f"`{score.protocol}` on {labels.name} {labels.split}, {score.persons} persons "
        f"with a reference length, percent. {unseen}",
        _table(summary),
        "By joint:",
        _table(by_joint),
        "By how far people are from upright, with 95 % intervals from resampled persons:",
        _groups("Torso, degrees from upright", by_angle),
    ]
    if score.protocol == PEERS_RULE:
        peers = [{"Others": name, "Limbs": f"{limbs:.1f}"} for name, limbs in PEERS.items()]
        parts += [f"What people can install otherwise, {PEERS_NOTE}:", _table(peers)]
    return parts


def _groups(heading: str, found: Mapping[str, Sequence[Group]]) -> str:
    """Scores of the same groups of persons by several ways of testing."""
    rows = []
    for groups in zip(*found.values(), strict=True):
        texts = ["{:.1f} ({:.1f} to {:.1f})".format(each.score, *each.interval) for each in groups]
        if groups[0].persons:
            first = {heading: groups[0].name, "Persons": groups[0].persons}
            rows.append(first | dict(zip(found, texts, strict=True)))
    return _table(rows)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    return table(rows, right=list(rows[0])[1:], style="markdown")


def _training(card: ModelCard) -> list[str]:
    runs = runs_of(card.training)
    if not runs:
        return ["## How it was trained", "The checkpoint does not tell."]
    rows = [_run(run, number) for number, run in enumerate(reversed(runs), start=1)]
    learned = {run.get("dataset") for run in runs}
    return [
        "## How it was trained",
        table(rows, style="markdown"),
        f"Written by spcnet {card.version}; the checkpoint holds every field of the recipes.",
        *(text for name, text in PERSONS.items() if name in learned),
    ]


def _run(run: Mapping[str, Any], number: int) -> dict[str, str]:
    """A run in words; a checkpoint of elsewhere may lack some."""
    recipe = run.get("recipe", {})
    row = {"Run": f"{number}. {recipe.get('name', '')}".rstrip()}
    for column, words in RUN_COLUMNS.items():
        try:
            row[column] = words.format(recipe.get("optimizer"), **run)
        except (KeyError, ValueError, TypeError):
            row[column] = "not stated"
    return row


def presence(
    estimator: PoseEstimator, dataset: Dataset, *, report: Callable[[int], None] = lambda done: None
) -> tuple[Array, Array]:
    """Scores (M,) of labelled joints, the hips aside, in pictures that end there; (M,) if in them.

    Each person's picture is cut through the middle of the hips, across or upright, whichever is
    nearer to a right angle with the torso; the half with the shoulders is kept, and cropped about
    the joints that are left in it. Persons whose shoulders and hips are not all labelled are
    passed over; a `UserError` where nobody is left. `report` gets the number of persons seen.
    """
    skeleton = dataset.skeleton
    cuts = _cut_at_hips(dataset, report)
    found = list(in_crops(estimator, cuts, region_rule("box", dataset)))
    if not found:
        raise UserError(f"{dataset.name} {dataset.split}: no person whose torso is labelled")
    _, scores, persons = zip(*found, strict=True)
    ordered = in_order(np.concatenate(scores), estimator.skeleton.joints, skeleton)
    states = np.stack([person.states for group in persons for person in group])
    counted = (states != JointState.MISSING) & np.isfinite(ordered)
    counted[:, torso_columns(skeleton)[1]] = False
    return ordered[counted], (states != JointState.ABSENT)[counted]


def _cut_at_hips(
    dataset: Dataset, report: Callable[[int], None]
) -> Iterator[tuple[Array, Annotation]]:
    """Every person whose torso is labelled, and of whom three joints or more are left."""
    ends = torso_columns(dataset.skeleton)
    for seen, (image, person) in enumerate(dataset.samples(), start=1):
        report(seen)
        if not person.annotated[[*ends[0], *ends[1]]].all():
            continue
        shoulders, hips = (person.points[columns].mean(axis=0) for columns in ends)
        axis = int(np.argmax(np.abs(shoulders - hips)))  # 0: cut upright, 1: cut across
        low, high = np.zeros(2, dtype=int), np.array(image.shape[1::-1])
        line = int(np.clip(round(float(hips[axis])), 1, high[axis] - 1))
        (high if shoulders[axis] < hips[axis] else low)[axis] = line
        points = person.points - low
        inside = ((points >= -0.5) & (points <= high - low - 0.5)).all(axis=1)
        states = np.where(inside, JointState.VISIBLE, JointState.ABSENT) * person.annotated
        if (person.annotated & inside).sum() >= 3:
            half = image[low[1] : high[1], low[0] : high[0]]
            yield half, Annotation(person.image, points, states)


def auroc(scores: Array, positive: Array) -> float:
    """Area under the ROC curve: how often a positive one scores higher than a negative one.

    Takes scores (N,) and bools (N,); ties count half, and it is NaN where all are alike.
    """
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return float("nan")
    ranks: Array = rankdata(scores)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def draw_worst(estimator: PoseEstimator, labels: Path) -> Image.Image:
    """A sheet of the persons with the largest mean errors, the joints that were found over them.

    Args:
        estimator: finds the joints.
        labels: a COCO JSON of the pictures' joints.

    Raises:
        UserError: the labels or a picture cannot be read.
    """
    opened = open_pictures("coco", labels, "all")
    found, _, persons = predict_dataset(estimator, opened)
    squares = [square_of_box(person.box) for person in persons]
    points = in_order(found, estimator.skeleton.joints, opened.skeleton)
    errors = np.linalg.norm(points - [person.points for person in persons], axis=2)
    errors /= np.array([[side] for _, side in squares])
    errors[~np.array([person.annotated for person in persons])] = np.nan
    known = np.isfinite(errors)
    means = np.nansum(errors, axis=1) / known.sum(axis=1).clip(1)
    worst = np.argsort(-means, kind="stable")[: min(WORST, int(known.any(axis=1).sum()))].tolist()
    all_joints = np.ones(len(estimator.skeleton), dtype=bool)
    tiles, captions = {}, []
    for row, (image, _) in enumerate(opened.samples()):
        if row in worst:
            affine = crop_affine(*squares[row], TILE)
            crop, joints = extract_crop(image, affine, TILE), apply_affine(affine, found[row])
            tiles[row] = draw_labels(crop, joints, all_joints, all_joints, estimator.skeleton)
    for row in worst:
        off = [opened.skeleton.joints[n].replace("_", " ") for n in np.where(errors[row] > OFF)[0]]
        captions.append((persons[row].image, ", ".join(off) or "all joints right"))
    title = f"joints that {estimator.path.stem} found; under each, those that are off"
    sheet = contact_sheet([tiles[row] for row in worst], captions, columns=3, title=title)
    return Image.fromarray(sheet)


if __name__ == "__main__":
    try:
        typer.run(card)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
