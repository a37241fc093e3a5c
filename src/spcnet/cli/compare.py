"""``spcnet compare``: whether one model is better than another, on the same persons."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option

from spcnet.cli import scoring
from spcnet.cli.completion import protocol_names
from spcnet.cli.console import progress, say, table
from spcnet.cli.estimator_options import EstimatorOptions
from spcnet.cli.options import AS_JSON, DEVICE, PRECISION
from spcnet.runtime.contract import Precision

if TYPE_CHECKING:
    from spcnet.evaluation.compare import Contender

CONTENDER = Argument(help="A model, or its predictions: a .npz, .mat, .h5 or COCO .json.")
PROTOCOL = Option(help="A variant of PCK.", autocompletion=protocol_names)
FLIP = Option("--flip", help="Average with the mirror image, for both models.")


def compare(
    first: Annotated[str, CONTENDER],
    second: Annotated[str, CONTENDER],
    source: Annotated[list[str], scoring.SOURCE],
    protocol: Annotated[str, PROTOCOL] = "torso-pck",
    device: Annotated[str, DEVICE] = "auto",
    precision: Annotated[Precision, PRECISION] = "fp32",
    flip: Annotated[bool, FLIP] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Compare two models on the same persons, with an interval of the difference.

    An interval that leaves out 0 tells them apart; otherwise the last column says how many persons
    it would take, if the difference stays.

    Example: spcnet compare default runs/mine/model.safetensors --source coco:PATH/mine:val
    """
    from spcnet.evaluation.compare import compare as compare_models
    from spcnet.evaluation.compare import is_predictions
    from spcnet.evaluation.sources import parse_source

    sources = [parse_source(text) for text in source]
    if len(sources) > 1 and (is_predictions(first) or is_predictions(second)):
        raise BadParameter("a file of predictions is for one --source")
    options = EstimatorOptions(device=device, precision=precision, flip=flip)

    def contender(name: str) -> "Contender":
        return Path(name) if is_predictions(name) else replace(options, model=name).open()

    with progress("persons", None) as report:
        rows = compare_models(
            contender(first), contender(second), sources, protocol=protocol, report=report
        )
    if as_json:
        found = {row.name: asdict(row) for row in rows}
        print(json.dumps({"protocol": protocol, "first": first, "second": second, "on": found}))
        return
    say(f"protocol {protocol}, first {first}, second {second}")
    shown = [
        {
            "Data": row.name,
            "Persons": row.persons,
            "First": f"{row.scores[0]:.1f}",
            "Second": f"{row.scores[1]:.1f}",
            "Difference": f"{row.difference:+.1f}",
            "95 % interval": "{:+.1f} to {:+.1f}".format(*row.interval),
            "Persons needed": row.needed if row.needed is not None else "-",
        }
        for row in rows
    ]
    print(table(shown, right=list(shown[0])[1:]))
