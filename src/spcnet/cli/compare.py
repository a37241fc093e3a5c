"""``spcnet compare``: whether one model is better than another, on the same persons."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option

from spcnet.cli import scoring
from spcnet.cli.console import progress, say, table
from spcnet.cli.estimator_options import EstimatorOptions
from spcnet.cli.options import AS_JSON, DEVICE, PRECISION
from spcnet.files import check_file
from spcnet.runtime.contract import Precision

if TYPE_CHECKING:
    from spcnet.evaluation.compare import Contender

CONTENDER = Argument(help="A model, or its predictions: a .npz, .mat, .h5 or COCO .json.")
FLIP = Option("--flip", help="Average with the mirror image, for both models.")


def compare(
    first: Annotated[str, CONTENDER],
    second: Annotated[str, CONTENDER],
    source: Annotated[list[str], scoring.SOURCE],
    protocol: Annotated[str | None, scoring.OWN_PROTOCOL] = None,
    device: Annotated[str, DEVICE] = "auto",
    precision: Annotated[Precision, PRECISION] = "fp32",
    flip: Annotated[bool, FLIP] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Compare two models on the same persons, with an interval of the difference.

    An interval that leaves out 0 says that one is better. Otherwise more persons are needed: the
    last column says about how many, if the difference stays as it is.

    Example: spcnet compare default runs/mine/model.safetensors --source coco:PATH/mine:val
    """
    from spcnet.data.datasets import default_protocol
    from spcnet.evaluation.compare import compare as compare_models
    from spcnet.evaluation.compare import is_predictions
    from spcnet.evaluation.sources import parse_source, protocol_of
    from spcnet.metrics.protocols import find_rule

    sources = [parse_source(text) for text in source]
    alone = default_protocol(sources[0].dataset) if len(sources) == 1 else None
    rule = find_rule(protocol or alone or protocol_of(sources))
    if len(sources) > 1 and (is_predictions(first) or is_predictions(second)):
        raise BadParameter("a file of predictions is for one --source")
    options = EstimatorOptions(device=device, precision=precision, flip=flip)

    def contender(place: str, name: str) -> "Contender":
        if is_predictions(name):
            check_file(Path(name))
            say(f"{place}: joints in {name}")
            return Path(name)
        estimator = replace(options, model=name).open()
        say(f"{place}: model {estimator.describe()}")
        return estimator

    both = contender("first", first), contender("second", second)
    with progress("persons", None) as report:
        rows = compare_models(*both, sources, protocol=rule.name, report=report)
    if as_json:
        found = {row.name: asdict(row) for row in rows}
        print(json.dumps({"protocol": rule.name, "first": first, "second": second, "on": found}))
        return
    over = "the limbs" if rule.limbs else "the joints"
    say(f"{rule.name}@{rule.threshold:g}, mean over {over}, %, persons in their data set's crops")
    shown = [
        {
            "Data": row.name,
            "Persons": row.persons,
            "First": f"{row.scores[0]:.2f}",
            "Second": f"{row.scores[1]:.2f}",
            "Difference": f"{row.difference:+.2f}",
            "95 % interval": "{:+.2f} to {:+.2f}".format(*row.interval),
            "Persons to be sure": "-" if row.needed is None else f"about {row.needed:,}",
        }
        for row in rows
    ]
    print(table(shown, right=list(shown[0])[1:]))
