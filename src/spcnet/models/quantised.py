"""The convolutions of a `FusedNetwork` in int8, by oneDNN, as `torch.compile` runs quantised ones.

Kernels are int8 with a scale for each output channel; what goes into a convolution is uint8, by one
scale that some images were measured for. What residual blocks add up stays in float32, as do the
narrow convolutions, which save nothing.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spcnet.models.forms import (
    FloatForm,
    Geometry,
    Opening,
    Operation,
    folded,
    geometry,
    square_parts,
    statistics,
)
from spcnet.models.network import PoseNetwork, Stack
from spcnet.models.selective import InformationCollection

NARROW = 32  # channels in or out: of fewer a convolution stays in float
LEVELS = 255

# Of `quantise`, which says why it is used all the same.
warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")


class Range(NamedTuple):
    """How a convolution's input is held in uint8: value = scale * (number - zero)."""

    scale: float
    zero: int


@torch.no_grad()
def measure_ranges(network: PoseNetwork, images: Tensor) -> dict[nn.Module, Range]:
    """What goes into each wide convolution of a network, over some images.

    Args:
        network: in evaluation mode.
        images: (B, 3, H, W), normalised.

    Returns:
        By convolution. Inputs that are never below 0 have their zero at 0, others in the middle.
    """
    ends: dict[nn.Module, tuple[float, float]] = {}

    def see(module: nn.Module, inputs: Tensor | Sequence[Tensor]) -> None:
        low, high = ends.get(module, (0.0, 0.0))
        for x in [inputs] if isinstance(inputs, Tensor) else inputs:
            low, high = min(low, float(x.min())), max(high, float(x.max()))
        ends[module] = low, high

    heads: set[nn.Module] = {stack.head for stack in network.stacks if isinstance(stack, Stack)}
    with _watching(network, heads, see):
        network.forward_all(images)
    ranges = {}
    for module, (low, high) in ends.items():
        if low < 0:
            ranges[module] = Range(max(-low, high, 1e-6) / (LEVELS // 2), LEVELS // 2 + 1)
        else:
            ranges[module] = Range(max(high, 1e-6) / LEVELS, 0)
    return ranges


@contextmanager
def _watching(
    network: nn.Module,
    also: set[nn.Module],
    see: Callable[[nn.Module, Tensor | Sequence[Tensor]], None],
) -> Iterator[None]:
    """Show the inputs of wide convolutions, and of some more, of the forward passes inside."""
    hooks = []
    for module in network.modules():
        if isinstance(module, InformationCollection):
            # It applies slices of its convolution to one stack after the other.
            hooks.append(
                module.register_forward_pre_hook(lambda m, inputs: see(m.reduce, inputs[0]))
            )
        elif isinstance(module, nn.Conv2d) and (
            module in also or min(module.in_channels, module.out_channels) >= NARROW
        ):
            hooks.append(module.register_forward_pre_hook(lambda m, inputs: see(m, inputs[0])))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class Int8Form:
    """A `spcnet.models.forms.Form` in int8.

    Attributes:
        ranges: of `measure_ranges`; convolutions that are not in it stay in float.
        float_form: of these, in float32.
    """

    ranges: Mapping[nn.Module, Range]
    float_form: FloatForm

    @property
    def dtype(self) -> torch.dtype:
        """See `Form`."""
        return torch.float32

    def convolution(
        self,
        module: nn.Module,
        norm: nn.Module | None = None,
        *,
        relu: bool = False,
        into: nn.Module | None = None,
    ) -> Operation:
        """See `Form`."""
        if module not in self.ranges:
            return self.float_form.convolution(module, norm, relu=relu)
        kernel, bias = folded(module, norm, consume=self.float_form.consume)
        out = None if into is None else self.ranges.get(into)
        return Int8Convolution(
            kernel, bias, geometry(module), self.ranges[module], relu=relu, out=out
        )

    def slices(
        self, module: nn.Module, norm: nn.Module | None = None, *, relu: bool = False
    ) -> Sequence[Operation]:
        """See `Form`."""
        if module not in self.ranges:
            return self.float_form.slices(module, norm, relu=relu)
        kernel, bias = folded(module, norm, consume=self.float_form.consume)
        *before, last = square_parts(kernel)
        shape, taken = geometry(module), self.ranges[module]
        return [
            *(Int8Convolution(part, None, shape, taken) for part in before),
            Int8Convolution(last, bias, shape, taken, relu=relu),
        ]

    def opening(self, norm: nn.BatchNorm2d, into: nn.Module) -> Callable[[Tensor], Tensor]:
        """See `Form`."""
        if into not in self.ranges:
            return Opening(*statistics(norm))
        return _Int8Opening(norm, self.ranges[into])


class Int8Convolution:
    """A `spcnet.models.forms.Operation` in int8; float inputs are quantised first.

    Args:
        weight: (O, I, h, w), float32.
        bias: (O,), or None.
        geometry: of the convolution.
        taken: of the input.
        relu: whether a ReLU ends it.
        out: of the output, which is then uint8; else it is float32.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
        taken: Range,
        *,
        relu: bool = False,
        out: Range | None = None,
    ) -> None:
        padding, stride, dilation = geometry
        self._scales = weight.abs().amax(dim=(1, 2, 3)).clamp_min(1e-9) / 127
        kernel = (weight / self._scales.view(-1, 1, 1, 1)).round().clamp(-127, 127)
        self._bias = None if bias is None else bias.float()
        self._taken = taken
        self._geometry = stride, padding, dilation, 1
        self._kernel = torch.ops.onednn.qconv_prepack(
            kernel.to(torch.int8), self._scales, *taken, *self._geometry, None
        )
        self._zeros = torch.zeros_like(self._scales, dtype=torch.int32)
        self._last = "relu" if relu else "none"
        self._out: tuple[Any, ...] = (*out, torch.uint8) if out else (1.0, 0, torch.float32)

    def __call__(self, x: Tensor) -> Tensor:
        """See `Operation`."""
        return self._run(x, self._last)

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """See `Operation`."""
        # oneDNN adds up in its place too, but torch then copies the sum.
        total = self._run(x, "none").add_(other)
        return total.relu_() if self._last == "relu" else total

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """See `Operation`."""
        total.add_(self._run(x, "none"))
        return total.relu_() if self._last == "relu" else total

    def _run(self, x: Tensor, last: str) -> Tensor:
        if x.dtype != torch.uint8:
            x = quantise(x, self._taken)
        found: Tensor = torch.ops.onednn.qconv2d_pointwise(
            x, *self._taken, self._kernel, self._scales, self._zeros, self._bias,
            *self._geometry, *self._out, last, [], "",
        )  # fmt: skip
        return found


class _Int8Opening:
    """A batch norm whose output is uint8: cut off at 0, it needs no ReLU."""

    def __init__(self, norm: nn.BatchNorm2d, taken: Range) -> None:
        mean, variance, scale, shift, self._eps = statistics(norm)
        self._values = mean, variance, scale / taken.scale, shift / taken.scale

    def __call__(self, x: Tensor) -> Tensor:
        return quantise(F.batch_norm(x, *self._values, eps=self._eps), Range(1.0, 0))


def quantise(x: Tensor, taken: Range) -> Tensor:
    """A float32 tensor as uint8, rounded and cut off at its ends.

    The operator is deprecated with the tensors that it makes, of which only the bytes are used
    here; torch has no other one that does this in one pass.
    """
    held = torch.quantize_per_tensor(x, *taken, torch.quint8)
    bytes_ = torch.empty(0, dtype=torch.uint8)
    return bytes_.set_(held.untyped_storage(), 0, held.shape, held.stride())
