"""What is found out before a run begins: each thing once, with its remedy."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from pydantic import ValidationError

from spcnet.data.store import Store
from spcnet.errors import UserError
from spcnet.models.registry import create_model
from spcnet.tensor_files import read_metadata
from spcnet.training.board import writer_class
from spcnet.training.distributed import ProcessGroup
from spcnet.training.recipe import Recipe, differences
from spcnet.training.run_dir import MODEL, RECIPE, STATE, RunDirectory
from spcnet.training.weights import weights_of


def check_directory(directory: RunDirectory, recipe: Recipe, *, resume: bool) -> None:
    """Check that a new run overwrites nothing, and a resumed one has itself to go on with.

    Raises:
        UserError: it does not.
    """
    path = directory.path
    if not directory.writes:
        return
    if resume and not directory.holds_run:
        raise UserError(
            f"{path}: no checkpoint to resume from; check --run-dir, or begin without --resume"
        )
    if not resume and directory.holds_run:
        raise UserError(
            f"{path}: already contains a run; resume it with --resume, or name another --run-dir"
        )
    if not resume:
        return
    if directory.state.is_file():
        check_same_recipe(read_metadata(directory.state), recipe, directory)
    elif directory.holds_model:
        raise UserError(
            f"{path}: {STATE} is gone, without which the run cannot go on; begin a new one with "
            f"its weights: --run-dir ANOTHER --set model.weights={path / MODEL}"
        )


def check_same_recipe(
    metadata: Mapping[str, str], recipe: Recipe, directory: RunDirectory
) -> dict[str, Any]:
    """Check that a saved state is of a run by this recipe; new fields have their defaults.

    Returns:
        What the state says of its run.

    Raises:
        UserError: it is of another, or not a state.
    """
    path = directory.path
    if "run" not in metadata:
        raise UserError(
            f"{directory.state}: written by another version of spcnet; go on with it, "
            "or begin a new run with its model.safetensors as model.weights"
        )
    saved: dict[str, Any] = json.loads(metadata["run"])
    with suppress(ValidationError):  # of another version, whose fields are others
        saved["recipe"] = Recipe.model_validate(saved["recipe"]).identity()
    if differing := differences(saved["recipe"], recipe.identity()):
        raise UserError(
            f"{path}: its run has another recipe: {differing}; resume with {path / RECIPE}, or "
            "name another --run-dir"
        )
    return saved


def check_recipe(recipe: Recipe) -> None:
    """Check that the network of a recipe can be built, takes the input and can be watched.

    Raises:
        UserError: the variant or an argument of it is unknown, the input size does not fit, there
            are no such weights or teacher, or TensorBoard is wanted and not installed.
    """
    if recipe.model.weights is not None:
        weights_of("model.weights", recipe.model.weights)
    if recipe.loss.teacher is not None:
        weights_of("loss.teacher", recipe.loss.teacher)
    if recipe.training.tensorboard:
        writer_class()
    plan = recipe.model
    try:
        with torch.device("meta"):
            network = create_model(plan.variant, num_joints=1, **plan.arguments)
            network.eval()(torch.empty(1, 3, plan.input_size, plan.input_size))
    except (ValueError, TypeError) as error:
        reason = str(error).replace("PoseNetwork.__init__() got an ", "")
        raise UserError(f"model: {reason}") from None


def check_processes(recipe: Recipe, processes: ProcessGroup) -> None:
    """Check that a recipe fits the processes and their device.

    Raises:
        UserError: the batch cannot be dealt out, or the device lacks what the recipe asks for.
    """
    plan, device = recipe.training, processes.device.type
    parts = processes.count * plan.accumulate
    if plan.batch_size % parts:
        raise UserError(
            f"training.batch_size: {plan.batch_size} persons cannot be dealt out to "
            f"{processes.count} process{'es' * (processes.count > 1)} in {plan.accumulate} "
            f"part{'s' * (plan.accumulate > 1)} each; use a multiple of {parts}"
        )
    if plan.batch_size == parts and not plan.frozen_batchnorm and not _normalises_one(recipe):
        raise UserError(
            f"training.batch_size: one person at a time has no statistics where the network is "
            f"down to a single cell, at {recipe.model.input_size} px; use a larger batch or "
            "model.input_size, or training.frozen_batchnorm"
        )
    if plan.sync_batchnorm and device != "cuda":
        raise UserError(
            f"training.sync_batchnorm: torch has it on GPUs only, and this run is on {device}; "
            "set it to false"
        )
    if plan.compile and plan.checkpointing:
        raise UserError(
            "training.compile: does not go with training.checkpointing, whose stacks work in "
            "place; set one of them to false"
        )
    if plan.compile and device != "cuda":
        raise UserError(
            "training.compile: on a CPU torch.compile fails on this network or gains nothing; set "
            "it to false"
        )


def _normalises_one(recipe: Recipe) -> bool:
    """Whether batch norms have more than one value a channel with a single person."""
    plan = recipe.model
    with torch.device("meta"):
        network = create_model(plan.variant, num_joints=1, **plan.arguments).train()
        try:
            network(torch.empty(1, 3, plan.input_size, plan.input_size))
        except ValueError:
            return False
    return True


def check_parts(store: Store, holdout: Store) -> None:
    """Check that no held-out picture is learned from, by the pictures' names.

    Raises:
        UserError: the two stores share pictures.
    """
    check_disjoint(sorted(store.pictures & holdout.pictures))


def check_disjoint(shared: Sequence[str]) -> None:
    """Check that no held-out picture is learned from.

    Args:
        shared: names of the pictures that both parts have.

    Raises:
        UserError: there are some.
    """
    if shared:
        raise UserError(
            f"data.train and data.holdout share {len(shared)} pictures, such as {shared[0]}; "
            "make them disjoint"
        )


def steps_per_epoch(recipe: Recipe, count: int) -> int:
    """Batches in an epoch of so many persons; what is left over waits for the next shuffle.

    Raises:
        UserError: a batch is larger than that.
    """
    size = recipe.training.batch_size
    if count < size:
        raise UserError(
            f"training.batch_size: {size} is more than the {count} persons there are to learn from"
        )
    return count // size
