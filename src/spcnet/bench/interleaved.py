"""Measuring side by side: all take turns in one run, so that all see the same noise."""

import time
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Turn(NamedTuple, Generic[T]):
    """One turn of one contender.

    Attributes:
        seconds: that it took.
        result: what the contender gave.
    """

    seconds: float
    result: T


def interleave(
    contenders: Mapping[str, Callable[[], T]],
    *,
    turns: int,
    warmups: int = 1,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, list[Turn[T]]]:
    """Call every contender once a turn, one after the other, over and over.

    Args:
        contenders: what to call, by name.
        turns: that count.
        warmups: turns before these, which do not.
        report: called with the number of turns done, the first ones included.
    """
    taken: dict[str, list[Turn[T]]] = {name: [] for name in contenders}
    for turn in range(warmups + turns):
        for name, call in contenders.items():
            began = time.perf_counter()
            result = call()
            seconds = time.perf_counter() - began
            if turn >= warmups:
                taken[name].append(Turn(seconds, result))
        report(turn + 1)
    return taken


def further(report: Callable[[int], None], before: int) -> Callable[[int], None]:
    """Reports of one run of turns as those after others: `before` is added to the number done."""
    return lambda done: report(before + done)
