"""What the commands that score share: options, persons that are scored, predictions to be read."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from spcnet.cli.completion import crop_rules, protocol_names, skeleton_names
from spcnet.cli.console import progress
from spcnet.errors import UserError

if TYPE_CHECKING:
    from spcnet.data.annotations import AnnotatedPictures, Dataset
    from spcnet.evaluation.evaluate import Evaluation
    from spcnet.evaluation.predictions import Predictions
    from spcnet.inference.estimator import PoseEstimator

# Of persons who are predicted and scored.
PERSONS = typer.Option(help="A split, or numbers such as 1-500; by default val or test.")
SOURCE = typer.Option(
    help="Several data sets, scored by torso-pck: DATASET:ROOT:SPLIT, such as coco:PATH/mpii:val; "
    "may be repeated."
)
CROP = typer.Option(
    help="box, mpii, lsp-height or flic; by default the data set's own.",
    autocompletion=crop_rules,
)
# Of files of predictions and labels.
PREDICTIONS = typer.Argument(help="Predicted joints: a .mat, .h5, .npz or COCO .json.")
PROTOCOL = typer.Option(
    help="The scoring rule; `spcnet score --list` names all.", autocompletion=protocol_names
)
GROUND_TRUTH = typer.Option(
    help="The labels: a data set's own file, an hourglass .h5, or COCO .json."
)
SPLIT = typer.Option(help="Part of the labels; by default the one that the field scores.")
INDEX_BASE = typer.Option(
    min=0, max=1, help="What the predictions count pixels from; by default 1 for .mat and .h5."
)
AXES = typer.Option(help="Order of the axes: n persons, k joints, c coordinates, such as kcn.")
KEY = typer.Option(help="Name of the array of joints in the file.")
JOINTS = typer.Option(
    help="Of the predictions: a skeleton such as lsp14, or names with commas.",
    autocompletion=skeleton_names,
)
# Of scores.
THRESHOLD = typer.Option(help="Override the protocol's threshold.")
COMPARE = typer.Option("--compare", help="Print the score under the paper's table.")
STYLE = typer.Option("--format", help="Of that table: text (default), markdown or latex.")
AS_JSON = typer.Option("--json", help="Print one JSON object.")


def evaluate_persons(estimator: "PoseEstimator", opened: "Dataset", dataset: str) -> "Evaluation":
    """Predict and score all persons of a data set, by its own protocol and crops."""
    from spcnet.data.datasets import default_crop, default_protocol
    from spcnet.evaluation.evaluate import evaluate

    protocol, crop = default_protocol(dataset), default_crop(dataset)
    with progress(f"persons, {estimator.testing}", len(opened)) as report:
        return evaluate(estimator, opened, protocol=protocol, crop=crop, report=report)


def refuse_learned(estimator: "PoseEstimator", opened: "Dataset", root: object, name: str) -> bool:
    """Refuse persons whose pictures a model learned from; whether all that it did is known."""
    from spcnet.evaluation.overlap import learned_from

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
    """Predictions and the labels they are for.

    Args:
        predictions: a file of joints.
        ground_truth: a file of labels.
        split: which of the labels.
        joints: names of the predicted ones, or of their skeleton.
        how: other arguments of `spcnet.evaluation.predictions.read_predictions`.
    """
    from spcnet.data.datasets import DATASETS, read_labels
    from spcnet.evaluation.predictions import FLIC_WITHOUT_EYES, read_predictions
    from spcnet.skeletons import FLIC11

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
    from spcnet.skeletons import SKELETONS

    if joints in SKELETONS:
        return SKELETONS[joints].joints
    names = tuple(name.strip() for name in joints.split(","))
    if len(names) < 2:
        raise UserError(
            f"--joints {joints}: wanted one of {', '.join(SKELETONS)}, or names with commas between"
        )
    return names
