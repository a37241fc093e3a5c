"""The training loop.

One process, on the CPU or one GPU:

    spcnet train recipes/lspet_cpu.yaml --set data.root=PATH/lspet --run-dir runs/lspet_cpu
    spcnet train recipes/lspet_cpu.yaml --set data.root=PATH/lspet --run-dir runs/lspet_cpu --resume

Four GPUs of one machine:

    torchrun --standalone --nproc-per-node 4 -m spcnet train recipes/mpii_paper.yaml \
        --set data.root=PATH/mpii --run-dir runs/mpii_paper

Two machines of four GPUs, the same on both but for the node's rank; the run directory and the
packed store's cache lie on a disk that both see:

    torchrun --nnodes 2 --node-rank 0 --nproc-per-node 4 \
        --rdzv-backend c10d --rdzv-endpoint FIRST_MACHINE:29500 --rdzv-id spcnet \
        -m spcnet train recipes/mpii_paper.yaml --set data.root=PATH/mpii --run-dir DISK/mpii_paper

A run directory holds ``recipe.yaml``, ``log.jsonl`` (one JSON object a line), ``state.safetensors``
(everything a resumed run needs), ``model.safetensors`` (the network so far, ready for use) and,
where persons are held out, ``best.safetensors`` (the one that scored best on them). Every batch is
a function of (seed, epoch, step), so a resumed run takes the steps that an uninterrupted one would
have taken: on the CPU bit for bit. A step's persons are dealt out to the processes in order, so
their number changes nothing but the batch norms' statistics, which each process takes of its own.
"""

import copy
import json
import logging
import math
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from spcnet.checkpoints import FinderCard, ModelCard
from spcnet.data.augmentation import Batch, make_batch
from spcnet.data.datasets import epoch_order
from spcnet.data.store import JoinedStores, Store, distinct
from spcnet.devices import memory_suffices
from spcnet.errors import UserError
from spcnet.metrics.protocols import Score
from spcnet.models.network import PoseNetwork, channels_last
from spcnet.models.registry import create_model
from spcnet.models.selective import begin_squeeze_at_zero
from spcnet.tensor_files import read_metadata, read_tensors
from spcnet.training.board import Board, writer_class
from spcnet.training.evaluation import score_store
from spcnet.training.losses import Doubts, Taught, heatmap_loss
from spcnet.training.optimisation import (
    learning_rate,
    make_optimizer,
    measure_statistics,
    update_average,
)
from spcnet.training.precision import autocast, freeze_statistics
from spcnet.training.recentring import free_convolutions, recentre
from spcnet.training.recipe import Recipe, differences
from spcnet.training.run_dir import BEST, MODEL, RECIPE, STATE, RunDirectory
from spcnet.training.teacher import Teacher
from spcnet.training.weights import begin_with, weights_of
from spcnet.training.workers import Workers, together

