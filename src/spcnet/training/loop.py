"""The training loop: a recipe and something to learn from in, a checkpoint out.

Every batch is a function of (seed, epoch, step), so a resumed run takes the steps that would have
followed, on the CPU bit for bit. A step's persons are dealt out to the processes in order, so that
their number changes nothing but the batch norms' statistics, which are of each one's own persons.
"""

import copy
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from spcnet.checkpoints import save_checkpoint
from spcnet.data.datasets import epoch_order
from spcnet.devices import memory_suffices
from spcnet.geometry import Array
from spcnet.training import optimisation, state
from spcnet.training.checks import check_directory, check_processes, steps_per_epoch
from spcnet.training.distributed import ProcessGroup, reporting_lost
from spcnet.training.log import Board, Progress
from spcnet.training.recentring import recentre
from spcnet.training.recipe import Recipe
from spcnet.training.run_dir import BEST, MODEL, RunDirectory
from spcnet.training.task import PoseTask, Task
from spcnet.training.weights import Taken, begin_with

LOG_EVERY = 20  # steps
MOST_SKIPPED = 50  # steps in a row that fp16's scaler may leave out while it finds its scale
REMEDY = (
    "use a smaller training.batch_size, a larger training.accumulate, training.checkpointing, "
    "training.precision=bf16, or more processes"
)

log = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    store: Any,  # to learn from, a `Store`; `Scenes` for a `FinderTask`
    run_dir: Path,
    *,
    holdout: Any = None,  # the same, scored while training and never learned from
    resume: bool | None = False,
    processes: ProcessGroup | None = None,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[Progress], None] = lambda progress: None,
    took: Callable[[Taken], None] = lambda taken: None,
    kind: type[Task] = PoseTask,
) -> Path:
    """Train a network by a recipe; gives the trained checkpoint, ``model.safetensors``.

    With `resume` it goes on from the directory's last checkpoint, or from the start where the run
    was stopped before it wrote one; None goes on with a run and begins where there is none. `stop`
    is asked after every step: True in any process saves and leaves the run. In the first process
    `took` is called with what a new run took over of ``model.weights``, and `report` every few
    steps and after every evaluation.

    It is a `UserError` where another process or run has the directory, or it cannot be written; the
    recipe does not fit the device, memory or processes; or a loss or gradient is not finite.
    """
    processes = processes or ProcessGroup()
    directory = RunDirectory(run_dir)
    with ExitStack() as held, memory_suffices(REMEDY):
        with processes.agreeing():
            if processes.first:
                held.enter_context(directory.held())
                resume = directory.holds_run if resume is None else resume
                check_directory(directory, recipe, resume=resume)
        task = kind(recipe, store, holdout=holdout, processes=processes)
        run = Run(recipe, task, directory, processes)
        run.open(resume=bool(resume))
        if run.taken is not None and processes.first:
            took(run.taken)
        if run.finished and processes.first:
            log.info("finished already: all %d steps are taken", run.steps)
        run.go(report, stop=stop)
        processes.barrier()  # nobody leaves before the last file is written
    return run_dir / MODEL


