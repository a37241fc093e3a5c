"""What a run needs to go on, what is kept of it, and what is written where it went wrong."""

import json
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.models.network import PoseNetwork, channels_last
from spcnet.models.registry import create_model
from spcnet.tensor_files import read_tensors
from spcnet.training.checks import check_same_recipe
from spcnet.training.optimisation import measure_statistics
from spcnet.training.precision import autocast
from spcnet.training.provenance import card_of
from spcnet.training.run_dir import MODEL, STATE

if TYPE_CHECKING:
    from spcnet.training.loop import Run


def kept_network(run: "Run") -> PoseNetwork:
    """What is kept of the run so far: the average, with statistics of its own where asked.

    The first process alone measures them.
    """
    count = run.recipe.training.precise_batchnorm
    if not count:
        return run.average
    network = _plain_copy(run)
    if run.processes.first:
        size = min(run.recipe.training.batch_size, len(run.task.store))
        with autocast(run.recipe, run.device):
            measure_statistics(network, (run.task.random_images(n, size) for n in range(count)))
    return network


def _plain_copy(run: "Run") -> PoseNetwork:
    """A copy of the average that normalises for itself, whatever the processes share."""
    with torch.random.fork_rng(devices=[]):
        network = create_model(
            run.recipe.model.variant,
            num_joints=run.task.channels,
            **run.recipe.model.arguments,
        )
    weights = run.average.state_dict()
    network.to(run.device, next(run.average.parameters()).dtype).load_state_dict(weights)
    return channels_last(network).eval()


def save(run: "Run") -> None:
    """Write the state and the model; the first process does."""
    if not run.processes.first:
        return
    tensors = {f"network.{k}": v for k, v in run.network.state_dict().items()}
    if run.average is not run.network:
        tensors |= {f"average.{k}": v for k, v in run.average.state_dict().items()}
    for index, moments in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    progress = {
        "step": run.step,
        "seconds": run.seconds,
        "began_with": run.began_with,
        "scores": run.scores,
        "window": run.window,
        "scaler": run.scaler.state_dict(),
    }
    metadata = {"progress": json.dumps(progress), "run": json.dumps(_identity(run))}
    # The state last: while it is old, a resumed run writes both again. The first time it is the
    # model, so that a model without a state is none that a killed run has left.
    first = not run.directory.state.exists()
    if first:
        run.directory.save_tensors(STATE, tensors, metadata)
    run.directory.save_model(MODEL, kept_network(run).state_dict(), card_of(run))
    if not first:
        run.directory.save_tensors(STATE, tensors, metadata)


def load(run: "Run") -> None:
    """Go on from the last checkpoint, which the first process reads for all."""
    content = read_tensors(run.directory.state) if run.processes.first else None
    tensors, metadata = run.processes.of_first(content)
    saved = check_same_recipe(metadata, run.recipe, run.directory)
    mine = _identity(run)
    if saved.get("opinions", mine["opinions"]) != mine["opinions"]:
        raise UserError(
            f"{run.directory.path}: its run learned from another model's points of parts "
            f"{saved['opinions']} of its data, and these name files for {mine['opinions']}; name "
            "the data.opinions that it began with, or another --run-dir"
        )
    if saved | {"opinions": mine["opinions"]} != mine:
        raise UserError(
            f"{run.directory.path}: its run learned from {saved['persons']} persons with "
            f"{len(saved['joints'])} joints, and these data are {mine['persons']} persons with "
            f"{len(mine['joints'])}; name the data that it began with, or another --run-dir"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }

    run.network.load_state_dict(part("network."))
    if run.average is not run.network:
        run.average.load_state_dict(part("average."))
    parameters = [p for group in run.optimizer.param_groups for p in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in part("optimizer.").items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:  # laid out in memory as it was: channels last
            tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        moments.setdefault(int(index), {})[key] = tensor
    groups = run.optimizer.state_dict()["param_groups"]
    run.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    progress = json.loads(metadata["progress"])
    run.step, run.seconds = progress["step"], progress["seconds"]
    run.scores, run.window = progress["scores"], progress["window"]
    run.began_with = progress.get("began_with")
    run.scaler.load_state_dict(progress["scaler"])
    run.directory.forget_after(run.step)


def _identity(run: "Run") -> dict[str, Any]:
    """What makes two runs the same run."""
    return {"recipe": run.recipe.identity(), **run.task.facts()}


def explain(
    run: "Run",
    what: str,
    value: float,
    suspect: tuple[Any, Array],
    *,
    keep: bool,
) -> str:
    """Keep the persons of a step that went wrong, and say what to do."""
    batch, rows = suspect
    process = f"-process{run.processes.rank}" if run.processes.count > 1 else ""
    name = f"not-finite-step{run.step + 1}{process}.safetensors"
    tensors = run.task.tensors_of(batch)
    tensors["persons"] = torch.from_numpy(rows % len(run.task.store))
    tensors |= {f"network.{name}": t for name, t in run.network.state_dict().items()}
    path = run.directory.path / name
    if keep:
        run.directory.save_tensors(name, tensors, {}, by_any=True)
    last = run.directory.path / MODEL
    begin = f", with model.weights={last}" if run.directory.holds_model else ""
    return (
        f"the {what} became {value} at step {run.step + 1}; begin a new run with a lower "
        f"optimizer.lr or with optimizer.clip (1.0 is a good first try){begin}; "
        + (f"the persons and the network are in {path}" if keep else "another process kept them")
    )
