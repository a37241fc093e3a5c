"""``spcnet finder``: how well a finder finds persons; its threshold."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spcnet.cli.console import prepare_output, progress, say, table
from spcnet.cli.estimator_options import DEVICE
from spcnet.cli.figures import save_figure
from spcnet.cli.options import FORCE
from spcnet.errors import UserError

if TYPE_CHECKING:
    from spcnet.metrics.boxes import FoundPersons

ALARMS = typer.Option(
    min=0, max=1, help="Share of the pictures without anybody that may get a box; sets -o's "
    "threshold.",
)  # fmt: skip


def finder(
    model: Annotated[Path, typer.Argument(help="A .safetensors of a recipe of task: finder.")],
    source: Annotated[
        list[str],
        typer.Option(
            help="Pictures: DATASET:ROOT:SPLIT, such as coco:PATH/boxes:val or nobody:PATH:val; "
            "may be repeated. A + in front says that every person in them has a box.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the finder with threshold and presence curve."),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Draw false alarms over missed persons, a .png or .pdf.")
    ] = None,
    alarms: Annotated[float, ALARMS] = 0.01,
    poses: Annotated[
        str | None,
        typer.Option(
            help="Score by the product with this model's mean joint score, by which predict says "
            "who is there; -o then sets that threshold."
        ),
    ] = None,
    device: Annotated[str, DEVICE] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Score a finder of persons, and fit the score from which somebody is there.

    Prints the share of persons that are found (intersection over union at least 0.5) by their
    height in the picture, and the share of pictures without anybody that get a box, over the
    threshold.

    Example: spcnet finder finder.safetensors --source +coco:PATH/boxes:val
    --source nobody:PATH/boxes:val -o fitted.safetensors
    """
    from spcnet.checkpoints import load_finder, save_checkpoint
    from spcnet.data.datasets import open_pictures
    from spcnet.evaluation.finders import find_in, fit_presence
    from spcnet.evaluation.sources import parse_source
    from spcnet.inference.finder import Finder
    from spcnet.metrics.boxes import recall_by_height, tradeoff

    if output is not None and output.suffix != ".safetensors":
        raise UserError(f"{output}: a finder's name ends in .safetensors")
    prepare_output([path for path in (output, figure) if path], force=force)
    named = [(parse_source(text.removeprefix("+")), text.startswith("+")) for text in source]
    opened = [
        (open_pictures(part.dataset, part.root, part.split), whole or part.dataset == "nobody")
        for part, whole in named
    ]
    found_by = Finder(model, device=device)
    estimator = None
    if poses is not None:
        from spcnet.inference.estimator import PoseEstimator

        estimator = PoseEstimator(poses, device=device)
    say(f"finder {found_by.describe()}; {', '.join(part.title for part, _ in named)}")
    with progress("pictures", None) as report:
        found = find_in(found_by, opened, poses=estimator, report=report)
    threshold = found_by.threshold if poses is None else found_by.present
    if output is not None:
        network, card = load_finder(model)
        card = fit_presence(card, found, alarms=alarms, with_poses=poses is not None)
        save_checkpoint(output, network.state_dict(), card)
        threshold = card.threshold if poses is None else card.present
        say(f"finder with threshold {threshold:.3f} -> {output}")
    recall = recall_by_height(found, threshold)
    curve = tradeoff(found)
    if figure is not None:
        from spcnet.viz.curves import draw_tradeoff

        drawn = draw_tradeoff(
            curve.thresholds, curve.alarms, curve.misses, at=threshold,
            title=f"{model.stem}, {len(found)} pictures",
        )  # fmt: skip
        save_figure(drawn, figure)
        say(f"figure -> {figure}")
    if as_json:
        print(json.dumps({"threshold": threshold, "recall": recall, "curve": curve.to_dict()}))
        return
    rows = [
        {"Height": name, "Persons": count, "Found": f"{share:.1f} %"}
        for name, (count, share) in recall.items()
    ]
    print(table(rows, right=["Persons", "Found"]))
    print(_alarms(found, threshold))


def _alarms(found: "list[FoundPersons]", threshold: float) -> str:
    empty = [picture.best > threshold for picture in found if picture.empty]
    if not empty:
        return "no picture without anybody"
    return f"{sum(empty)} of {len(empty)} pictures without anybody get a box"
