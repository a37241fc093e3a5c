"""Names that are offered after TAB; somebody waits for them, so nothing here imports torch."""

from typing import get_args


def model_names() -> list[str]:
    """Of the models that come with weights."""
    from spcnet.bundled import weights_names

    return weights_names()


def listed_models() -> list[str]:
    """Of all models: the registered variants, and those with weights."""
    from spcnet.models.variants import variant_names

    return [*variant_names(), *model_names()]


def photograph_sets() -> list[str]:
    """Of the data sets of photographs."""
    from spcnet.data.datasets import DATASETS

    return list(DATASETS)


def dataset_names() -> list[str]:
    """Of all data sets."""
    return [*photograph_sets(), "synthetic"]


def protocol_names() -> list[str]:
    """Of all scoring rules."""
    from spcnet.metrics import protocols

    return protocols.protocol_names()


def crop_rules() -> list[str]:
    """Of the crops of persons."""
    from spcnet.data.regions import CropRule

    return list(get_args(CropRule))


def skeleton_names() -> list[str]:
    """Of the skeletons that the data sets have."""
    from spcnet.skeletons import SKELETONS

    return list(SKELETONS)
