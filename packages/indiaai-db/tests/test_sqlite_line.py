"""Those that wait for SQLite's lock stand in line, and whatever happens to the line, nobody waits for ever."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import update

from indiaai_db.sqlite import SqliteDatabaseService
from indiaai_db.sqlite.line import Line
from indiaai_db.testing.tables import Account, create_tables, read_balance

fcntl = pytest.importorskip("fcntl", reason="there is a line where the kernel has locks on files")

pytestmark = pytest.mark.anyio

STANDS_FIRST = "import fcntl, sys, time; fcntl.flock(open(sys.argv[1], 'a'), fcntl.LOCK_EX); print(flush=True); time.sleep(600)"


@pytest.fixture
def path(sqlite_path: Path) -> Path:
    """The path of the line."""
    return sqlite_path.with_name(f"{sqlite_path.name}-line")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep an SQLite file locked, as a program that knows of no line does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def standing_still(path: Path) -> Iterator[None]:
    """Stand first in the line and do nothing."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await anyio.sleep(0.01)


async def until_equal(expected: object, found: Callable[[], object]) -> None:
    """Wait until something is found."""
    await until(lambda: found() == expected)


def waiting(path: Path) -> int:
    """Return how many wait in the line, by what the kernel says."""
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sum("->" in lock and lock[6].endswith(f":{path.stat().st_ino}") for lock in locks)


def is_empty(path: Path) -> bool:
    """Return whether nobody stands in the line."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def line_threads() -> list[threading.Thread]:
    """Return the threads that stand in a line."""
    return [thread for thread in threading.enumerate() if thread.name == "indiaai-sqlite-line"]


async def add(service: SqliteDatabaseService) -> None:
    """Add one to the balance."""
    async with service.session() as session:
        await session.execute(update(Account).values(balance=Account.balance + 1))


async def test_nobody_who_need_not_wait_stands_in_line(
    sqlite_service: SqliteDatabaseService, sqlite_path: Path, path: Path
) -> None:
    """A process by itself makes no file and no thread for it, and who only reads never waits."""
    await create_tables(sqlite_service)
    await add(sqlite_service)
    with locked(sqlite_path):
        assert await read_balance(sqlite_service) == 1

    assert not path.exists()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="how many wait is asked of Linux")
async def test_who_comes_first_is_first(tmp_path: Path) -> None:
    """Those that wait are called in the order in which they came, each when the one before it leaves."""
    path, called = tmp_path / "line", list[int]()
    lines = [Line(path) for _ in range(4)]

    with standing_still(path):
        for number, line in enumerate(lines):
            line.wait(partial(called.append, number))
            await until_equal(number + 1, lambda: waiting(path))
        assert called == []
    for number, line in enumerate(lines):
        await until_equal([*range(number + 1)], lambda: called)
        line.close()

    await until_equal([], line_threads)


async def test_who_is_killed_has_left_the_line(tmp_path: Path) -> None:
    """The kernel takes the place of a process that ends, however it does."""
    path, called = tmp_path / "line", anyio.Event()
    line, loop = Line(path), asyncio.get_running_loop()
    async with await anyio.open_process([sys.executable, "-c", STANDS_FIRST, path]) as first:
        assert first.stdout is not None
        await first.stdout.receive()
        line.wait(partial(loop.call_soon_threadsafe, called.set))

        first.kill()

        with anyio.fail_after(30):
            await called.wait()
    line.close()


async def test_who_gave_up_is_not_first(tmp_path: Path) -> None:
    """One that stopped waiting is passed over, and is not called."""
    path, called = tmp_path / "line", list[int]()
    line = Line(path)
    with standing_still(path):
        line.wait(partial(called.append, 1))
        await until(lambda: line_threads() != [])
        assert line.give_up()

    await until(lambda: is_empty(path) and not line.is_waiting)
    line.close()
    assert called == []


async def test_who_writes_has_left_the_line(sqlite_service: SqliteDatabaseService, sqlite_path: Path, path: Path) -> None:
    """The next one may try while a transaction that had waited goes on."""
    await create_tables(sqlite_service)

    async def write() -> None:
        async with sqlite_service.session() as session:
            await session.execute(update(Account).values(balance=1))
            await until(lambda: is_empty(path))

    async with anyio.create_task_group() as group:
        with locked(sqlite_path):
            group.start_soon(write)
            await until(path.exists)


async def test_one_that_stands_still_keeps_nobody(sqlite_service: SqliteDatabaseService, sqlite_path: Path, path: Path) -> None:
    """Who waits also tries out of turn, so that a process that was stopped keeps nobody from writing."""
    await create_tables(sqlite_service)
    with standing_still(path), anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            with locked(sqlite_path):
                group.start_soon(add, sqlite_service)
                await until(lambda: line_threads() != [])

        assert await read_balance(sqlite_service) == 1


async def test_who_gives_up_leaves_the_line(sqlite_service: SqliteDatabaseService, sqlite_path: Path, path: Path) -> None:
    """A wait that is cancelled, first in line or behind another, keeps neither the place nor the lock."""
    await create_tables(sqlite_service)
    with locked(sqlite_path):
        for number in range(3):
            with anyio.move_on_after(0.05), standing_still(path) if number == 1 else nullcontext():
                await add(sqlite_service)
        await until(lambda: is_empty(path))

    with anyio.fail_after(30):
        await add(sqlite_service)
    assert await read_balance(sqlite_service) == 1
    await sqlite_service.aclose()
    await until(lambda: line_threads() == [])


async def test_without_a_line_all_try(sqlite_service: SqliteDatabaseService, sqlite_path: Path, path: Path) -> None:
    """Where its file cannot be made, a transaction waits and is committed all the same."""
    await create_tables(sqlite_service)
    path.mkdir()
    async with anyio.create_task_group() as group:
        with locked(sqlite_path):
            group.start_soon(add, sqlite_service)
            await until(lambda: line_threads() != [])

    assert await read_balance(sqlite_service) == 1
