"""Engines belong to event loops, which come and go; and the suite tells a good backend from a broken one."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from indiaai_db.sqlite import SqliteDatabaseService, SqliteSettings
from indiaai_db.testing.tables import create_tables, read_balance


def sqlite_threads() -> list[threading.Thread]:
    """Return the threads of open SQLite connections."""
    return [thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name]


def wait_for_threads() -> list[threading.Thread]:
    """Return the threads of SQLite connections that are still there after a while."""
    for thread in sqlite_threads():
        thread.join(5)
    return sqlite_threads()


def test_a_loop_that_ends_closes_its_own_connections(sqlite_path: Path) -> None:
    """A service that nobody closed leaves no thread and no warning behind when its loop ends, and serves the next loop."""
    service = SqliteDatabaseService(SqliteSettings(db_path=sqlite_path))

    asyncio.run(create_tables(service))
    left = wait_for_threads()
    balance = asyncio.run(read_balance(service))
    left += wait_for_threads()
    gc.collect()

    assert balance == 0
    assert left == []


def test_a_loop_that_was_closed_without_farewell_does_not_stop_the_next(sqlite_path: Path) -> None:
    """A loop that was simply closed is found dead: another one serves, and `aclose` ends what it left."""
    service = SqliteDatabaseService(SqliteSettings(db_path=sqlite_path))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(create_tables(service))
    loop.close()

    async def read_and_close() -> int | None:
        balance = await read_balance(service)
        await service.aclose()
        return balance

    assert asyncio.run(read_and_close()) == 0
    assert wait_for_threads() == []


@pytest.mark.anyio
async def test_aclose_closes_the_connections_of_other_threads_loops(sqlite_service: SqliteDatabaseService) -> None:
    """Closing from one loop closes what a loop that runs in another thread holds, too."""
    await create_tables(sqlite_service)
    read, closed = threading.Event(), anyio.Event()
    finish = threading.Event()

    async def other() -> None:
        await read_balance(sqlite_service)
        read.set()
        await anyio.to_thread.run_sync(finish.wait)

    async def run_other() -> None:
        await anyio.to_thread.run_sync(asyncio.run, other())
        closed.set()

    async with anyio.create_task_group() as group:
        group.start_soon(run_other)
        await anyio.to_thread.run_sync(read.wait)
        await sqlite_service.aclose()
        left = await anyio.to_thread.run_sync(wait_for_threads)
        finish.set()

    assert left == []
    assert closed.is_set()


@pytest.mark.anyio
async def test_a_service_serves_again_after_aclose(sqlite_service: SqliteDatabaseService) -> None:
    """A use after `aclose` opens anew, so that a late request is served and not refused."""
    await create_tables(sqlite_service)

    await sqlite_service.aclose()

    assert await read_balance(sqlite_service) == 0
