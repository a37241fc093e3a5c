"""A run's directory: who may write to it, what is in it, and that it is never half written."""

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from spcnet.errors import UserError
from spcnet.files import remove_leftovers, whole_file, writing
from spcnet.training.recipe import Recipe

RECIPE, LOG, LOCK = "recipe.yaml", "log.jsonl", ".lock"
STATE, MODEL, BEST = "state.safetensors", "model.safetensors", "best.safetensors"


class RunInUseError(UserError):
    """Another process is training in a run directory."""


class RunDirectory:
    """Where a run writes; methods raise `UserError` where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path, self.state, self.model = path, path / STATE, path / MODEL

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out, with a `RunInUseError`; a dead one's hold ends with it."""
        existed = self.path.is_dir()
        lock = FileLock(self.path / LOCK)
        with self.writing():
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                remedy = "wait for it, stop it, or name another --run-dir"
                message = f"{self.path}: another process is training here; {remedy}"
                raise RunInUseError(message) from None
        try:
            remove_leftovers(self.path, ours=True)
            yield
        finally:
            # The lock last: nobody else is here while the directory goes.
            if not existed and not self.holds_run:
                shutil.rmtree(self.path, ignore_errors=True)  # a run that never began
            lock.release()

    @property
    def holds_run(self) -> bool:
        """Whether a run has begun here."""
        return any((self.path / name).exists() for name in (RECIPE, LOG, STATE, MODEL, BEST))

    def begin(self, recipe: Recipe) -> None:
        """Write the recipe and an empty log."""
        with self.writing():
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / LOG).write_text("", encoding="utf-8")
            with whole_file(self.path / RECIPE) as partial:
                partial.write_text(
                    yaml.safe_dump(recipe.model_dump(), sort_keys=False), encoding="utf-8"
                )

    def check_space(self, size: int) -> None:
        """Check that checkpoints of some bytes fit, with a copy of each while it is replaced."""
        free, needed = shutil.disk_usage(self.path).free, 2 * size
        if free < needed:
            left = f"the disk has {free / 1e6:.0f} MB left and the run's checkpoints need"
            remedy = "make room, or name another --run-dir"
            raise UserError(f"{self.path}: {left} {needed / 1e6:.0f} MB; {remedy}")

    def log(self, **entry: Any) -> None:
        """Add a line to ``log.jsonl``."""
        with self.writing(), (self.path / LOG).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop what the log says of steps that will be taken again."""
        path = self.path / LOG
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        with self.writing(), whole_file(path) as partial:
            kept = [line + "\n" for line in lines if _step_of(line) <= step]
            partial.write_text("".join(kept), encoding="utf-8")

    def writing(self) -> AbstractContextManager[None]:
        """What cannot be written is the user's to mend."""
        return writing(self.path)


def _step_of(line: str) -> float:
    """The step that a line of the log is of; infinity for one that was cut short."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
