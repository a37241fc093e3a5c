"""How the weights move: optimisers, learning rates, the average of the weights."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from spcnet.models.selective import InformationDistribution
from spcnet.training.muon import Muon
from spcnet.training.recipe import Recipe


def make_optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser; norms and biases are not decayed, and SIM's squeeze goes slowly.

    Every channel's gradient on the squeeze agrees in sign, since it reads a sum of ReLUs: a step
    of one size for each weight moves a logit by up to the channels' number of them, which
    saturates the softmax within 50 steps, and levels that weigh nothing learn nothing.
    """
    plan = recipe.optimizer
    squeeze: list[nn.Parameter] = []
    rate = 1.0
    for module in network.modules():
        if isinstance(module, InformationDistribution):
            squeeze += module.squeeze.parameters()
            rate = plan.squeeze_rate or 2 / module.squeeze.in_channels
    slow = set(squeeze)
    parameters = [p for p in network.parameters() if p not in slow]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if squeeze:
        groups.append({"params": squeeze, "weight_decay": 0.0, "rate": rate})
    if plan.name == "muon":
        return Muon(groups, lr=plan.lr, eps=plan.eps)
    if plan.name == "adamw":
        return torch.optim.AdamW(groups, lr=plan.lr, eps=plan.eps)
    return torch.optim.RMSprop(groups, lr=plan.lr, alpha=plan.alpha, eps=plan.eps)


def learning_rate(recipe: Recipe, step: int, steps: int, steps_per_epoch: int) -> float:
    """Of a step, counted from 0."""
    plan = recipe.optimizer
    if step < plan.warmup_steps:
        return plan.lr * (step + 1) / plan.warmup_steps
    if plan.schedule == "cosine":
        done = (step - plan.warmup_steps) / max(1, steps - plan.warmup_steps)
        return plan.lr * 0.5 * (1 + math.cos(math.pi * done))
    drops = sum(step >= milestone * steps_per_epoch for milestone in plan.milestones)
    return plan.lr * 0.1**drops


@torch.no_grad()
def measure_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the statistics of batch norms to the means over some batches, all by the same weights.

    Those that were kept while training are of the weights of the last few steps, each seen by one
    small batch; an average of weights never had them (Wu and Johnson, "Rethinking 'Batch' in
    BatchNorm", 2021, section 3).

    Args:
        network: left in evaluation mode.
        batches: images (B, 3, H, W), as in training.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all that is seen
    network.train()
    for images in batches:
        network(images)
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the network; early steps weigh more, so that it starts warm."""
    decay = min(decay, (1 + step) / (10 + step))
    current = network.state_dict()
    for name, kept in average.state_dict().items():
        if kept.is_floating_point():
            kept.lerp_(current[name], 1 - decay)
        else:
            kept.copy_(current[name])
