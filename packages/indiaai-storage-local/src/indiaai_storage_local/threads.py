"""The worker threads in which disk calls run, so that none blocks the event loop; imported by the service."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
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
        self._crew: _Crew | None = None
        self._inbox: _Inbox | None = None

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
        crew, inbox, loop = self._crew, self._inbox, asyncio.get_running_loop()
        # A forked child has the parent's queue without its threads: a call given to it would wait for ever.
        if crew is None or crew.process != os.getpid():
            self._crew = crew = _Crew()
        if inbox is None or inbox.loop is not loop:
            self._inbox = inbox = _Inbox(loop)
        call = Call(function, args, inbox=inbox)
        crew.take(call)
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
        crew, self._crew, self._inbox = self._crew, None, None
        if crew:
            crew.end()

    def __del__(self) -> None:
        """Let the threads of a service that nobody closed end."""
        self.close()


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


class _Crew:
    """The threads, and the calls that wait for one: what of an executor is needed here, at a third of its time a call."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._calls: SimpleQueue[Call[Any] | None] = SimpleQueue()
        self._lock = Lock()
        self._count = self._free = 0
        self._has_ended = False

    def take(self, call: Call[Any]) -> None:
        with self._lock:
            # Also after the end, which another thread may have told a moment ago: no call is left without a thread.
            needs_thread = self._has_ended or (self._free < 1 and self._count < _MAX_THREADS)
            self._count, self._free = self._count + needs_thread, self._free - (not needs_thread)
            self._calls.put(call)
            if self._has_ended:
                self._calls.put(None)
        if needs_thread:
            # Nothing is lost if the interpreter ends meanwhile: what is being stored is neither there nor acknowledged yet.
            Thread(target=self._work, name="indiaai-storage-local", daemon=True).start()

    def end(self) -> None:
        with self._lock:
            self._has_ended = True
            for _ in range(self._count):
                self._calls.put(None)

    def _work(self) -> None:
        while call := self._calls.get():
            call.perform()
            del call  # or what it returned would stay until the next one comes
            with self._lock:
                self._free += 1


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
