"""``spcnet bench``: how fast models predict on this machine."""

import json
from typing import TYPE_CHECKING, Annotated, cast

from typer import Argument, Option

from spcnet.cli.completion import model_names
from spcnet.cli.console import progress, say, table
from spcnet.cli.options import AS_JSON, DEVICE
from spcnet.errors import counted

if TYPE_CHECKING:
    from spcnet.runtime.contract import Precision

MODELS = Argument(
    help="With weights, .safetensors, or .onnx; several are compared; by default default.",
    autocompletion=model_names,
)
BATCH = Option(min=1, help="Pictures at a time; may be repeated; by default 1 and 8.")
PRECISIONS = Option(
    help="fp32, bf16, auto or, of export --int8, int8; may be repeated; by default fp32 and auto."
)
THREADS = Option(min=1, help="Of torch; may be repeated; by default one per core.")
TURNS = Option(min=1, help="Turns that count; one warms up.")


def bench(
    models: Annotated[list[str] | None, MODELS] = None,
    batch: Annotated[list[int] | None, BATCH] = None,
    precision: Annotated[list[str] | None, PRECISIONS] = None,
    threads: Annotated[list[int] | None, THREADS] = None,
    turns: Annotated[int, TURNS] = 20,
    device: Annotated[str, DEVICE] = "auto",
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Time models on this machine: from a crop, and from a JPEG of a megapixel, to keypoints.

    Models and precisions take turns in one run; medians, one person in each picture, whose box is
    known. Leave the machine alone meanwhile.

    Example: spcnet bench default --precision bf16 --threads 1 --threads 2
    """
    import torch

    from spcnet.evaluation.speed import measure_speed
    from spcnet.inference.estimator import PoseEstimator

    batches = batch or [1, 8]
    estimators: dict[tuple[str, str], PoseEstimator] = {}
    for name in models or ["default"]:
        for wanted in cast("list[Precision]", precision or ["fp32", "auto"]):
            estimator = PoseEstimator(
                name, device=device, precision=wanted, batch_size=max(batches)
            )
            estimators.setdefault((name, estimator.backend.precision), estimator)
    rows = []
    for count in threads or [torch.get_num_threads()]:
        torch.set_num_threads(count)
        for size in batches:
            with progress(f"turns, {counted(count, 'thread')}, batch {size}", turns + 1) as report:
                found = measure_speed(estimators, batch=size, turns=turns, report=report)
            rows += [
                {
                    "model": name,
                    "precision": form,
                    "threads": count,
                    "batch": size,
                    "ms per crop": speed.crop,
                    "ms per picture": speed.picture,
                    "pictures per second": 1000 / speed.picture,
                }
                for (name, form), speed in found.items()
            ]
    where = f"{estimator.device}, torch {torch.__version__}, medians of {turns} turns"
    if as_json:
        print(json.dumps({"speeds": rows, "where": where}))
        return
    texts = [
        {key: f"{value:.1f}" if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    ]
    print(table(texts, right=list(rows[0])[2:]))
    say(where)
