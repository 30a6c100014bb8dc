"""The worker threads in which disk calls run, so that none blocks the event loop; imported by the service."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

import anyio

__all__ = ["Call", "DiskThreads"]

ResultT = TypeVar("ResultT")

_MAX_THREADS = 8
"""More contend for the interpreter: without fsync eight store a third more than sixteen, and with it as many."""


class DiskThreads:
    """A bounded pool, made at first use and again after a fork; any number of event loops may use it."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._pool: ThreadPoolExecutor | None = None
        self._inbox: _Inbox | None = None
        self._process = 0

    async def run(self, function: Callable[..., ResultT], *args: Any, on_cancel: Callable[[], None] | None = None) -> ResultT:
        """Call a function in a thread and return what it returns.

        A caller that is cancelled goes on only when the function has ended: nothing runs behind its back.

        Args:
            function: What to call.
            *args: Its arguments.
            on_cancel: Called at once when the caller is cancelled, so that the function can end early.
        """
        return await self.wait(self.start(function, *args), on_cancel=on_cancel)

    def start(self, function: Callable[..., ResultT], *args: Any) -> Call[ResultT]:
        """Begin to call a function in a thread; `wait` must be called with what is returned."""
        pool, inbox, loop = self._pool, self._inbox, asyncio.get_running_loop()
        # A forked child has the parent's pool without its threads: a call given to it would wait for ever.
        if pool is None or self._process != os.getpid():
            pool, self._process = ThreadPoolExecutor(_MAX_THREADS, "indiaai-storage-local"), os.getpid()
            self._pool = pool
        if inbox is None or inbox.loop is not loop:
            self._inbox = inbox = _Inbox(loop)
        call = Call(function, args, inbox=inbox)
        pool.submit(call.perform)
        return call

    async def wait(self, call: Call[ResultT], *, on_cancel: Callable[[], None] | None = None) -> ResultT:
        """Return what the function returned; the parameters are those of `run`."""
        try:
            return await call.future
        except asyncio.CancelledError:
            call.is_cancelled = True
            if on_cancel:
                on_cancel()
            with anyio.CancelScope(shield=True):
                while not call.has_ended:
                    call.future = asyncio.get_running_loop().create_future()
                    # What it raised counts no more, nor that the task is cancelled again.
                    with suppress(Exception, asyncio.CancelledError):
                        await call.future
            if hasattr(call.result, "close"):
                call.result.close()  # an opened file that nobody takes any more
            raise

    def close(self) -> None:
        """Let the threads end when they have nothing left to do; a later call makes new ones."""
        if self._pool and self._process == os.getpid():
            self._pool.shutdown(wait=False)
        self._pool = self._inbox = None


class Call(Generic[ResultT]):
    """A function that is called in a thread, for one task of one event loop."""

    def __init__(self, function: Callable[..., ResultT], args: tuple[Any, ...], *, inbox: _Inbox) -> None:
        """Take note of what to call, and of where to put what comes of it."""
        self._function, self._args, self._inbox = function, args, inbox
        self.future: asyncio.Future[ResultT] = inbox.loop.create_future()
        self.result: Any = None
        self.is_cancelled = False
        self.has_ended = False
        self._error: BaseException | None = None

    def perform(self) -> None:
        """Call the function, in a thread, and let the event loop know."""
        try:
            if not self.is_cancelled:
                self.result = self._function(*self._args)
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            self._error = error
        self._inbox.put(self)

    def deliver(self) -> None:
        """Give the result to who waits for it, in the event loop."""
        self.has_ended = True
        if self.future.done():  # cancelled
            return
        if self._error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self._error)
            self._error = None  # it refers to this call's frame, and the call to it


class _Inbox:
    """The calls that threads have done for one event loop and that it has not looked at yet.

    To wake a loop costs more than most calls (some 100 µs on two cores): so it is woken once for all that is done by then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._done: deque[Call[Any]] = deque()
        self._is_told = False

    def put(self, call: Call[Any]) -> None:
        # Put before the flag is read, and read after the flag is cleared: a call is never left without a wake-up. Two
        # threads that both find the flag cleared wake the loop twice, which does no harm.
        self._done.append(call)
        if not self._is_told:
            self._is_told = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_told = False
        while self._done:
            self._done.popleft().deliver()
