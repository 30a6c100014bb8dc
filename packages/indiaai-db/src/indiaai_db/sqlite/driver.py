"""A connection of aiosqlite that a cancelled task leaves in order; imported by the module that opens connections.

A cancelled await abandons a statement that goes on in the connection's thread and keeps its lock. Under anyio, which is
what FastAPI cancels with, every later await is cancelled as well, the rollback's too. So here a statement that is
cancelled is interrupted and waited for, and what ends a transaction is never cut off.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import aiosqlite
import anyio

__all__ = ["SqliteConnection", "SqliteHandle"]

INTERRUPT_EVERY_SECONDS = 0.02

_TRANSACTION_ENDINGS = frozenset({"commit", "rollback"})
_ENDINGS = _TRANSACTION_ENDINGS | {"close"}


class SqliteHandle(sqlite3.Connection):
    """The handle that the thread works with."""

    def close(self) -> None:
        """Roll back, then close: SQLite keeps a closed handle, its transaction and its lock until the last cursor is gone."""
        with suppress(sqlite3.ProgrammingError):  # it was closed before
            if self.in_transaction:
                self.rollback()
        super().close()


class SqliteConnection(aiosqlite.Connection):
    """One connection and its thread; for one task at a time."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        """Hold what opens the file; awaiting the connection does so."""
        super().__init__(connector, 64)
        self._thread.daemon = True  # not the last one to keep the process alive
        self._stopping: asyncio.Future[Any] | None = None
        self._has_begun = False

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call `function(handle, *arguments)` in the connection's thread."""
        return await self._execute(partial(function, self._conn), *arguments)

    async def begin_deferred(self) -> None:
        """Begin a transaction that reads, without waiting for the thread: it cannot fail, and what follows comes after it."""
        self._has_begun = True
        self._tx.put_nowait((None, partial(self._conn.execute, "BEGIN")))

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._running or self._connection is None:
            raise ValueError("Connection closed")  # SQLAlchemy knows aiosqlite's error by these words
        name = getattr(fn, "__name__", "")
        if name in _TRANSACTION_ENDINGS and not self._has_begun and not self._connection.in_transaction:
            return None  # SQLAlchemy rolls back whatever it gives back: half of a short transaction's way to the thread
        done = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((done, partial(fn, *args, **kwargs)))
        if name in _ENDINGS:
            self._has_begun = self._has_begun and name not in _TRANSACTION_ENDINGS
            with anyio.CancelScope(shield=True):
                return await asyncio.shield(done)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await self._interrupt_until(done)
            raise

    async def _interrupt_until(self, done: asyncio.Future[Any]) -> None:
        # Again and again: an interrupt that comes before the thread has begun the statement does nothing.
        with anyio.CancelScope(shield=True):
            while not done.done():
                if self._connection is not None:
                    self._connection.interrupt()
                await asyncio.wait([done], timeout=INTERRUPT_EVERY_SECONDS)
        if not done.cancelled():
            done.exception()  # seen, so that nobody is told of it

    async def ended(self) -> None:
        """Wait for the thread to end, so that it does not report to a loop that is closed by then."""
        stopped = self.stop()
        if stopped is not None:
            await stopped

    def stop(self) -> asyncio.Future[Any] | None:
        """End the thread; the second call waits for the first one's end, for after it nothing is worked any more."""
        if self._stopping is None:
            self._stopping = super().stop()
        return self._stopping
