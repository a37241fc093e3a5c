"""A run's directory: who may write to it, what is in it, and that it is never half written."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from spcnet.checkpoints import ModelCard, save_checkpoint, write_tensors
from spcnet.errors import UserError
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
        if not self.writes or os.name == "nt":  # Windows has no flock
            yield
            return
        import fcntl

        existed = self.path.is_dir()
        with self.writing():
            self.path.mkdir(parents=True, exist_ok=True)
            stream = (self.path / LOCK).open("a+")
        try:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                stream.seek(0)
                holder = stream.read().strip()
                raise RunInUseError(
                    f"{self.path}: another process{f' ({holder})' if holder else ''} is training "
                    "here; wait for it, stop it, or name another --run-dir"
                ) from None
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            yield
        finally:
            stream.close()
            if not existed and not any((self.path / name).exists() for name in RUN_FILES):
                shutil.rmtree(self.path, ignore_errors=True)  # a run that never began

    @property
    def holds_run(self) -> bool:
        """Whether a run has begun here."""
        return any((self.path / name).exists() for name in RUN_FILES)

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
                text = yaml.safe_dump(recipe.model_dump(), sort_keys=False)
                (self.path / RECIPE).write_text(text)
                (self.path / LOG).write_text("")

    def check_space(self, size: int) -> None:
        """See to it that checkpoints of some bytes fit, with a copy of each while it is replaced.

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
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        partial = path.with_name(f".{LOG}.partial{os.getpid()}")
        with self.writing():
            partial.write_text("".join(line + "\n" for line in kept))
            os.replace(partial, path)

    def save_model(self, name: str, network: Mapping[str, Tensor], card: ModelCard) -> None:
        """Write a checkpoint that is ready for use; the file is never half written.

        Raises:
            UserError: it cannot be written.
        """
        if self.writes:
            with self.writing():
                save_checkpoint(self.path / name, network, card)

    def save_tensors(
        self, name: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
    ) -> Path:
        """Write tensors; the file is never half written.

        Raises:
            UserError: it cannot be written.
        """
        if self.writes:
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
