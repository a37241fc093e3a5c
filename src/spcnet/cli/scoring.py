"""What the commands that score share: options, persons, predictions, printed scores."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, BadParameter, Option

from spcnet.cli.completion import crop_rules, protocol_names, skeleton_names
from spcnet.cli.console import progress, say, table
from spcnet.errors import UserError, counted
from spcnet.evaluation.overlap import learned_from
from spcnet.skeletons import FLIC11, SKELETONS

if TYPE_CHECKING:
    from spcnet.data.annotations import AnnotatedPictures, Dataset
    from spcnet.evaluation.evaluate import Evaluation
    from spcnet.evaluation.predictions import Predictions
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.metrics.paper import Row, Table
    from spcnet.metrics.protocols import Score

# Of persons who are predicted and scored.
PERSONS = Option(help="A split, or numbers such as 1-500; by default val or test.")
SOURCE = Option(help="DATASET:ROOT:SPLIT, such as coco:PATH/mpii:val; may be repeated.")
OWN_PROTOCOL = Option(
    help="By default the data set's own; of several, and evaluate's --source, torso-pck.",
    autocompletion=protocol_names,
)
CROP = Option(
    help="box, mpii, lsp-height, lsp-limbs or flic; by default the data set's own.",
    autocompletion=crop_rules,
)
# Of files of predictions and labels.
PREDICTIONS = Argument(help="Predicted joints: a .mat, .h5, .npz or COCO .json.")
PROTOCOL = Option(help="A rule of `spcnet score --list`.", autocompletion=protocol_names)
GROUND_TRUTH = Option(help="The labels: a data set's own file, an hourglass .h5, or COCO .json.")
SPLIT = Option(help="Part of the labels; by default the one that the field scores.")
INDEX_BASE = Option(min=0, max=1, help="What pixels are counted from; by default 1 for .mat, .h5.")
AXES = Option(help="Order of the axes: n persons, k joints, c coordinates, such as kcn.")
KEY = Option(help="Name of the array of joints in the file.")
JOINTS = Option(help="Such as lsp14, or their names with commas.", autocompletion=skeleton_names)
# Of scores.
THRESHOLD = Option(help="Override the protocol's threshold.")
SIGMAS = Option(help="Of oks: a JSON of the joints' constants; see `spcnet data sigmas`.")
COMPARE = Option("--compare", help="Print the score under the paper's table.")
STYLE = Option("--format", help="Of tables: text (default), markdown or latex.")


def evaluate_persons(estimator: "PoseEstimator", opened: "Dataset", dataset: str) -> "Evaluation":
    """Predict and score all persons of a data set, by its own protocol and crops."""
    from spcnet.data.datasets import default_crop, default_protocol
    from spcnet.evaluation.evaluate import evaluate

    protocol, crop = default_protocol(dataset), default_crop(dataset)
    with progress(f"persons, {estimator.testing}", len(opened)) as report:
        return evaluate(estimator, opened, protocol=protocol, crop=crop, report=report)


def refuse_learned(estimator: "PoseEstimator", opened: "Dataset", root: object, name: str) -> bool:
    """Refuse persons whose pictures a model learned from; whether all that it did is known."""
    seen = learned_from(estimator.card.training, opened, root)
    if seen.shared:
        raise UserError(
            f"{name}: the model learned from {len(seen.shared)} of its pictures, such as "
            f"{seen.shared[0]}; name pictures that are new to it"
        )
    return seen.known


def read_both(
    predictions: Path, ground_truth: Path, *, split: str | None, joints: str | None, **how: Any
) -> "tuple[Predictions, AnnotatedPictures]":
    """Predictions, read as `how` says, and the labels they are for."""
    from spcnet.data.datasets import DATASETS, read_labels
    from spcnet.evaluation.predictions import FLIC_WITHOUT_EYES, read_predictions

    labels = read_labels(ground_truth, split)
    names = None if joints is None else _joint_names(joints)
    counts = [len(names or labels.skeleton)]
    if names is None and labels.skeleton == FLIC11:
        counts.append(len(FLIC_WITHOUT_EYES))

    def read(persons: int | None) -> "Predictions":
        found = read_predictions(predictions, persons=persons, joints=counts, **how)
        return found if names is None else replace(found, joints=names)

    try:
        return read(len(labels)), labels
    except UserError:
        # They may be for all of the file's persons, or carry the names of their pictures.
        info = DATASETS.get(labels.name)
        if split is None and info is not None and info.numbered:
            labels = read_labels(ground_truth, "all")
            return read(len(labels)), labels
        with suppress(UserError):
            found = read(None)
            if found.images is not None:
                return found, labels
        raise


def _joint_names(joints: str) -> tuple[str, ...]:
    if joints in SKELETONS:
        return SKELETONS[joints].joints
    names = tuple(name.strip() for name in joints.split(","))
    if len(names) < 2:
        raise UserError(f"--joints {joints}: wanted {', '.join(SKELETONS)}, or names with commas")
    return names


def _score_table(score: "Score") -> str:
    """A score as the field prints it: the columns of its tables in one row, then each joint."""
    from spcnet.metrics.protocols import OKS_RULES

    total, of_joint = ("AP", "OKS") if score.protocol in OKS_RULES else ("Mean", "PCK")
    means = {total: score.mean, "Limbs": score.mean_limbs}
    means |= {f"@{threshold}": mean for threshold, mean in score.at.items()} | {"AUC": score.auc}
    summary = {part: f"{value:.1f}" for part, value in score.parts.items()}
    summary |= {name: f"{value:.2f}" for name, value in means.items() if value is not None}
    at = "" if score.threshold is None else f"@{score.threshold:g}"
    blocks = [f"{score.protocol}{at} over {counted(score.persons, 'person')}, %"]
    blocks.append(table([summary], right=list(summary)))
    if score.joints:
        joints = [
            {"Joint": joint, of_joint: f"{value:.1f}"} for joint, value in score.joints.items()
        ]
        blocks.append(table(joints, right=[of_joint]))
    return "\n\n".join(blocks)


def say_left_out(protocol: str, persons: int, of: str = "") -> None:
    """Say how many persons have no reference length by a variant of PCK, if any."""
    from spcnet.metrics.protocols import find_rule

    if persons:
        say(f"{of}{counted(persons, 'person')} without a {find_rule(protocol).reference} left out")


def check_style(style: str | None, *, compare: bool, as_json: bool) -> str:
    """The style of the comparison with the paper's table, or wrong usage."""
    if style not in (None, "text", "markdown", "latex"):
        raise BadParameter(f"--format {style}: a table is text, markdown or latex")
    if style is not None and (as_json or not compare):
        raise BadParameter(f"--format {style} goes with --compare, and without --json")
    return "json" if as_json else style or "text"


