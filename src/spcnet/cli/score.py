"""``spcnet score``: anyone's predictions by a named protocol."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spcnet.cli.completion import protocol_names, skeleton_names
from spcnet.cli.console import check_style, print_score, say, say_foreign
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


def score(
    predictions: Annotated[Path | None, PREDICTIONS] = None,
    protocol: Annotated[str | None, PROTOCOL] = None,
    ground_truth: Annotated[Path | None, GROUND_TRUTH] = None,
    split: Annotated[str | None, SPLIT] = None,
    threshold: Annotated[float | None, THRESHOLD] = None,
    stored_reference: Annotated[
        bool,
        typer.Option(
            "--stored-reference", help="Normalise by the lengths that the labels' file holds."
        ),
    ] = False,
    index_base: Annotated[int | None, INDEX_BASE] = None,
    axes: Annotated[str | None, AXES] = None,
    key: Annotated[str | None, KEY] = None,
    joints: Annotated[str | None, JOINTS] = None,
    compare: Annotated[bool, COMPARE] = False,
    style: Annotated[str | None, STYLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
    list_protocols: Annotated[
        bool, typer.Option("--list", help="Name all protocols and stop.")
    ] = False,
) -> None:
    """Score predicted joints against labels, whoever's they are.

    Example: spcnet score preds.h5 --protocol mpii-tompson --ground-truth mpii/valid.h5
    """
    if list_protocols:
        print(_protocols())
        return
    if predictions is None or protocol is None or ground_truth is None:
        raise typer.BadParameter("wanted: PREDICTIONS --protocol P --ground-truth FILE (or --list)")
    style = check_style(style, compare=compare, as_json=as_json)
    found, labels = read_both(
        predictions, ground_truth,
        split=split, index_base=index_base, axes=axes, key=key, joints=joints,
    )  # fmt: skip

    from spcnet.evaluation.scoring import score_predictions
    from spcnet.metrics.paper import comparison

    result = score_predictions(
        found, labels, protocol=protocol, threshold=threshold, stored_reference=stored_reference
    )
    say(
        f"{predictions.name}: {len(found)} predictions counted from {found.index_base}; "
        f"{ground_truth.name}: {labels.name} {labels.split}, {len(labels)} persons"
    )
    say_foreign(protocol, labels.name)
    compared = None
    if compare:
        part = (labels.name, labels.split)
        compared = comparison(result, method=predictions.name, part=part, testing="")
    print_score(result, compared, style=style)


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
        if split is None and labels.name in ("lsp", "lspet"):
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


def _protocols() -> str:
    from spcnet.cli.console import table
    from spcnet.metrics.protocols import PCK_RULES

    rows = [{"Protocol": rule.name, "Rule": rule.title} for rule in PCK_RULES.values()]
    oks = "AP over OKS 0.50:0.95 with COCO's constants, 17 joints"
    return table([*rows, {"Protocol": "coco-oks", "Rule": oks}])
