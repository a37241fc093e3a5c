"""What the service bears: requests and connections that are meant to bring it down.

    python benchmarks/service_attacks.py --seconds 45

Starts `spcnet serve` on a free port of this machine, with 1,024 files that it may open, attacks it
in several ways, and prints for each: what the attackers got, the most memory (of the service and of
the processes that open its pictures) and files that it took, and what a good client got in the
meantime and afterwards. Then come fifty clients at once, some thousand requests, and SIGTERM while
there is half an upload, and under load. Linux only, as it looks into /proc.
"""

import argparse
import io
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from spcnet.media.images import MAX_SCANS

PICTURE = (Path(__file__).parents[1] / "examples" / "standing.jpg").read_bytes()
BOX = {"boxes": "[[180, 90, 470, 830]]"}
FILES = 1024  # that the service may open
FORM = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
HEAD = (
    b"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
)
MULTIPART, JSON = b"multipart/form-data; boundary=x", b"application/json"
CONTEXT = ssl.create_default_context()  # made once, as that takes long
PATIENCE = 120  # seconds that attackers and good clients wait


class Watched:
    """A running service, and what it takes."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.process, self.address = process, address
        host, port = address.removeprefix("http://").split(":")
        self.place = host, int(port)
        self.peak = self.files = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def megabytes(self) -> int:
        """Resident memory of the service and of its processes."""
        pid, pages = self.process.pid, 0
        children = Path(f"/proc/{pid}/task/{pid}/children").parent.parent.glob("*/children")
        pids = [pid, *(child for path in children for child in path.read_text().split())]
        for each in pids:
            with suppress(OSError):
                pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
        return pages * 4096 // 10**6

    def _watch(self) -> None:
        with suppress(OSError):
            while self.process.poll() is None:
                self.peak = max(self.peak, self.megabytes())
                self.files = max(
                    self.files, sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())
                )
                time.sleep(0.02)

    def good(self) -> tuple[str, float]:
        """What a client with a picture of its own gets over a new connection, and how soon."""
        began = time.perf_counter()
        try:
            response = httpx.post(
                f"{self.address}/v1/poses",
                files={"image": PICTURE},
                data=BOX,
                timeout=PATIENCE,
                verify=CONTEXT,
            )
            got = str(response.status_code)
        except httpx.HTTPError as error:
            got = type(error).__name__
        return got, time.perf_counter() - began

    def health(self) -> str:
        """What a health check gets within five seconds."""
        try:
            return str(httpx.get(f"{self.address}/healthz", timeout=5, verify=CONTEXT).status_code)
        except httpx.HTTPError as error:
            return type(error).__name__

    def ask(self, body: bytes, kind: bytes) -> str:
        """The status that a whole body gets."""
        headers = {"content-type": kind.decode()}
        try:
            response = httpx.post(
                f"{self.address}/v1/poses", content=body, headers=headers, timeout=PATIENCE
            )
            return str(response.status_code)
        except httpx.HTTPError as error:
            return type(error).__name__

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(self.place, timeout=PATIENCE)


@contextmanager
def service(*arguments: str) -> Iterator[Watched]:
    """A service that runs within the block."""
    command = [sys.executable, "-m", "spcnet", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(
        ["sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit("the service did not start")
        watched = Watched(process, line.split()[2])
        watched.good()  # the first is slower
        yield watched
    finally:
        process.kill()
        process.wait()


def counted(answers: list[str]) -> str:
    """Such as ``422 x 3``."""
    return ", ".join(f"{got} x {count}" for got, count in sorted(Counter(answers).items()))


def told(answers: list[tuple[str, float]]) -> str:
    """What good clients got, and how long the slowest took."""
    if not answers:
        return "nothing asked"
    return f"{counted([got for got, _ in answers])} in at most {max(t for _, t in answers):.1f} s"


def attack(target: Watched, name: str, run: Callable[[], list[str]]) -> None:
    """Run an attack beside a good client and a health check; print a line of what came of it."""
    target.peak = target.files = 0
    before, good, health = target.megabytes(), list[tuple[str, float]](), list[str]()
    over = threading.Event()

    def ask_well() -> None:
        while not over.wait(0.5):
            health.append(target.health())
            good.append(target.good())

    with ThreadPoolExecutor() as threads:
        asking = threads.submit(ask_well)
        began = time.perf_counter()
        got = run()
        took = time.perf_counter() - began
        over.set()
        asking.result()
    after = [target.good() for _ in range(3)]
    print(
        f"{name}: attackers got {counted(got)} in {took:.1f} s; memory {before} MB before, "
        f"{target.peak} at most, {target.megabytes()} after; {target.files} files; "
        f"good clients: {told(good)}, healthz {counted(health)}; after it: {told(after)}",
        flush=True,
    )


def of_form(name: bytes, value: bytes) -> bytes:
    """A form of a picture and one more field, or of that picture alone."""
    image = FORM % b"image" + (value if name == b"image" else PICTURE) + b"\r\n"
    more = b"" if name == b"image" else FORM % name + value + b"\r\n"
    return image + more + b"--x--\r\n"


def texts(megabytes: float) -> list[tuple[bytes, bytes]]:
    """Bodies that are small, and large once they are taken apart, with their content types."""
    lists, numbers = b"[],", b"1,"
    small, large = (int(m * 1e6) for m in (min(0.6, megabytes), megabytes))
    boxes = [b"[" + lists * (small // 3) + b"[]]", b"[" + numbers * (large // 2) + b"1]"]
    bodies = [(of_form(b"boxes", text), MULTIPART) for text in boxes]
    bodies += [(b'{"image": "AAAA", "boxes": ' + text + b"}", JSON) for text in boxes]
    bodies.append((b'{"image": "' + rb"\"" * (large // 2), JSON))  # a string without end
    bodies.append((b'{"image": "AAAA", "' + b"k" * large + b'": 1}', JSON))
    bodies.append((of_form(b"skeleton", b"x" * large), MULTIPART))
    return bodies


def scan_bomb(side: int, scans: int) -> bytes:
    """A small progressive JPEG of side x side pixels whose last scan comes again and again."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), "grey").save(file, "JPEG", progressive=True)
    jpeg = file.getvalue().removesuffix(b"\xff\xd9")
    begins = jpeg.rindex(b"\xff\xda")
    return jpeg + jpeg[begins:] * (scans - jpeg.count(b"\xff\xda")) + b"\xff\xd9"


