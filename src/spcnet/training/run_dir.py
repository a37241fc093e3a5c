"""A run's directory: who may write to it, what is in it, and that it is never half written."""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import BaseFileLock, FileLock, Timeout
from torch import Tensor

from spcnet.checkpoints import FinderCard, ModelCard, save_checkpoint
from spcnet.errors import UserError
from spcnet.files import remove_leftovers, whole_file
from spcnet.tensor_files import write_tensors
from spcnet.training.recipe import Recipe

RECIPE, LOG, STATE, MODEL, BEST = (
    "recipe.yaml",
    "log.jsonl",
    "state.safetensors",
    "model.safetensors",
    "best.safetensors",
)
RUN_FILES = (RECIPE, LOG, STATE, MODEL, BEST)
LOCK = ".lock"


class RunInUseError(UserError):
    """Another process is training in a run directory."""


class RunDirectory:
    """Where a run writes.

    Args:
        path: the directory.
        writes: whether this process is the one that writes; otherwise every writing method does
            nothing.
    """

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path = path
        self.writes = writes

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out while a run is going on; the system lets go of a dead one's.

        Raises:
            RunInUseError: another process is training here.
            UserError: the directory cannot be written.
        """
        if not self.writes:
            yield
            return
        existed = self.path.is_dir()
        lock = self._lock()
        try:
            remove_leftovers(self.path, older_than=0)  # what a killed process left half written
            yield
        finally:
            # The lock last: nobody else is here while the directory goes.
            if not existed and not self.holds_run:
                shutil.rmtree(self.path, ignore_errors=True)  # a run that never began
            lock.release()

    def _lock(self) -> BaseFileLock:
        """The directory's lock, held.

        Raises:
            RunInUseError: another process holds it.
            UserError: the directory cannot be written or locked.
        """
        lock = FileLock(self.path / LOCK)
        with self.writing():
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                raise RunInUseError(
                    f"{self.path}: another process is training here; wait for it, stop it, or "
                    "name another --run-dir"
                ) from None
        return lock

    @property
    def holds_run(self) -> bool:
        """Whether a run has begun here."""
        return any((self.path / name).exists() for name in RUN_FILES)

    @property
    def holds_model(self) -> bool:
        """Whether a model has been written, in one file or in parts."""
        return (self.path / MODEL).is_file()

    @property
    def state(self) -> Path:
        """What a resumed run reads."""
        return self.path / STATE

    def begin(self, recipe: Recipe) -> None:
        """Write the recipe and an empty log.

        Raises:
            UserError: they cannot be written.
        """
        if self.writes:
            with self.writing():
                self.path.mkdir(parents=True, exist_ok=True)
                (self.path / LOG).write_text("")
                with whole_file(self.path / RECIPE) as partial:
                    partial.write_text(yaml.safe_dump(recipe.model_dump(), sort_keys=False))

    def check_space(self, size: int) -> None:
        """Check that checkpoints of some bytes fit, with a copy of each while it is replaced.

        Raises:
            UserError: they do not.
        """
        free = shutil.disk_usage(self.path).free
        if self.writes and free < 2 * size:
            raise UserError(
                f"{self.path}: the disk has {free / 1e6:.0f} MB left and the run's checkpoints "
                f"need {2 * size / 1e6:.0f} MB; make room, or name another --run-dir"
            )

    def log(self, **entry: Any) -> None:
        """Add a line to ``log.jsonl``.

        Raises:
            UserError: it cannot be written.
        """
        if self.writes:
            with self.writing(), (self.path / LOG).open("a") as stream:
                stream.write(json.dumps(entry) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop what the log says of steps that will be taken again.

        Raises:
            UserError: it cannot be written.
        """
        if not self.writes:
            return
        path = self.path / LOG
        lines = path.read_text().splitlines() if path.is_file() else []
        with self.writing(), whole_file(path) as partial:
            partial.write_text("".join(line + "\n" for line in lines if _step_of(line) <= step))

    def save_model(
        self, name: str, network: Mapping[str, Tensor], card: ModelCard | FinderCard
    ) -> None:
        """Write a checkpoint that is ready for use; the file is never half written.

        Raises:
            UserError: it cannot be written.
        """
        if self.writes:
            with self.writing():
                save_checkpoint(self.path / name, network, card)

    def save_tensors(
        self,
        name: str,
        tensors: Mapping[str, Tensor],
        metadata: Mapping[str, str],
        *,
        by_any: bool = False,
    ) -> Path:
        """Write tensors, with `by_any` in every process; the file is never half written.

        Raises:
            UserError: it cannot be written.
        """
        if self.writes or by_any:
            with self.writing():
                write_tensors(self.path / name, tensors, metadata)
        return self.path / name

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What cannot be written is the user's to mend."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{self.path}: cannot be written: {reason}") from None


def _step_of(line: str) -> float:
    """The step that a line of the log is of; infinity for one that was cut short."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
