"""How SQLite's statements reach the connection's thread, and how their rows come back."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from indiaai_core.errors import BackendUnavailable
from indiaai_db.sqlite import SqliteDatabaseService
from indiaai_db.sqlite.errand import Errand
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
        self.waited_for += isinstance(getattr(item[1], "__self__", item[0]), Errand | asyncio.Future)
        self.queue.put_nowait(item)


async def count_ways(session: AsyncSession) -> CountedQueue:
    """Begin to count the ways of a session's connection."""
    driver: Any = (await (await session.connection()).get_raw_connection()).driver_connection
    counted = driver._tx = CountedQueue(driver._tx)
    return counted


async def test_a_statement_and_all_of_its_rows_are_one_way_to_the_thread(sqlite_service: SqliteDatabaseService) -> None:
    """Nothing but the statement itself is waited for: not a cursor's making, its rows, its end, nor that of what only read."""
    async with sqlite_service.session(read_only=True) as session:
        counted = await count_ways(session)
        rows = (await (await session.connection()).exec_driver_sql(COUNT, (1000,))).all()

    assert len(rows) == 1000
    assert counted.waited_for == 1


async def test_a_short_transaction_goes_to_the_thread_for_its_statement_and_its_end(
    sqlite_service: SqliteDatabaseService,
) -> None:
    """BEGIN IMMEDIATE travels with the first statement."""
    await create_tables(sqlite_service)

    async with sqlite_service.session() as session:
        counted = await count_ways(session)
        await session.execute(insert(Account).values(id=2, balance=7))

    assert counted.waited_for == 2


@pytest.mark.parametrize("count", [0, 1, 99, 300])
async def test_rows_come_whole_and_in_order_however_they_are_fetched(sqlite_service: SqliteDatabaseService, count: int) -> None:
    """One by one, some at a time, all at once and in a loop give the same rows, and so does a stream."""
    statement = COUNT if count else "SELECT ? WHERE 0"
    expected = [(number,) for number in range(1, count + 1)]

    async with sqlite_service.session(read_only=True) as session:
        connection = await session.connection()
        results = [await connection.exec_driver_sql(statement, (count,)) for _ in range(4)]
        one_by_one = list(iter(results[0].fetchone, None))
        in_parts = [row for rows in iter(partial(results[1].fetchmany, 7), []) for row in rows]
        at_once = [*results[2].fetchmany(3), *results[2].fetchall()]
        in_a_loop = list(results[3])
        streaming = await connection.execution_options(yield_per=7)
        async with streaming.stream(text(statement.replace("?", ":n")), {"n": count}) as result:
            streamed = [row async for row in result]

    assert one_by_one == in_parts == at_once == in_a_loop == streamed == expected


async def test_other_tasks_have_their_turn_whatever_one_task_does(sqlite_service: SqliteDatabaseService) -> None:
    """Answers that are waited for in place keep nobody from the event loop for long, however many there are in a row."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as group:
        group.start_soon(count_turns)
        for _ in range(5000):
            async with sqlite_service.session(read_only=True) as session:
                await session.execute(text("SELECT 1"))
            if turns > 10:
                break
        group.cancel_scope.cancel()

    assert turns > 10


async def test_what_takes_long_is_not_waited_for_in_place(sqlite_service: SqliteDatabaseService) -> None:
    """While a statement goes on, other tasks do: here the one that lets it come to an end."""
    may_end = threading.Event()

    async with anyio.create_task_group() as group, sqlite_service.session(read_only=True) as session:
        driver: Any = (await (await session.connection()).get_raw_connection()).driver_connection
        await driver.create_function("wait", 0, lambda: may_end.wait(60))
        for _ in range(3):
            may_end.clear()
            group.start_soon(anyio.to_thread.run_sync, may_end.set)
            assert await session.scalar(text("SELECT wait()")) == 1


async def test_a_commit_that_is_refused_leaves_nothing_behind(sqlite_service: SqliteDatabaseService) -> None:
    """What only COMMIT finds wrong is said, undone and holds up nobody."""
    reference = "CREATE TABLE refers (id INTEGER REFERENCES conformance_account (id) DEFERRABLE INITIALLY DEFERRED)"
    await create_tables(sqlite_service)
    async with sqlite_service.session() as session:
        await session.execute(text(reference))

    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        async with sqlite_service.session() as session:
            await session.execute(text("INSERT INTO refers VALUES (99)"))

    async with sqlite_service.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM refers")) == 0


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


@pytest.mark.parametrize("more", ["INSERT INTO t VALUES (x'00')", "SELECT 1", None], ids=["writes", "reads", "ends"])
async def test_a_transaction_that_sqlite_undid_for_an_error_is_not_gone_on_with(
    sqlite_service: SqliteDatabaseService, more: str | None
) -> None:
    """A full disk undoes all of it: whoever goes on all the same is refused, and commits neither half."""
    async with sqlite_service.session() as session:
        await session.execute(text("CREATE TABLE t (b BLOB)"))

    async def go_on() -> None:
        async with sqlite_service.session() as session:
            await session.execute(text("PRAGMA max_page_count=50"))
            await session.execute(text("INSERT INTO t VALUES (x'00')"))
            with suppress(OperationalError):
                await session.execute(text("INSERT INTO t VALUES (zeroblob(1000000))"))
            if more:
                await session.execute(text(more))

    with pytest.raises(BackendUnavailable, match="undo"):
        await go_on()

    async with sqlite_service.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM t")) == 0


async def test_a_transaction_goes_on_after_an_error_that_undid_one_statement(sqlite_service: SqliteDatabaseService) -> None:
    """What a constraint refuses, the first statement too, is no end: the application may catch it and do something else."""
    await create_tables(sqlite_service)

    async with sqlite_service.session() as session:
        connection = await session.connection()
        with pytest.raises(IntegrityError):
            await connection.execute(insert(Account).values(id=1, balance=0))
        await connection.execute(insert(Account).values(id=2, balance=7))

    async with sqlite_service.session(read_only=True) as session:
        assert await session.get(Account, 2) is not None


async def test_counts_and_ids_are_those_of_the_driver(sqlite_service: SqliteDatabaseService) -> None:
    """`rowcount`, `lastrowid` and the names of columns are what sqlite3 says, for statements with rows and without."""
    async with sqlite_service.session() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("CREATE TABLE t (i INTEGER PRIMARY KEY)")

        many = await connection.exec_driver_sql("INSERT INTO t VALUES (?)", [(4,), (5,), (6,)])
        one = await connection.exec_driver_sql("INSERT INTO t VALUES (?)", (9,))
        returned = await connection.exec_driver_sql("DELETE FROM t WHERE i < 6 RETURNING i AS gone")

    assert (many.rowcount, one.rowcount, one.lastrowid, one.returns_rows) == (3, 1, 9, False)
    assert list(returned.keys()) == ["gone"]
    assert sorted(returned.all()) == [(4,), (5,)]


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