def header_bomb(megabytes: float) -> bytes:
    """A JPEG of empty segments, of which a reader looks at each before it finds no picture."""
    return b"\xff\xd8" + b"\xff\xe2\x00\x02" * int(megabytes * 250_000)


def together(target: Watched, bodies: list[tuple[bytes, bytes]]) -> list[str]:
    """The answers to bodies that are sent at once."""
    with ThreadPoolExecutor(len(bodies)) as threads:
        return list(threads.map(lambda sent: target.ask(*sent), bodies))


def silent(target: Watched, count: int, seconds: float, sent: bytes) -> list[str]:
    """Which of so many connections that send nothing, or no whole head, are open after a while."""
    opened = []
    for _ in range(count):
        with suppress(OSError):
            opened.append(target.connect())
            opened[-1].sendall(sent)
    time.sleep(seconds)
    states = []
    for connection in opened:
        connection.settimeout(0)
        try:
            states.append("answer" if connection.recv(9) else "closed")
        except BlockingIOError:
            states.append("open")
        except OSError:
            states.append("closed")
        connection.close()
    return states


def slow_uploads(target: Watched, count: int, seconds: float) -> list[str]:
    """What uploads of a byte a second get."""
    opened = [target.connect() for _ in range(count)]
    for connection in opened:
        connection.sendall(HEAD % (MULTIPART, 1_000_000) + FORM % b"image")
    answers: dict[int, str] = {}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for number, connection in enumerate(opened):
            if number not in answers:
                connection.settimeout(0)
                try:
                    connection.send(b"-")
                    answers[number] = connection.recv(12)[9:].decode() or "closed"
                except BlockingIOError:
                    pass
                except OSError:
                    answers[number] = "closed"
        time.sleep(1)
    for connection in opened:
        connection.close()
    return [answers.get(number, "none") for number in range(count)]


