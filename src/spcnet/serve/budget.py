"""A bounded amount of something that requests take for a while and give back."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Loan:
    """Something that is lent while a block runs, and while a thread still works with it."""

    work: Future[Any] | None = None

    def begin(self, work: Future[T]) -> asyncio.Future[T]:
        """Have a thread's work count as use, one after another; who awaits it may be cancelled."""
        self.work = work
        return asyncio.wrap_future(work)


class Budget:
    """An amount of which nobody asks for more than all; lent in order, within one event loop."""

    def __init__(self, amount: int) -> None:
        self.left = amount
        self._line = asyncio.Lock()  # whose first waits for enough
        self._returned = asyncio.Event()

    @asynccontextmanager
    async def lend(self, amount: int) -> AsyncIterator[Loan]:
        """Wait until so much is left, and hold it while the block and what it began run."""
        async with self._line:
            while self.left < amount:
                self._returned.clear()
                await self._returned.wait()
            self.left -= amount
        loop, loan = asyncio.get_running_loop(), Loan()

        def take_back() -> None:
            self.left += amount
            self._returned.set()

        def ended(_: Future[Any]) -> None:
            with suppress(RuntimeError):  # the loop was closed: nobody will borrow again
                loop.call_soon_threadsafe(take_back)

        try:
            yield loan
        finally:
            if loan.work is None or loan.work.done():
                take_back()
            else:
                loan.work.add_done_callback(ended)
