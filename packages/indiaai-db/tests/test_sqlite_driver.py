"""How SQLite's statements reach the connection's thread, and how their rows come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import insert, select, text

from indiaai_db.sqlite import SqliteDatabaseService
from indiaai_db.sqlite.connection import Opener
from indiaai_db.sqlite.cursor import FIRST_ROWS
from indiaai_db.sqlite.driver import SqliteConnection
from indiaai_db.testing.tables import Account, create_tables

pytestmark = pytest.mark.anyio

COUNT = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT ?) SELECT i FROM r"


class CountedQueue:
    """Counts what goes to a connection's thread."""

    def __init__(self, queue: Any) -> None:
        """Stand in front of the queue."""
        self.queue = queue
        self.waited_for = 0

    def put_nowait(self, item: tuple[Any, Any]) -> None:
        """Count what somebody waits for, and pass it on."""
        self.waited_for += item[0] is not None
        self.queue.put_nowait(item)


@pytest.fixture
async def connection(sqlite_path: Path) -> AsyncIterator[SqliteConnection]:
    """An open connection."""
    opened = await Opener(sqlite_path, "NORMAL", 5.0)()
    yield opened
    await opened.close()
    await opened.ended()


async def test_a_statement_and_its_first_rows_are_one_way_to_the_thread(connection: SqliteConnection) -> None:
    """Nothing but the statement itself is waited for: not the cursor's making, nor its rows, nor its end."""
    counted: Any = CountedQueue(connection._tx)
    connection._tx = counted

    async with connection.cursor() as cursor:
        await cursor.execute(COUNT, (FIRST_ROWS - 1,))
        rows = await cursor.fetchall()

    assert len(rows) == FIRST_ROWS - 1
    assert counted.waited_for == 1


async def test_a_short_transaction_goes_to_the_thread_for_its_statement_and_its_end(
    sqlite_service: SqliteDatabaseService,
) -> None:
    """BEGIN IMMEDIATE travels with the first statement."""
    await create_tables(sqlite_service)

    async with sqlite_service.session() as session:
        raw = await (await session.connection()).get_raw_connection()
        driver: Any = raw.driver_connection
        counted = driver._tx = CountedQueue(driver._tx)
        await session.execute(insert(Account).values(id=2, balance=7))
    driver._tx = counted.queue

    assert counted.waited_for == 2


@pytest.mark.parametrize("count", [0, 1, FIRST_ROWS - 1, FIRST_ROWS, FIRST_ROWS + 1, 3 * FIRST_ROWS])
async def test_rows_come_whole_and_in_order_however_they_are_fetched(connection: SqliteConnection, count: int) -> None:
    """One by one, some at a time, all at once and in a loop give the same rows."""
    expected = [(number,) for number in range(1, count + 1)]
    statement = COUNT if count else "SELECT ? WHERE 0"
    cursor = await connection.cursor()

    one_by_one, in_parts = [], []
    await cursor.execute(statement, (count,))
    while (row := await cursor.fetchone()) is not None:
        one_by_one.append(row)
    await cursor.execute(statement, (count,))
    while rows := await cursor.fetchmany(7):
        in_parts += rows
    await cursor.execute(statement, (count,))
    first = await cursor.fetchmany(3)
    at_once = first + await cursor.fetchall()
    await cursor.execute(statement, (count,))
    in_a_loop = [row async for row in cursor]
    await cursor.close()

    assert one_by_one == in_parts == at_once == in_a_loop == expected


async def test_a_stream_that_is_left_early_holds_up_nothing(sqlite_service: SqliteDatabaseService) -> None:
    """Its statement is let go before the transaction ends, and its connection serves on."""
    await create_tables(sqlite_service)
    async with sqlite_service.session() as session:
        await session.execute(insert(Account), [{"id": number, "balance": number} for number in range(2, 1000)])

    for read_only in (True, False):
        async with sqlite_service.session(read_only=read_only) as session:
            result = await session.stream_scalars(select(Account.id).order_by(Account.id))
            assert [await anext(result), await anext(result)] == [1, 2]
            await result.close()

    async with sqlite_service.session() as session:
        await session.execute(text("DROP TABLE conformance_entry"))


async def test_counts_and_ids_are_those_of_the_driver(connection: SqliteConnection) -> None:
    """`rowcount`, `lastrowid` and `description` are what sqlite3 says, for statements with rows and without."""
    cursor = connection.cursor()
    await cursor.execute("CREATE TABLE t (i INTEGER PRIMARY KEY)")

    await cursor.executemany("INSERT INTO t VALUES (?)", [(4,), (5,), (6,)])
    many = cursor.rowcount
    await cursor.execute("INSERT INTO t VALUES (?)", (9,))
    one = (cursor.rowcount, cursor.lastrowid, cursor.description)
    await cursor.execute("DELETE FROM t WHERE i < 6 RETURNING i AS gone")
    returned = await cursor.fetchall()

    assert (many, one) == (3, (1, 9, None))
    assert sorted(returned) == [(4,), (5,)]
    assert [column[0] for column in cursor.description] == ["gone"]


async def test_a_transaction_without_a_statement_takes_no_lock(sqlite_service: SqliteDatabaseService) -> None:
    """Who begins and does nothing holds up nobody, and the next transaction of its connection begins for itself."""
    await create_tables(sqlite_service)

    async with sqlite_service.session() as session:
        await session.connection()
    with anyio.fail_after(10):
        async with sqlite_service.session() as session:
            session.add(Account(id=2))

    async with sqlite_service.session(read_only=True) as session:
        assert await session.get(Account, 2) is not None
