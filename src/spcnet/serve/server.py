"""An application on a socket, until a signal ends it."""

import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from spcnet.errors import UserError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        UserError: the address is taken, not this machine's, or not allowed.
    """
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
        raise UserError(
            f"cannot listen on {host}:{port}: {reason}; --port 0 takes a "
            "free port, and --host is an address of this machine"
        ) from None


def url(opened: socket.socket) -> str:
    """Where a browser finds what listens here."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: Any, opened: socket.socket, *, grace: float, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way are answered first.

    Args:
        app: the ASGI application.
        opened: where to listen.
        grace: seconds that requests under way have at the end.
        ready: called when requests are taken.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

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
    Server(config).run(sockets=[opened])
