"""What a run tells while it goes on: to its log, to TensorBoard and to whoever looks on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spcnet.metrics.protocols import Score
from spcnet.training.board import Board
from spcnet.training.run_dir import RunDirectory


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


class RunLog:
    """The log of a run, and its TensorBoard where it has one.

    Args:
        directory: of the run.
        board: of the run.
    """

    def __init__(self, directory: RunDirectory, board: Board | None) -> None:
        self.directory, self.board = directory, board

    def add(self, now: Progress, *, seconds: float) -> None:
        """The losses and the speed of the last steps.

        Args:
            now: where the run stands.
            seconds: spent training so far.
        """
        entry = {name: getattr(now, name) for name in ("step", "epoch", "loss", "losses")}
        speed = {"lr": now.lr, "images_per_second": now.images_per_second}
        self.directory.log(**entry, **speed, seconds=seconds)
        if self.board is not None:
            self.board.add_losses(now.step, now.losses, speed)

    def add_score(self, entry: Mapping[str, Any], score: Score) -> None:
        """A score of the held-out persons.

        Args:
            entry: its line in the log.
            score: of all of them.
        """
        self.directory.log(**entry)
        if self.board is not None:
            self.board.add_score(entry["step"], score)

    def close(self) -> None:
        """Write what is left."""
        if self.board is not None:
            self.board.close()
