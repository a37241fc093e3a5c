"""Residual sums kept about zero, where their means mean nothing.

What leaves a pre-activation block reaches a batch norm through nothing but sums, poolings and 1x1
convolutions, so that a constant added to a channel changes no output, and no gradient holds it
back. Muon moves kernels in such directions too, and so the means drift: to a thousand with
deviations of ten in a long run, which leaves bfloat16 no digit of what varies.
"""

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from spcnet.models.bottlenecks import Bottleneck
from spcnet.models.network import Feedback, PoseNetwork
from spcnet.training.distributed import ProcessGroup
from spcnet.training.optimisation import batch_norms

REACH = 8  # deviations from its mean within which all values of a normalised channel lie


def free_convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """The convolutions whose bias the batch norms behind them take away again."""
    found: list[nn.Module] = []
    for module in network.modules():
        if isinstance(module, Bottleneck):
            found += [module.conv3, module.shortcut]
        elif isinstance(module, Feedback):
            found += [module.of_features, module.of_heatmaps]
    return [module for module in found if isinstance(module, nn.Conv2d)]


@torch.no_grad()
def recentre(network: PoseNetwork, images: Tensor, processes: ProcessGroup | None = None) -> None:
    """Set the free biases so that residual sums have mean zero over some images (B, 3, H, W).

    The network's outputs stay what they were, up to rounding, in either mode: the running means
    of batch norms move along. Several processes have images each, and the means of their biases.
    """
    means: dict[nn.Module, Tensor] = {}  # of each norm's input, as it was

    def measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        means[norm] = _mean(inputs[0])

    def follow(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        assert norm.running_mean is not None
        norm.running_mean += (_mean(inputs[0]) - means[norm]).to(norm.running_mean)

    def centre(convolution: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        assert convolution.bias is not None
        mean = _mean(output)
        convolution.bias -= mean.to(convolution.bias)
        return output - mean.to(output)[:, None, None]

    _recentre_stem(network)
    for look in (measure, follow):
        with ExitStack() as hooks:
            for norm in batch_norms(network):
                hooks.callback(norm.register_forward_pre_hook(look).remove)
            for convolution in free_convolutions(network) if look is follow else ():
                hooks.callback(convolution.register_forward_hook(centre).remove)
            network(images)
    if processes is not None:
        for convolution in free_convolutions(network):
            assert convolution.bias is not None
            convolution.bias.data.copy_(processes.mean(convolution.bias.data))


def _recentre_stem(network: PoseNetwork) -> None:
    """Bring down channels of the stem that its first ReLU never cuts, and what they reach."""
    first, block = network.stem[1], network.stem[3]
    assert isinstance(first, nn.BatchNorm2d) and isinstance(block, Bottleneck)
    norm, shortcut = block.norm1, block.shortcut
    excess: Tensor = (first.bias - REACH * first.weight.abs()).clamp_min(0)
    first.bias.sub_(excess)
    assert norm.running_mean is not None
    norm.running_mean.sub_(excess.to(norm.running_mean))
    if isinstance(shortcut, nn.Conv2d):
        assert shortcut.bias is not None
        with torch.autocast(excess.device.type, enabled=False):  # not in half precision
            shortcut.bias.add_(shortcut.weight.flatten(1) @ excess)
    else:
        assert block.conv3.bias is not None
        block.conv3.bias.add_(excess)


def _mean(x: Tensor) -> Tensor:
    """Of each channel: (B, C, H, W) -> (C,)."""
    return x.double().mean(dim=(0, 2, 3))
