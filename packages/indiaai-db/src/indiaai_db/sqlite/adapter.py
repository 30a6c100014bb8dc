"""A connection as SQLAlchemy uses it, which goes to the connection's thread once for a statement; imported by the service.

SQLAlchemy's own goes there to make a cursor, to execute, to fetch and to close it, and changes greenlets for each. Here a
statement is executed and all of its rows are fetched on one way. What is streamed goes SQLAlchemy's way, row by row.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection
from sqlalchemy.util import await_only

__all__ = ["AdaptedConnection", "WholeCursor"]


class WholeCursor:
    """One statement and all of its rows; what SQLAlchemy asks of a cursor, and no more.

    Attributes:
        description: The names of the columns, as DBAPI has them; None for a statement without rows.
        rowcount: How many rows were changed; -1 where that has no meaning.
        lastrowid: The id of the row that was inserted last.
        arraysize: How many rows `fetchmany` gives unless told otherwise.
    """

    def __init__(self, connection: AdaptedConnection) -> None:
        """Hold the connection; nothing is asked yet."""
        self._connection = connection
        self._rows: deque[Any] = deque()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    def execute(self, operation: str, parameters: Any = ()) -> None:
        """Execute a statement, and fetch its rows."""
        self._do(sqlite3.Cursor.execute, operation, parameters)

    def executemany(self, operation: str, parameters: Any) -> None:
        """Execute a statement with each of many sets of parameters."""
        self._do(sqlite3.Cursor.executemany, operation, parameters)

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows, at most so many."""
        return [self._rows.popleft() for _ in range(min(size or self.arraysize, len(self._rows)))]

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def close(self) -> None:
        """Let go of the rows; the statement has been for long."""
        self._rows.clear()

    async def _async_soft_close(self) -> None:
        """Do nothing: what SQLAlchemy calls before it hands over rows that need no connection any more."""

    def _do(self, function: Any, operation: str, parameters: Any) -> None:
        answer = self._connection.wait_for(_execute_whole, function, operation, parameters)
        self._rows, self.description, self.rowcount, self.lastrowid = answer


def _execute_whole(handle: sqlite3.Connection, function: Any, operation: str, parameters: Any) -> Any:
    cursor = handle.cursor()
    try:
        function(cursor, operation, parameters)
        rows = deque(cursor.fetchall() if cursor.description else ())
        return rows, cursor.description, cursor.rowcount, cursor.lastrowid
    finally:
        cursor.close()  # here: closed later, it would have to come back to this thread


class AdaptedConnection(AsyncAdapt_aiosqlite_connection):
    """What SQLAlchemy takes for a connection; within its greenlets alone."""

    __slots__ = ()
    _connection: Any  # an SqliteConnection

    def cursor(self, server_side: bool = False) -> Any:
        """Return a cursor."""
        return super().cursor(server_side=True) if server_side else WholeCursor(self)

    def rollback(self) -> None:
        """Roll back; SQLAlchemy does so with whatever it gives back, and most of that waits for nobody."""
        if not self._connection.end_at_once():
            super().rollback()

    def wait_for(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call `function(handle, *arguments)` in the connection's thread."""
        try:
            errand = self._connection.start(partial(function, self._connection._conn, *arguments))
            # Also for what is there at once: SQLAlchemy takes a statement without an `await` for one of another driver.
            return await_only(self._connection.finish(errand))
        except Exception as error:  # noqa: BLE001 - SQLAlchemy tells there what a closed connection is
            self._handle_exception(error)
