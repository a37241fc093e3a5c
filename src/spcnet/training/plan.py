"""What a run would take, measured on a few real steps: ``spcnet train --dry-run``."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from spcnet.devices import memory_suffices
from spcnet.models.network import PoseNetwork
from spcnet.models.summary import count_gmac
from spcnet.training.losses import heatmap_loss
from spcnet.training.optimisation import autocast, freeze_statistics, make_network, make_optimizer
from spcnet.training.recipe import Recipe

REPEATS = 3
CROPS = (2, 4)  # of the measured steps; a whole step is extrapolated from these


@dataclass(frozen=True)
class Plan:
    """The costs of a run."""

    parameters: int
    gmac: float  # 10^9 multiply-adds of one forward pass of one image
    steps: int  # of the whole run
    batch: int  # persons that go through the network of one process at once
    weight_bytes: int  # weights, gradients, the optimiser's moments and the average
    image_bytes: int  # what one image keeps for the gradient
    step_seconds: float  # on this device

    @property
    def memory(self) -> int:
        """Estimate of the bytes that one process needs for its network."""
        return self.weight_bytes + self.batch * self.image_bytes

    @property
    def seconds(self) -> float:
        """Estimate of the whole run, without scoring."""
        return self.steps * self.step_seconds


def make_plan(
    recipe: Recipe,
    *,
    joints: int,
    steps: int,
    processes: int,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> Plan:
    """Estimate a run of so many steps from a few of them with two and four images.

    Time and memory grow by as much with every image, so that a batch that would not fit is
    estimated too; where not even a few images fit, that is a `UserError`.
    """
    plan = recipe.training
    with torch.device("meta"):
        gmac = count_gmac(recipe.model.build(joints).eval(), input_size=recipe.model.input_size)
    network = make_network(recipe, joints, device)
    if plan.frozen_batchnorm:
        freeze_statistics(network)
    optimizer = make_optimizer(recipe, network)
    seconds, kept = [], []
    with memory_suffices("use a smaller model.variant or model.input_size"):
        for count in CROPS:
            times = []
            for _ in range(1 + REPEATS):  # the first one warms up
                began = clock()
                held = _step(network, optimizer, recipe, count)
                times.append(clock() - began)
            seconds.append(median(times[1:]))
            kept.append(held)
    batch, more = plan.batch_size // processes // plan.accumulate, CROPS[1] - CROPS[0]
    extra = max(0.0, seconds[1] - seconds[0]) / more
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    moments = 2 if recipe.optimizer.name == "adamw" else 1  # RMSProp, and nearly all of Muon
    return Plan(
        parameters=sum(p.numel() for p in network.parameters()),
        gmac=gmac,
        steps=steps,
        batch=batch,
        weight_bytes=weights * (2 + moments + (plan.ema is not None)),
        image_bytes=(kept[1] - kept[0]) // more,
        step_seconds=plan.accumulate * (seconds[0] + (batch - CROPS[0]) * extra),
    )


def _step(
    network: PoseNetwork, optimizer: torch.optim.Optimizer, recipe: Recipe, count: int
) -> int:
    """One step on random images and joints; gives the bytes that were kept for the gradient."""
    size, loss = recipe.model.input_size, recipe.loss
    images = torch.randn(count, 3, size, size).to(next(network.parameters()))
    images = images.contiguous(memory_format=torch.channels_last)
    kept = {parameter.data_ptr(): 0 for parameter in network.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept.setdefault(storage.data_ptr(), storage.nbytes())
        return tensor

    optimizer.zero_grad(set_to_none=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with autocast(recipe, images.device):
            outputs = network(images)
        points = torch.rand(*outputs[0].shape[:2], 2).to(images) * size
        everyone = torch.ones_like(points[..., 0], dtype=torch.bool)
        losses = heatmap_loss(
            outputs, points, everyone, kind=loss.kind, sigma=loss.sigma, stride=PoseNetwork.stride
        )
    losses.sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return sum(kept.values())
