"""Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024).

The scale that lets kernels and the rest share a learning rate and a decay is that of Liu et al.,
"Muon is Scalable for LLM Training", 2025.
"""

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from spcnet.devices import has_bfloat16

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # a quintic whose iterates end between 0.7 and 1.2
ITERATIONS = 5
UPDATE_SIZE = 0.2  # root mean square of a kernel's update, at a learning rate of 1; Adam's is alike
MOMENTUM = 0.95  # of the kernels, Nesterov's
BETAS = 0.9, 0.999  # of Adam
NARROWEST = 16  # input or output channels; of fewer there is no matrix to speak of


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest matrices (N, rows, columns) whose singular values are about 1, in float32."""
    # Where no hardware multiplies bfloat16, it takes ten times as long as float32.
    a, b, c = NEWTON_SCHULZ
    x = matrices.to(torch.bfloat16 if has_bfloat16(matrices.device) else torch.float32)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    nearest: Tensor = x.transpose(-2, -1) if tall else x
    return nearest.float()


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for convolution kernels between wide layers, AdamW for the rest."""

    def __init__(
        self, params: ParamsT, lr: float, *, eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move all parameters by their gradients."""
        # Kernels of one shape are orthogonalised together.
        waiting: dict[tuple[int, ...], list[tuple[Tensor, Tensor, float]]] = {}
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient: Tensor | None = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                if parameter.ndim != 4 or min(parameter.shape[:2]) <= NARROWEST:
                    _adam(parameter, gradient, state, group)
                    continue
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(gradient, 1 - MOMENTUM)
                matrix = gradient.lerp(state["momentum"], MOMENTUM).flatten(1)
                entry = parameter, matrix, group["lr"]
                waiting.setdefault(tuple(matrix.shape), []).append(entry)
        for shape, entries in waiting.items():
            updates = orthogonalise(torch.stack([matrix for _, matrix, _ in entries]))
            size = UPDATE_SIZE * max(shape) ** 0.5  # an orthogonal matrix has 1 / sqrt(max(shape))
            for (parameter, _, lr), update in zip(entries, updates, strict=True):
                parameter.add_(update.view(parameter.shape), alpha=-lr * size)


def _adam(
    parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
) -> None:
    if not state:
        state["step"] = torch.zeros(())
        state["mean"] = torch.zeros_like(parameter)
        state["square"] = torch.zeros_like(parameter)
    first, second = BETAS
    state["step"] += 1
    state["mean"].lerp_(gradient, 1 - first)
    state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
    steps = int(state["step"])
    root = (state["square"] / (1 - second**steps)).sqrt_().add_(group["eps"])
    parameter.addcdiv_(state["mean"] / (1 - first**steps), root, value=-group["lr"])
