"""Trained weights that a run begins with or learns from."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spcnet.checkpoints import find_weights, load_checkpoint
from spcnet.errors import UserError
from spcnet.skeletons import Skeleton
from spcnet.training.recipe import Recipe


def weights_of(field: str, name: str) -> Path:
    """The weights that a field of a recipe names.

    Raises:
        UserError: there are none.
    """
    try:
        return find_weights(name)
    except UserError as error:
        raise UserError(f"{field}: {error}") from None


def begin_with(network: nn.Module, recipe: Recipe, skeleton: Skeleton) -> dict[str, Any]:
    """Take over the weights that a recipe names; the optimiser starts afresh.

    Args:
        network: of the recipe.
        recipe: with `model.weights`.
        skeleton: of the labels.

    Returns:
        What the weights' card says of their own training.

    Raises:
        UserError: they are of another network, or of other joints.
    """
    name = str(recipe.model.weights)
    trained, card = load_checkpoint(weights_of("model.weights", name))
    if not set(card.skeleton.joints) & set(skeleton.joints):
        raise UserError(
            f"model.weights: {name} predicts {card.skeleton.name!r}, which shares no joint with "
            f"{skeleton.name!r} of the data"
        )
    anew = recipe.model.anew
    if unknown := [part for part in anew if not _within(network.state_dict(), part)]:
        raise UserError(
            f"model.anew: the network has no module {unknown[0]!r}; it has "
            f"{', '.join(name for name, _ in network.named_children())} and their parts"
        )
    try:
        fitted = _fitted(trained.state_dict(), network, card.skeleton, skeleton)
        for part in anew:
            fitted |= {key: network.state_dict()[key] for key in _within(fitted, part)}
        network.load_state_dict(fitted)
    except (KeyError, RuntimeError):
        raise UserError(
            f"model.weights: {name} is a {card.variant} with arguments {card.arguments}, the "
            f"recipe's is a {recipe.model.variant} with {recipe.model.arguments}; take over the "
            f"former by --set model.variant={card.variant} --set 'model.arguments="
            f"{json.dumps(card.arguments)}'"
        ) from None
    return card.training


def begin_with_body(network: nn.Module, recipe: Recipe) -> dict[str, Any]:
    """Take over of a network's weights what fits by name and shape, whatever it predicts.

    Args:
        network: of the recipe; what does not fit keeps its fresh weights.
        recipe: with `model.weights`.

    Returns:
        What the weights' card says of their own training.

    Raises:
        UserError: nothing of a stack fits.
    """
    name = str(recipe.model.weights)
    trained, card = load_checkpoint(weights_of("model.weights", name))
    fresh = network.state_dict()
    fitting = {
        key: tensor
        for key, tensor in trained.state_dict().items()
        if key in fresh and fresh[key].shape == tensor.shape
    }
    if not any(key.startswith("stacks.") and tensor.ndim > 1 for key, tensor in fitting.items()):
        raise UserError(
            f"model.weights: nothing of {name}, a {card.variant} with arguments {card.arguments}, "
            f"fits a {recipe.model.variant} with {recipe.model.arguments}"
        )
    network.load_state_dict({**fresh, **fitting})
    return card.training


def _within(names: Iterable[str], part: str) -> list[str]:
    """The names of tensors that belong to a module."""
    return [name for name in names if name.startswith(part + ".")]


def _fitted(
    trained: Mapping[str, Tensor], network: nn.Module, own: Skeleton, wanted: Skeleton
) -> dict[str, Tensor]:
    """Trained tensors for a network of other joints: heads and feedback by the joints' names.

    A joint that the trained network does not know has the fresh weights of its head, and feeds
    nothing back yet.
    """
    fresh = network.state_dict()
    if own.joints == wanted.joints:
        return {**trained}
    both = [joint for joint in wanted.joints if joint in own.joints]
    to, source = [wanted.index(joint) for joint in both], [own.index(joint) for joint in both]
    fitted: dict[str, Tensor] = {}
    for name, tensor in trained.items():
        module = name.rpartition(".")[0].rpartition(".")[2]
        if module == "head":  # (K, C, 1, 1) or (K,)
            fitted[name] = fresh[name].clone()
            fitted[name][to] = tensor[source].to(fresh[name])
        elif module == "of_heatmaps" and tensor.ndim > 1:  # (C, K, 1, 1)
            fitted[name] = torch.zeros_like(fresh[name])
            fitted[name][:, to] = tensor[:, source].to(fresh[name])
        else:
            fitted[name] = tensor
    return fitted
