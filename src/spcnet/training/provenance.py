"""What a checkpoint says of the run that made it."""

import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from spcnet.checkpoints import FinderCard, ModelCard
from spcnet.data.store import distinct

if TYPE_CHECKING:
    from spcnet.training.loop import Run


def card_of(run: "Run") -> ModelCard | FinderCard:
    """The card of a run as it stands."""
    scores = [
        {
            "data": f"{data}, held out",
            "epoch": entry["epoch"],
            "step": entry["step"],
            "score": found,
        }
        for entry in run.scores[-1:]
        for data, found in _held_out(run, entry)
    ]
    card: ModelCard | FinderCard = run.task.card(_training(run), scores)
    return card


def _held_out(run: "Run", entry: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The data and the score of each source of an evaluation."""
    held = [part for part in run.recipe.data.parts if part.holdout is not None]
    if "sources" not in entry:
        return [(" + ".join(f"{part.title} {part.holdout}" for part in held), entry["score"])]
    titles = distinct([part.title for part in held])
    parts = {title: f"{title} {part.holdout}" for title, part in zip(titles, held, strict=True)}
    return [(parts.get(title, title), found) for title, found in entry["sources"].items()]


def _training(run: "Run") -> dict[str, Any]:
    """What a card says of the training."""
    recipe = run.recipe
    several = f", {run.processes.count} processes" if run.processes.count > 1 else ""
    return {
        "dataset": recipe.data.dataset,
        "images": " + ".join(
            [recipe.data.train, *(f"{p.title} {p.split}" for p in recipe.data.more)]
        ),
        "seed": recipe.seed,
        "epochs": round(run.step / run.steps_per_epoch, 2),
        "minutes": round(run.seconds / 60, 1),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"{run.device.type}, torch {torch.__version__}{several}",
        "recipe": recipe.identity(),
        **({"began_with": run.began_with} if run.began_with else {}),
    }
