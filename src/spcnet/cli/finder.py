"""``spcnet finder``: how well a finder finds persons; its threshold."""

import json
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from spcnet.cli.console import prepare_output, progress, save_figure, say, table
from spcnet.cli.options import AS_JSON, DEVICE, FORCE
from spcnet.errors import UserError, counted

SOURCE = Option(
    help="Pictures: DATASET:ROOT:SPLIT, such as coco:PATH/boxes:val or nobody:PATH:val; may be "
    "repeated. A + in front says that every person in them has a box."
)
OUTPUT = Option("--output", "-o", help="Write the finder with threshold and presence curve.")
FIGURE = Option(help="Draw false alarms over missed persons, a .png or .pdf.")
ALARMS = Option(min=0, max=1, help="Share of empty pictures that -o's threshold gives a box.")
POSES = Option(
    help="Let this model's joints decide who is there, as predict does; -o sets that threshold."
)


def finder(
    model: Annotated[Path, Argument(help="A .safetensors of a recipe of task: finder.")],
    source: Annotated[list[str], SOURCE],
    output: Annotated[Path | None, OUTPUT] = None,
    figure: Annotated[Path | None, FIGURE] = None,
    alarms: Annotated[float, ALARMS] = 0.01,
    poses: Annotated[str | None, POSES] = None,
    device: Annotated[str, DEVICE] = "auto",
    as_json: Annotated[bool, AS_JSON] = False,
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
    from spcnet.data.datasets import dataset_info, open_pictures
    from spcnet.evaluation.finders import find_in, fit_presence
    from spcnet.evaluation.sources import parse_source
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.finder import Finder
    from spcnet.metrics.boxes import recall_by_height, tradeoff
    from spcnet.viz.curves import draw_tradeoff

    if output is not None and output.suffix != ".safetensors":
        raise UserError(f"{output}: a finder's name ends in .safetensors")
    prepare_output([path for path in (output, figure) if path], force=force, by="-o or --figure")
    opened = []
    for text in source:
        part = parse_source(text.removeprefix("+"))
        whole = text.startswith("+") or dataset_info(part.dataset).teaches == "nobody"
        opened.append((open_pictures(part.dataset, part.root, part.split), whole))
    found_by = Finder(model, device=device)
    estimator = PoseEstimator(poses, device=device) if poses else None
    say(f"finder {found_by.describe()}; {', '.join(source)}")
    pictures = sum(len({person.image for person in part.annotations}) for part, _ in opened)
    with progress("pictures", pictures) as report:
        found = find_in(found_by, opened, poses=estimator, report=report)
    threshold = found_by.present if poses else found_by.threshold
    if output is not None:
        network, card = load_finder(model)
        card = fit_presence(card, found, alarms=alarms, with_poses=bool(poses))
        save_checkpoint(output, network.state_dict(), card)
        threshold = card.present if poses else card.threshold
        say(f"finder with threshold {threshold:.3f} -> {output}")
    recall = recall_by_height(found, threshold)
    curve = tradeoff(found, also=threshold)
    if figure is not None:
        title = f"{model.stem}, {counted(len(found), 'picture')}"
        drawn = draw_tradeoff(
            curve.thresholds, curve.alarms, curve.misses, at=threshold, title=title
        )
        save_figure(drawn, figure, say=say)
    if as_json:
        print(json.dumps({"threshold": threshold, "recall": recall, "curve": curve.to_dict()}))
        return
    rows = [
        {"Height": name, "Persons": count, "Found": f"{share:.1f} %"}
        for name, (count, share) in recall.items()
    ]
    print(table(rows, right=["Persons", "Found"]))
    empty = [picture.best > threshold for picture in found if picture.empty]
    print(f"{sum(empty)} of {counted(len(empty), 'picture')} without anybody got a box")
