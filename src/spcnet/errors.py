"""The one error a user is meant to read."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something the user can mend: names the value, what is accepted and the remedy.

    The command line prints its message as one line and exits with 1, without a traceback.
    """


@contextmanager
def needs_extra(extra: str, doing: str) -> Iterator[None]:
    """Around imports that an extra of the package, such as ``"serve"``, brings.

    A module that is not installed is a `UserError`, which names what cannot be done without it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"{doing} needs {error.name}: pip install 'spcnet[{extra}]'") from None
