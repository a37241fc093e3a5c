"""Measuring side by side: all take turns in one run, so that all see the same noise."""

import time
from collections.abc import Callable, Hashable, Mapping
from statistics import median
from typing import TypeVar

import torch

K = TypeVar("K", bound=Hashable)


def interleave(
    contenders: Mapping[K, Callable[[], object]],
    *,
    turns: int,
    warmups: int = 1,
    device: torch.device | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> dict[K, list[float]]:
    """Seconds of each contender's turns: all are called once a turn, one after the other.

    The first turns are warmups and do not count, but are reported too. Where the device is a GPU, a
    turn ends when it has finished.
    """
    taken: dict[K, list[float]] = {name: [] for name in contenders}
    for turn in range(warmups + turns):
        for name, call in contenders.items():
            began = time.perf_counter()
            call()
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize(device)
            taken[name].append(time.perf_counter() - began)
        report(turn + 1)
    return {name: seconds[warmups:] for name, seconds in taken.items()}


@torch.inference_mode()
def milliseconds(
    contenders: Mapping[K, Callable[[], object]],
    *,
    turns: int,
    device: torch.device,
    report: Callable[[int], None],
) -> dict[K, float]:
    """Of inference: medians of interleaved turns."""
    taken = interleave(contenders, turns=turns, device=device, report=report)
    return {name: 1000 * median(seconds) for name, seconds in taken.items()}
