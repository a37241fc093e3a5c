"""A trained network in the form that a CPU runs fastest; its answers differ by rounding alone.

- A batch norm that follows a convolution is folded into it.
- ReLUs and sums are done by the convolution before them while its output is still in the cache:
  oneDNN's fused operations, which `torch.compile` uses as well.
- What SIM collects is added up stack by stack: memory does not grow with the number of stacks.
- Features are channels last, and kernels laid out for the size of what they are applied to.
- Large batches go through a few images at a time, as many as leave the features in the cache.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spcnet.models.bottlenecks import Bottleneck, DilatedBottleneckA, DilatedBottleneckB
from spcnet.models.hourglass import DilatedHourglass, Hourglass, Level
from spcnet.models.network import Feedback, PoseNetwork, Stack, Stem, check_size
from spcnet.models.selective import (
    ConcatFusion,
    InformationCollection,
    InformationDistribution,
    SumFusion,
)

FEATURE_BYTES = 8 * 2**20  # of the largest feature map of the images that go through at once
PACKED_BYTES = 64 * 2**20  # of kernels: up to here a network's are kept in other layouts as well
LAYOUTS = 3  # that many: of a whole batch, of what is left of one, of a single crop
# What is made of others; a module of any other type would be left out silently.
KNOWN = {
    PoseNetwork, Stem, Stack, Feedback, Hourglass, DilatedHourglass, Level,
    Bottleneck, DilatedBottleneckA, DilatedBottleneckB,
    InformationCollection, InformationDistribution, SumFusion, ConcatFusion,
    nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.Identity, nn.Sequential, nn.ModuleList,
}  # fmt: skip
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def can_fuse(network: nn.Module) -> bool:
    """Whether a network is made of known modules alone, and lies on a CPU with oneDNN."""
    return (
        isinstance(network, PoseNetwork)
        and all(type(module) in KNOWN for module in network.modules())
        and all(parameter.device.type == "cpu" for parameter in network.parameters())
        and torch._C._has_mkldnn
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")
    )


class FusedNetwork:
    """A `PoseNetwork` for inference on a CPU.

    Shape: (B, 3, H, W) float32, normalised -> the last raw heatmaps (B, K, H/4, W/4) and the
    fusion's weights (B, L, H/4, W/4) or None, float32, as of `PoseNetwork.forward_all`.

    The network is in evaluation mode, on the CPU; kernels and features are float32 or bfloat16. To
    `consume` it lets go of each kernel once it is held in its new form, so that never two of all
    are held; the network is of no use afterwards.
    """

    def __init__(
        self, network: PoseNetwork, *, dtype: torch.dtype = torch.float32, consume: bool = False
    ) -> None:
        held = dtype.itemsize * sum(parameter.numel() for parameter in network.parameters())
        make = _Maker(dtype, LAYOUTS if held <= PACKED_BYTES else 0, consume)
        self.dtype = dtype
        entry, norm, _, *blocks = network.stem
        self.entry = make.convolution(entry, norm, relu=True)
        self.stem = [_Block(block, make) if isinstance(block, Bottleneck) else block
                     for block in blocks]  # fmt: skip
        self.stacks = [_Stack(stack, make) for stack in network.stacks]
        self.feedbacks = [
            (make.convolution(feedback.of_features), make.convolution(feedback.of_heatmaps))
            for feedback in network.feedbacks
        ]
        # Of each level, innermost first, a convolution a stack; the last one's norm ends the sum.
        self.collect = [
            make.slices(level.reduce, level.norm, relu=True) for level in network.collect
        ]
        self.fusion = None if network.distribute is None else _Fusion(network.distribute, make)
        self.head = None if network.head is None else make.convolution(network.head)
        self._bytes_a_pixel = self.stacks[0].channels * self.dtype.itemsize / PoseNetwork.stride**2
        self._divisor = network.divisor

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """See the class; H or W that does not fit is a `ValueError`, as of `PoseNetwork`."""
        check_size(images, self._divisor)
        of_one = self._bytes_a_pixel * images.shape[-2] * images.shape[-1]
        parts = torch.split(images, max(1, int(FEATURE_BYTES / of_one)))
        found = [self._run(part) for part in parts]
        heatmaps = torch.cat([of_part for of_part, _ in found])
        weights = [of_part for _, of_part in found if of_part is not None]
        return heatmaps, torch.cat(weights) if weights else None

    def _run(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        x = self.entry(images.to(self.dtype, memory_format=torch.channels_last))
        for block in self.stem:
            x = block(x)
        collected: list[Tensor] = []  # by SIM of each level, summed in place stack by stack
        for n, stack in enumerate(self.stacks):
            levels = stack.module(x)
            collected = [
                parts[n].add_to(collected[k], level) if n else parts[0](level)
                for k, (parts, level) in enumerate(zip(self.collect, levels, strict=False))
            ]
            size = x.shape[-2:]
            if n < len(self.feedbacks):
                of_features, of_heatmaps = self.feedbacks[n]
                features = stack.features(levels[-1])
                heatmaps = stack.head(features)
                x = of_heatmaps.add_to(of_features.add_to(x, features), heatmaps)
                del features
            elif self.fusion is None:
                return stack.head(stack.features(levels[-1])).float(), None
            del levels  # or they would be held beside what comes next
        assert self.fusion is not None and self.head is not None
        del x
        fused, weights = self.fusion([_grown(level, size) for level in collected])
        return self.head(fused).float(), None if weights is None else weights.float()


class _Block:
    """A `Bottleneck`, dilated ones too."""

    def __init__(self, block: Any, make: "_Maker") -> None:
        self.opening = _statistics(block.norm1)
        self.conv1 = make.convolution(block.conv1, block.norm2, relu=True)
        self.conv2 = make.convolution(block.conv2, block.norm3, relu=True)
        self.conv3 = make.convolution(block.conv3)
        own = block.shortcut
        self.shortcut = make.convolution(own) if isinstance(own, nn.Conv2d) else None

    def __call__(self, x: Tensor) -> Tensor:
        inner = self._inner(x)
        if self.shortcut is None:
            return self.conv3.plus(inner, x)
        return self.conv3.add_to(self.shortcut(x), inner)

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """What the block makes of x plus another tensor, in the place of that one."""
        inner = self._inner(x)
        total = total.add_(x) if self.shortcut is None else self.shortcut.add_to(total, x)
        return self.conv3.add_to(total, inner)

    def _inner(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(F.batch_norm(x, **self.opening).relu_()))


class _Level:
    """A `Level`: gives the outputs of the levels inside it and its own, innermost first."""

    def __init__(self, level: Any, make: "_Maker") -> None:
        self.pools = level.pools
        blocks = level.skip, level.encode, level.decode
        self.skip, self.encode, self.decode = (_Block(block, make) for block in blocks)
        inner = level.inner
        self.inner = _Level(inner, make) if isinstance(inner, Level) else _Block(inner, make)

    def __call__(self, x: Tensor) -> list[Tensor]:
        down = self.encode(F.max_pool2d(x, 2) if self.pools else x)
        inside = self.inner(down)
        up = self.decode(inside[-1] if isinstance(inside, list) else inside)
        if self.pools:
            up = F.interpolate(up, scale_factor=2, mode="nearest")
        return [*(inside if isinstance(inside, list) else []), self.skip.add_to(up, x)]


class _Stack:
    """A `Stack`."""

    def __init__(self, stack: Any, make: "_Maker") -> None:
        block, convolution, norm, _ = stack.features
        self.module = _Level(stack.module, make)
        self.head = make.convolution(stack.head)
        self.channels = stack.head.in_channels
        self._block = _Block(block, make)
        self._convolution = make.convolution(convolution, norm, relu=True)

    def features(self, x: Tensor) -> Tensor:
        return self._convolution(self._block(x))


class _Fusion:
    """One of `spcnet.models.network.FUSIONS`."""

    def __init__(self, fusion: nn.Module, make: "_Maker") -> None:
        self.squeeze: _Convolution | None = None
        self.reduce: list[_Convolution] = []
        if isinstance(fusion, InformationDistribution):
            self.squeeze = make.convolution(fusion.squeeze)
        elif isinstance(fusion, ConcatFusion):
            self.reduce = make.slices(fusion.reduce)

    def __call__(self, levels: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        if self.reduce:
            total = self.reduce[0](levels[0])
            for convolution, level in zip(self.reduce[1:], levels[1:], strict=True):
                total = convolution.add_to(total, level)
            return total, None
        total = levels[0].clone()
        for level in levels[1:]:
            total.add_(level)
        if self.squeeze is None:
            return total, None
        weights = self.squeeze(total).softmax(dim=1)
        fused = torch.mul(levels[0], weights[:, 0:1], out=total)
        for n, level in enumerate(levels[1:], start=1):
            fused = fused.addcmul_(level, weights[:, n : n + 1])
        return fused, weights


def _grown(level: Tensor, size: torch.Size) -> Tensor:
    if level.shape[-2:] == size:
        return level
    return F.interpolate(level, size=size, mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class _Maker:
    """Makes convolutions of those of a network, in other `layouts` than their own as well."""

    dtype: torch.dtype
    layouts: int
    consume: bool

    def convolution(self, module: Any, norm: Any = None, *, relu: bool = False) -> "_Convolution":
        """A convolution with the batch norm behind it, and a ReLU if one ends it."""
        (whole,) = self.slices(module, norm, relu=relu, width=module.in_channels)
        return whole

    def slices(
        self, module: Any, norm: Any = None, *, relu: bool = False, width: int | None = None
    ) -> "list[_Convolution]":
        """A convolution of concatenated maps, each as wide as its output, as one for each.

        The last has the bias, and the ReLU after the sum.
        """
        assert module.groups == 1 and not isinstance(module.padding, str)
        kernel, bias = module.weight.detach(), module.bias
        bias = None if bias is None else bias.detach()
        if self.consume:
            module.weight.data = torch.empty(0)
        if norm is not None:
            known = _statistics(norm)
            scale = known["weight"] / (known["running_var"] + known["eps"]).sqrt()
            kernel = kernel * scale.view(-1, 1, 1, 1)
            bias = ((0.0 if bias is None else bias) - known["running_mean"]) * scale + known["bias"]
        geometry = list(module.padding), list(module.stride), list(module.dilation)
        *before, last = kernel.split(width or module.out_channels, dim=1)
        return [
            *(_Convolution(part, None, geometry, self) for part in before),
            _Convolution(last, bias, geometry, self, relu=relu),
        ]


class _Convolution:
    """A convolution by oneDNN, and the ReLU that may end it."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        geometry: tuple[list[int], list[int], list[int]],  # padding, stride, dilation; y and x each
        maker: _Maker,
        *,
        relu: bool = False,
    ) -> None:
        self._weight = weight.to(maker.dtype).contiguous(memory_format=torch.channels_last)
        self._bias = None if bias is None else bias.to(maker.dtype)
        self._geometry = geometry
        self._end = "relu" if relu else "none"
        self._sum: tuple[Any, ...] = ("add", 1.0, "relu" if relu else None, [], "")
        self._layouts = maker.layouts
        self._packed: OrderedDict[torch.Size, Tensor] = OrderedDict()
        self._apply: Callable[..., Tensor] = torch.ops.mkldnn._convolution_pointwise
        self._apply_in_place: Callable[..., Tensor] = torch.ops.mkldnn._convolution_pointwise_

    def __call__(self, x: Tensor) -> Tensor:
        """The convolution of x."""
        return self._apply(x, *self._held(x), self._end, [], "")

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """The convolution of x, plus another tensor, before the ReLU."""
        return self._apply(x, other, *self._held(x), *self._sum)

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """The same, in the place of the other tensor."""
        return self._apply_in_place(total, x, *self._held(x), *self._sum)

    def _held(self, x: Tensor) -> tuple[Any, ...]:
        """The kernel in the layout that suits inputs of this shape, bias, geometry and groups."""
        kernel = self._packed.get(x.shape) if self._layouts else self._weight
        if kernel is None:
            kernel = torch.ops.mkldnn._reorder_convolution_weight(
                self._weight, *self._geometry, 1, list(x.shape)
            )
            self._packed[x.shape] = kernel
            if len(self._packed) > self._layouts:
                self._packed.popitem(last=False)
        return kernel, self._bias, *self._geometry, 1


def _statistics(norm: nn.BatchNorm2d) -> dict[str, Any]:
    """Copies of a norm's statistics and parameters (C,), as `F.batch_norm` takes them."""
    names = ("running_mean", "running_var", "weight", "bias")
    return {**{name: getattr(norm, name).detach().clone() for name in names}, "eps": norm.eps}
