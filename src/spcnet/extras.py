"""Packages that only some uses need: they are asked for when such a use begins."""

from importlib import import_module
from typing import Any

from spcnet.errors import UserError


def need(package: str, *, extra: str, purpose: str) -> Any:
    """Import a package that comes with an extra of this one.

    Args:
        package: the module's full name.
        extra: of `pip install 'spcnet[EXTRA]'`.
        purpose: what needs it, for the message.

    Raises:
        UserError: it is not installed; the message has the line that installs it.
    """
    try:
        return import_module(package)
    except ImportError:
        name = package.split(".")[0]
        raise UserError(f"{purpose} needs {name}: pip install 'spcnet[{extra}]'") from None
