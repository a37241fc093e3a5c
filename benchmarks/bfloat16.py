"""What bfloat16 costs in accuracy, on any machine: fp32 and bf16 by rounding, on the same persons.

    python benchmarks/bfloat16.py --dataset lspet --root PATH --split val

CPUs that multiply bfloat16 in hardware sum up in single precision and round what they write. Here
the fused network's kernels are rounded so, and every operation's result, while fp32 does the sums:
as accurate as bf16, and slower than fp32. Prints both scores by the data set's own protocol, and
how far the keypoints move.
"""

import argparse
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spcnet.data.datasets import default_crop, default_protocol, open_dataset
from spcnet.evaluation.evaluate import evaluate
from spcnet.inference.estimator import PoseEstimator
from spcnet.models.network import PoseNetwork
from spcnet.runtime.fused import FusedNetwork, _Convolution, can_fuse


class Rounding(TorchDispatchMode):
    """Rounds every float32 result to bfloat16, where it lies."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for found in result if isinstance(result, tuple | list) else (result,):
            if isinstance(found, torch.Tensor) and found.layout == torch.strided:
                found.copy_(found.bfloat16())  # all are float32
        return result


def rounded(network: PoseNetwork) -> FusedNetwork:
    """The fused form with bfloat16's kernels, held in float32."""
    if not can_fuse(network):
        raise SystemExit("this network has no fused form here")
    fused = FusedNetwork(network, dtype=torch.bfloat16)
    fused.dtype = torch.float32
    waiting, seen = [fused], set()
    while waiting:
        thing: Any = waiting.pop()
        if isinstance(thing, list | tuple):
            waiting += thing
        elif type(thing).__module__ == FusedNetwork.__module__ and id(thing) not in seen:
            seen.add(id(thing))
            if isinstance(thing, _Convolution):
                thing._weight = thing._weight.float()
                thing._bias = None if thing._bias is None else thing._bias.float()
            waiting += vars(thing).values()
    return fused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--dataset", default="synthetic")
    parser.add_argument("--root")
    parser.add_argument("--split", default="val")
    arguments = parser.parse_args()
    name = arguments.dataset
    dataset = open_dataset(name, arguments.root, arguments.split)
    estimator = PoseEstimator(arguments.model, device="cpu")
    protocol, crop = default_protocol(name), default_crop(name)
    whole = evaluate(estimator, dataset, protocol=protocol, crop=crop)
    fused = rounded(estimator.network)

    def run(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        with Rounding():
            return fused(images.bfloat16().float())

    estimator.backend.run = run  # type: ignore[attr-defined]
    coarse = evaluate(estimator, dataset, protocol=protocol, crop=crop)
    moved = np.linalg.norm(coarse.points - whole.points, axis=-1)
    print(f"{protocol} over {whole.score.persons} persons of {name} {arguments.split}, %")
    print(f"fp32 {whole.score.headline:.2f}, bf16 {coarse.score.headline:.2f}")
    print(f"keypoints move by {moved.mean():.2f} px, half of them by {np.median(moved):.3f}")


if __name__ == "__main__":
    main()
