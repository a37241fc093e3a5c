"""Networks on this CPU in each of their forms, beside the usual 8-stack hourglass.

    python benchmarks/networks.py default spcnet_s8_w256 --batch 1 8 [--output speeds.png]

All take turns in one run, and so does a large matrix product, which tells what the machine can do;
what counts are the ratios of the medians. A network is a trained model or a variant's name. Leave
the machine alone meanwhile.
"""

import argparse
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch
from matplotlib import style
from matplotlib.figure import Figure
from reference import ReferenceNetwork
from torch import Tensor

from spcnet.checkpoints import find_weights, list_models, load_checkpoint
from spcnet.cli.console import prepare_figure, progress, save_figure, say, table
from spcnet.devices import has_bfloat16
from spcnet.errors import UserError
from spcnet.evaluation.speed import interleave
from spcnet.models.network import PoseNetwork
from spcnet.models.registry import create_model
from spcnet.models.summary import count_gmac
from spcnet.runtime.fused import DTYPES
from spcnet.runtime.plain import make_forward
from spcnet.viz.curves import STYLE

K = TypeVar("K", bound=Hashable)

REFERENCE = "8-stack hourglass of the usual kind"
USUAL_SIZE = 256  # pixels
MATRIX = 2048  # rows and columns of the product that stands for the machine's best


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a network is in one form."""

    network: str
    form: str  # precision, and "plain" or "fused"
    size: int  # side of the images in pixels
    batch: int
    milliseconds: float  # an image, median of the turns
    gflops: float  # 10^9 multiplications and additions a second, those of convolutions alone
    share: float  # of what the matrix product reaches in the same precision
    ratio: float  # how many times as fast as the usual hourglass at this batch


def compare_networks(
    networks: Mapping[str, tuple[PoseNetwork, int]],
    *,
    batches: Sequence[int],
    turns: int = 5,
    report: Callable[[int], None] = lambda done: None,
) -> list[Pace]:
    """Time networks on this CPU in every form that there is, in turns, each batch in its own run.

    Networks are given by name with the side of their images, in evaluation mode. For each batch the
    usual hourglass, eager and NCHW in float32, comes first, then each network's forms. Reports are
    of the turns of all batches together.
    """
    cpu = torch.device("cpu")
    numbers = ["fp32", "bf16"] if has_bfloat16(cpu) else ["fp32"]
    usual = ReferenceNetwork(joints=16).eval()
    gflop = {REFERENCE: 2 * count_gmac(usual, input_size=USUAL_SIZE)}
    forms: dict[tuple[str, str], tuple[Callable[[Tensor], object], int]] = {
        (REFERENCE, "fp32 plain"): (usual, USUAL_SIZE)
    }
    for name, (network, size) in networks.items():
        gflop[name] = 2 * count_gmac(network, input_size=size)
        forms[name, "fp32 plain"] = network, size
        for precision in numbers:
            forms[name, f"{precision} fused"] = make_forward(network, precision), size
    squares = {name: torch.rand(MATRIX, MATRIX).to(DTYPES[name]) for name in numbers}
    paces = []
    for n, batch in enumerate(batches):
        calls: dict[tuple[str, str], Callable[[], object]] = {
            key: partial(program, torch.rand(batch, 3, size, size))
            for key, (program, size) in forms.items()
        }
        calls |= {("product", name): partial(torch.mm, of, of) for name, of in squares.items()}
        ahead = partial(lambda before, done: report(before + done), n * (turns + 1))
        taken = milliseconds(calls, turns=turns, device=cpu, report=ahead)
        for (name, form), (_, size) in forms.items():
            spent = taken[name, form]
            rate = 1000 * batch * gflop[name] / spent
            best = 2e-6 * MATRIX**3 / taken["product", form.split()[0]]
            paces.append(
                Pace(
                    network=name,
                    form=form,
                    size=size,
                    batch=batch,
                    milliseconds=spent / batch,
                    gflops=rate,
                    share=rate / best,
                    ratio=taken[REFERENCE, "fp32 plain"] / spent,
                )
            )
    return paces


@torch.inference_mode()
def milliseconds(
    contenders: Mapping[K, Callable[[], object]],
    *,
    turns: int,
    device: torch.device,
    report: Callable[[int], None],
) -> dict[K, float]:
    """Of inference: medians of interleaved turns."""
    taken = interleave(contenders, turns=turns, device=device, report=report)
    return {name: 1000 * median(seconds) for name, seconds in taken.items()}


@style.context(STYLE)
def draw_speeds(speeds: Mapping[str, Mapping[str, float]], *, title: str) -> Figure:
    """Bars of images per second, for each network by the names of its forms, in that order."""
    figure = Figure()
    axes = figure.add_subplot(xlabel="images per second")
    axes.set_title(title)
    forms = list(dict.fromkeys(form for of_network in speeds.values() for form in of_network))
    place, ticks = 0.0, {}
    for name, of_network in speeds.items():
        for form, speed in of_network.items():
            bar = axes.barh(place, speed, height=0.8, color=f"C{forms.index(form)}")
            axes.bar_label(bar, fmt=" {:.3g}")
            ticks[place] = f"{name}, {form}"
            place += 1
        place += 0.6
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    figure.set_size_inches(7, 0.9 + 0.24 * place)
    return figure


def network_of(name: str, size: int | None) -> tuple[PoseNetwork, int]:
    """A network to be timed and the side of its images: trained, or fresh of a variant's name."""
    if name in list_models():
        return create_model(name).eval(), size or USUAL_SIZE
    network, card = load_checkpoint(find_weights(name))
    return network, size or card.codec.input_size


def main() -> None:
    """Time the networks; print a row for each form, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["default", "spcnet_s8_w256"])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--size", type=int, help="by default a model's own, or 256 pixels")
    parser.add_argument("--threads", type=int, help="by default one per core")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--output", type=Path, help="draw it too: a .png, .pdf or .svg")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.output is not None:
        prepare_figure(arguments.output, force=True)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    try:
        chosen = {name: network_of(name, arguments.size) for name in arguments.models}
    except UserError as error:
        parser.error(str(error))
    turns, batches = arguments.turns, arguments.batch
    with progress("turns", len(batches) * (turns + 1)) as advance:
        paces = compare_networks(chosen, batches=batches, turns=turns, report=advance)
    setting = {"threads": torch.get_num_threads(), "turns": turns, "torch": torch.__version__}
    text = ", ".join(f"{name} {value}" for name, value in setting.items())
    if arguments.output is not None:
        speeds: dict[str, dict[str, float]] = {}
        for pace in paces:
            forms = speeds.setdefault(f"{pace.network}, {pace.size} px", {})
            forms[f"{pace.form}, batch {pace.batch}"] = 1000 / pace.milliseconds
        save_figure(draw_speeds(speeds, title=f"Inference ({text})"), arguments.output, say=say)
    if arguments.json:
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


if __name__ == "__main__":
    main()
