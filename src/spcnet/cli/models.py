"""``spcnet models``: what there is to create and to use."""

import json
from typing import Annotated

from typer import Argument, Option

from spcnet.cli.completion import listed_models
from spcnet.cli.console import table
from spcnet.cli.options import AS_JSON
from spcnet.errors import UserError

PATTERN = Argument(help="Shell pattern, such as 'spcnet*'.", autocompletion=listed_models)
PRETRAINED = Option("--pretrained", help="Only those with trained weights.")
VERBOSE = Option("--verbose", "-v", help="Measure parameters, GMAC, levels and receptive fields.")


def models(
    pattern: Annotated[str, PATTERN] = "*",
    pretrained: Annotated[bool, PRETRAINED] = False,
    verbose: Annotated[bool, VERBOSE] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """List the models.

    GMAC counts the multiply-adds of the convolutions for one 256x256 image and 16 joints; the
    receptive field is that of one module, in cells of its input (4 image pixels each).

    Example: spcnet models 'spcnet*' --verbose
    """
    from spcnet.checkpoints import find_weights, list_models, load_checkpoint
    from spcnet.models.registry import create_model
    from spcnet.models.summary import summarise

    rows: list[dict[str, object]] = []
    for name in () if pretrained else list_models(pattern):
        rows.append({"model": name})
        if verbose:
            found = summarise(create_model(name))
            rows[-1] |= {
                "parameters": f"{found.parameters / 1e6:.2f} M",
                "GMAC": f"{found.gmac:.1f}",
                "levels": " ".join(map(str, found.levels)),
                "receptive field": found.receptive_field,
            }
    trained: list[dict[str, object]] = []
    for name in list_models(pattern, pretrained=True):
        path = find_weights(name)
        _, card = load_checkpoint(path)
        trained.append({
            "trained": name,
            "variant": card.variant,
            "input": card.codec.input_size,
            "joints": card.skeleton.name,
            "MB": f"{path.stat().st_size / 1e6:.1f}",
        })  # fmt: skip
    if not rows and not trained:
        raise UserError(f"no model matches {pattern!r}; `spcnet models` lists all")
    if as_json:
        print(json.dumps({"models": rows, "trained": trained}))
        return
    print("\n\n".join(table(block) for block in (rows, trained) if block))
