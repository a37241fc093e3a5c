"""Whether pictures were learned from, as far as recipes and model cards tell."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from spcnet.errors import UserError

if TYPE_CHECKING:
    from spcnet.data.annotations import Dataset
    from spcnet.training.recipe import DataSection


def shared_pictures(data: "DataSection", scored: "Dataset", root: object = None) -> list[str]:
    """Names of the scored pictures that a recipe learns from.

    Args:
        data: of the recipe.
        scored: what is scored.
        root: the data set's folder, where the recipe does not name it.

    Raises:
        UserError: the part that the recipe learns from cannot be read.
    """
    from spcnet.data.datasets import open_dataset

    shared: set[str] = set()
    for part in data.parts:
        if part.dataset == scored.name:
            folder = part.root or (None if root is None else str(root))
            seen = open_dataset(part.dataset, folder, part.split).picture_names
            shared |= seen & scored.picture_names
    return sorted(shared)


def learned_from(training: dict[str, Any], scored: "Dataset", root: object) -> list[str]:
    """Names of the scored pictures that a model learned from, by its card; also in earlier runs."""
    from spcnet.training.recipe import parse_recipe

    shared: set[str] = set()
    for run in runs_of(training):
        try:
            recipe = parse_recipe(run["recipe"], source="model card")
            shared.update(shared_pictures(recipe.data, scored, root))
        except (UserError, KeyError):  # a card of another version, or a split that is not here
            continue
    return sorted(shared)


def runs_of(training: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A model card's training run, the one whose weights it began with, and so on."""
    run: dict[str, Any] | None = training
    while run:
        yield run
        run = run.get("began_with")
