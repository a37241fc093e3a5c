"""What a user is meant to read: the one error, and counts in words."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class UserError(Exception):
    """Something the user can mend: names the value, what is accepted and the remedy.

    The command line prints its message as one line and exits with 1, without a traceback.
    """


def counted(number: int, thing: str, things: str = "") -> str:
    """A number of things in words: ``"1 picture"``, ``"2,958 persons"``."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def first_few(texts: Sequence[str], limit: int = 3, between: str = ", ") -> str:
    """Some texts in a line, and how many more there are."""
    more = f" and {len(texts) - limit:,} more" if len(texts) > limit else ""
    return between.join(texts[:limit]) + more


@contextmanager
def needs_extra(extra: str, doing: str) -> Iterator[None]:
    """Around imports that an extra of the package, such as ``"serve"``, brings.

    A module that is not installed is a `UserError`, which names what cannot be done without it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"{doing} needs {error.name}: pip install 'spcnet[{extra}]'") from None
