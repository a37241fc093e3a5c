"""Networks beside each other: milliseconds an image, and how near that is to the machine's best.

The best is the rate of a large matrix product in the same numbers, measured in the same turns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from spcnet.bench.turns import take_turns
from spcnet.bench.usual import UsualNetwork
from spcnet.models.fused import FusedNetwork, has_bfloat16
from spcnet.models.network import PoseNetwork

USUAL = "8-stack hourglass of the usual kind"
USUAL_SIZE = 256  # pixels
MATRIX = 2048  # rows and columns of the product that stands for the machine's best
NUMBERS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a network is in one form.

    Attributes:
        network: its name.
        form: numbers, and ``"plain"`` or ``"fused"``.
        size: side of the images in pixels.
        batch: images at a time.
        milliseconds: an image, median of the turns.
        gflops: 10^9 multiplications and additions a second, those of convolutions alone.
        share: of what the matrix product reaches in the same numbers.
        ratio: how many times as fast as the usual hourglass at this batch; NaN without it.
    """

    network: str
    form: str
    size: int
    batch: int
    milliseconds: float
    gflops: float
    share: float
    ratio: float


def compare_networks(
    networks: Mapping[str, tuple[PoseNetwork, int]],
    *,
    batches: Sequence[int],
    turns: int = 5,
    usual: bool = True,
    matrix: int = MATRIX,
    report: Callable[[int], None] = lambda done: None,
) -> list[Pace]:
    """Time networks on this CPU in every form that there is, in turns.

    Args:
        networks: by name, each with the side of its images; in evaluation mode, on the CPU.
        batches: images at a time; each is a run of its own.
        turns: that count.
        usual: measure the usual hourglass, eager and NCHW in float32, too.
        matrix: rows and columns of the matrix product.
        report: called with the number of turns done, of all batches together.

    Returns:
        For each batch the usual hourglass and each network's forms.
    """
    names = [name for name in NUMBERS if name == "fp32" or has_bfloat16(torch.device("cpu"))]
    forms: list[tuple[str, str, Callable[[Tensor], object], int, float]] = []
    if usual:
        hourglass = UsualNetwork(joints=16).eval()
        cost = _gflop(hourglass, USUAL_SIZE)
        forms.append((USUAL, "fp32 plain", hourglass, USUAL_SIZE, cost))
    for name, (network, size) in networks.items():
        cost = _gflop(network, size)
        forms.append((name, "fp32 plain", network, size, cost))
        for numbers in names:
            fused = FusedNetwork(network, dtype=NUMBERS[numbers])
            forms.append((name, f"{numbers} fused", fused, size, cost))
    square = torch.rand(matrix, matrix)
    squares = {name: square.to(NUMBERS[name]) for name in names}
    paces = []
    for number, batch in enumerate(batches):
        calls: dict[str, Callable[[], object]] = {
            f"{name}, {form}": _call(work, torch.rand(batch, 3, size, size))
            for name, form, work, size, _ in forms
        }
        calls |= {name: _call(factor.mm, factor) for name, factor in squares.items()}
        taken = take_turns(calls, turns=turns, report=partial(_after, report, number * (turns + 1)))
        seconds = {call: median(turn.seconds for turn in each) for call, each in taken.items()}
        best = {name: 2e-9 * matrix**3 / seconds[name] for name in names}
        reference = seconds.get(f"{USUAL}, fp32 plain", float("nan"))
        for name, form, _, size, cost in forms:
            spent = seconds[f"{name}, {form}"]
            rate = batch * cost / spent
            paces.append(
                Pace(
                    network=name,
                    form=form,
                    size=size,
                    batch=batch,
                    milliseconds=1000 * spent / batch,
                    gflops=rate,
                    share=rate / best[form.split()[0]],
                    ratio=reference / spent,
                )
            )
    return paces


def _after(report: Callable[[int], None], before: int, done: int) -> None:
    report(before + done)


def _call(work: Callable[[Tensor], object], given: Tensor) -> Callable[[], object]:
    @torch.inference_mode()
    def call() -> None:
        work(given)

    return call


def _gflop(network: nn.Module, size: int) -> float:
    """10^9 multiplications and additions of one image."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, size, size))
    return float(counter.get_total_flops()) / 1e9
