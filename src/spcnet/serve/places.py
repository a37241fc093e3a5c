"""Who is taken in: so many requests at once, of which those that still come give way to others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic

from spcnet.serve.errors import RequestError

SILENT_SECONDS = 10.0  # in which something of a body has to come
SLOW_SECONDS = 1.0  # after which an upload gives its place to another one, where there is no other
FULL_SECONDS = 10.0  # without a free place that count as trouble
GRACE_SECONDS = 3.0  # in which requests are answered after the service began to stop


@dataclass(eq=False)
class Place:
    """One request's, and the time that it has left."""

    patience: asyncio.Timeout
    began: float
    until: float
    whole: float | None = None  # when all of its body had come
    refusal: RequestError | None = None  # why it ended, other than by taking its time

    def heard(self, *, whole: bool = False) -> None:
        """Something of the body came, or its end."""
        self.whole = monotonic() if whole else None
        if self.refusal is None:
            silent = min(self.until, monotonic() + SILENT_SECONDS)
            self.patience.reschedule(self.until if whole else silent)

    def end(self, refusal: RequestError, *, grace: float = 0.0) -> None:
        """Have it refused, unless it is answered before."""
        self.refusal = refusal
        self.patience.reschedule(min(self.until, monotonic() + grace))


class Places:
    """So many places, each for some seconds; within one event loop."""

    def __init__(self, count: int, *, seconds: float) -> None:
        self.count, self.seconds = count, seconds
        self._taken: list[Place] = []  # longest first
        self._late: float | None = None  # when the last request ended, if there was no answer
        self._stopping = False

    def __len__(self) -> int:
        return len(self._taken)

    @asynccontextmanager
    async def take(self, *, times: int = 1) -> AsyncIterator[Place]:
        """A place for a request while the block runs; a `RequestError` when its time ends.

        It has so many times the usual seconds.
        """
        if self._stopping:
            raise try_later(503, "stopping", "the service is stopping")
        if len(self) >= self.count:
            self._make_room()
        began = monotonic()
        until = began + times * self.seconds
        self._taken.append(place := Place(asyncio.timeout_at(until), began, until))
        try:
            async with place.patience:
                place.heard()
                yield place
                self._late = None
        except TimeoutError:
            raise (place.refusal or self._too_late(place)) from None
        finally:
            with suppress(ValueError):  # it gave its place to another one
                self._taken.remove(place)

    @property
    def trouble(self) -> str | None:
        """Why further requests would not be answered, as far as those there are tell."""
        now, whole = monotonic(), [place.whole for place in self._taken if place.whole]
        if self._stopping:
            return "the service is stopping"
        if len(whole) >= self.count and now - max(whole) > FULL_SECONDS:
            return f"all {self.count} places are taken for {now - max(whole):.0f} seconds"
        if self._late is not None and now - self._late < self.seconds:
            return f"the last requests got no answer within {self.seconds:g} seconds"
        return None

    def stop(self) -> None:
        """Take nobody in any more, and end what still comes; answers have a few seconds."""
        self._stopping = True
        for place in self._taken:
            refusal = try_later(503, "stopping", "the service is stopping", unread=not place.whole)
            place.end(refusal, grace=GRACE_SECONDS if place.whole else 0.0)

    def _make_room(self) -> None:
        for place in self._taken:
            if not place.whole and monotonic() - place.began > SLOW_SECONDS:
                text = "the upload was slow, and others wait for its place"
                place.end(try_later(408, "slow_upload", text))
                self._taken.remove(place)
                return
        raise try_later(503, "busy", f"{len(self)} requests are already waiting")

    def _too_late(self, place: Place) -> RequestError:
        seconds = place.until - place.began
        if place.whole:
            self._late = monotonic()
            return RequestError(504, "timeout", f"no answer within {seconds:g} seconds")
        most = f"took more than {seconds:g} seconds"
        if monotonic() < place.until:
            most = f"was silent for {SILENT_SECONDS:g} seconds"
        return try_later(408, "slow_upload", f"the upload {most}")


def try_later(status: int, code: str, text: str, *, unread: bool = True) -> RequestError:
    """The refusal of what may be taken in a moment."""
    headers = {"Retry-After": "1"}
    return RequestError(status, code, f"{text}; try again in a moment", headers, unread=unread)
