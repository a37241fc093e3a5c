"""Names that are offered after TAB; somebody waits for them, so nothing here imports torch."""

from collections.abc import Callable
from importlib import import_module
from inspect import isfunction
from typing import get_args


def _names(module: str, attribute: str) -> Callable[[], list[str]]:
    """What gives the names that a function returns, a `Literal` allows or a mapping has."""

    def names() -> list[str]:
        found = getattr(import_module(f"spcnet.{module}"), attribute)
        return list(found() if isfunction(found) else get_args(found) or found)

    return names


model_names = _names("bundled", "weights_names")  # that come with weights
variant_names = _names("models.variants", "variant_names")
photograph_sets = _names("data.datasets", "photograph_sets")
dataset_names = _names("data.datasets", "scored_sets")
protocol_names = _names("metrics.protocols", "protocol_names")
crop_rules = _names("data.regions", "CropRule")
skeleton_names = _names("skeletons", "SKELETONS")
label_formats = _names("data.formats.table", "FORMATS")


def listed_models() -> list[str]:
    """Of all models: the registered variants, and those with weights."""
    return [*variant_names(), *model_names()]
