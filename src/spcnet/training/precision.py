"""In which numbers a network is trained."""

from contextlib import AbstractContextManager

import torch
from torch import nn

from spcnet.training.recipe import Recipe

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[None]:
    """Half precision where the recipe asks for it."""
    half = HALVES.get(recipe.training.precision)
    return torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None)


def freeze_statistics(network: nn.Module) -> None:
    """Let batch norms use their running statistics, and leave them as they are."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
