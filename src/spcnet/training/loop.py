"""The training loop: a recipe and something to learn from in, a checkpoint out.

A run directory holds ``recipe.yaml``, ``log.jsonl`` (one JSON object a line), ``state.safetensors``
(everything a resumed run needs), ``model.safetensors`` (the network so far, ready for use) and,
where persons are held out, ``best.safetensors`` (the one that scored best on them). Every batch is
a function of (seed, epoch, step), so a resumed run takes the steps that an uninterrupted one would
have taken: on the CPU bit for bit. A step's persons are dealt out to the processes in order, so
their number changes nothing but the batch norms' statistics, which each process takes of its own.
"""

import copy
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from spcnet.devices import memory_suffices
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.models.network import channels_last
from spcnet.models.registry import create_model
from spcnet.models.selective import begin_squeeze_at_zero
from spcnet.training import state
from spcnet.training.board import Board
from spcnet.training.checks import check_directory, check_processes, steps_per_epoch
from spcnet.training.distributed import ProcessGroup, reporting_lost
from spcnet.training.log import Progress, RunLog
from spcnet.training.optimisation import learning_rate, make_optimizer, update_average
from spcnet.training.precision import autocast, freeze_statistics
from spcnet.training.provenance import card_of
from spcnet.training.recentring import recentre_alike
from spcnet.training.recipe import Recipe
from spcnet.training.run_dir import BEST, MODEL, RunDirectory
from spcnet.training.task import PoseTask, Task

LOG_EVERY = 20  # steps
MOST_SKIPPED = 50  # steps in a row that fp16's scaler may leave out while it finds its scale

log = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    store: Any,
    run_dir: Path,
    *,
    holdout: Any = None,
    resume: bool | None = False,
    device: torch.device | str = "cpu",
    processes: ProcessGroup | None = None,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[Progress], None] = lambda progress: None,
    finish: Callable[[Path], None] = lambda checkpoint: None,
    kind: type[Task] = PoseTask,
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
        processes: this process among those of the run; by default it is alone.
        stop: asked after every step; where it says True in any process the run is saved and
            left, and a later call with `resume` goes on.
        report: called every few steps and after every evaluation, in the first process.
        finish: called with the checkpoint in the first process when the last step is taken, while
            the directory is still held.
        kind: of what is learned; a `PoseTask`'s `store` and `holdout` are `Store`s.

    Returns:
        The trained checkpoint, ``model.safetensors``.

    Raises:
        RunInUseError: another process is training in the directory.
        UserError: the directory holds another run, or cannot be written; the recipe does not fit
            the device, its memory or the processes; or a loss or gradient is not finite.
    """
    processes = processes or ProcessGroup(device=torch.device(device))
    directory = RunDirectory(run_dir, writes=processes.first)
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
        processes.agree(problem)
        task = kind(recipe, store, holdout=holdout, processes=processes)
        run = Run(recipe, task, directory, processes)
        run.open(resume=processes.of_first(resume))
        if run.finished and processes.first:
            log.info("finished already: all %d steps are taken", run.steps)
        run.go(report, stop=stop)
        if run.finished and processes.first:
            finish(run_dir / MODEL)
        processes.barrier()  # nobody leaves before the last file is written
    return run_dir / MODEL


class Run:
    """One training run and its directory.

    Args:
        recipe: what to do.
        task: what is learned.
        directory: where everything is written.
        processes: this one among those of the run.

    Raises:
        UserError: the recipe does not fit the processes or their device.
    """

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        directory: RunDirectory,
        processes: ProcessGroup,
    ) -> None:
        check_processes(recipe, processes)
        self.recipe, self.task, self.directory = recipe, task, directory
        self.processes, self.device = processes, processes.device
        plan = recipe.training
        torch.manual_seed(recipe.seed)
        network = create_model(
            recipe.model.variant, num_joints=task.channels, **recipe.model.arguments
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
        if processes.count > 1:
            # Kernels lie channels last, and torch warns once that its buckets do not.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")
            with reporting_lost():
                self.parallel = DistributedDataParallel(
                    self.network,
                    device_ids=[self.device.index] if self.device.type == "cuda" else None,
                )
        self.forward: nn.Module = self.parallel or self.network
        if plan.compile:
            self.forward = torch.compile(self.forward)  # type: ignore[assignment]
        self.optimizer = make_optimizer(recipe, self.network)
        half = plan.precision == "fp16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)
        self.log = RunLog(directory, None)
        self.steps_per_epoch = steps_per_epoch(recipe, len(task.store))
        self.steps = self.steps_per_epoch * plan.epochs
        self.step = 0
        self.seconds = 0.0  # spent training, over all resumed stretches
        self.began_with: dict[str, Any] | None = None  # the training behind its first weights
        self.scores: list[dict[str, Any]] = []
        self.window: list[list[float]] = []  # the losses that are not in the log yet
        self.skipped = 0  # steps in a row that fp16's gradients were too large for

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
        if self.processes.of_first(resume and self.directory.state.is_file()):
            state.load(self)
            if self.finished and not self.directory.holds_model:
                state.save(self)  # killed between the two files
        else:
            if self.recipe.model.weights is not None:
                self.began_with = self.task.begin_with_weights(self.network)
                self.average.load_state_dict(self.network.state_dict())
            self.directory.begin(self.recipe)
        problem = None
        if self.processes.first:
            weights = sum(p.numel() * p.element_size() for p in self.network.parameters())
            try:
                # The network, its average and up to two moments; and the models in half precision.
                self.directory.check_space(5 * weights)
            except UserError as error:
                problem = error
        self.processes.agree(problem)
        if self.recipe.training.tensorboard and self.processes.first:
            self.log.board = Board(self.directory.path, after=self.step)

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
                if self.processes.first:
                    self.log.add(progress, seconds=self.seconds)
                    report(progress)
                if ends_epoch and (epoch % plan.evaluate_every == 0 or self.finished):
                    self._evaluate(progress, report)
                    window_began = time.monotonic()
            if self.finished or stopped or now - last_save > 60 * plan.save_minutes:
                state.save(self)
                last_save = time.monotonic()
            if stopped:
                break
        self.log.close()

    def batches(self) -> Iterator[tuple[int, Array]]:
        """The epoch (from 1) and the persons of every step still to take."""
        size = self.recipe.training.batch_size
        while self.step < self.steps:
            epoch, position = divmod(self.step, self.steps_per_epoch)
            order = self.task.order(epoch + 1)
            for row in range(position, self.steps_per_epoch):
                yield epoch + 1, order[row * size : (row + 1) * size]

    def take_step(
        self,
        epoch: int,
        indices: Array,
        stop: Callable[[], bool] = lambda: False,
    ) -> tuple[Tensor, bool]:
        """One step of the optimiser: the losses (O,) before it, and whether to stop after it."""
        recipe, processes = self.recipe, self.processes
        plan = recipe.training
        lr = learning_rate(recipe, self.step, self.steps, self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("rate", 1.0)
        if plan.frozen_batchnorm:
            freeze_statistics(self.network)
        self.optimizer.zero_grad(set_to_none=True)
        parts = np.split(indices, processes.count * plan.accumulate)
        mine = parts[processes.rank * plan.accumulate : (processes.rank + 1) * plan.accumulate]
        total = torch.zeros(())
        suspect: tuple[Any, Array] | None = None
        for n, rows in enumerate(mine, start=1):
            batch = self.task.batch(epoch, rows)
            if n == 1 and plan.recentre_every and self.step % plan.recentre_every == 0:
                with autocast(recipe, self.device):
                    recentre_alike(self.network, self.task.images(batch), processes)
            with self._syncing(last=n == len(mine)), reporting_lost():
                losses = self.task.losses(self.forward, batch) / len(mine)
                self.scaler.scale(losses.sum()).backward()  # type: ignore[no-untyped-call]
            total = total + losses.detach()
            if suspect is None and (n == len(mine) or not total.isfinite().all()):
                suspect = batch, rows
        assert suspect is not None
        mine_finite = bool(total.isfinite().all())
        # One message says both how large the loss is and whether someone wishes to stop.
        shared = processes.mean(torch.cat([total, total.new_tensor([float(stop())])]))
        total, stopped = shared[:-1].cpu(), bool(shared[-1] > 0)
        if not total.isfinite().all():
            loss = float(total.sum())
            raise UserError(state.explain(self, "loss", loss, suspect, keep=not mine_finite))
        self.scaler.unscale_(self.optimizer)
        clip = math.inf if recipe.optimizer.clip is None else recipe.optimizer.clip
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), clip))
        # In fp16 the scaler leaves out a step whose gradients overflowed, and lowers its scale.
        self.skipped = 0 if math.isfinite(norm) else self.skipped + 1
        if self.skipped > (MOST_SKIPPED if self.scaler.is_enabled() else 0):
            what = "gradient's norm"
            raise UserError(state.explain(self, what, norm, suspect, keep=processes.first))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        if plan.ema is not None:
            update_average(self.average, self.network, plan.ema, self.step)
        return total, stopped

    def _syncing(self, *, last: bool) -> AbstractContextManager[None]:
        """Gradients travel between the processes with the last part of a step only."""
        if self.parallel is not None and not last:
            waiting: AbstractContextManager[None] = self.parallel.no_sync()
            return waiting
        return nullcontext()

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

    def _evaluate(self, progress: Progress, report: Callable[[Progress], None]) -> None:
        if self.task.holdout is None:
            return
        kept = state.kept_network(self)
        self.processes.take_over(kept)
        score, sources = self.task.score(kept)
        entry = {"epoch": progress.epoch, "step": self.step, "score": score.to_dict()}
        headline = score.headline
        if sources:  # each counts alike, however many persons it holds out
            entry["sources"] = {title: found.to_dict() for title, found in sources.items()}
            headline = float(np.mean([found.headline for found in sources.values()]))
        best = max((before["headline"] for before in self.scores), default=-math.inf)
        self.scores.append({**entry, "headline": headline})
        if not self.processes.first:
            return
        self.log.add_score(entry, score)
        if self.recipe.training.keep_best and headline > best:
            self.directory.save_model(BEST, kept.state_dict(), card_of(self))
        if self.log.board is not None:
            self.log.board.add_pictures(self.step, kept, self.task.holdout, self.recipe)
        report(replace(progress, score=score, sources=sources))
