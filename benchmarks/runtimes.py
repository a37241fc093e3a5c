"""Models and runtimes beside each other, from a crop to keypoints: ms a crop, medians of turns.

    OMP_NUM_THREADS=1 python benchmarks/runtimes.py default default@bf16 default.onnx \
        default-int8.onnx default.onnx@openvino-bf16

A contender is a model, and after an @ the numbers that torch runs it in (fp32, bf16), or
OpenVINO (openvino-fp32, openvino-bf16), or torch.compile with its kernels frozen (compile-fp32,
compile-bf16; it needs a C++ compiler and minutes). Run it on an otherwise idle machine and with one
thread: the runtimes' own threads wait in loops, which slows the others down.
"""

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch

from spcnet.evaluation.speed import interleave
from spcnet.inference.estimator import PoseEstimator
from spcnet.runtime.plain import TorchBackend
from spcnet.synthetic.figure import render_figure

PICTURE = render_figure(0).image
SIDE = float(max(PICTURE.shape[:2]))
SQUARE = (np.array([SIDE / 2, SIDE / 2]), SIDE)


def contender(text: str, batch: int) -> Callable[[], object]:
    """A call that finds the joints of so many crops."""
    model, _, how = text.partition("@")
    device, _, precision = how.rpartition("-")
    if device == "compile":
        return compiled(model, precision, batch)
    estimator = PoseEstimator(model, device=device or "cpu", precision=precision or "fp32")
    return partial(estimator.look, [PICTURE] * batch, [SQUARE] * batch)


def compiled(model: str, precision: str, batch: int) -> Callable[[], object]:
    """The same by torch.compile, of the network as it was built."""
    estimator = PoseEstimator(model, device="cpu")
    assert isinstance(estimator.backend, TorchBackend)
    network = torch.compile(estimator.network, options={"freezing": True})

    def run(images: torch.Tensor) -> tuple[torch.Tensor, None]:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return network(images).float(), None

    estimator.backend.run = run
    return partial(estimator.look, [PICTURE] * batch, [SQUARE] * batch)


def main() -> None:
    """Print one line a contender and batch."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("contenders", nargs="+")
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    arguments = parser.parse_args()
    for batch in arguments.batches:
        calls = {text: contender(text, batch) for text in arguments.contenders}
        for name, seconds in interleave(calls, turns=arguments.turns).items():
            print(f"{name}, batch {batch}: {1000 * median(seconds) / batch:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
