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
from time import monotonic
from typing import Any

import aiosqlite
import anyio

from indiaai_core.errors import BackendUnavailable
from indiaai_db.sqlite.beginning import ImmediateBeginning
from indiaai_db.sqlite.errand import Errand
from indiaai_db.sqlite.line import Line

__all__ = ["SqliteConnection", "SqliteHandle"]

INTERRUPT_EVERY_SECONDS = 0.02

PATIENCE_SECONDS = 0.0001
"""How long to wait in place for an answer: most are there in a third of it."""

HURRIED = 16
"""How many answers not to wait for in place after one that was not there in time."""

TURN_SECONDS = 0.001
"""How long a task may go on with answers that it waited for in place, until the event loop has a turn."""

_ENDINGS = frozenset({"commit", "rollback", "close"})
_BUSY = object()


class SqliteHandle(sqlite3.Connection):
    """The handle that the thread works with."""

    def close(self) -> None:
        """Roll back, then close: SQLite keeps a closed handle, its transaction and its lock until the last cursor is gone."""
        with suppress(sqlite3.ProgrammingError):  # it was closed before
            if self.in_transaction:
                self.rollback()
        super().close()


def _within(beginning: ImmediateBeginning, handle: sqlite3.Connection, line: Line, function: Callable[[], Any]) -> Any:
    if beginning.has_begun:
        if not handle.in_transaction:  # or what follows would be committed at once, and without what was before
            raise BackendUnavailable("An earlier error made SQLite undo the transaction; nothing of it was committed.")
        return function()
    try:
        beginning.has_begun = beginning.try_to_begin(handle, is_first=line.is_first)
    finally:
        line.leave()  # the next one may try while this one writes
    return function() if beginning.has_begun else _BUSY


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
        self._only_reads = False
        self._is_over = True
        self._hurried = 0
        self._turn_at = 0.0
        self._beginning: ImmediateBeginning | None = None

    def send(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the thread without waiting for it; it must not fail, and what follows comes after it."""
        self._tx.put_nowait((None, partial(function, *arguments)))

    def begin_deferred(self) -> None:
        """Begin a transaction that reads, without waiting for the thread."""
        self._only_reads, self._is_over = True, False
        self.send(self._conn.execute, "BEGIN")

    def begin_immediate(self, *, timeout_seconds: float, busy_timeout_seconds: float) -> None:
        """Begin a transaction that may write with its first statement, on one way to the thread."""
        self._beginning = ImmediateBeginning(timeout_seconds=timeout_seconds, busy_timeout_seconds=busy_timeout_seconds)

    def start(self, function: Callable[[], Any]) -> Errand:
        """Have a function called in the thread, with a transaction begun if that is to be; `finish` waits for it."""
        self._is_over = False
        return self._put(self._in_transaction(function))

    async def finish(self, errand: Errand) -> Any:
        """Wait for what was started; in place, for a moment, unless the event loop is to have a turn by now."""
        try:
            if monotonic() >= self._turn_at or not self._is_soon(errand):
                await self._by_loop(errand)
        except asyncio.CancelledError:
            await self._interrupt()
            raise
        answer = errand.result()
        while answer is _BUSY:
            assert self._beginning is not None  # noqa: S101 - for the type checker
            answer = await self._ask_in_turn(errand.function, self._beginning)
        return answer

    def end_at_once(self) -> bool:
        """Roll back what only read, which nobody need wait for, or what has not begun; return whether it was so."""
        self._beginning = None
        if self._only_reads:
            self._only_reads, self._is_over = False, True
            self.send(self._conn.rollback)
        return self._is_over

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if getattr(fn, "__self__", None) is not self._connection or fn.__name__ not in _ENDINGS:  # such as a cursor's `close`
            return await self.finish(self.start(partial(fn, *args, **kwargs)))
        function = self._in_transaction(fn) if fn.__name__ == "commit" else fn
        if fn.__name__ != "close" and self.end_at_once():
            return None
        errand = self._put(function)
        if not self._is_soon(errand):
            with anyio.CancelScope(shield=True):
                await asyncio.shield(errand.wait())
        self._is_over = errand.error is None  # a COMMIT that is refused leaves the transaction open
        return errand.result()

    def _in_transaction(self, function: Callable[[], Any]) -> Callable[[], Any]:
        if self._beginning is None:
            return function
        return partial(_within, self._beginning, self._conn, self._line, function)

    def _put(self, function: Callable[[], Any]) -> Errand:
        if not self._running or self._connection is None:
            raise ValueError("no active connection")  # aiosqlite's error, which SQLAlchemy knows by its words
        errand = Errand(function)
        self._tx.put_nowait((None, errand.run))
        return errand

    def _is_soon(self, errand: Errand) -> bool:
        """Wait in place for a moment, unless that was of no use just now; return whether it was called."""
        if self._hurried:
            self._hurried -= 1
            return errand.is_done(0)
        is_done = errand.is_done(PATIENCE_SECONDS)
        if not is_done:
            self._hurried = HURRIED
        return is_done

    async def _by_loop(self, errand: Errand) -> None:
        await asyncio.sleep(0)  # a turn for all others, while the thread works
        self._turn_at = monotonic() + TURN_SECONDS
        if not self._is_soon(errand):
            await errand.wait()

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
