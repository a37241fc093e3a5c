"""``spcnet score``: anyone's predictions by a named protocol."""

from pathlib import Path
from typing import Annotated

from typer import BadParameter, Option

from spcnet.cli import scoring
from spcnet.cli.console import say, table
from spcnet.cli.options import AS_JSON
from spcnet.errors import counted

STORED_REFERENCE = Option("--stored-reference", help="Normalise by lengths of the labels' file.")


def score(
    predictions: Annotated[Path | None, scoring.PREDICTIONS] = None,
    protocol: Annotated[str | None, scoring.PROTOCOL] = None,
    ground_truth: Annotated[Path | None, scoring.GROUND_TRUTH] = None,
    split: Annotated[str | None, scoring.SPLIT] = None,
    threshold: Annotated[float | None, scoring.THRESHOLD] = None,
    stored_reference: Annotated[bool, STORED_REFERENCE] = False,
    sigmas: Annotated[Path | None, scoring.SIGMAS] = None,
    index_base: Annotated[int | None, scoring.INDEX_BASE] = None,
    axes: Annotated[str | None, scoring.AXES] = None,
    key: Annotated[str | None, scoring.KEY] = None,
    joints: Annotated[str | None, scoring.JOINTS] = None,
    compare: Annotated[bool, scoring.COMPARE] = False,
    style: Annotated[str | None, scoring.STYLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
    list_protocols: Annotated[bool, Option("--list", help="Name all protocols and stop.")] = False,
) -> None:
    """Score predicted joints against labels, whoever's they are.

    Example: spcnet score preds.h5 --protocol mpii-tompson --ground-truth mpii/valid.h5
    """
    from spcnet.metrics.protocols import OKS_RULES, PCK_RULES

    if list_protocols:
        rows = [{"Protocol": rule.name, "Rule": rule.title} for rule in PCK_RULES.values()]
        rows += [{"Protocol": name, "Rule": title} for name, title in OKS_RULES.items()]
        print(table(rows))
        return
    if predictions is None or protocol is None or ground_truth is None:
        raise BadParameter("wanted: PREDICTIONS --protocol P --ground-truth FILE (or --list)")
    style = scoring.check_style(style, compare=compare, as_json=as_json)

    from spcnet.evaluation.scoring import score_predictions
    from spcnet.evaluation.sigmas import read_sigmas
    from spcnet.metrics.paper import comparison

    found, labels = scoring.read_both(
        predictions, ground_truth,
        split=split, index_base=index_base, axes=axes, key=key, joints=joints,
    )  # fmt: skip
    result = score_predictions(
        found, labels, protocol=protocol, threshold=threshold, stored_reference=stored_reference,
        sigmas=None if sigmas is None else read_sigmas(sigmas),
    )  # fmt: skip
    say(
        f"{predictions.name}: {counted(len(found), 'prediction')} counted from {found.index_base}; "
        f"{ground_truth.name}: {labels.name} {labels.split}, {counted(len(labels), 'person')}"
    )
    scoring.say_foreign(protocol, labels.name)
    compared = None
    if compare:
        part = (labels.name, labels.split)
        compared = comparison(result, method=predictions.name, part=part, testing="")
    scoring.print_score(result, compared, style=style)
