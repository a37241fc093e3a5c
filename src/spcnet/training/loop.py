"""The training loop.

    spcnet train recipes/lspet_cpu.yaml --set data.root=PATH/lspet --run-dir runs/lspet_cpu
    spcnet train recipes/lspet_cpu.yaml --set data.root=PATH/lspet --run-dir runs/lspet_cpu --resume

A run directory holds ``recipe.yaml``, ``log.jsonl`` (one JSON object a line), ``state.safetensors``
(everything a resumed run needs) and ``model.safetensors`` (the network so far, ready for use).
Every batch is a function of (seed, epoch, step), so a resumed run takes the steps that an
uninterrupted one would have taken: on the CPU bit for bit.
"""

import copy
import json
import math
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from spcnet.checkpoints import (
    ModelCard,
    find_weights,
    load_checkpoint,
    read_tensors,
    save_checkpoint,
    write_tensors,
)
from spcnet.data.augmentation import Batch, make_batch
from spcnet.data.datasets import default_protocol, shuffled
from spcnet.data.store import PackedStore
from spcnet.errors import UserError
from spcnet.heatmaps import Refinement, activate, cells_to_pixels, decode
from spcnet.metrics.protocols import GroundTruth, Score
from spcnet.metrics.protocols import score as score_by
from spcnet.models.network import PoseNetwork, channels_last
from spcnet.models.registry import create_model
from spcnet.training.losses import heatmap_loss
from spcnet.training.recipe import Recipe

LOG_EVERY = 20  # steps
REFINEMENT: Refinement = "dark"  # of held-out scores, and what the trained model uses by default
RUN_FILES = ("recipe.yaml", "log.jsonl", "state.safetensors", "model.safetensors")
LICENCE = (
    "MIT for the package; the weights were trained on third-party annotations for research: "
    "see NOTICE"
)


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: optimiser steps done, of `steps` in all.
        steps: of the whole run.
        epoch: epochs begun, from 1.
        loss: mean over the last steps.
        lr: learning rate of the last step.
        images_per_second: over the last steps.
        seconds_left: estimate.
        score: of the held-out persons when this progress follows an evaluation.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    lr: float
    images_per_second: float
    seconds_left: float
    score: Score | None = None


