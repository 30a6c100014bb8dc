"""A cursor that goes to the connection's thread once for a statement; imported by the driver.

aiosqlite's goes there to be made, to execute, to fetch and to be closed, and each way there and back costs more than most
statements do. Here a statement is executed and its first rows are fetched on one way, and only more rows need another.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Generator
from typing import Any, Protocol, Self

__all__ = ["SqliteCursor"]

FIRST_ROWS = 100
"""Rows that are fetched with the statement: most answers whole, and of a stream not more than a page."""


class _Connection(Protocol):
    async def call(self, function: Any, *arguments: Any) -> Any: ...

    def send(self, function: Any, *arguments: Any) -> None: ...


class SqliteCursor:
    """One statement and its rows; what SQLAlchemy asks of a cursor, and no more.

    Attributes:
        description: The names of the columns, as DBAPI has them; None for a statement without rows.
        rowcount: How many rows were changed; -1 where that has no meaning.
        lastrowid: The id of the row that was inserted last.
        arraysize: How many rows `fetchmany` gives unless told otherwise.
    """

    def __init__(self, connection: _Connection) -> None:
        """Hold the connection; nothing is asked yet."""
        self._connection = connection
        self._open: sqlite3.Cursor | None = None
        self._rows: deque[Any] = deque()
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def __await__(self) -> Generator[Any, None, Self]:
        """Be what aiosqlite's `cursor()` is too: something to await."""
        return self.__aenter__().__await__()

    async def execute(self, operation: str, parameters: Any = ()) -> Self:
        """Execute a statement, and fetch its first rows."""
        self._keep(await self._connection.call(_execute, operation, parameters))
        return self

    async def executemany(self, operation: str, parameters: Any) -> Self:
        """Execute a statement with each of many sets of parameters."""
        self._keep(await self._connection.call(_execute_many, operation, parameters))
        return self

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        rows = await self.fetchmany(1)
        return rows[0] if rows else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows, at most so many."""
        wanted = size or self.arraysize
        if self._open is not None and len(self._rows) < wanted:
            more = await self._connection.call(_fetch, self._open, wanted - len(self._rows))
            self._rows.extend(more)
        return [self._rows.popleft() for _ in range(min(wanted, len(self._rows)))]

    async def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        rows = list(self._rows)
        self._rows.clear()
        if self._open is not None:
            rows += await self._connection.call(_fetch_all, self._open)
        return rows

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Give the rows that are left."""
        while rows := await self.fetchmany(FIRST_ROWS):
            for row in rows:
                yield row

    async def close(self) -> None:
        """Let go of the statement; its rows are gone."""
        self._rows.clear()
        if self._open is not None:
            self._connection.send(self._open.close)
            self._open = None

    def _keep(self, answer: tuple[sqlite3.Cursor | None, list[Any], Any, int, int | None]) -> None:
        self._open, rows, self.description, self.rowcount, self.lastrowid = answer
        self._rows = deque(rows)


def _execute(handle: sqlite3.Connection, operation: str, parameters: Any) -> Any:
    cursor = handle.execute(operation, parameters)
    rows = cursor.fetchmany(FIRST_ROWS) if cursor.description else []
    return _answer(cursor, rows, is_whole=len(rows) < FIRST_ROWS)


def _execute_many(handle: sqlite3.Connection, operation: str, parameters: Any) -> Any:
    return _answer(handle.executemany(operation, parameters), [], is_whole=True)


def _answer(cursor: sqlite3.Cursor, rows: list[Any], *, is_whole: bool) -> Any:
    told = (rows, cursor.description, cursor.rowcount, cursor.lastrowid)
    if is_whole:
        cursor.close()  # here: closed later, it would have to come back to this thread
        return (None, *told)
    return (cursor, *told)


def _fetch(_: sqlite3.Connection, cursor: sqlite3.Cursor, size: int) -> list[Any]:
    return cursor.fetchmany(size)


def _fetch_all(_: sqlite3.Connection, cursor: sqlite3.Cursor) -> list[Any]:
    return cursor.fetchall()
