"""An application on a socket, until a signal ends it, or in a thread while a block runs."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from spcnet.errors import UserError
from spcnet.serve.connections import Connection

BACKLOG = 128  # connections that may come at once, before any of them is counted
GRACE = 5  # seconds for connections to end after a service stops, more than it gives requests


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. A `UserError` says why there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family, backlog=BACKLOG)
        # Connections inherit it. Without, an answer's body waits 40 ms for the word that its head
        # has come: asyncio sees to it only for sockets that were made with a protocol's number.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened
    except OSError as error:
        # Its own words, as a host that is not found has no errno; the address is named anyway.
        reason = (error.strerror or str(error)).partition(" (while attempting")[0]
        remedy = "--port 0 takes a free port, and the address must be one of this machine"
        raise UserError(f"cannot listen on {host}:{port}: {reason}; {remedy}") from None


def url(opened: socket.socket) -> str:
    """Where a browser finds what listens here."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: Any, opened: socket.socket, *, stopping: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; `stopping` is called first, and ends requests soon."""
    _Server(_config(app), stopping).run(sockets=[opened])


@contextmanager
def running(app: Any, opened: socket.socket) -> Iterator[None]:
    """Serve in a thread while the block runs."""
    server = uvicorn.Server(_config(app))
    thread = threading.Thread(target=server.run, args=([opened],), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE,
    )
