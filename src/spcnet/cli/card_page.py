"""The text of a model card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spcnet.cli.console import table
from spcnet.evaluation.evaluate import Evaluation
from spcnet.evaluation.overlap import runs_of
from spcnet.inference.estimator import PoseEstimator
from spcnet.metrics.breakdown import Group
from spcnet.metrics.paper import PEERS
from spcnet.metrics.protocols import Score
from spcnet.models.summary import summarise

USE = """\
Meant for pictures of one person each, or of several with a box around each: sport, dance, fitness,
animation, research on pose. It says where joints are in the picture, not who someone is.

Not meant for decisions about people: not for surveillance, identification, or judging health, age
or intent; not where a wrong joint can hurt someone, unless a person checks. How it does on
children, on people with other bodies or aids, or in clothes that hide the limbs, was not measured.
"""
# What a data set's persons are like.
PERSONS = {
    "lspet": "LSP extended shows people in parkour, gymnastics and athletics, in photographs from "
    "Flickr of the years before 2011; crowd workers labelled them, and about one person in four "
    "has a clearly wrong joint.",
}


@dataclass(frozen=True)
class Tested:
    """One way of testing.

    Attributes:
        testing: the test-time augmentation in words.
        found: the evaluation.
        torso: by how far persons are from upright.
    """

    testing: str
    found: Evaluation
    torso: Sequence[Group]


@dataclass(frozen=True)
class Measured:
    """All that a card tells.

    Attributes:
        name: of the model.
        estimator: without test-time augmentation.
        tests: without it first.
        sources: by the test-time augmentation, the scores on several data sets and their mean.
        unseen: whether the model is known to have learned from none of the pictures.
        milliseconds: an image, by what was timed.
        reliability_error: how far scores and shares of right joints are apart, in [0, 1].
        auroc: of scores on pictures that end at the hips, joints in them against joints out.
        images: figures by kind, as seen from the page.
    """

    name: str
    estimator: PoseEstimator
    tests: Sequence[Tested]
    sources: Mapping[str, Sequence[Group]]
    unseen: bool
    milliseconds: Mapping[str, float]
    reliability_error: float
    auroc: float
    images: Mapping[str, str]


def write_page(measured: Measured) -> str:
    """The card as Markdown."""
    parts = [
        f"# Model card: `{measured.name}`",
        "Written by `spcnet card`, which tested the model for it.",
        _network(measured),
        _sources(measured),
        _accuracy(measured),
        _scores(measured),
        _training(measured),
        _failures(measured),
        "## Intended use\n\n" + USE.rstrip(),
        f"## Licence\n\n{measured.estimator.card.licence or 'Not stated.'}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _network(measured: Measured) -> str:
    estimator = measured.estimator
    card = estimator.card
    cost = summarise(estimator.network, input_size=card.codec.input_size)
    rows = [
        ("network", f"{card.variant} {card.arguments or ''}".rstrip()),
        ("input", f"{card.codec.input_size} x {card.codec.input_size} pixels"),
        ("joints", f"{card.skeleton.name}: {', '.join(card.skeleton.joints)}".replace("_", " ")),
        ("parameters", f"{cost.parameters / 1e6:.2f} M"),
        ("file", f"{estimator.path.stat().st_size / 1e6:.1f} MB, fp16"),
        ("multiply-adds", f"{cost.gmac:.2f} G an image"),
        ("refinement", card.codec.refinement),
    ]
    times = measured.milliseconds
    first = next(iter(times.values()))
    speed = [
        {"Batch 1, fp32": name, "ms": f"{value:.1f}", "ratio": f"{value / first:.1f}"}
        for name, value in times.items()
    ]
    return "\n\n".join(
        [
            "## The network",
            _two_columns(rows),
            f"Time on {_device(estimator)}, medians of interleaved turns in one run:",
            table(speed, right=["ms", "ratio"], style="markdown"),
        ]
    )


def _device(estimator: PoseEstimator) -> str:
    import torch

    if estimator.device.type == "cpu":
        return f"{torch.get_num_threads()} CPU threads"
    return torch.cuda.get_device_name(estimator.device)


def _sources(measured: Measured) -> str:
    if not measured.sources:
        return ""
    first = next(iter(measured.sources.values()))
    rows = [
        {
            "Data": group.name,
            "Persons": group.persons,
            **{name: _interval(groups[n]) for name, groups in measured.sources.items()},
        }
        for n, group in enumerate(first)
    ]
    return "\n\n".join(
        [
            "## How good it is, by kind of picture",
            "`torso-pck`, the mean of the 12 limb joints, percent, with 95 % intervals from "
            "resampled persons; tight person boxes. In the mean each kind counts alike. None of "
            "these persons was learned from.",
            table(rows, right=list(rows[0])[1:], style="markdown"),
        ]
    )


def _accuracy(measured: Measured) -> str:
    first = measured.tests[0].found
    labels = first.labels
    summary = [
        {
            "Testing": test.testing,
            **({"Limbs": f"**{limbs:.2f}**"} if (limbs := test.found.score.mean_limbs) else {}),
            "All joints": f"{test.found.score.mean:.2f}",
        }
        for test in measured.tests
    ]
    joints = [
        {
            "Joint": joint.replace("_", " "),
            **{test.testing: f"{_of(test.found.score, joint):.1f}" for test in measured.tests},
        }
        for joint in first.score.joints
    ]
    angles = [
        {
            "Torso, degrees from upright": group.name,
            "Persons": group.persons,
            **{test.testing: _interval(test.torso[n]) for test in measured.tests},
        }
        for n, group in enumerate(measured.tests[0].torso)
        if group.persons
    ]
    unseen = (
        "The model learned from none of these pictures."
        if measured.unseen
        else "The checkpoint does not tell whether the model learned from these pictures."
    )
    parts = [
        f"## How good it is on {labels.name}",
        f"`{first.score.protocol}` on {labels.name} {labels.split}, {first.score.persons} persons "
        f"with a reference length, percent. {unseen}",
        table(summary, right=list(summary[0])[1:], style="markdown"),
        "By joint:",
        table(joints, right=list(joints[0])[1:], style="markdown"),
        "By how far people are from upright, with 95 % intervals from resampled persons:",
        table(angles, right=list(angles[0])[1:], style="markdown"),
    ]
    if first.score.protocol == PEERS.protocol:
        peers = [{"Others": name, "Limbs": f"{limbs:.1f}"} for name, limbs in PEERS.limbs.items()]
        parts += [
            f"What people can install otherwise, {PEERS.note}:",
            table(peers, right=["Limbs"], style="markdown"),
        ]
    return "\n\n".join(parts)


def _of(score: Score, joint: str) -> float:
    return score.joints[joint]


def _interval(group: Group) -> str:
    low, high = group.interval
    return f"{group.score:.1f} ({low:.1f} to {high:.1f})"


def _scores(measured: Measured) -> str:
    calibration = measured.estimator.codec.calibration
    fitted = (
        f"Scores were fitted on {calibration.fitted_on}."
        if calibration
        else "Scores are peak values of heatmaps, not fitted to anything."
    )
    return "\n\n".join(
        [
            "## What its scores mean",
            f"{fitted} On the persons above, scores and the shares of right joints are "
            f"{100 * measured.reliability_error:.1f} points apart.",
            f"![Reliability]({measured.images['reliability']})",
            "On the same persons with their pictures cut at the hips, a joint in the picture has a "
            f"higher score than one outside it in {100 * measured.auroc:.1f} % of pairs (AUROC).",
        ]
    )


def _training(measured: Measured) -> str:
    card = measured.estimator.card
    runs = runs_of(card.training)
    if not runs:
        return "## How it was trained\n\nThe checkpoint does not tell."
    rows = [_run(run, number) for number, run in enumerate(reversed(runs), start=1)]
    parts = [
        "## How it was trained",
        table(rows, style="markdown"),
        f"Written by spcnet {card.version}; the checkpoint holds every field of the recipes.",
        *(
            text
            for name, text in PERSONS.items()
            if any(run.get("dataset") == name for run in runs)
        ),
    ]
    if "epochs" in measured.images:
        parts.append(f"![Scores over the epochs]({measured.images['epochs']})")
    return "\n\n".join(parts)


def _run(run: Mapping[str, Any], number: int) -> dict[str, str]:
    recipe = run.get("recipe", {})
    optimizer = recipe.get("optimizer", {})
    return {
        "Run": f"{number}. {recipe.get('name', '')}".rstrip(),
        "Pictures": _filled(run, "{dataset} {images}, {persons} persons"),
        "Input": _filled(recipe.get("model", {}), "{input_size} px"),
        "Optimiser": _filled(optimizer, "{name}, {lr:g}, {schedule}"),
        "Epochs": _filled(run, "{epochs:g}"),
        "Minutes": _filled(run, "{minutes:.0f}"),
        "Seed": _filled(run, "{seed}"),
        "Machine": _filled(run, "{machine}"),
    }


def _filled(values: Mapping[str, Any], words: str) -> str:
    """Values in words; a checkpoint of elsewhere may lack them."""
    try:
        return words.format_map(values)
    except (KeyError, ValueError, TypeError):
        return "not stated"


def _failures(measured: Measured) -> str:
    if "failures" not in measured.images:
        return ""
    return "\n\n".join(
        [
            "## What it fails on",
            "Of pictures that may be shown, those with the largest errors first.",
            f"![Failures]({measured.images['failures']})",
        ]
    )


def _two_columns(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
