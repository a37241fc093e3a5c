"""``spcnet evaluate``: a model's score on a data set by a named protocol."""

import json
from pathlib import Path
from typing import Annotated

import typer

from spcnet.cli.console import progress, say, score_table


def evaluate(
    model: Annotated[str, typer.Option(help="A model with weights, or a .safetensors.")] = (
        "default"
    ),
    dataset: Annotated[str, typer.Option(help="lspet or synthetic.")] = "lspet",
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    split: Annotated[str, typer.Option(help="A split, or image numbers such as 1-500.")] = "val",
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirror image.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a model by the lspet-pck protocol.

    Example: spcnet evaluate --model default --dataset lspet --root PATH/lspet --split val
    """
    from spcnet.data.datasets import open_dataset
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.evaluate import evaluate as score_model

    opened = open_dataset(dataset, root, split)
    estimator = PoseEstimator(model, device=device, flip=flip)
    say(f"model {estimator.describe()}; {dataset} {split}, {len(opened)} persons")
    with progress("persons", len(opened)) as report:
        score = score_model(estimator, opened, report=report)
    if as_json:
        means = {"model": model, "refinement": estimator.refinement, "flip": flip}
        print(json.dumps(score.to_dict() | means))
    else:
        print(score_table(score))
