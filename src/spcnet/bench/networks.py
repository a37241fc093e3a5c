"""Networks beside each other: milliseconds an image, and how near that is to the machine's best.

The best is the rate of a large matrix product in the same numbers, measured in the same turns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spcnet.bench.interleaved import further, interleave
from spcnet.bench.reference import ReferenceNetwork
from spcnet.devices import has_bfloat16
from spcnet.models.network import PoseNetwork
from spcnet.models.summary import count_gmac
from spcnet.runtime.fused import DTYPES
from spcnet.runtime.plain import make_forward

REFERENCE = "8-stack hourglass of the usual kind"
USUAL_SIZE = 256  # pixels
MATRIX = 2048  # rows and columns of the product that stands for the machine's best


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


class _Contender(NamedTuple):
    """A network in one form; `plain` is the network as it was built."""

    network: str
    form: str
    program: Callable[[Tensor], object]
    plain: nn.Module
    size: int

    @property
    def called(self) -> str:
        return f"{self.network}, {self.form}"


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
    cpu = torch.device("cpu")
    able = {"fp32": True, "bf16": has_bfloat16(cpu)}
    names = [name for name, is_able in able.items() if is_able]
    contenders = []
    if usual:
        hourglass = ReferenceNetwork(joints=16).eval()
        contenders.append(_Contender(REFERENCE, "fp32 plain", hourglass, hourglass, USUAL_SIZE))
    for name, (network, size) in networks.items():
        contenders.append(_Contender(name, "fp32 plain", network, network, size))
        for numbers in names:
            fused = make_forward(network, numbers)
            contenders.append(_Contender(name, f"{numbers} fused", fused, network, size))
    costs = [2 * count_gmac(c.plain, input_size=c.size) for c in contenders]
    products = {name: _product(name, matrix) for name in names}
    paces = []
    for number, batch in enumerate(batches):
        calls: dict[str, Callable[[], object]] = {
            c.called: _call(c.program, torch.rand(batch, 3, c.size, c.size)) for c in contenders
        }
        calls |= products
        taken = interleave(calls, turns=turns, report=further(report, number * (turns + 1)))
        seconds = {call: median(turn.seconds for turn in each) for call, each in taken.items()}
        best = {name: 2e-9 * matrix**3 / seconds[name] for name in names}
        reference = seconds[contenders[0].called] if usual else float("nan")
        for c, cost in zip(contenders, costs, strict=True):
            spent = seconds[c.called]
            rate = batch * cost / spent
            paces.append(
                Pace(
                    network=c.network,
                    form=c.form,
                    size=c.size,
                    batch=batch,
                    milliseconds=1000 * spent / batch,
                    gflops=rate,
                    share=rate / best[c.form.split()[0]],
                    ratio=reference / spent,
                )
            )
    return paces


def _product(numbers: str, rows: int) -> Callable[[], object]:
    """A square matrix times itself."""
    square = torch.rand(rows, rows).to(DTYPES[numbers])
    return _call(square.mm, square)


def _call(work: Callable[[Tensor], object], given: Tensor) -> Callable[[], object]:
    @torch.inference_mode()
    def call() -> None:
        work(given)

    return call
