"""Things by name, to which a package of yours adds its own without a fork.

    @FUSIONS.register("mine")
    class Mine(nn.Module): ...

Such a module is imported by ``--import`` on the command line. One that is installed names itself in
the entry-point group `GROUP`, and is imported when a name is asked for that is not known.
"""

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from spcnet.errors import UserError

GROUP = "spcnet"

T = TypeVar("T")


class Registry(dict[str, T]):
    """Things of one kind, in words, by their names."""

    def __init__(self, kind: str, things: Mapping[str, T]) -> None:
        super().__init__(things)
        self.kind = kind

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that makes a thing known; a name that is taken is a `ValueError`."""

        def decorate(thing: T) -> T:
            if self.setdefault(name, thing) is not thing:
                raise ValueError(f"{self.kind} {name!r}: the name is taken")
            return thing

        return decorate

    def knows(self, name: str) -> bool:
        """Whether there is such a thing, in an installed package too."""
        if name not in self:
            import_installed()
        return name in self

    def unknown(self, name: str, *others: str) -> str:
        """The message for a name that is neither here nor among others that are known."""
        known = [*self, *others]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown {self.kind} {name!r}; {hint}there are {', '.join(known)}"


@cache
def import_installed() -> None:
    """Import what installed packages add, once."""
    for entry in entry_points(group=GROUP):
        entry.load()


def import_extension(name: str) -> None:
    """Import a module that adds to the registries.

    Args:
        name: of the module, or the path of its file, ``mine.py``.

    Raises:
        UserError: it is not there, or fails.
    """
    try:
        if not name.endswith(".py"):
            if "" not in sys.path:
                sys.path.insert(0, "")  # as `python -m` does
            importlib.import_module(name)
            return
        path = Path(name)
        if not path.is_file():
            raise UserError(f"--import {name}: no such file")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:  # whatever a user's module does
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"--import {name}: cannot be imported: {reason}") from error
