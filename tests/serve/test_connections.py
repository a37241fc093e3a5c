"""Connections that keep others out are ended."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.client import HTTPResponse

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from spcnet.serve import connections
from spcnet.serve.connections import Connection
from spcnet.serve.server import listen, running

LARGE = 50_000_000
PATIENCE = 1000.0  # seconds of the service's clock; no test takes as long by itself
WAIT = 20  # seconds for what happens at once


class Service:
    """Something that answers, seen from its event loop: a test waits for what happened there."""

    def __init__(self) -> None:
        self.made, self.received, self.asked = (threading.Semaphore(0) for _ in range(3))
        self.free = asyncio.Event()  # slow answers come
        self.finished = threading.Event()  # an answer that has no end by itself
        self.passed = 0.0
        self.port = 0

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self.loop = asyncio.get_running_loop()
        real = self.loop.time
        self.loop.time = lambda: real() + self.passed  # type: ignore[method-assign]
        yield

    def let_pass(self, patiences: float) -> None:
        """Move the service's clock on; what is due by then happens before anything else."""

        async def move() -> None:
            self.passed += patiences * PATIENCE
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(move(), self.loop).result(WAIT)

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT)
        assert self.made.acquire(timeout=WAIT)
        return connection

    def send(self, connection: socket.socket, content: bytes) -> None:
        connection.sendall(content)
        assert self.received.acquire(timeout=WAIT)

    def ask(self, connection: socket.socket, path: str = "/quick") -> None:
        self.send(connection, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert self.asked.acquire(timeout=WAIT)

    def answer_slowly(self) -> None:
        self.loop.call_soon_threadsafe(self.free.set)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """With patience for four connections."""
    monkeypatch.setattr(connections, "IDLE_SECONDS", PATIENCE)
    monkeypatch.setattr(connections, "MOST", 4)
    service = Service()

    def noted(name: str, happened: threading.Semaphore) -> None:
        original = getattr(Connection, name)

        def method(self: Connection, given: object) -> None:
            original(self, given)
            happened.release()

        monkeypatch.setattr(Connection, name, method)

    noted("connection_made", service.made)
    noted("data_received", service.received)

    async def quick(_: Request) -> Response:
        service.asked.release()
        return PlainTextResponse("quick")

    async def slow(_: Request) -> Response:
        service.asked.release()
        await service.free.wait()
        return PlainTextResponse("slow")

    async def large(_: Request) -> Response:
        service.asked.release()
        return PlainTextResponse("x" * LARGE)

    async def endless(_: Request) -> Response:
        service.asked.release()

        async def parts() -> AsyncIterator[bytes]:
            try:
                while True:
                    await asyncio.sleep(0)  # or who hangs up is not heard
                    yield 100_000 * b"x"
            finally:
                service.finished.set()

        return StreamingResponse(parts())

    app = Starlette(lifespan=service.lifespan)
    for route in (quick, slow, large, endless):
        app.add_route(f"/{route.__name__}", route, methods=["GET", "POST"])
    opened = listen("127.0.0.1", 0)
    service.port = opened.getsockname()[1]
    with running(app, opened):
        yield service


def ended(connection: socket.socket) -> bool:
    """Whether the other side ends it, after whatever it sent."""
    try:
        while connection.recv(1_000_000):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True


def answer(connection: socket.socket) -> str:
    response = HTTPResponse(connection)
    response.begin()
    assert response.status == 200
    return response.read().decode()


def test_who_sends_no_whole_head_is_cut_off_however_it_is_drawn_out(service: Service) -> None:
    with service.connect() as silent, service.connect() as drawn:
        for letter in b"GET /quick HTTP/1.1\r\nHost: localhost\r\nX: -":
            service.send(drawn, bytes([letter]))
            service.let_pass(0.02)
        service.let_pass(0.2)
        assert ended(drawn)
        assert ended(silent)


def test_a_byte_after_an_answer_prolongs_nothing(service: Service) -> None:
    with service.connect() as connection:
        service.ask(connection)
        assert answer(connection) == "quick"
        for letter in (b"G", b"E"):
            service.send(connection, letter)
            service.let_pass(0.6)
        assert ended(connection)
    with service.connect() as connection:  # the rest of a body that nobody asked for
        head = b"POST /quick HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n"
        service.send(connection, head)
        assert answer(connection) == "quick"
        for _ in range(2):
            service.send(connection, b"-")
            service.let_pass(0.6)
        assert ended(connection)


def test_an_answer_may_take_its_time_and_the_next_request_too(service: Service) -> None:
    with service.connect() as connection:
        service.ask(connection, "/slow")
        service.let_pass(3)
        service.answer_slowly()
        assert answer(connection) == "slow"
        service.send(connection, b"G")
        service.let_pass(0.6)
        service.send(connection, b"ET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer(connection) == "quick"


def test_who_does_not_take_a_long_answer_is_cut_off(service: Service) -> None:
    with service.connect() as connection:
        service.ask(connection, "/large")
        got = len(connection.recv(1))
        service.let_pass(1.2)
        try:
            while part := connection.recv(1_000_000):
                got += len(part)
        except ConnectionResetError:
            pass
        assert got < LARGE
    with service.connect() as connection:
        service.ask(connection, "/large")
        assert len(answer(connection)) == LARGE


def test_who_takes_no_more_of_an_answer_in_parts_is_cut_off(service: Service) -> None:
    with service.connect() as connection:
        service.ask(connection, "/endless")
        assert connection.recv(1000)
        assert not service.finished.wait(0.2)  # by then all that fits on the way is sent
        for _ in range(WAIT):
            service.let_pass(1.2)
            if service.finished.wait(1):
                break
        assert service.finished.is_set()


def test_one_too_many_takes_the_place_of_who_was_silent_for_longest(service: Service) -> None:
    opened = [service.connect() for _ in range(4)]
    with service.connect() as fifth:
        service.ask(fifth)
        assert answer(fifth) == "quick"
    assert ended(opened[0])
    for connection in opened[1:]:
        service.ask(connection)
        assert answer(connection) == "quick"
    for connection in opened:
        connection.close()


def test_where_all_are_answered_one_too_many_is_sent_away(service: Service) -> None:
    opened = [service.connect() for _ in range(4)]
    for connection in opened:
        service.ask(connection, "/slow")
    with service.connect() as fifth:
        head, _, body = fifth.recv(10_000).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in head
        assert f"Content-Length: {len(body)}".encode() in head
        assert json.loads(body)["error"]["code"] == "busy"
        assert ended(fifth)
    service.answer_slowly()
    for connection in opened:
        assert answer(connection) == "slow"
        connection.close()


def test_there_are_half_as_many_connections_as_files(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    for files, most in ((1024, 500), (256, 128), (resource.RLIM_INFINITY, 500)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert connections.most_connections() == most