def train(
    recipe: Recipe,
    store: PackedStore,
    run_dir: Path,
    *,
    holdout: PackedStore | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Train a network by a recipe.

    Args:
        recipe: what to do.
        store: persons to learn from.
        run_dir: where everything is written; made if it is not there.
        holdout: persons that are scored while training and never learned from.
        resume: go on from the directory's last checkpoint.
        device: where to train.
        stop: asked after every step; where it says True the run is saved and left, and a later
            call with `resume` goes on.
        report: called every few steps and after every evaluation.

    Returns:
        The trained checkpoint, ``model.safetensors``.

    Raises:
        UserError: the directory holds another run, cannot be written, or the loss is not finite.
    """
    run = Run(recipe, store, run_dir, holdout=holdout, device=device)
    run.open(resume=resume)
    run.go(report, stop=stop)
    return run.dir / "model.safetensors"


class Run:
    """One training run and its directory."""

    def __init__(
        self,
        recipe: Recipe,
        store: PackedStore,
        run_dir: Path,
        *,
        holdout: PackedStore | None,
        device: torch.device | str,
    ) -> None:
        self.recipe, self.store, self.dir, self.holdout = recipe, store, run_dir, holdout
        self.device = torch.device(device)
        torch.manual_seed(recipe.seed)
        network = create_model(
            recipe.model.variant, num_joints=len(store.skeleton), **recipe.model.arguments
        )
        if recipe.model.weights is not None:
            _begin_with(network, recipe, store)
        self.network = channels_last(network.to(self.device)).train()
        # The average that is kept; without an EMA it is the network itself.
        self.average = copy.deepcopy(self.network) if recipe.training.ema else self.network
        self.optimizer = make_optimizer(recipe, self.network)
        self.steps_per_epoch = steps_per_epoch(recipe, store)
        self.steps = self.steps_per_epoch * recipe.training.epochs
        self.step = 0
        self.seconds = 0.0  # spent training, over all resumed stretches
        self.scores: list[dict[str, Any]] = []

    def open(self, *, resume: bool) -> None:
        """Begin a new directory, or go on with one."""
        state = self.dir / "state.safetensors"
        if resume and state.is_file():
            self._load(state)
            return
        if resume:
            raise UserError(
                f"{self.dir}: no checkpoint to resume from; check --run-dir, or begin without "
                "--resume (after removing the folder, if a run stopped there before it saved)"
            )
        if taken := [name for name in RUN_FILES if (self.dir / name).exists()]:
            raise UserError(
                f"{self.dir}: holds a run already ({taken[0]}); go on with it by --resume, "
                "or name another --run-dir"
            )
        with self._writing():
            self.dir.mkdir(parents=True, exist_ok=True)
            values = self.recipe.model_dump()
            (self.dir / "recipe.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
            (self.dir / "log.jsonl").write_text("")

    def go(self, report: Callable[[Progress], None], *, stop: Callable[[], bool]) -> None:
        """Take the remaining steps, or save and return after the first one where `stop` holds."""
        plan = self.recipe.training
        began = last_save = window_began = time.monotonic()
        seconds_before = self.seconds
        losses: list[float] = []
        for epoch, indices in self._batches():
            batch = make_batch(
                self.store,
                indices,
                size=self.recipe.model.input_size,
                augmentation=self.recipe.augmentation.build(),
                seed=self.recipe.seed,
                epoch=epoch,
                device=self.device,
            )
            losses.append(self._take_step(batch))
            now = time.monotonic()
            self.seconds = seconds_before + now - began
            ends_epoch = self.step % self.steps_per_epoch == 0
            finished = self.step == self.steps
            if self.step % LOG_EVERY == 0 or ends_epoch:
                progress = self._progress(epoch, losses, now - window_began)
                window_began, losses = now, []
                self._log(
                    step=self.step,
                    epoch=epoch,
                    loss=progress.loss,
                    lr=progress.lr,
                    images_per_second=progress.images_per_second,
                    seconds=self.seconds,
                )
                report(progress)
                if ends_epoch and (epoch % plan.evaluate_every == 0 or finished):
                    self._evaluate(progress, report)
                    window_began = time.monotonic()
            stopped = stop()
            if finished or stopped or now - last_save > 60 * plan.save_minutes:
                self._save()
                last_save = time.monotonic()
            if stopped:
                return

    def _batches(self) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
        """The epoch (from 1) and the persons of every step still to take."""
        size = self.recipe.training.batch_size
        while self.step < self.steps:
            epoch, position = divmod(self.step, self.steps_per_epoch)
            order = shuffled(len(self.store), seed=self.recipe.seed, epoch=epoch + 1)
            for row in range(position, self.steps_per_epoch):
                yield epoch + 1, order[row * size : (row + 1) * size]

    def _take_step(self, batch: Batch) -> float:
        recipe = self.recipe
        lr = learning_rate(recipe, self.step, self.steps, self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        images = batch.images.contiguous(memory_format=torch.channels_last)
        half = recipe.training.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            outputs = self.network(images)
        loss = heatmap_loss(
            outputs,
            batch.points,
            batch.annotated,
            kind=recipe.loss.kind,
            sigma=recipe.loss.sigma,
            stride=PoseNetwork.stride,
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.optimizer.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), recipe.optimizer.clip)
        value = loss.item()
        if not math.isfinite(value):
            raise UserError(
                f"the loss became {value} at step {self.step + 1}; begin a new run with a lower "
                "optimizer.lr, or with optimizer.clip (1.0 is a good first try)"
            )
        self.optimizer.step()
        self.step += 1
        if recipe.training.ema is not None:
            update_average(self.average, self.network, recipe.training.ema, self.step)
        return value

    def _progress(self, epoch: int, losses: list[float], seconds: float) -> Progress:
        lr = self.optimizer.param_groups[0]["lr"]
        return Progress(
            step=self.step,
            steps=self.steps,
            epoch=epoch,
            loss=sum(losses) / len(losses),
            lr=lr,
            images_per_second=len(losses) * self.recipe.training.batch_size / seconds,
            seconds_left=(self.steps - self.step) * seconds / len(losses),
        )

    def _evaluate(self, progress: Progress, report: Callable[[Progress], None]) -> None:
        if self.holdout is None:
            return
        score = score_store(self.average, self.holdout, self.recipe, device=self.device)
        entry = {"epoch": progress.epoch, "step": self.step, "score": score.to_dict()}
        self.scores.append(entry)
        self._log(**entry)
        report(replace(progress, score=score))

    def _log(self, **entry: Any) -> None:
        with self._writing(), (self.dir / "log.jsonl").open("a") as stream:
            stream.write(json.dumps(entry) + "\n")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """What cannot be written is the user's to mend."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{self.dir}: cannot be written: {reason}") from None

    def _save(self) -> None:
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        if self.average is not self.network:
            tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
        progress = {"step": self.step, "seconds": self.seconds, "scores": self.scores}
        metadata = {
            "progress": json.dumps(progress),
            "recipe": json.dumps(self._identity()),
        }
        with self._writing():
            # The state last: while it is old, a resumed run writes both again.
            save_checkpoint(self.dir / "model.safetensors", self.average.state_dict(), self._card())
            write_tensors(self.dir / "state.safetensors", tensors, metadata)

    def _load(self, path: Path) -> None:
        tensors, metadata = read_tensors(path)
        if json.loads(metadata["recipe"]) != self._identity():
            raise UserError(
                f"{self.dir}: its run has another recipe ({self.dir / 'recipe.yaml'}); "
                "resume with that one, or name another --run-dir"
            )

        def part(prefix: str) -> dict[str, Tensor]:
            return {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }

        self.network.load_state_dict(part("network."))
        if self.average is not self.network:
            self.average.load_state_dict(part("average."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in part("optimizer.").items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        progress = json.loads(metadata["progress"])
        self.step, self.seconds = progress["step"], progress["seconds"]
        self.scores = progress["scores"]
        self._forget_steps_after(self.step)

    def _identity(self) -> dict[str, Any]:
        """What makes two runs the same run: the recipe, wherever the data lies."""
        return self.recipe.model_dump(mode="json", exclude={"data": {"root"}})

    def _forget_steps_after(self, step: int) -> None:
        """Drop what the log says of steps that will be taken again."""
        path = self.dir / "log.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        with self._writing():
            path.write_text("".join(line + "\n" for line in kept))

    def _card(self) -> ModelCard:
        from spcnet import __version__

        recipe = self.recipe
        return ModelCard(
            variant=recipe.model.variant,
            arguments=recipe.model.arguments,
            skeleton=self.store.skeleton,
            input_size=recipe.model.input_size,
            heatmap=recipe.loss.kind,
            sigma=recipe.loss.sigma,
            refinement=REFINEMENT,
            training={
                "dataset": recipe.data.dataset,
                "images": recipe.data.train,
                "persons": len(self.store),
                "seed": recipe.seed,
                "epochs": round(self.step / self.steps_per_epoch, 2),
                "minutes": round(self.seconds / 60, 1),
                "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
                f"{self.device.type}, torch {torch.__version__}",
                "recipe": self._identity(),
            },
            scores=[
                {"data": f"{recipe.data.dataset} {recipe.data.holdout}, held out", **entry}
                for entry in self.scores[-1:]
            ],
            version=__version__,
            licence=LICENCE,
        )


def _begin_with(network: nn.Module, recipe: Recipe, store: PackedStore) -> None:
    """Take over the weights of another run; the optimiser starts afresh.

    Raises:
        UserError: they are of another network, or of other joints.
    """
    name = str(recipe.model.weights)
    trained, card = load_checkpoint(find_weights(name))
    if card.skeleton.joints != store.skeleton.joints:
        raise UserError(
            f"model.weights: {name} predicts {card.skeleton.name!r}, and the data are annotated "
            f"with {store.skeleton.name!r}"
        )
    try:
        network.load_state_dict(trained.state_dict())
    except RuntimeError:
        raise UserError(
            f"model.weights: {name} is a {card.variant} with arguments {card.arguments}, the "
            f"recipe's is a {recipe.model.variant} with {recipe.model.arguments}"
        ) from None


def check_recipe(recipe: Recipe) -> None:
    """See to it that the network of a recipe can be built and takes the input.

    Raises:
        UserError: the variant or an argument of it is unknown, or the input size does not fit.
    """
    plan = recipe.model
    try:
        with torch.device("meta"):
            network = create_model(plan.variant, num_joints=1, **plan.arguments)
            network.eval()(torch.empty(1, 3, plan.input_size, plan.input_size))
    except (ValueError, TypeError) as error:
        reason = str(error).replace("PoseNetwork.__init__() got an ", "")
        raise UserError(f"model: {reason}") from None


def check_parts(store: PackedStore, holdout: PackedStore) -> None:
    """See to it that no held-out picture is learned from.

    Raises:
        UserError: the two stores share pictures, by their names.
    """
    shared = sorted(set(store.persons.keys.tolist()) & set(holdout.persons.keys.tolist()))
    if shared:
        raise UserError(
            f"data.train and data.holdout share {len(shared)} pictures, such as {shared[0]}; "
            "make them disjoint"
        )


def steps_per_epoch(recipe: Recipe, store: PackedStore) -> int:
    """Batches in an epoch; what is left over is not learned from until the next shuffle."""
    return max(1, len(store) // recipe.training.batch_size)


def make_optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser; norms and biases are not decayed."""
    plan = recipe.optimizer
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if plan.name == "adamw":
        return torch.optim.AdamW(groups, lr=plan.lr, eps=plan.eps)
    return torch.optim.RMSprop(groups, lr=plan.lr, alpha=plan.alpha, eps=plan.eps)


def learning_rate(recipe: Recipe, step: int, steps: int, steps_per_epoch: int) -> float:
    """Of a step, counted from 0."""
    plan = recipe.optimizer
    if step < plan.warmup_steps:
        return plan.lr * (step + 1) / plan.warmup_steps
    if plan.schedule == "cosine":
        done = (step - plan.warmup_steps) / max(1, steps - plan.warmup_steps)
        return plan.lr * 0.5 * (1 + math.cos(math.pi * done))
    drops = sum(step >= milestone * steps_per_epoch for milestone in plan.milestones)
    return plan.lr * 0.1**drops


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the network; early steps weigh more, so that it starts warm."""
    decay = min(decay, (1 + step) / (10 + step))
    current = network.state_dict()
    for name, kept in average.state_dict().items():
        if kept.is_floating_point():
            kept.lerp_(current[name], 1 - decay)
        else:
            kept.copy_(current[name])


@torch.no_grad()
def score_store(
    network: PoseNetwork,
    store: PackedStore,
    recipe: Recipe,
    *,
    device: torch.device,
    batch_size: int = 32,
) -> Score:
    """Score of a network over the plain crops of a store, by its data set's protocol."""
    was_training = network.training
    network.eval()
    size = recipe.model.input_size
    predicted, truth, annotated = [], [], []
    for begin in range(0, len(store), batch_size):
        indices = np.arange(begin, min(begin + batch_size, len(store)))
        batch = make_batch(store, indices, size=size, device=device)
        half = recipe.training.precision == "bf16"
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            raw = network(batch.images.contiguous(memory_format=torch.channels_last))
        heatmaps = activate(raw, kind=recipe.loss.kind, sigma=recipe.loss.sigma)
        cells, _ = decode(heatmaps, refinement=REFINEMENT, sigma=recipe.loss.sigma)
        predicted.append(cells_to_pixels(cells, PoseNetwork.stride).cpu().numpy())
        truth.append(batch.points.cpu().numpy())
        annotated.append(batch.annotated.cpu().numpy())
    network.train(was_training)
    points, known = np.concatenate(truth), np.concatenate(annotated)
    labels = GroundTruth(
        points=points,
        annotated=known,
        skeleton=store.skeleton,
        boxes=_tight_boxes(points, known),
        references=store.persons.references * size / store.persons.sides,
    )
    return score_by(default_protocol(store.header["dataset"]), np.concatenate(predicted), labels)


def _tight_boxes(points: np.ndarray[Any, Any], known: np.ndarray[Any, Any]) -> Any:
    """Boxes (N, 4) of the annotated joints; NaN for a person without any."""
    held = np.where(known[..., None], points, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a person without joints
        return np.concatenate([np.nanmin(held, axis=1), np.nanmax(held, axis=1)], axis=1)