LOG_EVERY = 20  # steps
MOST_SKIPPED = 50  # steps in a row that fp16's scaler may leave out while it finds its scale
LICENCE = (
    "MIT for the package; the weights were trained on third-party annotations for research: "
    "see NOTICE"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: optimiser steps done, of `steps` in all.
        steps: of the whole run.
        epoch: epochs begun, from 1.
        loss: mean over the last steps.
        losses: of each supervised output, likewise.
        lr: learning rate of the last step.
        images_per_second: over the last steps.
        seconds_left: estimate.
        score: of the held-out persons when this progress follows an evaluation.
        sources: the same of each data set, where persons of several are held out.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    losses: tuple[float, ...]
    lr: float
    images_per_second: float
    seconds_left: float
    score: Score | None = None
    sources: Mapping[str, Score] = field(default_factory=dict)


def train(
    recipe: Recipe,
    store: Any,
    run_dir: Path,
    *,
    holdout: Any = None,
    resume: bool | None = False,
    device: torch.device | str = "cpu",
    workers: Workers | None = None,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[Progress], None] = lambda progress: None,
    finish: Callable[[Path], None] = lambda checkpoint: None,
    kind: "type[Run] | None" = None,
) -> Path:
    """Train a network by a recipe.

    Args:
        recipe: what to do.
        store: persons to learn from.
        run_dir: where everything is written; made if it is not there.
        holdout: persons that are scored while training and never learned from.
        resume: go on from the directory's last checkpoint, or from the start where the run was
            stopped before it wrote one; None goes on with a run and begins where there is none.
        device: where to train.
        workers: this process among those of the run; by default it is alone.
        stop: asked after every step; where it says True in any process the run is saved and
            left, and a later call with `resume` goes on.
        report: called every few steps and after every evaluation, in the first process.
        finish: called with the checkpoint in the first process when the last step is taken, while
            the directory is still held.
        kind: of run; by default one of poses, whose `store` and `holdout` are `Store`s.

    Returns:
        The trained checkpoint, ``model.safetensors``.

    Raises:
        RunInUseError: another process is training in the directory.
        UserError: the directory holds another run, or cannot be written; the recipe does not fit
            the device, its memory or the processes; or a loss or gradient is not finite.
    """
    workers = workers or Workers(device=torch.device(device))
    directory = RunDirectory(run_dir, writes=workers.first)
    remedy = (
        "use a smaller training.batch_size, a larger training.accumulate, training.checkpointing, "
        "training.precision=bf16, or more processes"
    )
    with ExitStack() as held, memory_suffices(remedy):
        problem = None
        try:
            held.enter_context(directory.held())
            if resume is None:
                resume = directory.holds_run
            check_directory(directory, recipe, resume=resume)
        except UserError as error:
            problem = error
        workers.agree(problem)
        run = (kind or Run)(recipe, store, directory, holdout=holdout, workers=workers)
        run.open(resume=workers.of_first(resume))
        if run.finished and workers.first:
            log.info("finished already: all %d steps are taken", run.steps)
        run.go(report, stop=stop)
        if run.finished and workers.first:
            finish(run_dir / MODEL)
        workers.any(False)  # nobody leaves before the last file is written
    return run_dir / MODEL


