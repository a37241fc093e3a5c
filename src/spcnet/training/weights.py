"""Trained weights that a run begins with or learns from."""

import json
from pathlib import Path
from typing import Any

from torch import nn

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
    if card.skeleton.joints != skeleton.joints:
        raise UserError(
            f"model.weights: {name} predicts {card.skeleton.name!r}, and the data are annotated "
            f"with {skeleton.name!r}"
        )
    try:
        network.load_state_dict(trained.state_dict())
    except RuntimeError:
        raise UserError(
            f"model.weights: {name} is a {card.variant} with arguments {card.arguments}, the "
            f"recipe's is a {recipe.model.variant} with {recipe.model.arguments}; take over the "
            f"former by --set model.variant={card.variant} --set 'model.arguments="
            f"{json.dumps(card.arguments)}'"
        ) from None
    return card.training
