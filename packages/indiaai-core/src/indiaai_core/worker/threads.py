"""Plain handlers in threads, as many at once as the worker has slots; imported by the worker's run."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread

from indiaai_core.worker.source import Delivery

__all__ = ["HandlerThreads"]


class HandlerThreads:
    """Calls functions in threads for one run of a worker.

    A thread cannot be stopped. One whose attempt was ended from outside is *late*: it works on, nobody waits for its
    result, and its slot is taken until it ends, so that threads never outnumber slots.
    """

    def __init__(self, concurrency: int, on_late_end: Callable[[Delivery], None]) -> None:
        """Hold the limit.

        Args:
            concurrency: The worker's slots.
            on_late_end: Called in the event loop when a late thread has ended.
        """
        self._on_late_end = on_late_end
        self._concurrency = concurrency
        self._limiter: anyio.CapacityLimiter | None = None

    async def call(self, delivery: Delivery, function: Callable[[], Any]) -> Any:
        """Call a function in a thread and return its result.

        Cancelled, it returns at once, and `delivery.is_in_thread` says whether the thread works on.
        """
        if self._limiter is None:
            # A limiter of our own: anyio's common one has 40 places, which handlers would take from the application.
            self._limiter = anyio.CapacityLimiter(self._concurrency)
        call = _ThreadCall(function)
        try:
            return await anyio.to_thread.run_sync(call.run, abandon_on_cancel=True, limiter=self._limiter)
        except asyncio.CancelledError:
            loop = asyncio.get_running_loop()
            delivery.is_in_thread = call.abandon(lambda: loop.call_soon_threadsafe(self._on_late_end, delivery))
            raise


class _ThreadCall:
    """One call, and who hears of its end: whoever awaits it or, once it is abandoned, a callback."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        # Guards the three below. It forbids: the loop sees "running" and leaves the slot to the thread's end, while the
        # thread saw "not abandoned" just before and tells nobody; the slot would be taken for ever.
        self._lock = threading.Lock()
        self._is_running = False
        self._is_abandoned = False
        self._on_late_end: Callable[[], object] | None = None

    def run(self) -> Any:
        with self._lock:
            if self._is_abandoned:
                return None
            self._is_running = True
        try:
            return self._function()
        finally:
            with self._lock:
                self._is_running = False
                on_late_end = self._on_late_end
            if on_late_end is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed, and with it all slots
                    on_late_end()

    def abandon(self, on_late_end: Callable[[], object]) -> bool:
        """Stop waiting; return whether the function is running, and have its end told if it is."""
        with self._lock:
            self._is_abandoned = True
            if self._is_running:
                self._on_late_end = on_late_end
            return self._is_running
