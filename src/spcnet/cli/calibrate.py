"""``spcnet calibrate``: scores that say how often a joint is right."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from typer import BadParameter, Option

from spcnet.cli import scoring
from spcnet.cli.console import prepare_output, say, table
from spcnet.cli.options import DATASET, DEVICE, FORCE, ROOT, TRAINED
from spcnet.errors import UserError
from spcnet.files import writing

SPLIT = Option(help="Persons that the model did not learn from, such as 7761-8060.")


def calibrate(
    output: Annotated[Path, Option("--output", "-o", help="The calibrated model, a .safetensors.")],
    split: Annotated[str | None, SPLIT] = None,
    source: Annotated[list[str] | None, scoring.SOURCE] = None,
    model: Annotated[str, TRAINED] = "default",
    dataset: Annotated[str, DATASET] = "lspet",
    root: Annotated[Path | None, ROOT] = None,
    device: Annotated[str, DEVICE] = "auto",
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Fit a model's scores, so that of joints with score 0.8 about 80 % are right.

    Right is what the data set's protocol counts so. The weights stay as they are. Score the result
    on yet other persons: spcnet figure reliability.

    Example: spcnet calibrate --model runs/mine/best.safetensors --root PATH/lspet --split 7761-8060
    -o mine.safetensors
    """
    if bool(source) == bool(split):
        raise BadParameter("name the persons by --split, or by --source")

    from spcnet.calibration import reliability
    from spcnet.checkpoints import find_weights, load_checkpoint, save_checkpoint
    from spcnet.data.annotations import Dataset
    from spcnet.data.datasets import default_crop, default_protocol, open_dataset
    from spcnet.evaluation.calibrate import calibrate as fit
    from spcnet.evaluation.sources import parse_source, protocol_of
    from spcnet.inference.estimator import PoseEstimator

    if output.suffix != ".safetensors":
        raise UserError(f"{output}: a model's name ends in .safetensors")
    prepare_output([output], force=force)
    parts: list[tuple[str, Dataset, str, object]]
    if source:
        named = [parse_source(text) for text in source]
        protocol = protocol_of(named)
        parts = [(part.title, part.open(), part.dataset, part.root) for part in named]
    else:
        opened, protocol = open_dataset(dataset, root, split or ""), default_protocol(dataset)
        parts = [(f"{dataset} {split}", opened, dataset, root)]
    network, card = load_checkpoint(find_weights(model))
    estimator = PoseEstimator(model, device=device)
    persons = {}
    for title, opened, name, folder in parts:
        scoring.refuse_learned(estimator, opened, folder, title)
        persons[title] = (opened, default_crop(name))
    found, peaks, right = fit(estimator, persons, protocol=protocol)
    with writing(output):
        codec = replace(card.codec, calibration=found)
        save_checkpoint(output, network.state_dict(), replace(card, codec=codec))
    bins = reliability(found(peaks), right)
    rows = [
        {"Score": f"{score:.2f}", "Right": f"{share:.0%}", "Joints": count}
        for score, share, count in zip(bins.scores, bins.right, bins.counts, strict=True)
    ]
    print(table(rows, right=list(rows[0])))
    say(f"fitted on {found.fitted_on}; error on these {100 * bins.error:.1f} points")
    say(f"model -> {output}")
