"""Picture files to be predicted, and what their results are called."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from spcnet.media.folders import find_pictures
from spcnet.tables import ENDS as TABLE_ENDS

ENDS = {  # of the files' names; {} is the number of a person
    "overlay": ".pose.jpg",
    "json": ".pose.json",
    **{kind: f".pose{end}" for kind, end in TABLE_ENDS.items()},
    "crops": ".crop-{}.png",
    "heatmaps": ".heatmaps-{}.png",
    "attention": ".attention-{}.png",
}
OWN = re.compile(r".+\.(pose\.jpg|(crop|heatmaps|attention)-\d+\.png)")


@dataclass(frozen=True, slots=True)
class Job:
    """A picture file to be predicted."""

    path: str
    shown: str  # its name in documents
    name: str  # of its results, without their ends
    # Name, size and time of change, by which a later run knows a picture of a folder; None for
    # pictures that were named one by one.
    state: list[Any] | None = None


def jobs_of_files(paths: Sequence[str]) -> list[Job]:
    """Pictures that were named one by one; results lie side by side."""
    names = _numbered([Path(path).stem for path in paths])
    return [Job(path, Path(path).name, name) for path, name in zip(paths, names, strict=True)]


def jobs_of_folder(folder: Path, *, recursive: bool) -> tuple[list[Job], list[str]]:
    """The pictures of a folder but for our own results, and a line per unreadable sub-folder."""
    found, unreadable = find_pictures(folder, recursive=recursive, passed_over=is_result)
    jobs = []
    for path, name in zip(found, mirrored_names(found), strict=True):
        try:
            status = (folder / path).stat()
            state = [path.as_posix(), status.st_size, status.st_mtime_ns]
        except OSError:  # reading it gives the error
            state = None
        jobs.append(Job(str(folder / path), path.as_posix(), name, state))
    return jobs, unreadable


def is_result(name: str) -> bool:
    """Whether a file's name is that of a picture among the results."""
    return OWN.fullmatch(name) is not None


def mirrored_names(images: Sequence[PurePath]) -> list[str]:
    """What the results of a folder's pictures are called: their paths without the suffix.

    Where two differ by nothing else they keep it; where that is another's name, so does that one.
    """
    names = [image.with_suffix("").as_posix() for image in images]
    while True:
        count = Counter(map(str.casefold, names))
        longer = [
            name if count[name.casefold()] == 1 else image.as_posix()
            for name, image in zip(names, images, strict=True)
        ]
        if longer == names:
            return _numbered(names)  # left are names that differ by nothing but capitals
        names = longer


def _numbered(names: Sequence[str]) -> list[str]:
    """Names of which none is another's, also where capitals do not count."""
    taken = {name.casefold() for name in names}
    given: dict[str, str] = {}
    for name in names:
        candidate, n = name, 2
        while candidate.casefold() in given or (n > 2 and candidate.casefold() in taken):
            candidate, n = f"{name}-{n}", n + 1
        given[candidate.casefold()] = candidate
    return list(given.values())
