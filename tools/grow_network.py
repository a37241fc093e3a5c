"""Give a trained network more stacks without changing its answer.

    python tools/grow_network.py default --stacks 4 -o grown.safetensors

Every new stack is a copy of the last one, with a copy of the last feedback before it, and what is
gathered of its levels counts nothing yet: the kernels of the Information Collection begin at zero
there (as in Chen et al., "Net2Net", ICLR 2016, growing keeps the function). Of a network without a
fusion the last stack is the answer, which such copies would change; that is refused.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from spcnet.checkpoints import find_weights, load_checkpoint, save_checkpoint
from spcnet.errors import UserError


def grown(weights: dict[str, Tensor], *, stacks: int, wanted: int) -> dict[str, Tensor]:
    """The weights of a network of `wanted` stacks that answers as one of `stacks` does."""
    more = dict(weights)
    for new in range(stacks, wanted):
        for part, last in (("stacks", stacks - 1), ("feedbacks", stacks - 2)):
            at = new if part == "stacks" else new - 1
            for name, tensor in weights.items():
                if name.startswith(f"{part}.{last}."):
                    more[name.replace(f"{part}.{last}.", f"{part}.{at}.", 1)] = tensor.clone()
    for name, tensor in weights.items():
        if name.startswith("collect.") and name.endswith(".reduce.weight"):  # (C, S*C, 1, 1)
            nothing = torch.zeros_like(tensor[:, : tensor.shape[1] // stacks])
            more[name] = torch.cat([tensor, *[nothing] * (wanted - stacks)], dim=1)
    return more


def main() -> None:
    """Read the arguments, grow, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("--stacks", type=int, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    network, card = load_checkpoint(find_weights(arguments.weights))
    stacks = len(network.stacks)
    if network.distribute is None or not 2 <= stacks < arguments.stacks:
        raise UserError(f"{arguments.weights} must have a fusion, and 2 stacks to fewer than asked")
    card = replace(
        card,
        arguments={**card.arguments, "stacks": arguments.stacks},
        training={**card.training, "grown_from": arguments.weights},
    )
    larger = card.build()
    larger.load_state_dict(grown(network.state_dict(), stacks=stacks, wanted=arguments.stacks))
    images = torch.randn(2, 3, card.codec.input_size, card.codec.input_size)
    with torch.no_grad():
        moved = (network.eval()(images) - larger.eval()(images)).abs().max().item()
    save_checkpoint(arguments.output, larger.state_dict(), card)
    print(f"{arguments.output}: {stacks} stacks became {arguments.stacks}, answers moved {moved:g}")


if __name__ == "__main__":
    main()
