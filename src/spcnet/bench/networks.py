"""Networks beside each other: milliseconds an image, and how near that is to the machine's best.

The best is the rate of a large matrix product in the same numbers, measured in the same turns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from spcnet.bench.interleaved import further, milliseconds
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
        ratio: how many times as fast as the usual hourglass at this batch.
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
    report: Callable[[int], None] = lambda done: None,
) -> list[Pace]:
    """Time networks on this CPU in every form that there is, in turns.

    Args:
        networks: by name, each with the side of its images; in evaluation mode, on the CPU.
        batches: images at a time; each is a run of its own.
        turns: that count.
        report: called with the number of turns done, of all batches together.

    Returns:
        For each batch the usual hourglass, eager and NCHW in float32, and each network's forms.
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
        ahead = further(report, n * (turns + 1))
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
