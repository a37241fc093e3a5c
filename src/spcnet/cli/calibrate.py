"""``spcnet calibrate``: scores that say how often a joint is right."""

from pathlib import Path
from typing import Annotated

import typer

from spcnet.cli.console import prepare_output, say, table
from spcnet.cli.estimator_options import DEVICE
from spcnet.cli.options import DATASET, FORCE, ROOT, TRAINED
from spcnet.errors import UserError
from spcnet.evaluation.overlap import learned_from


def calibrate(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The calibrated model, a .safetensors.")
    ],
    split: Annotated[
        str | None,
        typer.Option(help="Persons that the model did not learn from, such as 7761-8060."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Fit on several data sets, by torso-pck: DATASET:ROOT:SPLIT; may be repeated."
        ),
    ] = None,
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
        raise typer.BadParameter("name the persons by --split, or by --source")
    from dataclasses import replace

    from spcnet.calibration import reliability
    from spcnet.checkpoints import find_weights, load_checkpoint, save_checkpoint
    from spcnet.data.annotations import Dataset
    from spcnet.data.datasets import default_crop, default_protocol, open_dataset
    from spcnet.evaluation.calibrate import calibrate as fit
    from spcnet.evaluation.sources import PROTOCOL, parse_source
    from spcnet.inference.estimator import PoseEstimator

    if output.suffix != ".safetensors":
        raise UserError(f"{output}: a model's name ends in .safetensors")
    prepare_output([output], force=force)
    network, card = load_checkpoint(find_weights(model))
    parts: dict[str, tuple[Dataset, str, object]]  # persons, their data set's name, its folder
    if split is not None:
        parts = {f"{dataset} {split}": (open_dataset(dataset, root, split), dataset, root)}
        protocol = default_protocol(dataset)
    else:
        named = [parse_source(text) for text in source or []]
        parts = {part.title: (part.open(), part.dataset, part.root) for part in named}
        protocol = PROTOCOL
    estimator = PoseEstimator(model, device=device)
    for title, (opened, _, folder) in parts.items():
        if shared := learned_from(estimator.card.training, opened, folder).shared:
            raise UserError(
                f"{title}: the model learned from {len(shared)} of its "
                f"pictures, such as {shared[0]}, and is surer of those than of others; name "
                "pictures that are new to it"
            )
    persons = {title: (opened, default_crop(name)) for title, (opened, name, _) in parts.items()}
    found, peaks, right = fit(estimator, persons, protocol=protocol)
    try:
        save_checkpoint(
            output,
            network.state_dict(),
            replace(card, codec=replace(card.codec, calibration=found)),
        )
    except OSError as error:
        raise UserError(f"{output}: cannot be written: {error.strerror or error}") from None
    bins = reliability(found(peaks), right)
    rows = [
        {"Score": f"{score:.2f}", "Right": f"{share:.0%}", "Joints": count}
        for score, share, count in zip(bins.scores, bins.right, bins.counts, strict=True)
    ]
    print(table(rows, right=["Score", "Right", "Joints"]))
    say(f"fitted on {found.fitted_on}; error on these {100 * bins.error:.1f} points")
    say(f"model -> {output}")
