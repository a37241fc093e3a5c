"""Connections that keep others out are ended."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.client import HTTPConnection

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from spcnet.serve import connections
from spcnet.serve.server import listen, running

LARGE = 50_000_000
FINISHED = threading.Event()  # an answer that has no end by itself


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where something answers that has two seconds of patience, for four connections."""
    monkeypatch.setattr(connections, "IDLE_SECONDS", 2.0)
    monkeypatch.setattr(connections, "MOST", 4)

    async def quick(_: Request) -> Response:
        return PlainTextResponse("quick")

    async def slow(_: Request) -> Response:
        await asyncio.sleep(4)
        return PlainTextResponse("slow")

    async def large(_: Request) -> Response:
        return PlainTextResponse("x" * LARGE)

    async def endless(_: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            try:
                while True:
                    await asyncio.sleep(0)  # or who hangs up is not heard
                    yield 100_000 * b"x"
            finally:
                FINISHED.set()

        return StreamingResponse(parts())

    FINISHED.clear()
    app = Starlette()
    for route in (quick, slow, large, endless):
        app.add_route(f"/{route.__name__}", route, methods=["GET", "POST"])
    opened = listen("127.0.0.1", 0)
    with running(app, opened):
        yield opened.getsockname()[1]


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


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


def asked(port: int, path: str = "/quick") -> str:
    client = HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", path)
    text = client.getresponse().read().decode()
    client.close()
    return text


def test_who_sends_no_whole_head_is_cut_off_however_it_is_drawn_out(port: int) -> None:
    with connect(port) as silent, connect(port) as drawn:
        began = time.perf_counter()
        for letter in b"GET /quick HTTP/1.1\r\nHost: localhost\r\nX: " + 1000 * b"-":
            time.sleep(0.1)
            try:
                drawn.send(bytes([letter]))
            except OSError:
                break
        assert 2 <= time.perf_counter() - began < 10
        assert ended(silent)


def test_a_byte_after_an_answer_prolongs_nothing(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"G")
        began = time.perf_counter()
        assert ended(connection)
        assert time.perf_counter() - began < 10
    with connect(port) as connection:  # the rest of a body that nobody asked for
        connection.sendall(
            b"POST /quick HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n"
        )
        began = time.perf_counter()
        with pytest.raises(OSError):
            while time.perf_counter() - began < 10:
                connection.sendall(b"-")
                time.sleep(0.1)


def test_an_answer_may_take_its_time_and_the_next_request_too(port: int) -> None:
    client = HTTPConnection("127.0.0.1", port, timeout=20)
    for path in ("/slow", "/quick", "/slow"):
        client.request("GET", path)
        assert client.getresponse().read().decode() == path[1:]
        time.sleep(1)
    client.close()


def test_who_does_not_take_a_long_answer_is_cut_off(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(3)
        got = 0
        try:
            while part := connection.recv(1_000_000):
                got += len(part)
        except ConnectionResetError:
            pass
        assert got < LARGE
    assert len(asked(port, "/large")) == LARGE


def test_who_takes_no_more_of_an_answer_in_parts_is_cut_off(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.recv(1000)
        assert not FINISHED.wait(0.5)
        assert FINISHED.wait(10)


def test_one_too_many_takes_the_place_of_who_was_silent_for_longest(port: int) -> None:
    opened = []
    for _ in range(4):
        opened.append(connect(port))
        time.sleep(0.05)
    assert asked(port) == "quick"
    assert ended(opened[0])
    opened[1].settimeout(0.2)
    assert not ended(opened[1])
    for connection in opened:
        connection.close()


def test_where_all_are_answered_one_too_many_is_sent_away(port: int) -> None:
    opened = [connect(port) for _ in range(4)]
    for connection in opened:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(0.5)
    with connect(port) as fifth:
        head, _, body = fifth.recv(10_000).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in head
        assert f"Content-Length: {len(body)}".encode() in head
        assert json.loads(body)["error"]["code"] == "busy"
        assert ended(fifth)
    for connection in opened:
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.close()


def test_there_are_half_as_many_connections_as_files(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    for files, most in ((1024, 500), (256, 128), (resource.RLIM_INFINITY, 500)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert connections.most_connections() == most
