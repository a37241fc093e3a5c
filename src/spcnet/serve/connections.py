"""Connections that ask nothing, or do not take their answer, do not keep others out."""

import asyncio
from contextlib import suppress

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 500  # connections at once; fewer where the process may open few files
# In which a whole head has to come, and an answer that is ready has to be taken.
IDLE_SECONDS = 15.0
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    b"Content-Length: 81\r\nConnection: close\r\n\r\n"
    b'{"error":{"code":"busy","message":"too many connections; try again in a moment"}}'
)


def most_connections() -> int:
    """`MOST`, or half of the files that this process may open."""
    with suppress(ImportError):  # Windows has no such limit
        import resource

        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return MOST if files < 0 else min(MOST, files // 2)
    return MOST


class Connection(H11Protocol):
    """uvicorn's, with an end to its patience: that closes only who is silent after an answer.

    A byte now and then does not prolong it. Where there are too many connections, the one that has
    asked nothing for longest makes room for a new one.
    """

    timer: asyncio.TimerHandle | None = None  # while no request is answered
    taking: asyncio.TimerHandle | None = None  # while what was sent is not taken

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count a new connection, and close another one if it is one too many."""
        super().connection_made(transport)
        self._watch()
        if len(self.connections) <= most_connections():
            return
        others = {each for each in self.connections if isinstance(each, Connection)} - {self}
        if idle := {each: each.timer.when() for each in others if each.timer is not None}:
            longest = min(idle, key=idle.__getitem__)
            self.connections.discard(longest)  # it ends a little later
            longest.transport.abort()
        else:
            self.connections.discard(self)
            transport.write(BUSY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(exc)
        for timer in filter(None, (self.timer, self.taking)):
            timer.cancel()

    def pause_writing(self) -> None:
        """The client has to take what was sent, of an answer in many parts too."""
        super().pause_writing()
        self.taking = self.loop.call_later(IDLE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It did."""
        super().resume_writing()
        if self.taking is not None:
            self.taking.cancel()

    def data_received(self, data: bytes) -> None:
        """Part of a request, or of what follows one that was answered before its end."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """From now on it waits for the next request."""
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.timer is None:
            self.timer = self.loop.call_later(IDLE_SECONDS, self.transport.abort)
        elif not idle and self.timer is not None:
            self.timer.cancel()
            self.timer = None
