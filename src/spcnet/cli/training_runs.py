"""A training run as commands show it: its options, what they say while it goes on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from spcnet.cli.console import StopWish, progress, say
from spcnet.errors import UserError

if TYPE_CHECKING:
    from spcnet.metrics.protocols import Score
    from spcnet.training.distributed import ProcessGroup
    from spcnet.training.log import Progress
    from spcnet.training.recipe import DataSection, Recipe

OVERRIDES = typer.Option("--set", help="Override a field: optimizer.lr=5e-4; may be repeated.")
STOPPING = "stopping; a run that has begun is saved first, and --resume goes on from there"
MAX_MINUTES = typer.Option(min=0, help="Stop cleanly after this time; go on later.")


def train_by(
    recipe: "Recipe",
    directory: Path,
    processes: "ProcessGroup",
    *,
    resume: bool | None,
    stop: StopWish,
    finish: Callable[[Path], None] = lambda checkpoint: None,
) -> Path:
    """Train by a recipe, with reports to the person who looks on.

    Raises:
        UserError: as `spcnet.training.train_recipe`, or the wish to stop came before the first
            step.
    """
    from spcnet.training import train_recipe

    reporter = ExitStack()
    hear: list[Callable[[Progress], None]] = []

    def say_packing(done: int, total: int | None = None) -> None:
        if done % 1000 == 0 or done == total:
            say(f"packed {done}{'' if total is None else f' of {total}'}")
        if stop.asked:
            raise UserError("stopped while the data were packed; nothing has begun, start again")

    def begin(learned: int, steps: int) -> None:
        several = f" x {processes.count} processes" if processes.count > 1 else ""
        what = "pictures" if recipe.task == "finder" else "persons"
        say(
            f"{recipe.name}: {recipe.model.variant} at {recipe.model.input_size} px, {learned} "
            f"{what} of {describe_data(recipe.data)}, on {processes.device}{several}, into "
            f"{directory}"
        )
        hear.append(reporter.enter_context(_reporter(steps)))

    with reporter:
        return train_recipe(
            recipe,
            directory,
            resume=resume,
            processes=processes,
            stop=stop,
            packing=say_packing,
            begin=begin,
            report=lambda now: hear[0](now),
            finish=finish,
        )


def describe_data(data: "DataSection") -> str:
    """The parts that are learned from."""
    return " + ".join(f"{part.title} {part.split}" for part in data.parts)


@contextmanager
def _reporter(steps: int) -> Iterator[Callable[["Progress"], None]]:
    """A bar on a terminal, otherwise a line every few steps; and every score on a line."""
    latest = ""

    def hear(now: "Progress") -> bool:
        nonlocal latest
        if now.score is not None:
            latest = f" score {now.score.headline:.2f}"
            _say_score(now.epoch, now.score)
            for title, score in now.sources.items():
                say(f"  {title}: {score.headline:.2f} %, {score.persons} persons")
        return now.score is None

    def note(now: "Progress") -> str:
        return f"loss {now.loss:.4f} lr {now.lr:.2e} {now.images_per_second:.1f} images/s{latest}"

    if not sys.stderr.isatty():

        def line(now: "Progress") -> None:
            if hear(now):
                left = timedelta(seconds=round(now.seconds_left))
                say(f"epoch {now.epoch} step {now.step}/{now.steps} {note(now)} left {left}")

        yield line
        return
    with progress("training steps", steps) as advance:

        def move(now: "Progress") -> None:
            hear(now)
            advance(now.step, note(now))

        yield move


def _say_score(epoch: int, score: "Score") -> None:
    limbs = "" if score.mean_limbs is None else f"{score.mean_limbs:.2f} % over the limbs, "
    say(
        f"epoch {epoch}: {score.protocol} {limbs}{score.mean:.2f} % over all, "
        f"{score.persons} held-out persons"
    )
