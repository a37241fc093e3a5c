"""What a run needs to go on, what is kept of it, and what is written where it went wrong."""

import json
import platform
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from spcnet.checkpoints import save_checkpoint
from spcnet.data.store import distinct
from spcnet.errors import UserError, counted
from spcnet.geometry import Array
from spcnet.models.network import PoseNetwork, channels_last
from spcnet.tensor_files import read_tensors, write_tensors
from spcnet.training.optimisation import autocast, measure_statistics
from spcnet.training.task import Card

if TYPE_CHECKING:
    from spcnet.training.loop import Run

PROGRESS = ("step", "seconds", "began_with", "scores", "window")
LICENCE = (
    "MIT for the package; the weights were trained on third-party annotations for research: "
    "see NOTICE"
)


def kept_network(run: "Run") -> PoseNetwork:
    """What is kept of the run so far: the average, with statistics of its own where asked."""
    count = run.recipe.training.precise_batchnorm
    if not count:
        return run.average
    with torch.random.fork_rng(devices=[]):
        network = run.recipe.model.build(run.task.channels)
    weights = run.average.state_dict()
    network.to(run.device, next(run.average.parameters()).dtype).load_state_dict(weights)
    channels_last(network).eval()
    if run.processes.first:  # alone, whatever the processes share while training
        size = min(run.recipe.training.batch_size, len(run.task.store))
        with autocast(run.recipe, run.device):
            measure_statistics(network, (run.task.random_images(n, size) for n in range(count)))
    return network


def card_of(run: "Run") -> Card:
    """The card of a run as it stands: how it was trained, and its last scores."""
    from spcnet import __version__

    recipe, data = run.recipe, run.recipe.data
    machine = [platform.machine(), counted(torch.get_num_threads(), "thread"), run.device.type]
    several = [f"{run.processes.count} processes"] if run.processes.count > 1 else []
    training = {
        "dataset": data.dataset,
        "images": " + ".join([data.train, *(f"{part.title} {part.split}" for part in data.more)]),
        "seed": recipe.seed,
        "epochs": round(run.step / run.steps_per_epoch, 2),
        "minutes": round(run.seconds / 60, 1),
        "machine": ", ".join([*machine, f"torch {torch.__version__}", *several]),
        "recipe": recipe.identity(),
        **({"began_with": run.began_with} if run.began_with else {}),
    }
    held = [part for part in data.parts if part.holdout is not None]
    titles = distinct([part.title for part in held])
    names = {title: f"{title} {part.holdout}" for title, part in zip(titles, held, strict=True)}
    everyone = " + ".join(f"{part.title} {part.holdout}" for part in held)
    scores = []
    for entry in run.scores[-1:]:
        at = {"epoch": entry["epoch"], "step": entry["step"]}
        for title, found in entry.get("sources", {everyone: entry["score"]}).items():
            name = names.get(title, title) if "sources" in entry else everyone
            scores.append({"data": f"{name}, held out", **at, "score": found})
    network = {"variant": recipe.model.variant, "arguments": dict(recipe.model.arguments)}
    return run.task.card(training, scores, **network, version=__version__, licence=LICENCE)


def save(run: "Run") -> None:
    """Write the state and the model; the first process does."""
    if not run.processes.first:
        return
    tensors = {f"network.{k}": v for k, v in run.network.state_dict().items()}
    if run.average is not run.network:
        tensors |= {f"average.{k}": v for k, v in run.average.state_dict().items()}
    for index, moments in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    progress = {name: getattr(run, name) for name in PROGRESS}
    progress["scaler"] = run.scaler.state_dict()
    identity = {"recipe": run.recipe.identity(), **_learned_from(run)}
    metadata = {"progress": json.dumps(progress), "run": json.dumps(identity)}
    # The state last: while it is old, a resumed run writes both again. The first time it is the
    # model, so that a model without a state is none that a killed run has left.
    first = not run.directory.state.exists()
    with run.directory.writing():
        if first:
            write_tensors(run.directory.state, tensors, metadata)
        save_checkpoint(run.directory.model, kept_network(run).state_dict(), card_of(run))
        if not first:
            write_tensors(run.directory.state, tensors, metadata)


def load(run: "Run") -> None:
    """Go on from the last checkpoint, which the first process reads for all."""
    content = read_tensors(run.directory.state) if run.processes.first else None
    tensors, metadata = run.processes.of_first(content)
    mine = _learned_from(run)
    saved = mine | json.loads(metadata["run"])  # an older state says nothing of opinions
    if any(saved[name] != mine[name] for name in mine):
        there, here = (
            f"{counted(of['persons'], 'person')} with {len(of['joints'])} joints, and with "
            f"another model's points for parts {of['opinions']}"
            for of in (saved, mine)
        )
        raise UserError(
            f"{run.directory.path}: its run learned from {there}, and these data are {here}; name "
            "the data and the data.opinions that it began with, or another --run-dir"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}

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
    for name in PROGRESS:
        setattr(run, name, progress.get(name))
    run.scaler.load_state_dict(progress["scaler"])
    if run.processes.first:
        run.directory.forget_after(run.step)


def _learned_from(run: "Run") -> dict[str, Any]:
    """What two runs by one recipe have in common if they are the same run."""
    opinions = [n for n, part in enumerate(run.recipe.data.parts) if part.opinions is not None]
    joints = list(run.task.skeleton.joints) if run.task.skeleton else []
    return {"persons": len(run.task.store), "joints": joints, "opinions": opinions}


def explain(
    run: "Run", what: str, value: float, suspect: tuple[Any, Array], *, keep: bool
) -> UserError:
    """Keep the persons of a step that went wrong, and say what to do."""
    batch, rows = suspect
    process = f"-process{run.processes.rank}" if run.processes.count > 1 else ""
    name = f"not-finite-step{run.step + 1}{process}.safetensors"
    kept = "another process kept them"
    if keep:
        fields = ("images", "points", "annotated")  # a finder's batch has the first alone
        tensors = {field: getattr(batch, field) for field in fields if hasattr(batch, field)}
        tensors["persons"] = torch.from_numpy(rows % len(run.task.store))
        tensors |= {f"network.{name}": t for name, t in run.network.state_dict().items()}
        with run.directory.writing():
            write_tensors(run.directory.path / name, tensors, {})
        kept = f"the persons and the network are in {run.directory.path / name}"
    model = run.directory.model
    begin = f", with model.weights={model}" if model.is_file() else ""
    return UserError(
        f"the {what} became {value} at step {run.step + 1}; begin a new run with a lower "
        f"optimizer.lr or with optimizer.clip (1.0 is a good first try){begin}; {kept}"
    )
