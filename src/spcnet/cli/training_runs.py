"""A training run as commands show it: its options, what they say while it goes on."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Option

from spcnet.cli.console import Advance, StopWish, progress, say, stop_wish
from spcnet.errors import UserError, counted

if TYPE_CHECKING:
    import torch

    from spcnet.training.distributed import ProcessGroup
    from spcnet.training.log import Progress
    from spcnet.training.recipe import DataSection, Recipe
    from spcnet.training.weights import Taken

OVERRIDES = Option("--set", help="Override a field: optimizer.lr=5e-4; may be repeated.")
MAX_MINUTES = Option(min=0, help="Stop cleanly after this time; go on later.")
STOPPING = "stopping; a run that has begun is saved first, and --resume goes on from there"


@contextmanager
def training_processes(
    device: "torch.device", max_minutes: float | None
) -> Iterator["tuple[ProcessGroup, StopWish]"]:
    """The processes of a training, of which the first one speaks, and the wish to stop it."""
    from spcnet.training.distributed import join_processes

    with (
        join_processes(device) as processes,
        stop_wish(STOPPING if processes.first else None, max_minutes=max_minutes) as stop,
    ):
        level = logging.INFO if processes.first else logging.WARNING
        logging.basicConfig(level=level, format="%(message)s")
        yield processes, stop


def train_by(
    recipe: "Recipe",
    directory: Path,
    finish: Callable[[Path], None] = lambda checkpoint: None,
    *,
    processes: "ProcessGroup",
    resume: bool | None,
    stop: StopWish,
) -> Path:
    """Train by a recipe, with reports to the person who looks on."""
    from spcnet.training import train_recipe

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
            f"{what} of {titles_of(recipe.data)}, on {processes.device}{several}, into "
            f"{directory}"
        )

    crops = "whole pictures" if recipe.task == "finder" else "packed crops"
    with _reporter(f"{crops} in {recipe.training.precision}") as hear:
        return train_recipe(
            recipe, directory, resume=resume, processes=processes, stop=stop,
            packing=say_packing, begin=begin, took=say_taken, report=hear, finish=finish,
        )  # fmt: skip


def say_taken(taken: "Taken") -> None:
    """In three lines, what a run took over."""
    anew = f"; {', '.join(taken.anew)} begin anew" if taken.anew else ""
    percent = 100 if taken.share == 1 else min(99.9, 100 * taken.share)  # all is all
    say(f"begins with {taken.name}: {percent:.1f} % of the weights{anew}")
    names = [a if a == b else f"{a} from {b}" for a, b in taken.joints.items()]
    if names:
        say(f"joints taken over: {', '.join(names)}")
    if taken.new_joints:
        hint = "" if names else " (model.joints says what they are called in the weights)"
        say(f"joints that begin anew: {', '.join(taken.new_joints)}{hint}")


def titles_of(data: "DataSection") -> str:
    """The parts that are learned from."""
    return " + ".join(f"{part.title} {part.split}" for part in data.parts)


@contextmanager
def _reporter(scored: str) -> Iterator[Callable[["Progress"], None]]:
    """A bar on a terminal, otherwise a line every few steps; and a line of what was `scored`."""
    latest = ""
    bar: Advance | None = None
    with ExitStack() as stack:

        def hear(now: "Progress") -> None:
            nonlocal latest, bar
            if bar is None and sys.stderr.isatty():
                bar = stack.enter_context(progress("training steps", now.steps))
            if (score := now.score) is not None:
                latest = f" score {score.headline:.2f}"
                limbs = score.mean_limbs
                of_limbs = "" if limbs is None else f"{limbs:.2f} % over the limbs, "
                say(
                    f"epoch {now.epoch}: {score.protocol} {of_limbs}{score.mean:.2f} % over all, "
                    f"{counted(score.persons, 'held-out person')}, {scored}"
                )
                for title, part in now.sources.items():
                    say(f"  {title}: {part.headline:.2f} %, {counted(part.persons, 'person')}")
            rate = f"lr {now.lr:.2e} {now.images_per_second:.1f} images/s"
            flat = "" if now.nothing is None else f" (predicting nothing: {now.nothing:.3g})"
            note = f"loss {now.loss:.4f}{flat} {rate}{latest}"
            if bar is not None:
                bar(now.step, note)
            elif score is None:
                left = timedelta(seconds=round(now.seconds_left))
                say(f"epoch {now.epoch} step {now.step}/{now.steps} {note} left {left}")

        yield hear
