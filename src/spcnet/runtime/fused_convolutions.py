"""The convolutions of a `FusedNetwork`, by oneDNN, and the batch norms that open its blocks."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Geometry: TypeAlias = tuple[
    list[int], list[int], list[int]
]  # padding, stride, dilation; of y and x


@dataclass(frozen=True)
class Maker:
    """Makes convolutions and openings of those of a network.

    Attributes:
        dtype: of kernels and features: float32 or bfloat16.
        layouts: in how many more layouts than their own kernels are held.
        consume: let go of each kernel of the network once it is held here.
    """

    dtype: torch.dtype
    layouts: int
    consume: bool

    def convolution(
        self, module: nn.Module, norm: nn.Module | None = None, *, relu: bool = False
    ) -> "Convolution":
        """A convolution of a network.

        Args:
            module: the convolution.
            norm: the batch norm behind it.
            relu: whether a ReLU ends it.
        """
        weight, bias = folded(module, norm, consume=self.consume)
        return Convolution(weight, bias, geometry(module), self, relu=relu)

    def slices(
        self, module: nn.Module, norm: nn.Module | None = None, *, relu: bool = False
    ) -> "list[Convolution]":
        """A convolution of concatenated maps, each as wide as its output, as one for each.

        The last has the bias, and the ReLU after the sum.
        """
        kernel, bias = folded(module, norm, consume=self.consume)
        parts = kernel.chunk(kernel.shape[1] // kernel.shape[0], dim=1)
        *before, last = parts
        return [
            *(Convolution(part, None, geometry(module), self) for part in before),
            Convolution(last, bias, geometry(module), self, relu=relu),
        ]

    def opening(self, norm: nn.BatchNorm2d) -> "Opening":
        """The batch norm and the ReLU that open a block, before its first convolution."""
        return Opening(*statistics(norm))


class Convolution:
    """A convolution with what follows it: a batch norm, folded in, and a ReLU.

    Args:
        weight: (O, I, h, w).
        bias: (O,), or None.
        geometry: of the convolution.
        maker: how the kernel is held.
        relu: whether a ReLU ends it.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
        maker: Maker,
        *,
        relu: bool = False,
    ) -> None:
        self._weight = weight.detach().to(maker.dtype).contiguous(memory_format=torch.channels_last)
        self._bias = None if bias is None else bias.detach().to(maker.dtype)
        self._geometry = geometry
        self._relu = relu
        self._sum: tuple[Any, ...] = ("add", 1.0, "relu" if relu else None, [], "")
        self._layouts = maker.layouts
        self._packed: OrderedDict[torch.Size, Tensor] = OrderedDict()

    def __call__(self, x: Tensor) -> Tensor:
        """The convolution of x."""
        last = "relu" if self._relu else "none"
        found: Tensor = torch.ops.mkldnn._convolution_pointwise(x, *self._held(x), last, [], "")
        return found

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """The convolution of x, plus another tensor, before the ReLU."""
        found: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, other, *self._held(x), *self._sum
        )
        return found

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """The same, in the place of the other tensor."""
        found: Tensor = torch.ops.mkldnn._convolution_pointwise_(
            total, x, *self._held(x), *self._sum
        )
        return found

    def _held(self, x: Tensor) -> tuple[Any, ...]:
        """Kernel, bias, geometry and groups, as oneDNN takes them for an input."""
        return self._kernel(x), self._bias, *self._geometry, 1

    def _kernel(self, x: Tensor) -> Tensor:
        """The kernel in the layout that suits inputs of this shape."""
        if not self._layouts:
            return self._weight
        packed = self._packed.get(x.shape)
        if packed is None:
            packed = torch.ops.mkldnn._reorder_convolution_weight(
                self._weight, *self._geometry, 1, list(x.shape)
            )
            self._packed[x.shape] = packed
            if len(self._packed) > self._layouts:
                self._packed.popitem(last=False)
        return packed


class Opening:
    """The batch norm and the ReLU that open a block.

    Args:
        mean, variance, scale, shift: (C,).
        eps: added to the variance.
    """

    def __init__(
        self, mean: Tensor, variance: Tensor, scale: Tensor, shift: Tensor, eps: float
    ) -> None:
        self._values = mean, variance, scale, shift
        self._eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        """Of x, in its own place."""
        return F.batch_norm(x, *self._values, eps=self._eps).relu_()


def statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
    """Copies of a norm's running mean, variance, weight and bias (C,), and its eps."""
    assert norm.running_mean is not None and norm.running_var is not None
    values = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    mean, variance, scale, shift = (value.detach().clone() for value in values)
    return mean, variance, scale, shift, norm.eps


def folded(
    convolution: nn.Module, norm: nn.Module | None, *, consume: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Kernel (O, I, h, w) and bias (O,) of a convolution and the batch norm that follows it.

    Args:
        convolution: of the network.
        norm: a batch norm, or None.
        consume: take the kernel away from it.
    """
    assert isinstance(convolution, nn.Conv2d)
    weight, bias = convolution.weight.detach(), convolution.bias
    if consume:
        convolution.weight.data = torch.empty(0)
    if norm is None:
        return weight, None if bias is None else bias.detach()
    assert isinstance(norm, nn.BatchNorm2d)
    mean, variance, scale, shift, eps = statistics(norm)
    scale = scale / (variance + eps).sqrt()
    before = 0.0 if bias is None else bias.detach()
    return weight * scale.view(-1, 1, 1, 1), (before - mean) * scale + shift


def geometry(convolution: nn.Module) -> Geometry:
    """Padding, stride and dilation of a convolution that is not grouped."""
    assert isinstance(convolution, nn.Conv2d)
    padding = convolution.padding
    assert not isinstance(padding, str) and convolution.groups == 1
    return list(padding), list(convolution.stride), list(convolution.dilation)
