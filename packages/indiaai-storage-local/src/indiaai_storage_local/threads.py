"""The worker threads in which disk calls run, so that none blocks the event loop; imported by the service."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

import anyio

from indiaai_storage_local.calls import Call, Inbox, Steps, perform

__all__ = ["DiskThreads"]

ResultT = TypeVar("ResultT")

_MAX_THREADS = 8
"""More contend for the interpreter: without fsync eight store a third more than sixteen, and with it as many."""


class DiskThreads:
    """A bounded pool, made at first use and again after a fork; any number of event loops may use it."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._crew: _Crew | None = None
        self._inbox: Inbox | None = None

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
        return self._start(Call(function, args, has_steps=False, inbox=self._own_inbox()))

    def start_steps(self, function: Callable[..., Steps[ResultT]], *args: Any) -> Call[ResultT]:
        """Begin to call a function that waits for syncs; `wait` must be called with what is returned."""
        return self._start(Call(function, args, has_steps=True, inbox=self._own_inbox()))

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

    def _start(self, call: Call[ResultT]) -> Call[ResultT]:
        crew = self._crew
        # A forked child has the parent's queue without its threads: a call given to it would wait for ever.
        if crew is None or crew.process != os.getpid():
            self._crew = crew = _Crew()
        crew.take(call)
        return call

    def _own_inbox(self) -> Inbox:
        inbox, loop = self._inbox, asyncio.get_running_loop()
        if inbox is None or inbox.loop is not loop:
            self._inbox = inbox = Inbox(loop)
        return inbox

    def close(self) -> None:
        """Let the threads end when they have nothing left to do; a later call makes new ones."""
        crew, self._crew, self._inbox = self._crew, None, None
        if crew:
            crew.end()

    def __del__(self) -> None:
        """Let the threads of a service that nobody closed end."""
        self.close()


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
            perform([call])
            del call  # or what it returned would stay until the next one comes
            with self._lock:
                self._free += 1
