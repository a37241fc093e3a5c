"""Files of predictions and labels as options of commands, and both read."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from spcnet.cli.completion import protocol_names, skeleton_names
from spcnet.errors import UserError

if TYPE_CHECKING:
    from spcnet.data.annotations import AnnotatedPictures
    from spcnet.evaluation.predictions import Predictions
    from spcnet.skeletons import Skeleton

PREDICTIONS = typer.Argument(
    help="Predicted joints: a .mat, .h5, .npz or COCO .json.", show_default=False
)
PROTOCOL = typer.Option(
    help="The scoring rule; `spcnet score --list` names all.",
    show_default=False,
    autocompletion=protocol_names,
)
GROUND_TRUTH = typer.Option(
    help="The labels: a data set's own file, an hourglass .h5, or COCO .json.", show_default=False
)
SPLIT = typer.Option(help="Part of the labels; by default the one that the field scores.")
INDEX_BASE = typer.Option(
    min=0, max=1, help="What the predictions count pixels from; by default 1 for .mat and .h5."
)
AXES = typer.Option(help="Order of the axes: n persons, k joints, c coordinates, such as kcn.")
KEY = typer.Option(help="Name of the array of joints in the file.")
THRESHOLD = typer.Option(help="Another one than the protocol's own.")
COMPARE = typer.Option("--compare", help="Print the score under the paper's table.")
STYLE = typer.Option("--format", help="Of that table: text (default), markdown or latex.")
AS_JSON = typer.Option("--json", help="Print one JSON object.")
JOINTS = typer.Option(
    help="Of the predictions: a skeleton such as lsp14, or names with commas.",
    autocompletion=skeleton_names,
)


def read_both(
    predictions: Path,
    ground_truth: Path,
    *,
    split: str | None,
    index_base: int | None,
    axes: str | None,
    key: str | None,
    joints: str | None,
) -> "tuple[Predictions, AnnotatedPictures]":
    """Predictions and the labels they are for.

    Raises:
        UserError: a file cannot be read, or the two do not belong together.
    """
    from dataclasses import replace

    from spcnet.data.datasets import DATASETS
    from spcnet.data.labels import read_labels
    from spcnet.evaluation.predictions import FLIC_WITHOUT_EYES, read_predictions
    from spcnet.skeletons import FLIC11, SKELETONS

    labels = read_labels(ground_truth, split)
    names = _joint_names(joints, SKELETONS)
    counts = [len(labels.skeleton)] if names is None else [len(names)]
    if names is None and labels.skeleton == FLIC11:
        counts.append(len(FLIC_WITHOUT_EYES))

    def read(persons: int | None) -> "Predictions":
        found = read_predictions(
            predictions, persons=persons, joints=counts, key=key, axes=axes, index_base=index_base
        )
        return found if names is None else replace(found, joints=tuple(names))

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


def _joint_names(joints: str | None, skeletons: "Mapping[str, Skeleton]") -> list[str] | None:
    if joints is None:
        return None
    if joints in skeletons:
        return list(skeletons[joints].joints)
    names = [name.strip() for name in joints.split(",")]
    if len(names) < 2:
        raise UserError(
            f"--joints {joints}: wanted one of {', '.join(skeletons)}, or names with commas between"
        )
    return names
