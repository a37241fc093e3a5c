"""``spcnet bench``: speed and memory, beside the usual way of doing it."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from typer import Argument, Option, Typer

from spcnet.cli.console import prepare_figure, progress, save_figure, say, table
from spcnet.cli.options import AS_JSON, DEVICE, FORCE, PRECISION
from spcnet.runtime.contract import Precision

if TYPE_CHECKING:
    from spcnet.models.network import PoseNetwork

FIRST_POSES = 3  # of fresh processes

MODELS = Argument(help="Trained, .safetensors or variants; by default default and spcnet_s8_w256.")
BATCH = Option(min=1, help="Images at a time; may be repeated; by default 1 and 8.")
SIZE = Option(min=64, help="Side of the images; by default a model's own, or 256 pixels.")
THREADS = Option(min=1, help="Of torch; by default one per core.")
TURNS = Option(min=1, help="Turns that count; one warms up.")
OUTPUT = Option("--output", "-o", help="Draw it too: a .png, .pdf or .svg.")

app = Typer(
    help="Measure speed and memory on this machine, beside the usual way of doing it.",
    epilog="Example: spcnet bench infer default",
    no_args_is_help=True,
)


@app.command()
def infer(
    models: Annotated[list[str] | None, MODELS] = None,
    batch: Annotated[list[int] | None, BATCH] = None,
    size: Annotated[int | None, SIZE] = None,
    threads: Annotated[int | None, THREADS] = None,
    turns: Annotated[int, TURNS] = 7,
    output: Annotated[Path | None, OUTPUT] = None,
    force: Annotated[bool, FORCE] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Time networks on this CPU in each of their forms, beside the usual 8-stack hourglass.

    All take turns in one run, and so does a large matrix product, which tells what the machine can
    do; what counts are the ratios of the medians. Leave the machine alone meanwhile.

    Example: spcnet bench infer default --batch 1 --batch 8
    """
    import torch

    from spcnet.bench.networks import REFERENCE, compare_networks
    from spcnet.viz.curves import draw_speeds

    if output is not None:
        prepare_figure(output, force=force)
    if threads is not None:
        torch.set_num_threads(threads)
    batches = batch or [1, 8]
    chosen = {name: _network(name, size) for name in models or ("default", "spcnet_s8_w256")}
    with progress("turns", len(batches) * (turns + 1)) as advance:
        paces = compare_networks(chosen, batches=batches, turns=turns, report=advance)
    setting = {"threads": torch.get_num_threads(), "turns": turns, "torch": torch.__version__}
    text = ", ".join(f"{name} {value}" for name, value in setting.items())
    if output is not None:
        speeds: dict[str, dict[str, float]] = {}
        for pace in paces:
            forms = speeds.setdefault(f"{pace.network}, {pace.size} px", {})
            forms[f"{pace.form}, batch {pace.batch}"] = 1000 / pace.milliseconds
        save_figure(draw_speeds(speeds, title=f"Inference ({text})"), output, say=say)
    if as_json:
        print(json.dumps({"setting": setting, "paces": [asdict(pace) for pace in paces]}))
        return
    rows = [
        {
            "Network": pace.network,
            "Form": pace.form,
            "Pixels": pace.size,
            "Batch": pace.batch,
            "ms/image": f"{pace.milliseconds:.1f}",
            "Images/s": f"{1000 / pace.milliseconds:.1f}",
            "GFLOP/s": f"{pace.gflops:.0f}",
            "Of matrix": f"{pace.share:.0%}",
            "Ratio": f"{pace.ratio:.2f}",
        }
        for pace in paces
    ]
    print(table(rows, right=list(rows[0])[2:]))
    say(f"{text}; ratio: times as fast as the {REFERENCE} at the same batch")


def _network(name: str, size: int | None) -> "tuple[PoseNetwork, int]":
    """A network to be timed and the side of its images: trained, or fresh of a variant's name."""
    from spcnet.checkpoints import find_weights, list_models, load_checkpoint
    from spcnet.models.registry import create_model

    if name in list_models():
        return create_model(name).eval(), size or 256
    network, card = load_checkpoint(find_weights(name))
    return network, size or card.codec.input_size


@app.command()
def pose(
    model: Annotated[str, Argument(help="With weights, a .safetensors, or a variant.")] = "default",
    batch: Annotated[list[int] | None, BATCH] = None,
    precision: Annotated[Precision, PRECISION] = "fp32",
    device: Annotated[str, DEVICE] = "auto",
    threads: Annotated[int | None, THREADS] = None,
    turns: Annotated[int, TURNS] = 20,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Time each step from a picture's file to its keypoints, and the first pose of a command.

    The steps take turns in one run, with one person in a picture of a megapixel. Leave the machine
    alone meanwhile.

    Example: spcnet bench pose default --precision auto
    """
    import torch

    from spcnet.bench import inference
    from spcnet.checkpoints import list_models
    from spcnet.inference.estimator import PoseEstimator

    if threads is not None:
        torch.set_num_threads(threads)
    batches = batch or [1, 8]
    with tempfile.TemporaryDirectory() as folder:
        if model in list_models() and model not in list_models(pretrained=True):
            model = str(inference.save_untrained(model, Path(folder)))
        estimator = PoseEstimator(model, device=device, precision=precision)
        chosen = cast(Precision, estimator.backend.precision)
        spent = {}
        for size in batches:
            with progress(f"turns, batch {size}", turns + 1) as report:
                spent[size] = inference.steps(estimator, batch=size, turns=turns, report=report)
        first = inference.first_pose(model, device=device, precision=chosen, times=FIRST_POSES)
        held = inference.memory(model, precision=chosen)
    setting = {
        "model": estimator.describe(), "threads": torch.get_num_threads(), "turns": turns,
        "torch": torch.__version__,
    }  # fmt: skip
    if as_json:
        content = {"setting": setting, "milliseconds": spent, "first_pose": first, "memory": held}
        print(json.dumps(content))
        return
    rows = []
    for step in spent[batches[0]]:
        times = {f"batch {size}, ms/picture": f"{of[step]:.2f}" for size, of in spent.items()}
        rows.append({"Step": step, **times})
    print(table(rows, right=list(rows[0])[1:]))
    for size, of in spent.items():
        crops = sum(of.values()) - of[inference.READ] - of[inference.WHOLE]
        outside = 1 - of[inference.NETWORK] / crops
        say(f"batch {size}: {outside:.1%} of the time from crop to keypoints is not the network's")
    say(f"first pose {first:.2f} s after the command (median of {FIRST_POSES})")
    say(f"{held / 1e6:.0f} MB at most in a process that predicts one picture")
    say(", ".join(f"{name} {value}" for name, value in setting.items()))
