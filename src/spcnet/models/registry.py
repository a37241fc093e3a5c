"""Networks by the name of their variant: ``create_model("spcnet_s8_w256", num_joints=16)``."""

import difflib
from typing import Any

from spcnet.models.network import PoseNetwork
from spcnet.models.variants import VARIANTS


def create_model(name: str, *, num_joints: int = 16, **overrides: Any) -> PoseNetwork:
    """Build a variant with fresh weights, K heatmaps, and any argument in place of its own.

    Raises:
        ValueError: no variant has this name; the message names the nearest.
    """
    if name not in VARIANTS:
        near = difflib.get_close_matches(name, VARIANTS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown model {name!r}; {hint}(`spcnet models` lists all)")
    return PoseNetwork(num_joints=num_joints, **{**VARIANTS[name].arguments, **overrides})