class Run:
    """One training run; raises `UserError` where the recipe does not fit the processes."""

    def __init__(
        self, recipe: Recipe, task: Task, directory: RunDirectory, processes: ProcessGroup
    ) -> None:
        check_processes(recipe, processes)
        self.recipe, self.task, self.directory = recipe, task, directory
        self.processes, self.device = processes, processes.device
        plan = recipe.training
        torch.manual_seed(recipe.seed)
        self.network = optimisation.make_network(recipe, task.channels, self.device)
        # The average that is kept; without an EMA it is the network itself.
        self.average = copy.deepcopy(self.network) if plan.ema else self.network
        self.parallel: DistributedDataParallel | None = None
        if processes.count > 1:
            # Kernels lie channels last, and torch warns once that its buckets do not.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")
            ids = [self.device.index] if self.device.type == "cuda" else None
            with reporting_lost():
                self.parallel = DistributedDataParallel(self.network, device_ids=ids)
        self.forward: nn.Module = self.parallel or self.network
        if plan.compile:
            self.forward = torch.compile(self.forward)  # type: ignore[assignment]
        self.optimizer = optimisation.make_optimizer(recipe, self.network)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=plan.precision == "fp16")
        self.board: Board | None = None
        self.steps_per_epoch = steps_per_epoch(recipe, len(task.store))
        self.steps = self.steps_per_epoch * plan.epochs
        self.step = 0
        self.seconds = 0.0  # spent training, over all resumed stretches
        self.began_with: dict[str, Any] | None = None  # the training behind its first weights
        self.taken: Taken | None = None  # where it began with others' weights just now
        self.scores: list[dict[str, Any]] = []
        self.nothing: float | None = None  # the loss of predicting nothing, where there is one
        self.window: list[list[float]] = []  # the losses that are not in the log yet
        self.skipped = 0  # steps in a row that fp16's gradients were too large for

    @property
    def finished(self) -> bool:
        """Whether the last step is taken."""
        return self.step == self.steps

    def open(self, *, resume: bool) -> None:
        """Begin a new directory, or go on with one; either may raise a `UserError`."""
        first = self.processes.first
        if self.processes.of_first(resume and self.directory.state.is_file()):
            state.load(self)
            if self.finished and not self.directory.model.is_file():
                state.save(self)  # killed between the two files
        else:
            if self.recipe.model.weights is not None:
                self.taken = begin_with(self.network, self.recipe, self.task.skeleton)
                self.began_with = self.taken.training
                self.average.load_state_dict(self.network.state_dict())
            if first:
                self.directory.begin(self.recipe)
        with self.processes.agreeing():
            # The network, its average and up to two moments; and the models in half precision.
            weights = sum(p.numel() * p.element_size() for p in self.network.parameters())
            if first:
                self.directory.check_space(5 * weights)
        if self.recipe.training.trackers and first:
            self.board = Board(self.directory.path, self.recipe, after=self.step)

    def go(self, report: Callable[[Progress], None], *, stop: Callable[[], bool]) -> None:
        """Take the remaining steps, or save and return after the first one where `stop` holds."""
        plan = self.recipe.training
        began = last_save = window_began = time.monotonic()
        taken = 0  # steps of the window that this process took
        seconds_before = self.seconds
        for epoch, indices in self.batches():
            step_losses, stopped = self.take_step(epoch, indices, stop)
            self.window.append(step_losses.tolist())
            if self.nothing is None and self.processes.first:
                self.nothing = self.task.loss_of_nothing(epoch, indices, outputs=len(step_losses))
            taken += 1
            now = time.monotonic()
            self.seconds = seconds_before + now - began
            ends_epoch = self.step % self.steps_per_epoch == 0
            if self.step % LOG_EVERY == 0 or ends_epoch:
                progress = self._log(epoch, (now - window_began) / taken)
                window_began, taken = now, 0
                if self.processes.first:
                    report(progress)
                due = ends_epoch and (epoch % plan.evaluate_every == 0 or self.finished)
                if due and self.task.holdout is not None:
                    self._evaluate(progress, report)
                    window_began = time.monotonic()
            if self.finished or stopped or now - last_save > 60 * plan.save_minutes:
                state.save(self)
                last_save = time.monotonic()
            if stopped:
                break
        if self.board is not None:
            self.board.finish()

    def batches(self) -> Iterator[tuple[int, Array]]:
        """The epoch (from 1) and the persons of every step still to take."""
        size = self.recipe.training.batch_size
        while self.step < self.steps:
            epoch, position = divmod(self.step, self.steps_per_epoch)
            order = epoch_order(self.task.store, seed=self.recipe.seed, epoch=epoch + 1)
            for row in range(position, self.steps_per_epoch):
                yield epoch + 1, order[row * size : (row + 1) * size]

    def take_step(
        self, epoch: int, indices: Array, stop: Callable[[], bool] = lambda: False
    ) -> tuple[Tensor, bool]:
        """One step of the optimiser: the losses (O,) before it, and whether to stop after it."""
        recipe, processes, plan = self.recipe, self.processes, self.recipe.training
        lr = optimisation.learning_rate(recipe, self.step, self.steps, self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("rate", 1.0)
        optimisation.freeze_statistics(self.network, every=plan.frozen_batchnorm)
        self.optimizer.zero_grad(set_to_none=True)
        parts = np.split(indices, processes.count * plan.accumulate)
        mine = parts[processes.rank * plan.accumulate : (processes.rank + 1) * plan.accumulate]
        total = torch.zeros(())
        finite = True
        for n, rows in enumerate(mine, start=1):
            batch = self.task.batch(epoch, rows)
            if n == 1 and plan.recentre_every and self.step % plan.recentre_every == 0:
                with optimisation.autocast(recipe, self.device):
                    recentre(self.network, self.task.images(batch), processes)
            # Gradients travel between the processes with the last part only.
            parallel = self.parallel
            syncing = nullcontext() if parallel is None or n == len(mine) else parallel.no_sync()
            with syncing, reporting_lost():
                losses = self.task.losses(self.forward, batch) / len(mine)
                self.scaler.scale(losses.sum()).backward()  # type: ignore[no-untyped-call]
            total = total + losses.detach()
            if finite:
                suspect = batch, rows
                finite = bool(total.isfinite().all())
        # One message says both how large the loss is and whether someone wishes to stop.
        shared = processes.mean(torch.cat([total, total.new_tensor([float(stop())])]))
        total, stopped = shared[:-1].cpu(), bool(shared[-1] > 0)
        if not total.isfinite().all():
            raise state.explain(self, "loss", float(total.sum()), suspect, keep=not finite)
        self.scaler.unscale_(self.optimizer)
        clip = math.inf if recipe.optimizer.clip is None else recipe.optimizer.clip
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), clip))
        # In fp16 the scaler leaves out a step whose gradients overflowed, and lowers its scale.
        self.skipped = 0 if math.isfinite(norm) else self.skipped + 1
        if self.skipped > (MOST_SKIPPED if self.scaler.is_enabled() else 0):
            raise state.explain(self, "gradient's norm", norm, suspect, keep=processes.first)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        if plan.ema is not None:
            optimisation.update_average(self.average, self.network, plan.ema, self.step)
        return total, stopped

    def _log(self, epoch: int, seconds_a_step: float) -> Progress:
        """Where the run stands, also for the log."""
        losses: list[float] = np.mean(self.window, axis=0).tolist()
        self.window.clear()
        entry = {
            "step": self.step,
            "epoch": epoch,
            "loss": sum(losses),
            "losses": losses,
            "lr": self.optimizer.param_groups[0]["lr"],
            "images_per_second": self.recipe.training.batch_size / seconds_a_step,
        }
        left = (self.steps - self.step) * seconds_a_step
        progress = Progress(**entry, steps=self.steps, seconds_left=left, nothing=self.nothing)
        if self.processes.first:
            self.directory.log(**entry, seconds=self.seconds)
        if self.board is not None:
            self.board.add_losses(progress)
        return progress

    def _evaluate(self, progress: Progress, report: Callable[[Progress], None]) -> None:
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
        self.directory.log(**entry)
        if self.recipe.training.keep_best and headline > best:
            with self.directory.writing():
                save_checkpoint(self.directory.path / BEST, kept.state_dict(), state.card_of(self))
        if self.board is not None:
            self.board.add_score(self.step, score)
            if isinstance(self.task, PoseTask) and self.task.holdout is not None:
                self.board.add_pictures(self.step, kept, self.task.holdout, self.recipe)
        report(replace(progress, score=score, sources=sources))
