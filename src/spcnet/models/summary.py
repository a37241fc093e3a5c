"""What a network costs and what it sees, measured on the network itself."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spcnet.models.network import PoseNetwork

NARROW = 2  # channels of a copy that is looked at


@dataclass(frozen=True)
class Summary:
    """Costs and sizes of a network at one input size."""

    parameters: int
    gmac: float  # 10^9 multiply-adds of the convolutions for one image
    levels: tuple[int, ...]  # side of each level's features in cells, innermost first
    # Side, in cells of the module's input (a quarter of the image), of what one output cell sees.
    receptive_field: int


def summarise(network: PoseNetwork, *, input_size: int = 256) -> Summary:
    """Measure a network: its costs on one image, its levels, its receptive field."""
    was_training = network.training
    network.eval()
    gmac = count_gmac(network, input_size=input_size)
    network.train(was_training)
    return Summary(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gmac=gmac,
        levels=level_sizes(network, input_size=input_size),
        receptive_field=receptive_field(network.make_module),
    )


def count_gmac(network: nn.Module, *, input_size: int) -> float:
    """10^9 multiply-adds of the convolutions of any network for one square image, as it stands."""
    device = next(network.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, input_size, input_size, device=device))
    return float(counter.get_total_flops()) / 2e9


def level_sizes(network: PoseNetwork, *, input_size: int) -> tuple[int, ...]:
    """Side of each level's features in cells, innermost first, for a square input in pixels."""
    side = input_size // network.stride
    # A narrow copy has levels of the same sizes, and on "meta" they cost nothing.
    with torch.device("meta"):
        levels = _narrow(network.make_module)(torch.zeros(1, NARROW, side, side))
    return tuple(level.shape[-1] for level in levels)


def receptive_field(make_module: Callable[[int], nn.Module]) -> int:
    """Side of the receptive field of a module's output, by the support of its gradient.

    A narrow copy with the same blocks, positive weights and idle norms is looked at, so that no
    path cancels; a max-pool passes the gradient of one of its four inputs, so several random
    inputs are laid over each other.
    """
    size = 256
    with torch.random.fork_rng(devices=[]):
        probe = _narrow(make_module)
    x = torch.rand(8, NARROW, size, size, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    probe(x)[-1][:, :, size // 2, size // 2].sum().backward()
    assert x.grad is not None
    seen = (x.grad != 0).any(dim=0).any(dim=0)  # (size, size)
    columns = seen.any(dim=0).nonzero()
    return int(columns.max() - columns.min() + 1)


def _narrow(make_module: Callable[[int], nn.Module]) -> nn.Module:
    probe = make_module(NARROW)
    for part in probe.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.constant_(part.weight, 1 / part.weight[0].numel())
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return probe.eval()
