"""Something that a connection's thread is asked to do, and what came of it; imported by the driver.

The answer to most statements is there sooner than an event loop could be woken for it: that takes the kernel four calls and
the loop two turns. So whoever asks may wait in place, for a moment; only then it waits by the loop, as for anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock
from typing import Any

__all__ = ["Errand"]


class Errand:
    """One function that another thread calls, once.

    Attributes:
        function: The function.
        answer: What it returned; None before.
        error: What it raised; None otherwise.
    """

    __slots__ = ("_called", "_waiter", "answer", "error", "function")

    def __init__(self, function: Callable[[], Any]) -> None:
        """Hold the function."""
        self.function = function
        self.answer: Any = None
        self.error: BaseException | None = None
        self._called = Lock()
        self._called.acquire()
        self._waiter: asyncio.Future[None] | None = None

    def run(self) -> None:
        """Call the function, in the thread."""
        try:
            self.answer = self.function()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self.error = error
        # In this order: whoever has set its waiter too late to be woken finds the lock free.
        self._called.release()
        if self._waiter is not None:
            self._waiter.get_loop().call_soon_threadsafe(_wake, self._waiter)

    def is_done(self, seconds: float) -> bool:
        """Wait in place for so long at most, and return whether it was called."""
        if not self._called.acquire(timeout=seconds):
            return False
        self._called.release()
        return True

    async def wait(self) -> None:
        """Wait by the event loop until it was called."""
        self._waiter = asyncio.get_running_loop().create_future()
        if not self.is_done(0):
            await self._waiter

    def result(self) -> Any:
        """Return what the function returned, or raise what it raised; it must have been called."""
        if self.error is not None:
            raise self.error
        return self.answer


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
