"""Engines, one set for each event loop and process that uses a service; imported by the backends.

A connection belongs to the loop it was opened in. A set is closed by the service, or else by its loop as that ends.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool
from sqlalchemy.util.concurrency import in_greenlet

__all__ = ["Engines", "LoopEngines", "shield_termination"]

FOREIGN_CLOSE_SECONDS = 5.0
"""How long to wait for another thread's loop to close its own engines."""


@dataclass(frozen=True, slots=True)
class Engines:
    """What one event loop works with.

    Attributes:
        writer: The engine for transactions that may write.
        reader: The engine for those that do not, and see what was just committed; it may be the same one, or share its pool.
        serializable: The writer's engine for transactions that behave as if one came after the other.
        drain: Ends what goes on outside of the pools.
    """

    writer: AsyncEngine
    reader: AsyncEngine
    serializable: AsyncEngine
    drain: Callable[[], Awaitable[None]] | None = None

    def is_in_use(self) -> bool:
        """Return whether a connection that may write is lent to somebody."""
        return isinstance(pool := self.writer.sync_engine.pool, QueuePool) and pool.checkedout() > 0

    async def dispose(self) -> None:
        """Close every pool."""
        pools = {id(engine.sync_engine.pool): engine for engine in (self.writer, self.reader)}  # the others share the writer's
        for engine in pools.values():
            await engine.dispose()
        if self.drain is not None:
            await self.drain()


def shield_termination(engine: AsyncEngine, close: Callable[[Any], Awaitable[None]]) -> None:
    """Close connections that are given up, such as those of cancelled statements, where a cancellation cannot disturb it.

    SQLAlchemy closes them within the cancelled task. Under anyio its waiting is then cancelled again: it cuts the connection
    off, so that the server works on, and some of its versions lose the place in the pool.

    Args:
        engine: The engine.
        close: Closes a driver's connection for good; it must not raise.
    """
    dialect: Any = engine.sync_engine.dialect
    plain = dialect.do_terminate

    async def close_shielded(connection: Any) -> None:
        with anyio.CancelScope(shield=True):
            await close(connection)

    def do_terminate(connection: Any) -> None:
        if in_greenlet():
            connection.run_async(close_shielded)
        else:  # the garbage collector's
            plain(connection)

    dialect.do_terminate = do_terminate


Lifetime = AsyncGenerator[None, None]


class LoopEngines:
    """The engines of one service, made at first use in each event loop; any thread may use it."""

    def __init__(self, create: Callable[[], Engines]) -> None:
        """Hold what makes a set; nothing is made yet."""
        self._create = create
        self._process = os.getpid()
        self._held: dict[asyncio.AbstractEventLoop, tuple[Engines, Lifetime]] = {}
        self.was_forked_in_use = False
        """Whether a transaction was open in the parent when this process was forked from it."""

    def current(self) -> Engines:
        """Return the running loop's engines.

        Raises:
            RuntimeError: There is no running event loop.
        """
        if self._process != os.getpid():
            self._start_anew_after_fork()
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            held = self._held[loop] = self._begin(loop)
        return held[0]

    async def aclose(self) -> None:
        """Close the engines of every loop; a later use makes new ones."""
        if self._process != os.getpid():
            self._start_anew_after_fork()
        here = asyncio.get_running_loop()
        for loop in list(self._held):
            held = self._held.pop(loop, None)
            if held is not None:
                with anyio.CancelScope(shield=True):
                    await self._end(held, loop, here)

    async def _end(
        self, held: tuple[Engines, Lifetime], loop: asyncio.AbstractEventLoop, here: asyncio.AbstractEventLoop
    ) -> None:
        engines, lifetime = held
        if loop is here:
            await lifetime.aclose()
        elif loop.is_running():
            ended = asyncio.run_coroutine_threadsafe(lifetime.aclose(), loop)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(ended), FOREIGN_CLOSE_SECONDS)
        else:  # it was closed without a chance to end what was open in it: close what does not need it
            with suppress(RuntimeError):
                await engines.dispose()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> tuple[Engines, Lifetime]:
        engines = self._create()
        lifetime = self._live(loop, engines)
        # An asynchronous generator that was started is closed by its loop when that ends (`loop.shutdown_asyncgens`, which
        # `asyncio.run` and everything like it calls): the one place from which the loop's own connections can be closed.
        with suppress(StopIteration):
            lifetime.__anext__().send(None)
        return engines, lifetime

    async def _live(self, loop: asyncio.AbstractEventLoop, engines: Engines) -> Lifetime:
        try:
            yield
        finally:
            self._held.pop(loop, None)
            await engines.dispose()

    def _start_anew_after_fork(self) -> None:
        # The child has copies of the parent's connections: closing one would say goodbye in the parent's name, and a
        # finalizer would warn of it. So they are kept, untouched, for as long as the process lives.
        _inherited.append(self._held)
        self.was_forked_in_use = any(engines.is_in_use() for engines, _ in self._held.values())
        self._held = {}
        self._process = os.getpid()


_inherited: list[object] = []