def clients(target: Watched, count: int, *, seconds: float = 0, requests: int = 0) -> None:
    """Have many good clients ask for some time, or until there are enough; print a line."""
    target.peak = 0
    answers: list[tuple[str, float]] = []
    memory: list[int] = []
    end = time.perf_counter() + seconds

    def ask(_: int) -> None:
        while len(answers) < requests if requests else time.perf_counter() < end:
            answers.append(target.good())
            if requests and len(answers) % max(1, requests // 5) == 0:
                memory.append(target.megabytes())

    began = time.perf_counter()
    with ThreadPoolExecutor(count) as threads:
        list(threads.map(ask, range(count)))
    took = time.perf_counter() - began
    p50, p99 = np.percentile([seconds for _, seconds in answers], [50, 99])
    print(
        f"{count} clients: {counted([got for got, _ in answers])} in {took:.0f} s, "
        f"p50 {p50:.1f} s, p99 {p99:.1f} s; at most {target.peak} MB, at the end "
        f"{target.megabytes()} MB, healthz {target.health()}"
        + (f"; MB after each fifth: {', '.join(map(str, memory))}" if memory else ""),
        flush=True,
    )


def stop(target: Watched, name: str, load: Callable[[], str]) -> None:
    """Send SIGTERM while some load is there; print what that got, and how long it took."""
    with ThreadPoolExecutor(50) as threads:
        work = [threads.submit(load) for _ in range(50 if name == "load" else 1)]
        time.sleep(2)
        began = time.perf_counter()
        target.process.send_signal(signal.SIGTERM)
        try:
            status = str(target.process.wait(PATIENCE))
        except subprocess.TimeoutExpired:
            status = "none"
            target.process.kill()
        took = time.perf_counter() - began
        got = [each.result() for each in work]
    print(
        f"SIGTERM with {name}: ended in {took:.1f} s, status {status}; clients got {counted(got)}"
    )


def half_upload(target: Watched) -> str:
    """What a client gets that has sent half of its body, and waits."""
    with target.connect() as connection:
        connection.sendall(HEAD % (MULTIPART, 1_000_000) + FORM % b"image" + bytes(500_000))
        try:
            return connection.recv(12)[9:].decode() or "closed"
        except OSError as error:
            return type(error).__name__


def until_refused(target: Watched) -> str:
    """The last thing that a client gets which asks again and again."""
    while (got := target.good()[0]) == "200":
        pass
    return got


def main() -> None:
    """Read the arguments, attack, and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--seconds", type=float, default=45, help="of slow and silent attacks")
    parser.add_argument("--connections", type=int, default=1017)
    parser.add_argument("--uploads", type=int, default=64)
    parser.add_argument("--megabytes", type=float, default=19, help="of the largest bodies")
    parser.add_argument("--side", type=int, default=7000, help="pixels of a bomb's side")
    parser.add_argument("--scans", type=int, default=2500)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=3000)
    options = parser.parse_args()
    model = ("--model", options.model)
    with service(*model) as target:
        for number, body in enumerate(texts(options.megabytes), start=1):
            name = f"text {number}, {len(body[0]) / 1e6:.1f} MB"
            attack(target, name, lambda sent=body: [target.ask(*sent)])  # type: ignore[misc]
        bombs = {
            f"4 JPEGs of {options.scans} scans": scan_bomb(options.side, options.scans),
            f"4 JPEGs of {MAX_SCANS} scans": scan_bomb(options.side, MAX_SCANS),
            "4 JPEGs of empty segments": header_bomb(options.megabytes),
        }
        for name, bomb in bombs.items():
            bodies = [(of_form(b"image", bomb), MULTIPART)] * 4
            attack(target, name, lambda sent=bodies: together(target, sent))  # type: ignore[misc]
        for name, sent in (("silent", b""), ("with half a head", b"GET / HTTP/1.1\r\nHost:")):
            many = options.connections, options.seconds, sent
            name = f"{options.connections} connections, {name}"
            attack(target, name, lambda many=many: silent(target, *many))  # type: ignore[misc]
        slow = options.uploads, options.seconds
        attack(target, f"{options.uploads} slow uploads", lambda: slow_uploads(target, *slow))
        clients(target, options.clients, seconds=options.seconds)
        clients(target, 8, requests=options.requests)
    with service(*model) as target:
        stop(target, "half an upload", lambda: half_upload(target))
    with service(*model) as target:
        stop(target, "load", lambda: until_refused(target))


if __name__ == "__main__":
    main()
