"""Reads broken files of one kind in a child process: crashes and hangs are findings too."""

import hashlib
import json
import os
import resource
import signal
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command_line import FORKS

MEMORY = 4 << 30  # bytes, beside what the process has taken when it begins
SECONDS_EACH = 10
GRACE = 60  # seconds for what a child does beside reading


class TooLong(BaseException):
    """A file took longer than `SECONDS_EACH`."""


@dataclass
class Report:
    """What became of a kind's files."""

    outcomes: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)  # of what should not have happened

    @property
    def count(self) -> int:
        return sum(self.outcomes.values())


def watch(name: str, folder: Path, *, count: int, seconds: float, seed: int = 0) -> Report:
    """Read up to so many files, or for so long; those that fail stay in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f".{name}.jsonl"
    log.unlink(missing_ok=True)
    child = FORKS.Process(target=_read_all, args=(name, folder, count, seconds, seed))
    child.start()
    child.join(timeout=seconds + 2 * GRACE)
    hung = child.exitcode is None
    if hung:
        child.kill()
        child.join()
    report = Report()
    for line in log.read_text().splitlines() if log.is_file() else ():
        with suppress(ValueError):  # cut short by a crash
            row = json.loads(line)
            report.outcomes[row["outcome"]] += 1
            if row["place"]:
                report.places[f"{row['outcome']} at {row['place']}"] += 1
    if hung or child.exitcode:
        what = "hang" if hung else f"crash {child.exitcode}"
        report.outcomes[what] += 1
        report.places[f"{what}; {_keep_current(name, folder, what)}"] += 1
    log.unlink(missing_ok=True)
    for path in folder.glob(f".{name}.now*"):
        path.unlink()
    return report


def _keep_current(name: str, folder: Path, what: str) -> str:
    """Keep the file that was being read."""
    for path in folder.glob(f".{name}.now*"):
        return str(path.rename(folder / f"{name}-{what.replace(' ', '')}{path.suffix}"))
    return "before the first file"


def _read_all(name: str, folder: Path, count: int, seconds: float, seed: int) -> None:
    """What the child does."""
    import torch
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from kinds import kinds

    from spcnet.errors import UserError

    torch.set_num_threads(1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # decoders talk
    kind = kinds()[name]
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY,) * 2)
    end = time.monotonic() + seconds
    signal.signal(signal.SIGALRM, _too_long)
    now, started = folder / f".{name}.now{kind.suffix}", list[bytes]()

    def note(outcome: str, place: str) -> None:
        with (folder / f".{name}.jsonl").open("a") as log:
            log.write(json.dumps({"outcome": outcome, "place": place}) + "\n")

    def read(content: bytes) -> None:
        if time.monotonic() > end:
            os._exit(0)
        now.write_bytes(content)
        outcome, place = "value", ""
        signal.alarm(SECONDS_EACH if started else GRACE)  # the first one imports what reads it
        started.append(content)
        try:
            kind.read(now)
        except UserError as error:
            outcome = "UserError"
            if "\n" in str(error):
                outcome, place = "UserError of several lines", str(error)[:80]
        except BaseException as error:
            outcome, place = type(error).__name__, _place(error)
            digest = hashlib.sha256(place.encode()).hexdigest()[:8]
            (folder / f"{name}-{outcome}-{digest}{kind.suffix}").write_bytes(content)
        finally:
            signal.alarm(0)
        note(outcome, place)

    given_files: Any = given(kind.contents)(read)
    limits = settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    try:
        seeded(seed)(limits(given_files))()
    except Exception as error:  # of a strategy
        note("no file", f"{type(error).__name__} {_place(error)}")


def _too_long(number: int, frame: object) -> None:
    raise TooLong


def _place(error: BaseException) -> str:
    """The innermost line of ours, and the message."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/spcnet/" in frame.filename] or frames
    last = ours[-1]
    return f"{Path(last.filename).name}:{last.lineno} ({str(error)[:80]})"
