"""Counts and times of a service, in Prometheus' text form."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Histogram:
    """How often values fell at or below each bound."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str) -> list[str]:
        """Its samples: cumulative buckets, sum and count."""
        below = 0
        lines = []
        for bound, count in zip([*self.bounds, "+Inf"], self.counts, strict=True):
            below += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {below}')
        return [*lines, f"{name}_sum {self.total!r}", f"{name}_count {below}"]


class Metrics:
    """What the service counts.

    Args:
        info: labels of the constant ``spcnet_info``.
        gauges: values that are asked for when the metrics are: help text and function by name.
    """

    def __init__(
        self,
        info: Mapping[str, str],
        gauges: Mapping[str, tuple[str, Callable[[], float]]] | None = None,
    ) -> None:
        self.info = info
        self.gauges = dict(gauges or {})
        self.requests: Counter[int] = Counter()
        self.seconds = Histogram(SECONDS)
        self.persons = 0
        self.batch_requests = Histogram(SIZES)
        self.batch_persons = Histogram(SIZES)
        self._lock = threading.Lock()

    def count_request(self, status: int, seconds: float, persons: int) -> None:
        """One request was answered."""
        with self._lock:
            self.requests[status] += 1
            self.seconds.observe(seconds)
            self.persons += persons

    def count_batch(self, requests: int, persons: int) -> None:
        """Some requests went through the network together."""
        with self._lock:
            self.batch_requests.observe(requests)
            self.batch_persons.observe(persons)

    def text(self) -> str:
        """Everything, in the text form of Prometheus."""
        lines: list[str] = []

        def family(name: str, kind: str, text: str, samples: Sequence[str]) -> None:
            lines.extend([f"# HELP {name} {text}", f"# TYPE {name} {kind}", *samples])

        with self._lock:
            labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in self.info.items())
            family("spcnet_info", "gauge", "The service.", [f"spcnet_info{{{labels}}} 1"])
            family(
                "spcnet_requests_total", "counter",
                "Requests for poses by status; 499 means that the client hung up.",
                [f'spcnet_requests_total{{status="{status}"}} {count}'
                 for status, count in sorted(self.requests.items())],
            )  # fmt: skip
            family(
                "spcnet_persons_total", "counter", "Persons in answers.",
                [f"spcnet_persons_total {self.persons}"],
            )  # fmt: skip
            for name, text, histogram in (
                ("spcnet_request_seconds", "From a request to its answer.", self.seconds),
                ("spcnet_batch_requests", "Requests in a batch.", self.batch_requests),
                ("spcnet_batch_persons", "Persons in a batch.", self.batch_persons),
            ):
                family(name, "histogram", text, histogram.lines(name))
        for name, (text, value) in self.gauges.items():
            family(name, "gauge", text, [f"{name} {value():g}"])
        return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
