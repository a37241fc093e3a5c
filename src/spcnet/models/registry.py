"""Variants by name: ``create_model("spcnet_s8_w256", num_joints=16)``.

A variant is a plain function that returns a network; its name tells stacks (s) and width (w).
"""

import difflib
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from spcnet.models.network import PoseNetwork

Factory = Callable[..., PoseNetwork]

_VARIANTS: dict[str, Factory] = {}


def register(factory: Factory) -> Factory:
    """Make a variant known under its function's name."""
    _VARIANTS[factory.__name__] = factory
    return factory


def create_model(name: str, *, num_joints: int = 16, **overrides: Any) -> PoseNetwork:
    """Build a variant with fresh weights.

    Args:
        name: one of `variant_names`.
        num_joints: K, the number of heatmaps.
        overrides: any argument of `PoseNetwork`, in place of the variant's own.

    Raises:
        ValueError: no variant has this name; the message names the nearest.
    """
    if name not in _VARIANTS:
        near = difflib.get_close_matches(name, _VARIANTS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown model {name!r}; {hint}(`spcnet models` lists all)")
    return _VARIANTS[name](num_joints=num_joints, **overrides)


def variant_names(pattern: str = "*") -> list[str]:
    """Names of the registered variants that match a shell pattern, in order of registration."""
    return [name for name in _VARIANTS if fnmatchcase(name, pattern)]


def _hourglass(**kwargs: Any) -> PoseNetwork:
    return PoseNetwork(**{"module": "hourglass", "fusion": "none", **kwargs})


def _dhm(**kwargs: Any) -> PoseNetwork:
    return PoseNetwork(**{"module": "dilated", "fusion": "none", **kwargs})


def _hourglass_sim(**kwargs: Any) -> PoseNetwork:
    return PoseNetwork(**{"module": "hourglass", "fusion": "selective", **kwargs})


def _spcnet(**kwargs: Any) -> PoseNetwork:
    return PoseNetwork(**{"module": "dilated", "fusion": "selective", **kwargs})


@register
def hourglass_s8_w256(**kwargs: Any) -> PoseNetwork:
    """The baseline of Tables 1 to 4: eight stacked hourglasses of Newell et al."""
    return _hourglass(**{"stacks": 8, "channels": 256, **kwargs})


@register
def hourglass_s2_w256(**kwargs: Any) -> PoseNetwork:
    """Two stacked hourglasses."""
    return _hourglass(**{"stacks": 2, "channels": 256, **kwargs})


@register
def hourglass_s2_w96(**kwargs: Any) -> PoseNetwork:
    """Two narrow hourglasses, for a CPU."""
    return _hourglass(**{"stacks": 2, "channels": 96, **kwargs})


@register
def dhm_s8_w256(**kwargs: Any) -> PoseNetwork:
    """Eight dilated hourglasses without a fusion (Table 1, R = 2)."""
    return _dhm(**{"stacks": 8, "channels": 256, **kwargs})


@register
def hourglass_sim_s8_w256(**kwargs: Any) -> PoseNetwork:
    """The baseline with the Selective Information Module (Table 2)."""
    return _hourglass_sim(**{"stacks": 8, "channels": 256, **kwargs})


@register
def spcnet_s8_w256(**kwargs: Any) -> PoseNetwork:
    """The paper's network: eight dilated hourglasses and SIM."""
    return _spcnet(**{"stacks": 8, "channels": 256, **kwargs})


@register
def spcnet_s4_w256(**kwargs: Any) -> PoseNetwork:
    """Half the paper's stacks."""
    return _spcnet(**{"stacks": 4, "channels": 256, **kwargs})


@register
def spcnet_s2_w256(**kwargs: Any) -> PoseNetwork:
    """A quarter of the paper's stacks."""
    return _spcnet(**{"stacks": 2, "channels": 256, **kwargs})


@register
def spcnet_s2_w192(**kwargs: Any) -> PoseNetwork:
    """Two stacks at three quarters of the width, for a CPU."""
    return _spcnet(**{"stacks": 2, "channels": 192, **kwargs})


@register
def spcnet_s2_w128(**kwargs: Any) -> PoseNetwork:
    """Two stacks at half the width, for a CPU."""
    return _spcnet(**{"stacks": 2, "channels": 128, **kwargs})


@register
def spcnet_s2_w96(**kwargs: Any) -> PoseNetwork:
    """Two narrow stacks, for a CPU."""
    return _spcnet(**{"stacks": 2, "channels": 96, **kwargs})


@register
def spcnet_s1_w64(**kwargs: Any) -> PoseNetwork:
    """One stack, for tests and toy data."""
    return _spcnet(**{"stacks": 1, "channels": 64, **kwargs})
