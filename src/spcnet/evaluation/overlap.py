"""Whether pictures were learned from, as far as recipes and model cards tell."""

from typing import TYPE_CHECKING, Any, NamedTuple

from spcnet.errors import UserError

if TYPE_CHECKING:
    from spcnet.data.annotations import Dataset
    from spcnet.training.recipe import DataSection


def shared_pictures(data: "DataSection", scored: "Dataset", root: object = None) -> list[str]:
    """Names of the scored pictures that a recipe learns from; a `UserError` where it is not here.

    `root` is the data set's folder, where the recipe does not name it.
    """
    from spcnet.data.datasets import open_dataset

    shared: set[str] = set()
    for part in data.parts:
        if part.dataset == scored.name:
            folder = part.root or (None if root is None else str(root))
            shared |= open_dataset(part.dataset, folder, part.split).picture_names
    return sorted(shared & scored.picture_names)


class LearnedFrom(NamedTuple):
    """What a model's card tells of some pictures."""

    shared: list[str]  # names of those that it learned from
    known: bool  # that is all: every run behind the model is named, and could be looked up


def learned_from(training: dict[str, Any], scored: "Dataset", root: object) -> LearnedFrom:
    """Which of the scored pictures a model learned from, by its card; earlier runs included."""
    from spcnet.data.datasets import dataset_info
    from spcnet.training.recipe import parse_recipe

    shared: set[str] = set()
    known = bool(training)
    for run in runs_of(training):
        try:
            data = parse_recipe(run["recipe"], source="model card").data
            if any(dataset_info(part.dataset).packed for part in data.parts):
                raise UserError("a store does not tell of its pictures here")
            shared.update(shared_pictures(data, scored, root))
        except (UserError, KeyError):  # a card of another version, or a split that is not here
            known = False
    return LearnedFrom(sorted(shared), known)


def runs_of(training: dict[str, Any]) -> list[dict[str, Any]]:
    """A model card's training run, those whose weights it began with, its teachers'; each once."""
    runs: list[dict[str, Any]] = []
    waiting = [training]
    while waiting:
        run = waiting.pop()
        if run and run not in runs:
            runs.append(run)
            waiting += [run.get("teacher") or {}, run.get("began_with") or {}]
    return runs
