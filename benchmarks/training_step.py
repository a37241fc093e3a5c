"""What a training step costs: images/s of forward, backward and optimiser, median of some steps.

    python benchmarks/training_step.py

One line a network and precision. Run it on an otherwise idle machine.
"""

import argparse
import statistics
import time

import torch

from spcnet.models.network import channels_last
from spcnet.models.registry import create_model

CASES = (
    ({"channels": 96}, 128, "bf16"),
    ({"channels": 96}, 128, "fp32"),
    ({"channels": 128}, 128, "bf16"),
    ({"channels": 128, "stacks": 3}, 128, "bf16"),
    ({"channels": 192}, 128, "bf16"),
    ({"channels": 128}, 192, "bf16"),
)


def images_per_second(
    arguments: dict[str, int], size: int, precision: str, *, batch: int, steps: int
) -> float:
    """Of one network, after one step of warming up."""
    network = channels_last(create_model("spcnet_s2_w128", num_joints=14, **arguments)).train()
    optimizer = torch.optim.AdamW(network.parameters())
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    seconds = []
    for _ in range(steps + 1):
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            outputs = network(images)
        optimizer.zero_grad()
        sum((output.float() ** 2).mean() for output in outputs).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - began)
    return batch / statistics.median(seconds[1:])


def main() -> None:
    """Read the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--shrink", type=int, default=1, help="divide the input size, for a trial")
    options = parser.parse_args()
    for arguments, size, precision in CASES:
        size //= options.shrink
        speed = images_per_second(
            arguments, size, precision, batch=options.batch, steps=options.steps
        )
        print(f"{arguments} at {size} in {precision}: {speed:.0f} images/s", flush=True)


if __name__ == "__main__":
    main()
