"""What a user is meant to read: the one error, counts in words, and words for Python's errors."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_WORDS = {  # for what Python says of content that is not what it should be
    r"could not convert string to float: (.*)": r"\1 is no number",
    r".*too large to convert to float": "a number is too large",
    r"(?:not enough|too many) values to unpack \(expected (\d+).*": r"a list of \1 is wanted",
    r"setting an array element .*": "a list is wanted whose parts are of one length",
    r".* unexpected keyword argument (.*)": r"\1 is unknown",
    r".* missing \d+ required .*: (.*)": r"\1 is missing",
    r"maximum recursion .*": "it is nested too deeply",
    # And what pydantic says.
    r"Value error, (.*)": r"\1",
    r"Field required": "is missing",
    r"Input should be a valid integer.*": "must be a whole number",
    r"Input should be a valid boolean.*": "must be true or false",
    r"Input should be a valid string.*": "must be a text",
    r"Input should be a valid (\w+).*": r"must be a \1",
    r"Input should be greater than or equal to (.*)": r"must be at least \1",
    r"Input should be less than or equal to (.*)": r"must be at most \1",
    r"(?:Input|String|List|Tuple) should (.*?)(?: after validation.*)?": r"must \1",
}


class UserError(Exception):
    """Something the user can mend: names the value, what is accepted and the remedy.

    The command line prints its message as one line and exits with 1, without a traceback. Breaks of
    lines in it, which only names and texts of files hold, become spaces.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(" ".join(message.splitlines()))


def counted(number: int, thing: str, things: str = "") -> str:
    """A number of things in words: ``"1 picture"``, ``"2,958 persons"``."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def dims(shape: Sequence[object]) -> str:
    """An array's shape: ``"14 x 2"``."""
    return " x ".join(map(str, shape)) or "1"


def in_words(error: Exception | str) -> str:
    """What is wrong with content, by what Python, pydantic or we said where it was read."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    text = error if isinstance(error, str) else " ".join(str(error).split())[:200]
    for pattern, words in _WORDS.items():
        if found := re.fullmatch(pattern, text):
            return found.expand(words)
    alien = isinstance(error, AttributeError | IndexError | TypeError)
    return "a value is of another kind than is wanted" if alien else text


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
