"""Counts and times of a service, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """What the service counts; `info` are the labels of the constant ``spcnet_info``."""

    def __init__(self, info: dict[str, str]) -> None:
        # One of its own: two services in one process count apart.
        self.registry = registry = CollectorRegistry()
        Info("spcnet", "The service.", registry=registry).info(info)
        text = "Requests for poses by status; 499 means that the client hung up."
        self._requests = Counter("spcnet_requests", text, ["status"], registry=registry)
        self._persons = Counter("spcnet_persons", "Persons in answers.", registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"spcnet_{name}", text, buckets=buckets, registry=registry)

        self._seconds = histogram("request_seconds", "From a request to its answer.", SECONDS)
        self._batch_requests = histogram("batch_requests", "Requests in a batch.", SIZES)
        self._batch_persons = histogram("batch_persons", "Persons in a batch.", SIZES)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Have a value asked for when the metrics are."""
        Gauge(f"spcnet_{name}", text, registry=self.registry).set_function(value)

    def count_request(self, status: int, seconds: float, persons: int) -> None:
        """One request was answered."""
        self._requests.labels(status=str(status)).inc()
        self._seconds.observe(seconds)
        self._persons.inc(persons)

    def count_batch(self, requests: int, persons: int) -> None:
        """Some requests went through the network together."""
        self._batch_requests.observe(requests)
        self._batch_persons.observe(persons)

    def text(self) -> str:
        """Everything, in the text form of Prometheus."""
        return generate_latest(self.registry).decode()
