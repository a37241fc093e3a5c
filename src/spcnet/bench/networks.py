"""Networks beside each other: milliseconds an image, and the share of a matrix product's rate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from spcnet.bench.interleaved import milliseconds
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
