"""A bounded amount of something that requests take for a while and give back."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Loan:
    """Something that is lent while a block runs, and while a thread still works with it."""

    def __init__(self) -> None:
        self.work: Future[Any] = Future()
        self.work.set_result(None)

    def begin(self, work: "Future[T]") -> "asyncio.Future[T]":
        """Have a thread's work count as use of the loan, one after another, to be awaited.

        Who awaits it may be cancelled, a thread can not.
        """
        self.work = work
        return asyncio.wrap_future(work)


class Budget:
    """An amount that is lent in the order of asking, within one event loop.

    Args:
        amount: all there is; nobody may ask for more.
    """

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
        loan = Loan()
        try:
            yield loan
        finally:
            if loan.work.done():
                self._take_back(amount)
            else:
                loop = asyncio.get_running_loop()
                loan.work.add_done_callback(lambda _: self._take_back_from_thread(loop, amount))

    def _take_back_from_thread(self, loop: asyncio.AbstractEventLoop, amount: int) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody will borrow again
            loop.call_soon_threadsafe(self._take_back, amount)

    def _take_back(self, amount: int) -> None:
        self.left += amount
        self._returned.set()
