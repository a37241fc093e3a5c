"""What a network costs and what it sees, measured on the network itself."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spcnet.models.hourglass import DilatedHourglass, Hourglass
from spcnet.models.network import PoseNetwork, Stack


@dataclass(frozen=True)
class Summary:
    """Costs and sizes of a network at one input size.

    Attributes:
        parameters: number of weights.
        gmac: multiply-adds of the convolutions for one image, in 10^9.
        levels: side of each level's features, innermost first.
        receptive_field: side, in cells of the module's input (a quarter of the image), of what
            one output cell of one module can see.
    """

    parameters: int
    gmac: float
    levels: tuple[int, ...]
    receptive_field: int


def summarise(network: PoseNetwork, *, input_size: int = 256) -> Summary:
    """Measure a network: its costs on one image, its levels, its receptive field."""
    first = network.stacks[0]
    assert isinstance(first, Stack)
    was_training = network.training
    network.eval()
    gmac = count_gmac(network, input_size=input_size)
    network.train(was_training)
    return Summary(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gmac=gmac,
        levels=level_sizes(network, input_size=input_size),
        receptive_field=receptive_field(first.module),
    )


def count_gmac(network: nn.Module, *, input_size: int) -> float:
    """10^9 multiply-adds of the convolutions of any network for one square image, as it stands."""
    device = next(network.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, input_size, input_size, device=device))
    return float(counter.get_total_flops()) / 2e9


def level_sizes(network: PoseNetwork, *, input_size: int) -> tuple[int, ...]:
    """Side of each level's features in cells, innermost first, for a square input in pixels."""
    first = network.stacks[0]
    assert isinstance(first, Stack)
    side = input_size // network.stride
    # A narrow copy has levels of the same sizes, and on "meta" they cost nothing.
    with torch.device("meta"):
        levels = _narrow_copy(first.module, 2)(torch.zeros(1, 2, side, side))
    return tuple(level.shape[-1] for level in levels)


def receptive_field(module: Hourglass | DilatedHourglass) -> int:
    """Side of the receptive field of a module's output, by the support of its gradient.

    A narrow copy with the same blocks, positive weights and idle norms is looked at, so that no
    path cancels; a max-pool passes the gradient of one of its four inputs, so several random
    inputs are laid over each other.
    """
    size, channels = 256, 2
    with torch.random.fork_rng(devices=[]):
        probe = _narrow_copy(module, channels)
    x = torch.rand(8, channels, size, size, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    probe(x)[-1][:, :, size // 2, size // 2].sum().backward()
    assert x.grad is not None
    seen = (x.grad != 0).any(dim=0).any(dim=0)  # (size, size)
    columns = seen.any(dim=0).nonzero()
    return int(columns.max() - columns.min() + 1)


def _narrow_copy(module: Hourglass | DilatedHourglass, channels: int) -> nn.Module:
    probe: nn.Module
    if isinstance(module, DilatedHourglass):
        probe = DilatedHourglass(channels, depth=module.depth, dilation=module.dilation)
    else:
        probe = Hourglass(channels, depth=module.depth)
    for part in probe.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.constant_(part.weight, 1 / part.weight[0].numel())
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return probe.eval()
