"""A bounded amount of something that requests take for a while and give back."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Budget:
    """An amount that is lent in the order of asking, within one event loop.

    Args:
        amount: all there is; nobody may ask for more.
    """

    def __init__(self, amount: int) -> None:
        self.left = amount
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def lend(self, amount: int) -> AsyncIterator[None]:
        """Wait until so much is left, and hold it while the block runs."""
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
        try:
            yield
        finally:
            self._take_back(amount)

    def _take_back(self, amount: int) -> None:
        self.left += amount
        self._serve()

    def _serve(self) -> None:
        while self._queue and self._queue[0][0] <= self.left:
            amount, turn = self._queue.popleft()
            self.left -= amount
            turn.set_result(None)
