"""Words of the command line as values, and some values in words."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from typer import BadParameter

from spcnet.skeletons import SKELETONS

if TYPE_CHECKING:
    from spcnet.inference.method import PersonSource
    from spcnet.inference.tracking import Followed


def known_skeleton(name: str | None) -> str | None:
    """A skeleton's name as it is, if there is one of it."""
    if name not in (None, *SKELETONS):
        raise BadParameter(f"--skeleton {name}: none of {', '.join(SKELETONS)}")
    return name


def parse_kinds(text: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known kinds of results that ``--save`` names, and the JSON, which is always written."""
    named = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := [name for name in named if name not in known]:
        raise BadParameter(f"--save {text}: {wrong[0]!r} is none of {', '.join(known)}")
    return tuple(kind for kind in known if kind in ("json", *named))


def persons_in_words(source: "PersonSource") -> str:
    """Where the boxes of persons come from."""
    whom = {"one": "the main person", "all": "all people"}
    who = whom.get(source.people or "", f"at most {source.people} people")
    kinds = {"boxes": "boxes", "file": "boxes of", "detector": "persons by", "finder": f"{who} by"}
    least = {"score": source.threshold, "presence": source.presence}
    at = "".join(f" from {what} {value:.4g}" for what, value in least.items() if value)
    return f"{kinds[source.kind]} {source.name}{at}"


def parse_people(text: str) -> "Followed":
    """``one``, ``all``, or a number of people."""
    if text in ("one", "all"):
        return "one" if text == "one" else "all"
    if not text.isdecimal() or int(text) < 1:
        raise BadParameter(f"--people {text}: wanted one, all, or a number of people such as 2")
    return int(text)


def parse_box(text: str) -> list[float]:
    """Four numbers of ``x0,y0,x1,y1``."""
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise BadParameter(f"--box {text}: write it as x0,y0,x1,y1: 40,20,180,300") from None
    if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 <= x0 or y1 <= y0:
        raise BadParameter(f"--box {text}: must be x0,y0,x1,y1 with x0 < x1 and y0 < y1")
    return [x0, y0, x1, y1]
