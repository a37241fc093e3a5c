"""What a run would take, measured on a few real steps: ``spcnet train --dry-run``."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from spcnet.devices import memory_suffices
from spcnet.models.network import PoseNetwork, channels_last
from spcnet.models.registry import create_model
from spcnet.models.summary import summarise
from spcnet.training.losses import heatmap_loss
from spcnet.training.optimisation import make_optimizer
from spcnet.training.precision import autocast, freeze_statistics
from spcnet.training.recipe import Recipe

REPEATS = 3
CROPS = (2, 4)  # of the measured steps; a whole step is extrapolated from these


@dataclass(frozen=True)
class Plan:
    """The costs of a run.

    Attributes:
        parameters: number of weights.
        gmac: multiply-adds of one forward pass of one image, in 10^9.
        steps: of the whole run.
        batch: persons that go through the network of one process at once.
        weight_bytes: weights, gradients, the optimiser's moments and the average.
        image_bytes: what one image keeps for the gradient.
        step_seconds: estimate of one step on this device.
    """

    parameters: int
    gmac: float
    steps: int
    batch: int
    weight_bytes: int
    image_bytes: int
    step_seconds: float

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
    """Estimate a run from a few steps with two and four images.

    Time and memory grow by as much with every image, so that a batch that would not fit is
    estimated too.

    Args:
        recipe: the run.
        joints: K of its data.
        steps: of the whole run.
        processes: that share a step.
        device: where to measure.
        clock: gives seconds.

    Raises:
        UserError: not even a few images fit into memory.
    """
    plan = recipe.training
    network = create_model(recipe.model.variant, num_joints=joints, **recipe.model.arguments)
    summary = summarise(network, input_size=recipe.model.input_size)
    if plan.precision == "fp64":
        network = network.double()
    network = channels_last(network.to(device)).train()
    network.checkpointing = plan.checkpointing
    if plan.frozen_batchnorm:
        freeze_statistics(network)
    optimizer = make_optimizer(recipe, network)
    seconds, kept = [], []
    with memory_suffices("use a smaller model.variant or model.input_size"):
        for count in CROPS:
            times = []
            for _ in range(1 + REPEATS):  # the first one warms up
                began = clock()
                held = _step(network, optimizer, recipe, (count, joints), device)
                times.append(clock() - began)
            seconds.append(median(times[1:]))
            kept.append(held)
    batch = plan.batch_size // processes // plan.accumulate
    extra = max(0.0, seconds[1] - seconds[0]) / (CROPS[1] - CROPS[0])
    one_part = seconds[0] + (batch - CROPS[0]) * extra
    moments = 2 if recipe.optimizer.name == "adamw" else 1  # RMSProp, and nearly all of Muon
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    return Plan(
        parameters=summary.parameters,
        gmac=summary.gmac,
        steps=steps,
        batch=batch,
        weight_bytes=weights * (2 + moments + (plan.ema is not None)),
        image_bytes=(kept[1] - kept[0]) // (CROPS[1] - CROPS[0]),
        step_seconds=plan.accumulate * one_part,
    )


def _step(
    network: PoseNetwork,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    shape: tuple[int, int],
    device: torch.device,
) -> int:
    """One step on random images and joints; gives the bytes that were kept for the gradient."""
    size = recipe.model.input_size
    dtype = next(network.parameters()).dtype
    images = torch.randn(shape[0], 3, size, size, dtype=dtype, device=device)
    points = torch.rand(*shape, 2, dtype=dtype, device=device) * size
    own = {parameter.data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    optimizer.zero_grad(set_to_none=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with autocast(recipe, device):
            outputs = network(images.contiguous(memory_format=torch.channels_last))
        losses = heatmap_loss(
            outputs,
            points,
            torch.ones_like(points[..., 0], dtype=torch.bool),
            kind=recipe.loss.kind,
            sigma=recipe.loss.sigma,
            stride=PoseNetwork.stride,
        )
    losses.sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return sum(kept.values())
