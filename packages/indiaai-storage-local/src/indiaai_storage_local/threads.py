"""The worker threads in which disk calls run, so that none blocks the event loop; imported by the service."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import anyio

__all__ = ["DiskThreads"]

ResultT = TypeVar("ResultT")

_MAX_THREADS = 16


class DiskThreads:
    """A bounded pool, made at first use and again after a fork; any number of event loops may use it."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    async def run(self, function: Callable[..., ResultT], *args: Any, on_cancel: Callable[[], None] | None = None) -> ResultT:
        """Call a function in a thread and return what it returns.

        A caller that is cancelled goes on only when the function has ended: nothing runs behind its back.

        Args:
            function: What to call.
            *args: Its arguments.
            on_cancel: Called at once when the caller is cancelled, so that the function can end early.
        """
        work = self._ready_pool().submit(function, *args)
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            if on_cancel:
                on_cancel()
            await _end(work)
            raise

    def close(self) -> None:
        """Let the threads end when they have nothing left to do; a later call makes new ones."""
        if self._pool and self._process == os.getpid():
            self._pool.shutdown(wait=False)
        self._pool = None

    def _ready_pool(self) -> ThreadPoolExecutor:
        # A forked child has the parent's pool without its threads: a call given to it would wait for ever.
        if self._pool is None or self._process != os.getpid():
            self._pool = ThreadPoolExecutor(_MAX_THREADS, "indiaai-storage-local")
            self._process = os.getpid()
        return self._pool


async def _end(work: Future[Any]) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    work.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
    with anyio.CancelScope(shield=True):
        while not ended.is_set():
            with suppress(asyncio.CancelledError):
                await ended.wait()
    if not work.cancelled() and not work.exception() and hasattr(work.result(), "close"):
        work.result().close()  # an opened file that nobody takes any more
