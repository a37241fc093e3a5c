"""What the service answers in a second: many clients at once beside one at a time.

    python benchmarks/service_load.py --seconds 10 --clients 8

Starts `spcnet serve` on a free port of this machine, sends it one picture over and over, and prints
a line for each number of clients: answers a second, how long they took, and how many requests went
through the network together. Clients and service share the processors.
"""

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

PICTURE = Path(__file__).parents[1] / "examples" / "standing.jpg"


@contextmanager
def service(*arguments: str) -> Iterator[str]:
    """The address of a service that runs within the block."""
    command = [sys.executable, "-m", "spcnet", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit("the service did not start")
        yield line.split()[2]
    finally:
        process.terminate()
        process.wait()


def batches(client: httpx.Client) -> tuple[float, float]:
    """How many batches there were so far, and of how many requests."""
    samples = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines())
    count, requests = (samples[f"spcnet_batch_requests_{what}"] for what in ("count", "sum"))
    return float(count), float(requests)


def load(address: str, *, clients: int, seconds: float, form: dict[str, str]) -> str:
    """Send pictures from some threads for some seconds; a line of what came of it."""
    content = PICTURE.read_bytes()
    latencies: list[float] = []
    refused: list[int] = []

    def send(end: float) -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            while time.perf_counter() < end:
                began = time.perf_counter()
                response = client.post("/v1/poses", files={"image": content}, data=form)
                if response.status_code == 200:
                    latencies.append(1000 * (time.perf_counter() - began))
                else:
                    refused.append(response.status_code)

    with httpx.Client(base_url=address, timeout=60) as client:
        client.post("/v1/poses", files={"image": content}, data=form)  # the first is slower
        before = batches(client)
        began = time.perf_counter()
        threads = [threading.Thread(target=send, args=[began + seconds]) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        count, requests = (a - b for a, b in zip(batches(client), before, strict=True))
    if not latencies:
        sys.exit(f"no answers but refusals: {sorted(set(refused))}")
    p50, p90, p99 = np.percentile(latencies, [50, 90, 99])
    return (
        f"{clients} clients: {len(latencies) / took:.1f} requests/s, "
        f"latency ms p50 {p50:.0f} p90 {p90:.0f} p99 {p99:.0f}, "
        f"{requests / count:.1f} requests a batch, {len(refused)} refused"
    )


def main() -> None:
    """Read the arguments and print a line for each number of clients."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--model", default="default")
    parser.add_argument("--boxes", help='such as "[[180, 90, 470, 830]]"; by default none')
    options = parser.parse_args()
    form = {"boxes": options.boxes} if options.boxes else {}
    with service("--model", options.model) as address:
        for clients in (1, options.clients):
            print(load(address, clients=clients, seconds=options.seconds, form=form), flush=True)


if __name__ == "__main__":
    main()
