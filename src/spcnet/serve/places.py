"""Who is taken in: so many requests at once, of which those that still come give way to others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from spcnet.serve.errors import RequestError

SILENT_SECONDS = 10.0  # in which something of a body has to come
SLOW_SECONDS = 1.0  # after which an upload gives its place to another one, where there is no other
FULL_SECONDS = 10.0  # without a free place that count as trouble
GRACE_SECONDS = 3.0  # in which requests are answered after the service was told to stop


@dataclass(eq=False)
class Place:
    """One request's, and the time that it has left."""

    patience: asyncio.Timeout
    began: float
    until: float
    whole: bool = False  # whether all of its body came
    refusal: RequestError | None = None  # why it ended, other than by taking its time

    def heard(self, *, whole: bool = False) -> None:
        """Something of the body came, or its end."""
        self.whole = whole
        if self.refusal is None:
            silent = asyncio.get_running_loop().time() + SILENT_SECONDS
            self.patience.reschedule(self.until if whole else min(self.until, silent))

    def end(self, refusal: RequestError, *, grace: float = 0.0) -> None:
        """Have it refused, unless it is answered before."""
        self.refusal = refusal
        now = asyncio.get_running_loop().time()
        self.patience.reschedule(min(self.until, now + grace))


class Places:
    """So many places, each for some seconds; within one event loop."""

    def __init__(self, count: int, *, seconds: float) -> None:
        self.count, self.seconds = count, seconds
        self._taken: list[Place] = []  # longest first
        self._full_since: float | None = None
        self._late: float | None = None  # when the last request that was not answered ended
        self._stopping = False

    def __len__(self) -> int:
        return len(self._taken)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Place]:
        """A place for a request while the block runs; a `RequestError` when its time ends."""
        if self._stopping:
            raise _stopping(unread=True)
        now = asyncio.get_running_loop().time()
        if len(self) >= self.count:
            self._make_room(now)
        until = now + self.seconds
        place = None
        try:
            async with asyncio.timeout_at(until) as patience:
                self._taken.append(place := Place(patience, now, until))
                place.heard()
                yield place
            self._late = None
        except TimeoutError:
            assert place is not None
            raise (place.refusal or self._too_late(place)) from None
        except RequestError:
            self._late = None
            raise
        finally:
            if place in self._taken:
                self._taken.remove(place)
            self.count_whole()

    def count_whole(self) -> None:
        """Note whether there is a place for one more request, which uploads would give up."""
        if sum(place.whole for place in self._taken) < self.count:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = asyncio.get_running_loop().time()

    @property
    def trouble(self) -> str | None:
        """Why further requests would not be answered, as far as those there are tell."""
        now = asyncio.get_running_loop().time()
        if self._stopping:
            return "the service is stopping"
        if self._full_since is not None and now - self._full_since > FULL_SECONDS:
            return f"all {self.count} places are taken for {now - self._full_since:.0f} seconds"
        if self._late is not None and now - self._late < self.seconds:
            return f"the last requests got no answer within {self.seconds:g} seconds"
        return None

    def stop(self) -> None:
        """Take nobody in any more, and end what still comes; answers have a few seconds."""
        self._stopping = True
        for place in self._taken:
            place.end(
                _stopping(unread=not place.whole), grace=GRACE_SECONDS if place.whole else 0.0
            )

    def _make_room(self, now: float) -> None:
        for place in self._taken:
            if not place.whole and now - place.began > SLOW_SECONDS:
                text = "the upload was slow, and others wait for its place; try again later"
                place.end(RequestError(408, "slow_upload", text, {"Retry-After": "1"}, unread=True))
                self._taken.remove(place)
                return
        text = f"{len(self)} requests are already waiting; try again in a moment"
        raise RequestError(503, "busy", text, {"Retry-After": "1"}, unread=True)

    def _too_late(self, place: Place) -> RequestError:
        now = asyncio.get_running_loop().time()
        if place.whole:
            self._late = now
            text = f"no answer within {self.seconds:g} seconds; try later"
            return RequestError(504, "timeout", text)
        text = f"took more than {self.seconds:g} seconds"
        if now < place.until:
            text = f"was silent for {SILENT_SECONDS:g} seconds"
        return RequestError(408, "slow_upload", f"the upload {text}", unread=True)


def _stopping(*, unread: bool) -> RequestError:
    text = "the service is stopping; try again in a moment"
    return RequestError(503, "stopping", text, {"Retry-After": "1"}, unread=unread)
