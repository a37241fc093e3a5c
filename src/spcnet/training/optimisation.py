"""How the weights move: the network, its precision, optimisers, rates, the weights' average."""

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from spcnet.errors import UserError
from spcnet.models.network import PoseNetwork, channels_last
from spcnet.models.selective import InformationDistribution, begin_squeeze_at_zero
from spcnet.training.muon import Muon
from spcnet.training.recipe import Recipe


def make_network(recipe: Recipe, channels: int, device: torch.device) -> PoseNetwork:
    """The recipe's network with fresh weights, ready to be trained."""
    plan = recipe.training
    network = recipe.model.build(channels)
    if recipe.model.squeeze == "zero":
        begin_squeeze_at_zero(network)
    for module in find_modules(network, "model.freeze", recipe.model.freeze):
        module.requires_grad_(False)
    if plan.sync_batchnorm:
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    if plan.precision == "fp64":
        network = network.double()
    network = channels_last(network.to(device)).train()
    network.checkpointing = plan.checkpointing
    return network


def find_modules(network: nn.Module, field: str, names: Sequence[str]) -> list[nn.Module]:
    """The modules that a field of a recipe names; of an unknown name a `UserError`."""
    modules = dict(network.named_modules())
    for name in names:
        if not name or name not in modules:
            known = ", ".join(child for child, _ in network.named_children())
            there = f"it has {known} and their parts"
            raise UserError(f"{field}: the network has no module {name!r}; {there}")
    return [modules[name] for name in names]


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[None]:
    """Half precision where the recipe asks for it."""
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.training.precision)
    return torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None)


def is_of_joints(name: str) -> bool:
    """Whether a weight has a row or column per joint: of a head, or of the feedback of its maps."""
    module, _, tensor = name.rpartition(".")
    part = module.rpartition(".")[2]
    return part == "head" or (part == "of_heatmaps" and tensor == "weight")


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """All batch norms of a network, also those that several processes share."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def freeze_statistics(network: nn.Module, *, every: bool = True) -> None:
    """Let batch norms use their running statistics: every one, or those that are frozen."""
    for norm in batch_norms(network):
        if every or not norm.weight.requires_grad:
            norm.eval()


def make_optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser; norms and biases are not decayed, and SIM's squeeze goes slowly.

    Every channel's gradient on the squeeze agrees in sign, since it reads a sum of ReLUs: steps of
    one size add up over the channels and saturate the softmax within 50 steps.
    """
    plan = recipe.optimizer
    learned = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not learned:
        raise UserError("model.freeze: nothing is left to be learned; leave the heads out of it")
    fusions = [m for m in network.modules() if isinstance(m, InformationDistribution)]
    squeeze = [p for fusion in fusions for p in fusion.squeeze.parameters() if p.requires_grad]
    slow = set(squeeze)
    rest = {name: p for name, p in learned.items() if p not in slow}
    heads = {name for name in rest if plan.body_rate is not None and is_of_joints(name)}
    slowly = {} if plan.body_rate is None else {"rate": plan.body_rate}
    parts = [(rest.keys() - heads, slowly), *([(heads, {})] if heads else [])]
    groups: list[dict[str, Any]] = []
    for names, at_rate in parts:
        for kernels, decay in ((True, plan.weight_decay), (False, 0.0)):
            of_kind = [p for name, p in rest.items() if name in names and (p.ndim > 1) == kernels]
            groups.append({"params": of_kind, "weight_decay": decay, **at_rate})
    if squeeze:
        rate = plan.squeeze_rate or 2 / fusions[-1].squeeze.in_channels
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
    """Set the statistics of batch norms to the means over some images (B, 3, H, W), batch by batch.

    Those that were kept while training are of the weights of the last few steps; an average of
    weights never had them (Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3).
    The network is left in evaluation mode.
    """
    norms = [norm for norm in batch_norms(network) if norm.weight.requires_grad]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all that is seen
    network.train()
    freeze_statistics(network, every=False)
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