def say_foreign(protocol: str, data: str) -> None:
    """Warn of a protocol that is applied to another data set than the one it is for."""
    from spcnet.data.datasets import DATASETS
    from spcnet.metrics.protocols import PCK_RULES

    rule, info = PCK_RULES.get(protocol), DATASETS.get(data)
    own = info is not None and info.protocol == protocol
    if rule is not None and rule.data not in (None, data) and not own:
        say(f"warning: {protocol} is the rule of {rule.data}, and these labels are {data}'s")


def print_score(
    score: "Score",
    compared: "tuple[Table, Row] | None",
    *,
    style: str,
    how: Mapping[str, Any] | None = None,
    interval: tuple[float, float] | None = None,
) -> None:
    """Print a score, and the paper's table with our row where it is compared.

    In a style for documents the table comes alone; JSON says also how the score came about.
    """
    say_left_out(score.protocol, score.left_out)
    if style == "json":
        values = score.to_dict() | dict(how or {})
        if interval is not None:
            values["interval"] = interval
        if compared is not None:
            paper, ours = compared
            values["comparison"] = {**asdict(paper), "ours": asdict(ours)}
        print(json.dumps(values))
        return
    blocks = [_score_table(score)] if compared is None or style == "text" else []
    if blocks and interval is not None:
        mean = "mean" if score.mean_limbs is None else "limbs"
        blocks.append("95 % interval of the {}: {:.1f} to {:.1f}".format(mean, *interval))
    if compared is not None:
        blocks.append(_comparison_table(*compared, score, style=style))
    print("\n\n".join(blocks))


def _comparison_table(paper: "Table", ours: "Row", score: "Score", *, style: str) -> str:
    """A score under the paper's table that it stands beside, with the table's notes."""
    rows = []
    for row in (*paper.rows, ours):
        values = {c: f"{v:.1f}" for c, v in zip(paper.columns, row.values, strict=True)}
        testing = {"Testing": row.testing} if any(r.testing for r in paper.rows) else {}
        rows.append({"Method": row.method, **values, **testing, "Protocol": row.protocol})
    head = f"Table {paper.number} of the paper: {paper.title} ({paper.data})"
    words = filter(None, (ours.data, counted(score.persons, "person"), ours.testing))
    notes = [f"Last row: {', '.join(words)}", *paper.notes]
    if style == "latex":
        head, notes = f"% {head}", [f"% {note}" for note in notes]
    text = table(rows, right=paper.columns, style=style)
    return "\n".join([head, "", text, "", *notes])
