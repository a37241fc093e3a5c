"""``spcnet train``: a recipe in, a checkpoint out."""

import logging
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spcnet.cli.console import progress, say

if TYPE_CHECKING:
    from spcnet.training.loop import Progress


def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML file; recipes/ has some.")],
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", "-d", help="By default runs/NAME of the recipe.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a field: optimizer.lr=5e-4; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run directory's last checkpoint.")
    ] = False,
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop cleanly after this time; --resume goes on later."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
) -> None:
    """Train a network by a recipe.

    The run directory gets recipe.yaml, log.jsonl, state.safetensors (to resume from) and
    model.safetensors (to use: spcnet predict --model RUN/model.safetensors photo.jpg).

    Example: spcnet train recipes/synthetic.yaml
    """
    from spcnet.data.datasets import cached_store
    from spcnet.devices import find_device
    from spcnet.training.loop import check_parts, check_recipe, steps_per_epoch
    from spcnet.training.loop import train as train_network
    from spcnet.training.recipe import load_recipe

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    plan = load_recipe(recipe, overrides or [])
    directory = run_dir or Path("runs") / plan.name
    found = find_device(device)
    check_recipe(plan)
    data = plan.data
    # Packed larger than twice the input, persons would alias when they are sampled.
    side = min(data.side, 2 * plan.model.input_size)
    store = cached_store(
        data.dataset, data.root, data.train, side=side, crop=data.crop, report=_say_packing
    )
    holdout = None
    if data.holdout is not None:
        holdout = cached_store(data.dataset, data.root, data.holdout, side=side, crop=data.crop)
        check_parts(store, holdout)
    say(
        f"{plan.name}: {plan.model.variant} at {plan.model.input_size} px, {len(store)} persons "
        f"of {data.dataset} {data.train}, on {found}, into {directory}"
    )
    steps = plan.training.epochs * steps_per_epoch(plan, store)
    with _reporter(steps) as report, _stop_wish(max_minutes) as stop:
        checkpoint = train_network(
            plan,
            store,
            directory,
            holdout=holdout,
            resume=resume,
            device=found,
            stop=stop,
            report=report,
        )
    print(checkpoint)


@contextmanager
def _stop_wish(max_minutes: float | None) -> Iterator[Callable[[], bool]]:
    """Whether to stop: the time is up, or Ctrl-C or SIGTERM came. The run is saved first."""
    deadline = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
    wished = False

    def wish(number: int, frame: object) -> None:
        nonlocal wished
        if wished and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: at once
        wished = True
        say("stopping after this step; --resume goes on from there")

    before = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: wished or time.monotonic() > deadline
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_packing(done: int, total: int) -> None:
    if done % 1000 == 0 or done == total:
        say(f"packed {done} of {total} persons")


@contextmanager
def _reporter(steps: int) -> Iterator[Callable[["Progress"], None]]:
    """A bar and the scores on a terminal; otherwise a line every few steps, and the scores."""
    if not sys.stderr.isatty():
        yield _say_progress
        return
    with progress("training steps", steps) as advance:

        def report(done: "Progress") -> None:
            advance(done.step)
            if done.score is not None:
                _say_progress(done)

        yield report


def _say_progress(now: "Progress") -> None:
    if now.score is not None:
        score = now.score
        limbs = "" if score.mean_limbs is None else f"{score.mean_limbs:.2f} % over the limbs, "
        say(
            f"epoch {now.epoch}: {score.protocol} {limbs}{score.mean:.2f} % over all, "
            f"{score.persons} held-out persons"
        )
        return
    left = timedelta(seconds=round(now.seconds_left))
    say(
        f"epoch {now.epoch} step {now.step}/{now.steps} loss {now.loss:.4f} lr {now.lr:.2e} "
        f"{now.images_per_second:.1f} images/s left {left}"
    )
