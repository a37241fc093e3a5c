"""An application on a socket, until a signal ends it, or in a thread while a block runs."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from spcnet.errors import UserError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. A `UserError` says why there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family, backlog=128)
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


def run(app: Any, opened: socket.socket, *, grace: float) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way have some seconds to be answered."""
    _server(app, grace).run(sockets=[opened])


@contextmanager
def running(app: Any, opened: socket.socket) -> Iterator[None]:
    """Serve in a thread while the block runs."""
    server = _server(app, grace=1)
    thread = threading.Thread(target=server.run, args=([opened],), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def _server(app: Any, grace: float) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(grace)),
    )
    return uvicorn.Server(config)
