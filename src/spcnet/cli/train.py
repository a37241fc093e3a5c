"""``spcnet train``: a recipe in, a checkpoint out."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from spcnet.cli.console import Advance, StopWish, progress, say, stop_wish
from spcnet.cli.options import DEVICE
from spcnet.errors import UserError, counted

if TYPE_CHECKING:
    import torch

    from spcnet.training.distributed import ProcessGroup
    from spcnet.training.log import Progress
    from spcnet.training.recipe import DataSection, Recipe
    from spcnet.training.weights import Taken

OVERRIDES = Option("--set", help="Override a field: optimizer.lr=5e-4; may be repeated.")
MAX_MINUTES = Option(min=0, help="Stop cleanly after this time; go on later.")
RUN_DIR = Option("--run-dir", "-d", help="By default runs/NAME of the recipe.")
RESUME = Option("--resume", help="Go on from the run directory's last checkpoint.")
DRY_RUN = Option("--dry-run", help="Print what the run would take, by a few steps; no data.")
STOPPING = "stopping; a run that has begun is saved first, and --resume goes on from there"


def train(
    recipe: Annotated[Path, Argument(help="A YAML file; recipes/ has some.")],
    run_dir: Annotated[Path | None, RUN_DIR] = None,
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    resume: Annotated[bool, RESUME] = False,
    max_minutes: Annotated[float | None, MAX_MINUTES] = None,
    device: Annotated[str, DEVICE] = "auto",
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> None:
    """Train a network by a recipe.

    The run directory gets recipe.yaml, log.jsonl, state.safetensors (to resume from),
    model.safetensors (to use: spcnet predict --model RUN/model.safetensors photo.jpg) and
    best.safetensors (the one that scored best on the held-out persons). Several GPUs:
    torchrun --standalone --nproc-per-node 4 -m spcnet train RECIPE ...

    Example: spcnet train recipes/synthetic.yaml
    """
    from spcnet.devices import find_device
    from spcnet.training.checks import check_recipe
    from spcnet.training.recipe import load_recipe
    from spcnet.training.run_dir import BEST

    plan = load_recipe(recipe, overrides or [])
    directory = run_dir or Path("runs") / plan.name
    found = find_device(device)
    check_recipe(plan)
    if dry_run:
        if os.environ.get("RANK", "0") == "0":
            print(_describe_plan(plan, found))
        return
    with training_processes(found, max_minutes) as (processes, stop):
        if processes.first:
            say(_describe_recipe(plan))
        checkpoint = train_by(plan, directory, processes=processes, resume=resume, stop=stop)
        if processes.first:
            if (best := checkpoint.with_name(BEST)).exists():
                say(f"{best}: the model as it was when it scored best on the held-out persons")
            print(checkpoint)


def _describe_plan(recipe: "Recipe", device: "torch.device") -> str:
    from spcnet.training.checks import check_processes, steps_per_epoch
    from spcnet.training.data import count_persons
    from spcnet.training.distributed import ProcessGroup, process_count
    from spcnet.training.plan import make_plan

    plan, model = recipe.training, recipe.model
    persons, joints = count_persons(recipe)
    processes = process_count()
    check_processes(recipe, ProcessGroup(count=processes, device=device))
    batches = steps_per_epoch(recipe, persons)
    steps = plan.epochs * batches
    costs = make_plan(recipe, joints=joints, steps=steps, processes=processes, device=device)
    parts = f" in {plan.accumulate} parts" if plan.accumulate > 1 else ""
    shared = f"{counted(processes, 'process', 'processes')}{parts}"
    checkpointing = ", with checkpointing" if plan.checkpointing else ""
    lines = {
        "recipe": recipe.name,
        "network": f"{model.variant} {model.arguments or ''}".strip(),
        "parameters": f"{costs.parameters / 1e6:.2f} M",
        "multiply-adds": f"{costs.gmac:.3g} G an image of {model.input_size} px",
        "data": f"{titles_of(recipe.data)}, {counted(persons, 'person')}, {joints} joints",
        "steps": f"{counted(plan.epochs, 'epoch')} x {batches} = {steps}",
        "persons a step": f"{plan.batch_size} over {shared}",
        "memory": f"about {costs.memory / 1e9:.3g} GB a process: {costs.weight_bytes / 1e9:.3g} GB "
        f"of weights and moments, {costs.batch} x {costs.image_bytes / 1e6:.0f} MB of "
        f"activations{checkpointing}",
        "time": f"about {timedelta(seconds=round(costs.seconds))} on {device} at "
        f"{costs.step_seconds:.2f} s a step ({plan.precision}), scoring and data not counted",
    }
    return "\n".join(f"{name:16}{value}" for name, value in lines.items())


def _describe_recipe(recipe: "Recipe") -> str:
    """What differs from the defaults, a line a section; the run's recipe.yaml has every field."""
    from spcnet.training.recipe import in_yaml

    values = recipe.model_dump(mode="json", exclude={"description"}, exclude_defaults=True)
    sections = {name: fields for name, fields in values.items() if isinstance(fields, dict)}
    first = {name: value for name, value in values.items() if name not in sections}
    return "\n".join(
        f"{section:13} {', '.join(f'{name} {in_yaml(value)}' for name, value in fields.items())}"
        for section, fields in {"recipe": first, **sections}.items()
    )


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
            packing=say_packing, begin=begin, took=say_taken, report=hear,
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
