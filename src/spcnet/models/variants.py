"""Variants: names for arguments of `PoseNetwork`. Importing this module needs no torch.

A name tells the family, the stacks (s) and the width (w).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True)
class Variant:
    """A network under a name: what it is, and its arguments of `PoseNetwork`."""

    text: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


VARIANTS: dict[str, Variant] = {}


def register_variant(name: str, text: str, **arguments: Any) -> None:
    """Make a variant known by a name that `create_model`, recipes and commands take.

    The arguments are of `PoseNetwork`, such as ``module="dilated"`` and ``fusion="selective"``; a
    name that is taken is a `ValueError`.
    """
    variant = Variant(text, arguments)
    if VARIANTS.setdefault(name, variant) != variant:
        raise ValueError(f"variant {name!r}: the name is taken")


def variant_names(pattern: str = "*") -> list[str]:
    """Names of the registered variants that match a shell pattern, in order of registration."""
    return [name for name in VARIANTS if fnmatchcase(name, pattern)]


FAMILIES = {
    "hourglass": {"module": "hourglass", "fusion": "none"},
    "dhm": {"module": "dilated", "fusion": "none"},
    "hourglass_sim": {"module": "hourglass", "fusion": "selective"},
    "spcnet": {"module": "dilated", "fusion": "selective"},
}

for _family, _stacks, _channels, _text in (
    ("hourglass", 8, 256, "The baseline of Tables 1 to 4: stacked hourglasses of Newell et al."),
    ("hourglass", 2, 256, "Two stacked hourglasses."),
    ("hourglass", 2, 96, "Two narrow hourglasses, for a CPU."),
    ("dhm", 8, 256, "Eight dilated hourglasses without a fusion (Table 1, R = 2)."),
    ("hourglass_sim", 8, 256, "The baseline with the Selective Information Module (Table 2)."),
    ("spcnet", 8, 256, "The paper's network: eight dilated hourglasses and SIM."),
    ("spcnet", 4, 256, "Half the paper's stacks."),
    ("spcnet", 2, 256, "A quarter of the paper's stacks."),
    ("spcnet", 4, 192, "Four stacks at three quarters of the width, for a CPU with time."),
    ("spcnet", 2, 192, "Two stacks at three quarters of the width, for a CPU."),
    ("spcnet", 2, 128, "Two stacks at half the width, for a CPU."),
    ("spcnet", 2, 96, "Two narrow stacks, for a CPU."),
    ("spcnet", 1, 64, "One stack, for tests and toy data."),
):
    register_variant(
        f"{_family}_s{_stacks}_w{_channels}",
        _text,
        **FAMILIES[_family],
        stacks=_stacks,
        channels=_channels,
    )