class Run:
    """One training run and its directory; of poses, unless a subclass says otherwise."""

    store: Any
    holdout: Any
    make_batch: Callable[..., Any] = staticmethod(make_batch)

    def __init__(
        self,
        recipe: Recipe,
        store: Any,
        directory: RunDirectory,
        *,
        holdout: Any,
        workers: Workers,
    ) -> None:
        check_processes(recipe, workers)
        self.recipe, self.store, self.directory, self.holdout = recipe, store, directory, holdout
        self.workers, self.device = workers, workers.device
        plan = recipe.training
        torch.manual_seed(recipe.seed)
        network = create_model(
            recipe.model.variant, num_joints=self.channels, **recipe.model.arguments
        )
        if recipe.model.squeeze == "zero":
            begin_squeeze_at_zero(network)
        if plan.sync_batchnorm:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        if plan.precision == "fp64":
            network = network.double()
        self.network = channels_last(network.to(self.device)).train()
        self.network.checkpointing = plan.checkpointing
        # The average that is kept; without an EMA it is the network itself.
        self.average = copy.deepcopy(self.network) if plan.ema else self.network
        self.parallel: DistributedDataParallel | None = None
        if workers.count > 1:
            # Kernels lie channels last, and torch warns once that its buckets do not.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")
            with together():
                self.parallel = DistributedDataParallel(
                    self.network,
                    device_ids=[self.device.index] if self.device.type == "cuda" else None,
                )
        self.forward: nn.Module = self.parallel or self.network
        if plan.compile:
            self.forward = torch.compile(self.forward)  # type: ignore[assignment]
        self.teacher: Teacher | None = None
        if recipe.loss.teacher is not None:
            self.teacher = Teacher(recipe.loss.teacher, skeleton=store.skeleton, device=self.device)
        self.optimizer = make_optimizer(recipe, self.network)
        half = plan.precision == "fp16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)
        self.board: Board | None = None
        self.steps_per_epoch = steps_per_epoch(recipe, len(store))
        self.steps = self.steps_per_epoch * plan.epochs
        self.step = 0
        self.seconds = 0.0  # spent training, over all resumed stretches
        self.began_with: dict[str, Any] | None = None  # the training behind its first weights
        self.scores: list[dict[str, Any]] = []
        self.window: list[list[float]] = []  # the losses that are not in the log yet
        self.skipped = 0  # steps in a row that fp16's gradients were too large for

    @property
    def channels(self) -> int:
        """Maps that the network predicts."""
        return len(self.store.skeleton)

    @property
    def finished(self) -> bool:
        """Whether the last step is taken."""
        return self.step == self.steps

    def open(self, *, resume: bool) -> None:
        """Begin a new directory, or go on with one.

        Raises:
            UserError: the directory holds another run, the weights to begin with do not fit, or
                the disk is too small.
        """
        if self.workers.of_first(resume and self.directory.state.is_file()):
            self._load()
            if self.finished and not self.directory.holds_model:
                self._save()  # killed between the two files
        else:
            if self.recipe.model.weights is not None:
                self.began_with = self._begin_with_weights()
                self.average.load_state_dict(self.network.state_dict())
            self.directory.begin(self.recipe)
        problem = None
        if self.workers.first:
            weights = sum(p.numel() * p.element_size() for p in self.network.parameters())
            try:
                # The network, its average and up to two moments; and the models in half precision.
                self.directory.check_space(5 * weights)
            except UserError as error:
                problem = error
        self.workers.agree(problem)
        if self.recipe.training.tensorboard and self.workers.first:
            self.board = Board(self.directory.path, after=self.step)

    def _begin_with_weights(self) -> dict[str, Any]:
        """Take over the recipe's weights; give what their card says of their own training."""
        return begin_with(self.network, self.recipe, self.store.skeleton)

    def go(self, report: Callable[[Progress], None], *, stop: Callable[[], bool]) -> None:
        """Take the remaining steps, or save and return after the first one where `stop` holds."""
        plan = self.recipe.training
        began = last_save = window_began = time.monotonic()
        taken = 0  # steps of the window that this process took
        seconds_before = self.seconds
        for epoch, indices in self.batches():
            step_losses, stopped = self.take_step(epoch, indices, stop)
            self.window.append(step_losses.tolist())
            taken += 1
            now = time.monotonic()
            self.seconds = seconds_before + now - began
            ends_epoch = self.step % self.steps_per_epoch == 0
            if self.step % LOG_EVERY == 0 or ends_epoch:
                progress = self._progress(epoch, (now - window_began) / taken)
                window_began, taken = now, 0
                self.window.clear()
                self._tell(progress, report)
                if ends_epoch and (epoch % plan.evaluate_every == 0 or self.finished):
                    self._evaluate(progress, report)
                    window_began = time.monotonic()
            if self.finished or stopped or now - last_save > 60 * plan.save_minutes:
                self._save()
                last_save = time.monotonic()
            if stopped:
                break
        if self.board is not None:
            self.board.close()

    def batches(self) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
        """The epoch (from 1) and the persons of every step still to take."""
        size = self.recipe.training.batch_size
        while self.step < self.steps:
            epoch, position = divmod(self.step, self.steps_per_epoch)
            order = self._order(epoch + 1)
            for row in range(position, self.steps_per_epoch):
                yield epoch + 1, order[row * size : (row + 1) * size]

    def _order(self, epoch: int) -> np.ndarray[Any, Any]:
        """The persons of an epoch, from 1, in order."""
        return epoch_order(self.store, seed=self.recipe.seed, epoch=epoch)

    def take_step(
        self,
        epoch: int,
        indices: np.ndarray[Any, Any],
        stop: Callable[[], bool] = lambda: False,
    ) -> tuple[Tensor, bool]:
        """One step of the optimiser: the losses (O,) before it, and whether to stop after it."""
        recipe, workers = self.recipe, self.workers
        plan = recipe.training
        lr = learning_rate(recipe, self.step, self.steps, self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("rate", 1.0)
        if plan.frozen_batchnorm:
            freeze_statistics(self.network)
        self.optimizer.zero_grad(set_to_none=True)
        parts = np.split(indices, workers.count * plan.accumulate)
        mine = parts[workers.rank * plan.accumulate : (workers.rank + 1) * plan.accumulate]
        total = torch.zeros(())
        suspect: tuple[Batch, np.ndarray[Any, Any]] | None = None
        for n, rows in enumerate(mine, start=1):
            batch = self._batch(epoch, rows)
            if n == 1 and plan.recentre_every and self.step % plan.recentre_every == 0:
                self._recentre(batch)
            with self._syncing(last=n == len(mine)), together():
                losses = self._losses(batch) / len(mine)
                self.scaler.scale(losses.sum()).backward()  # type: ignore[no-untyped-call]
            total = total + losses.detach()
            if suspect is None and (n == len(mine) or not total.isfinite().all()):
                suspect = batch, rows
        assert suspect is not None
        mine_finite = bool(total.isfinite().all())
        # One message says both how large the loss is and whether someone wishes to stop.
        shared = workers.mean(torch.cat([total, total.new_tensor([float(stop())])]))
        total, stopped = shared[:-1].cpu(), bool(shared[-1] > 0)
        if not total.isfinite().all():
            raise UserError(
                self._explain("loss", float(total.sum()), suspect, keep=not mine_finite)
            )
        self.scaler.unscale_(self.optimizer)
        clip = math.inf if recipe.optimizer.clip is None else recipe.optimizer.clip
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), clip))
        # In fp16 the scaler leaves out a step whose gradients overflowed, and lowers its scale.
        self.skipped = 0 if math.isfinite(norm) else self.skipped + 1
        if self.skipped > (MOST_SKIPPED if self.scaler.is_enabled() else 0):
            raise UserError(self._explain("gradient's norm", norm, suspect, keep=workers.first))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        if plan.ema is not None:
            update_average(self.average, self.network, plan.ema, self.step)
        return total, stopped

    def _batch(self, epoch: int, rows: np.ndarray[Any, Any]) -> Any:
        return self.make_batch(
            self.store,
            rows,
            size=self.recipe.model.input_size,
            augmentation=self.recipe.augmentation.build(),
            seed=self.recipe.seed,
            epoch=epoch,
            device=self.device,
        )

    def _images(self, batch: Batch) -> Tensor:
        """The images (B, 3, S, S) of a batch as the network takes them."""
        images = batch.images.contiguous(memory_format=torch.channels_last)
        return images.double() if self.recipe.training.precision == "fp64" else images

    def _recentre(self, batch: Batch) -> None:
        """Recentre the network, by this process's part of a step's persons, alike in each."""
        with autocast(self.recipe, self.device):
            recentre(self.network, self._images(batch))
        for convolution in free_convolutions(self.network):
            assert convolution.bias is not None
            convolution.bias.data.copy_(self.workers.mean(convolution.bias.data))

    def _losses(self, batch: Batch) -> Tensor:
        """The losses (O,) of a batch."""
        recipe = self.recipe
        double = recipe.training.precision == "fp64"
        images = self._images(batch)
        taught = None
        with autocast(recipe, self.device):
            if self.teacher is not None:
                cells = images.shape[-1] // PoseNetwork.stride
                share = batch.taught.nan_to_num(recipe.loss.teacher_share)
                taught = Taught(self.teacher.look(images, cells=cells), share, self.teacher.joints)
            outputs = self.forward(images)
        doubts = None
        if recipe.data.believes_opinions:
            doubts = Doubts(batch.trust, batch.seconds[..., :2], batch.seconds[..., 2])
        return heatmap_loss(
            outputs,
            batch.points.double() if double else batch.points,
            batch.annotated,
            kind=recipe.loss.kind,
            sigma=recipe.loss.sigma,
            stride=PoseNetwork.stride,
            absent=batch.absent,
            noise=recipe.loss.noise(self.store.skeleton),
            doubts=doubts,
            taught=taught,
        )

    def _syncing(self, *, last: bool) -> AbstractContextManager[None]:
        """Gradients travel between the processes with the last part of a step only."""
        if self.parallel is not None and not last:
            waiting: AbstractContextManager[None] = self.parallel.no_sync()
            return waiting
        return nullcontext()

    def _explain(
        self,
        what: str,
        value: float,
        suspect: tuple[Batch, np.ndarray[Any, Any]],
        *,
        keep: bool,
    ) -> str:
        """Keep the persons of a step that went wrong, and say what to do."""
        batch, rows = suspect
        process = f"-process{self.workers.rank}" if self.workers.count > 1 else ""
        name = f"not-finite-step{self.step + 1}{process}.safetensors"
        tensors = {
            "images": batch.images,
            "points": batch.points,
            "annotated": batch.annotated,
            "persons": torch.from_numpy(rows % len(self.store)),
        }
        tensors |= {f"network.{name}": t for name, t in self.network.state_dict().items()}
        path = self.directory.path / name
        if keep:
            self.directory.save_tensors(name, tensors, {}, by_any=True)
        last = self.directory.path / MODEL
        begin = f", with model.weights={last}" if self.directory.holds_model else ""
        return (
            f"the {what} became {value} at step {self.step + 1}; begin a new run with a lower "
            f"optimizer.lr or with optimizer.clip (1.0 is a good first try){begin}; "
            + (
                f"the persons and the network are in {path}"
                if keep
                else "another process kept them"
            )
        )

    def _progress(self, epoch: int, seconds_a_step: float) -> Progress:
        losses = np.mean(self.window, axis=0).tolist()
        return Progress(
            step=self.step,
            steps=self.steps,
            epoch=epoch,
            loss=sum(losses),
            losses=tuple(losses),
            lr=self.optimizer.param_groups[0]["lr"],
            images_per_second=self.recipe.training.batch_size / seconds_a_step,
            seconds_left=(self.steps - self.step) * seconds_a_step,
        )

    def _tell(self, progress: Progress, report: Callable[[Progress], None]) -> None:
        if not self.workers.first:
            return
        entry = {name: getattr(progress, name) for name in ("step", "epoch", "loss", "losses")}
        speed = {"lr": progress.lr, "images_per_second": progress.images_per_second}
        self.directory.log(**entry, **speed, seconds=self.seconds)
        if self.board is not None:
            self.board.add_losses(progress.step, progress.losses, speed)
        report(progress)

    def _evaluate(self, progress: Progress, report: Callable[[Progress], None]) -> None:
        if self.holdout is None:
            return
        kept = self._kept()
        self.workers.take_over(kept)
        score, sources = self._score(kept)
        entry = {"epoch": progress.epoch, "step": self.step, "score": score.to_dict()}
        headline = score.headline
        if sources:  # each counts alike, however many persons it holds out
            entry["sources"] = {title: found.to_dict() for title, found in sources.items()}
            headline = float(np.mean([found.headline for found in sources.values()]))
        best = max((before["headline"] for before in self.scores), default=-math.inf)
        self.scores.append({**entry, "headline": headline})
        if not self.workers.first:
            return
        self.directory.log(**entry)
        if self.recipe.training.keep_best and headline > best:
            self.directory.save_model(BEST, kept.state_dict(), self._card())
        if self.board is not None:
            self.board.add_score(self.step, score)
            self.board.add_pictures(self.step, kept, self.holdout, self.recipe)
        report(replace(progress, score=score, sources=sources))

    def _score(self, network: PoseNetwork) -> tuple[Score, dict[str, Score]]:
        """Of the held-out persons, all and by source."""
        assert self.holdout is not None
        return score_store(network, self.holdout, self.recipe, workers=self.workers)

    def _plain_copy(self) -> PoseNetwork:
        """A copy of the average that normalises for itself, whatever the processes share."""
        with torch.random.fork_rng(devices=[]):
            network = create_model(
                self.recipe.model.variant,
                num_joints=self.channels,
                **self.recipe.model.arguments,
            )
        weights = self.average.state_dict()
        network.to(self.device, next(self.average.parameters()).dtype).load_state_dict(weights)
        return channels_last(network).eval()

    def _kept(self) -> PoseNetwork:
        """What is kept of the run so far: the average, with statistics of its own where asked.

        The first process alone measures them.
        """
        count = self.recipe.training.precise_batchnorm
        if not count:
            return self.average
        network = self._plain_copy()
        if self.workers.first:
            size = min(self.recipe.training.batch_size, len(self.store))
            with autocast(self.recipe, self.device):
                measure_statistics(network, (self._random_images(n, size) for n in range(count)))
        return network

    def _random_images(self, number: int, size: int) -> Tensor:
        """Images (B, 3, S, S) of a batch that is none of the run's, the same at any time."""
        random = np.random.default_rng([self.recipe.seed, number])
        if isinstance(self.store, JoinedStores):  # in the shares that the network learned from
            rows = self.store.drawn(random)[:size]
        else:
            rows = random.choice(len(self.store), size, replace=False)
        # Pictures are made in full precision, also within what the network runs in.
        with torch.autocast(self.device.type, enabled=False):
            return self._images(self._batch(number, rows))

    def _save(self) -> None:
        if not self.workers.first:
            return
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        if self.average is not self.network:
            tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
        progress = {
            "step": self.step,
            "seconds": self.seconds,
            "began_with": self.began_with,
            "scores": self.scores,
            "window": self.window,
            "scaler": self.scaler.state_dict(),
        }
        metadata = {"progress": json.dumps(progress), "run": json.dumps(self._identity())}
        # The state last: while it is old, a resumed run writes both again. The first time it is the
        # model, so that a model without a state is none that a killed run has left.
        first = not self.directory.state.exists()
        if first:
            self.directory.save_tensors(STATE, tensors, metadata)
        self.directory.save_model(MODEL, self._kept().state_dict(), self._card())
        if not first:
            self.directory.save_tensors(STATE, tensors, metadata)

    def _load(self) -> None:
        """Go on from the last checkpoint, which the first process reads for all."""
        content = read_tensors(self.directory.state) if self.workers.first else None
        tensors, metadata = self.workers.of_first(content)
        saved = _check_same_recipe(metadata, self.recipe, self.directory)
        if saved != (mine := self._identity()):
            raise UserError(
                f"{self.directory.path}: its run learned from {saved['persons']} persons with "
                f"{len(saved['joints'])} joints, and these data are {mine['persons']} persons with "
                f"{len(mine['joints'])}; name the data that it began with, or another --run-dir"
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
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in part("optimizer.").items():
            index, _, key = name.partition(".")
            parameter = parameters[int(index)]
            if tensor.shape == parameter.shape:  # laid out in memory as it was: channels last
                tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
            moments.setdefault(int(index), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        progress = json.loads(metadata["progress"])
        self.step, self.seconds = progress["step"], progress["seconds"]
        self.scores, self.window = progress["scores"], progress["window"]
        self.began_with = progress.get("began_with")
        self.scaler.load_state_dict(progress["scaler"])
        self.directory.forget_after(self.step)

    def _identity(self) -> dict[str, Any]:
        """What makes two runs the same run."""
        store = self.store
        return {
            "recipe": self.recipe.identity(),
            "persons": len(store),
            "joints": list(store.skeleton.joints),
        }

    def _held_out(self, entry: Mapping[str, Any]) -> list[tuple[str, str | None, Any]]:
        """Title, part and score of each source of an evaluation."""
        data = self.recipe.data
        if "sources" not in entry:
            return [(data.dataset, data.holdout, entry["score"])]
        held = [part for part in data.parts if part.holdout is not None]
        titles = distinct([part.title for part in held])
        parts = {title: part.holdout for title, part in zip(titles, held, strict=True)}
        return [(title, parts.get(title), found) for title, found in entry["sources"].items()]

    def _training(self, **counts: int) -> dict[str, Any]:
        """What a card says of the training."""
        recipe = self.recipe
        several = f", {self.workers.count} processes" if self.workers.count > 1 else ""
        return {
            "dataset": recipe.data.dataset,
            "images": " + ".join(
                [recipe.data.train, *(f"{p.title} {p.split}" for p in recipe.data.more)]
            ),
            **counts,
            "seed": recipe.seed,
            "epochs": round(self.step / self.steps_per_epoch, 2),
            "minutes": round(self.seconds / 60, 1),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
            f"{self.device.type}, torch {torch.__version__}{several}",
            "recipe": recipe.identity(),
            **({"began_with": self.began_with} if self.began_with else {}),
            **({"teacher": self.teacher.card.training} if self.teacher else {}),
        }

    def _card(self) -> ModelCard | FinderCard:
        from spcnet import __version__

        recipe = self.recipe
        return ModelCard(
            variant=recipe.model.variant,
            arguments=dict(recipe.model.arguments),
            skeleton=self.store.skeleton,
            codec=recipe.codec,
            training=self._training(persons=len(self.store)),
            scores=[
                {
                    "data": f"{title} {part}, held out",
                    "epoch": entry["epoch"],
                    "step": entry["step"],
                    "score": found,
                }
                for entry in self.scores[-1:]
                for title, part, found in self._held_out(entry)
            ],
            version=__version__,
            licence=LICENCE,
        )


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
        _check_same_recipe(read_metadata(directory.state), recipe, directory)
    elif directory.holds_model:
        raise UserError(
            f"{path}: {STATE} is gone, without which the run cannot go on; begin a new one with "
            f"its weights: --run-dir ANOTHER --set model.weights={path / MODEL}"
        )


def _check_same_recipe(
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


def check_processes(recipe: Recipe, workers: Workers) -> None:
    """Check that a recipe fits the processes and their device.

    Raises:
        UserError: the batch cannot be dealt out, or the device lacks what the recipe asks for.
    """
    plan, device = recipe.training, workers.device.type
    parts = workers.count * plan.accumulate
    if plan.batch_size % parts:
        raise UserError(
            f"training.batch_size: {plan.batch_size} persons cannot be dealt out to "
            f"{workers.count} process{'es' * (workers.count > 1)} in {plan.accumulate} "
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
