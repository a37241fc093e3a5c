"""What is found out before a run begins: each thing once, with its remedy as a `UserError`."""

import json
from collections.abc import Collection
from contextlib import suppress

import torch
from pydantic import ValidationError

from spcnet.errors import UserError, counted, in_words
from spcnet.tensor_files import read_metadata
from spcnet.training.distributed import ProcessGroup
from spcnet.training.recipe import Recipe, differences
from spcnet.training.run_dir import RECIPE, STATE, RunDirectory
from spcnet.training.trackers import TRACKERS
from spcnet.training.weights import weights_of


def check_directory(directory: RunDirectory, recipe: Recipe, *, resume: bool) -> None:
    """Check that a new run overwrites nothing, and a resumed one has itself to go on with."""
    path = directory.path
    if resume and not directory.holds_run:
        remedy = "check --run-dir, or begin without --resume"
        raise UserError(f"{path}: no checkpoint to resume from; {remedy}")
    if not resume and directory.holds_run:
        remedy = "resume it with --resume, or name another --run-dir"
        raise UserError(f"{path}: already contains a run; {remedy}")
    if not directory.state.is_file():
        if directory.model.is_file():
            remedy = f"--run-dir ANOTHER --set model.weights={directory.model}"
            raise UserError(
                f"{path}: {STATE} is gone, without which the run cannot go on; begin a new one "
                f"with its weights: {remedy}"
            )
        return
    metadata = read_metadata(directory.state)
    if "run" not in metadata:
        raise UserError(
            f"{directory.state}: written by another version of spcnet; go on with it, "
            "or begin a new run with its model.safetensors as model.weights"
        )
    saved = json.loads(metadata["run"])["recipe"]
    with suppress(ValidationError):  # of another version, whose fields are others
        saved = Recipe.model_validate(saved).identity()
    if differing := differences(saved, recipe.identity()):
        remedy = f"resume with {path / RECIPE}, or name another --run-dir"
        raise UserError(f"{path}: its run has another recipe: {differing}; {remedy}")


def check_recipe(recipe: Recipe) -> None:
    """Check that the network of a recipe can be built, takes the input and can be watched."""
    if recipe.model.weights is not None:
        weights_of("model.weights", recipe.model.weights)
    if recipe.loss.teacher is not None:
        weights_of("loss.teacher", recipe.loss.teacher)
    for name in recipe.training.trackers:
        TRACKERS[name]()
    try:
        _pass_once(recipe, training=False)
    except (ValueError, TypeError) as error:
        raise UserError(f"model: {in_words(error)}") from None


def check_processes(recipe: Recipe, processes: ProcessGroup) -> None:
    """Check that a recipe's batch can be dealt out, and that the device has what it asks for."""
    plan, device = recipe.training, processes.device.type
    parts = processes.count * plan.accumulate
    if plan.batch_size % parts:
        raise UserError(
            f"training.batch_size: {counted(plan.batch_size, 'person')} cannot be dealt out to "
            f"{counted(processes.count, 'process', 'processes')} in "
            f"{counted(plan.accumulate, 'part')}; use a multiple of {parts}"
        )
    if plan.batch_size == parts and not plan.frozen_batchnorm:
        try:
            _pass_once(recipe, training=True)
        except ValueError:
            raise UserError(
                "training.batch_size: one person at a time has no statistics where the network is "
                f"down to a single cell, at {recipe.model.input_size} px; use a larger batch or "
                "model.input_size, or training.frozen_batchnorm"
            ) from None
    if plan.sync_batchnorm and device != "cuda":
        where = f"on GPUs only, and this run is on {device}"
        raise UserError(f"training.sync_batchnorm: torch has it {where}; set it to false")
    if plan.compile and plan.checkpointing:
        raise UserError(
            "training.compile: does not go with training.checkpointing, whose stacks work in "
            "place; set one of them to false"
        )
    if plan.compile and device != "cuda":
        why = "on a CPU torch.compile fails on this network or gains nothing"
        raise UserError(f"training.compile: {why}; set it to false")


def _pass_once(recipe: Recipe, *, training: bool) -> None:
    """Let one image of no content through the network, which costs nothing."""
    size = recipe.model.input_size
    with torch.device("meta"):
        recipe.model.build(1).train(training)(torch.empty(1, 3, size, size))


def check_disjoint(shared: Collection[str]) -> None:
    """Check that there is no name of a picture that is both held out and learned from."""
    if shared:
        some = f"{counted(len(shared), 'picture')}, such as {min(shared)}"
        raise UserError(f"data.train and data.holdout share {some}; make them disjoint")


def steps_per_epoch(recipe: Recipe, count: int) -> int:
    """Batches in an epoch of so many persons; what is left over waits for the next shuffle."""
    size = recipe.training.batch_size
    if count < size:
        there = f"there {'is' if count == 1 else 'are'} {counted(count, 'person')} to learn from"
        raise UserError(f"training.batch_size: {size} is too many, as {there}")
    return count // size
