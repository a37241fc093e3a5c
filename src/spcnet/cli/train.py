"""``spcnet train``: a recipe in, a checkpoint out."""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from spcnet.cli.console import say
from spcnet.cli.options import DEVICE
from spcnet.cli.training_runs import MAX_MINUTES, OVERRIDES, titles_of, train_by, training_processes
from spcnet.errors import counted

if TYPE_CHECKING:
    import torch

    from spcnet.training.recipe import Recipe

RUN_DIR = Option("--run-dir", "-d", help="By default runs/NAME of the recipe.")
RESUME = Option("--resume", help="Go on from the run directory's last checkpoint.")
DRY_RUN = Option("--dry-run", help="Print what the run would take, by a few steps; no data.")


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
