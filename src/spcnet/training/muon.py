"""Muon: momentum, orthogonalised, for kernels; Adam for the rest.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the scale that lets
kernels and the rest share a learning rate and a decay is that of Liu et al., "Muon is Scalable for
LLM Training", 2025.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor

from spcnet.devices import has_bfloat16

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # a quintic whose iterates end between 0.7 and 1.2
ITERATIONS = 5
UPDATE_SIZE = 0.2  # root mean square of a kernel's update, at a learning rate of 1; Adam's is alike
NARROWEST = 16  # input or output channels; of fewer there is no matrix to speak of


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest matrices whose singular values are about 1, by Newton-Schulz.

    In bfloat16 where the device multiplies it in hardware; elsewhere that takes ten times as long
    as float32.

    Shape: (N, rows, columns) -> the same, float32.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices.to(torch.bfloat16 if has_bfloat16(matrices.device) else torch.float32)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    found: Tensor = (x.mT if tall else x).float()
    return found


class Muon(torch.optim.Optimizer):
    """Muon for convolution kernels between wide layers, AdamW for everything else.

    Args:
        params: parameters, or groups of them with their own `weight_decay`.
        lr: learning rate of both.
        momentum: of the kernels, Nesterov's.
        betas: of Adam.
        eps: of Adam.
        weight_decay: decoupled, of both.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "betas": betas, "eps": eps,
            "weight_decay": weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move all parameters by their gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # Kernels of one shape are orthogonalised together.
        waiting: dict[tuple[int, ...], list[tuple[Tensor, Tensor, float]]] = {}
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                if parameter.ndim == 4 and min(parameter.shape[:2]) > NARROWEST:
                    matrix = self._momentum(parameter, group).flatten(1)
                    entry = parameter, matrix, group["lr"]
                    waiting.setdefault(tuple(matrix.shape), []).append(entry)
                else:
                    self._adam(parameter, group)
        for shape, entries in waiting.items():
            updates = orthogonalise(torch.stack([matrix for _, matrix, _ in entries]))
            size = UPDATE_SIZE * max(shape) ** 0.5  # an orthogonal matrix has 1 / sqrt(max(shape))
            for (parameter, _, lr), update in zip(entries, updates, strict=True):
                parameter.add_(update.view(parameter.shape), alpha=-lr * size)
        return loss

    def _momentum(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        gradient = parameter.grad
        assert gradient is not None
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(state["momentum"], group["momentum"])

    def _adam(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        gradient = parameter.grad
        assert gradient is not None
        first, second = group["betas"]
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        steps = int(state["step"])
        root = (state["square"] / (1 - second**steps)).sqrt_().add_(group["eps"])
        parameter.addcdiv_(state["mean"] / (1 - first**steps), root, value=-group["lr"])
