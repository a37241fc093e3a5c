"""The text of a model card."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from spcnet.checkpoints import ModelCard
from spcnet.cli.console import table
from spcnet.evaluation.evaluate import Evaluation
from spcnet.evaluation.overlap import runs_of
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.breakdown import Group, score_by_torso
from spcnet.metrics.paper import PEERS
from spcnet.models.summary import summarise

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
        "Written by `spcnet card`, which tested the model for it.",
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
    if score.protocol == PEERS.protocol:
        peers = [{"Others": name, "Limbs": f"{limbs:.1f}"} for name, limbs in PEERS.limbs.items()]
        parts += [f"What people can install otherwise, {PEERS.note}:", _table(peers)]
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
