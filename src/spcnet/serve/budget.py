"""A bounded amount of something that requests take for a while and give back."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Loan:
    """Something that is lent while a block runs, and while a thread still works with it."""

    def __init__(self) -> None:
        self.work: Future[Any] | None = None

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
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def lend(self, amount: int) -> AsyncIterator[Loan]:
        """Wait until so much is left, and hold it while the block and what it began run."""
        if self._queue or self.left < amount:
            turn = asyncio.get_running_loop().create_future()
            self._queue.append((amount, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._take_back(amount)
                else:
                    self._queue.remove((amount, turn))
                    self._serve()
                raise
        else:
            self.left -= amount
        loan = Loan()
        try:
            yield loan
        finally:
            if loan.work is None or loan.work.done():
                self._take_back(amount)
            else:
                loop = asyncio.get_running_loop()
                loan.work.add_done_callback(lambda _: self._take_back_from_thread(loop, amount))

    def _take_back_from_thread(self, loop: asyncio.AbstractEventLoop, amount: int) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody will borrow again
            loop.call_soon_threadsafe(self._take_back, amount)

    def _take_back(self, amount: int) -> None:
        self.left += amount
        self._serve()

    def _serve(self) -> None:
        while self._queue and self._queue[0][0] <= self.left:
            amount, turn = self._queue.popleft()
            self.left -= amount
            turn.set_result(None)
