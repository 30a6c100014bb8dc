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
from pathlib import Path
from typing import Any

import aiosqlite
import anyio

from indiaai_db.sqlite.beginning import ImmediateBeginning
from indiaai_db.sqlite.cursor import SqliteCursor
from indiaai_db.sqlite.line import Line

__all__ = ["SqliteConnection", "SqliteHandle"]

INTERRUPT_EVERY_SECONDS = 0.02

_TRANSACTION_ENDINGS = frozenset({"commit", "rollback"})
_ENDINGS = _TRANSACTION_ENDINGS | {"close"}
_BUSY = object()


class SqliteHandle(sqlite3.Connection):
    """The handle that the thread works with."""

    def close(self) -> None:
        """Roll back, then close: SQLite keeps a closed handle, its transaction and its lock until the last cursor is gone."""
        with suppress(sqlite3.ProgrammingError):  # it was closed before
            if self.in_transaction:
                self.rollback()
        super().close()


def _begin_and_call(beginning: ImmediateBeginning, handle: sqlite3.Connection, line: Line, function: Callable[[], Any]) -> Any:
    try:
        has_begun = beginning.try_to_begin(handle, is_first=line.is_first)
    finally:
        line.leave()  # the next one may try while this one writes
    return function() if has_begun else _BUSY


def _nothing() -> None:
    pass


class SqliteConnection(aiosqlite.Connection):
    """One connection and its thread; for one task at a time."""

    def __init__(self, connector: Callable[[], sqlite3.Connection], line: Path) -> None:
        """Hold what opens the file, and the path of the line for it; awaiting the connection opens it."""
        super().__init__(connector, 64)
        self._line = Line(line)
        self._thread.daemon = True  # not the last one to keep the process alive
        self._stopping: asyncio.Future[Any] | None = None
        self._has_begun = False
        self._beginning: ImmediateBeginning | None = None

    def cursor(self) -> SqliteCursor:  # type: ignore[override]  # it is made without the thread
        """Return a cursor."""
        return SqliteCursor(self)

    def send(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the thread without waiting for it; it must not fail, and what follows comes after it."""
        self._tx.put_nowait((None, partial(function, *arguments)))

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call `function(handle, *arguments)` in the connection's thread."""
        return await self._execute(function, self._conn, *arguments)

    async def begin_deferred(self) -> None:
        """Begin a transaction that reads, without waiting for the thread."""
        self._has_begun = True
        self.send(self._conn.execute, "BEGIN")

    async def begin_immediate(self, *, timeout_seconds: float, busy_timeout_seconds: float) -> None:
        """Begin a transaction that may write with its first statement, on one way to the thread."""
        self._beginning = ImmediateBeginning(timeout_seconds=timeout_seconds, busy_timeout_seconds=busy_timeout_seconds)

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._running or self._connection is None:
            raise ValueError("Connection closed")  # SQLAlchemy knows aiosqlite's error by these words
        name = getattr(fn, "__name__", "")
        if name in _ENDINGS:
            return await self._end(name, fn)
        function = partial(fn, *args, **kwargs)
        if self._beginning is None:
            return await self._ask(function)
        beginning, self._beginning = self._beginning, None
        begin = partial(_begin_and_call, beginning, self._connection, self._line, function)
        answer = await self._ask(begin)
        while answer is _BUSY:
            answer = await self._ask_in_turn(begin, beginning)
        return answer

    async def _ask(self, function: Callable[[], Any]) -> Any:
        done = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((done, function))
        try:
            return await done
        except asyncio.CancelledError:
            await self._interrupt()
            raise

    async def _ask_in_turn(self, function: Callable[[], Any], beginning: ImmediateBeginning) -> Any:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._line.wait(partial(self._tx.put_nowait, (done, function)))
        out_of_turn = loop.call_later(beginning.wait_seconds(), self._line.call_now)
        try:
            return await done
        except asyncio.CancelledError:
            beginning.give_up()
            if not self._line.give_up():
                await self._interrupt()
            raise
        finally:
            out_of_turn.cancel()

    async def _end(self, name: str, function: Callable[..., Any]) -> Any:
        assert self._connection is not None  # noqa: S101 - for the type checker
        self._beginning = None
        if name in _TRANSACTION_ENDINGS and not self._has_begun and not self._connection.in_transaction:
            return None  # SQLAlchemy rolls back whatever it gives back: half of a short transaction's way to the thread
        self._has_begun = self._has_begun and name not in _TRANSACTION_ENDINGS
        done = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((done, function))
        with anyio.CancelScope(shield=True):
            return await asyncio.shield(done)

    async def _interrupt(self) -> None:
        """Interrupt the thread until it has come to the end of what it was asked for."""
        reached = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((reached, _nothing))  # the thread works in order
        with anyio.CancelScope(shield=True):
            while not reached.done():
                # Again and again: an interrupt that comes before the thread has begun the statement does nothing.
                if self._connection is not None:
                    self._connection.interrupt()
                await asyncio.wait([reached], timeout=INTERRUPT_EVERY_SECONDS)

    async def ended(self) -> None:
        """Wait for the thread to end, so that it does not report to a loop that is closed by then."""
        stopped = self.stop()
        if stopped is not None:
            await stopped

    def stop(self) -> asyncio.Future[Any] | None:
        """End the thread; the second call waits for the first one's end, for after it nothing is worked any more."""
        if self._stopping is None:
            self._line.close()
            self._stopping = super().stop()
        return self._stopping
