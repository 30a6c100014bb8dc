"""What the backend `sqlite` promises beyond the contract: several processes, kills, cancellations and wrong paths."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import text, update

from indiaai_core import BackendUnavailable, ConfigurationError, InvalidSettings, Platform
from indiaai_db import TransactionConflict
from indiaai_db.sqlite import SqliteDatabaseService, SqliteSettings
from indiaai_db.testing.tables import Account, create_tables, read_balance
from writing import add, add_in_process, add_until_killed, start, write_with_little_room

pytestmark = pytest.mark.anyio

ENDLESS = text("WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r")


async def end_of(process: BaseProcess) -> int | None:
    """Wait for a process, and return its exit code."""
    await anyio.to_thread.run_sync(process.join, 60)
    return process.exitcode


def wait_for_size(path: Path, size: int) -> None:
    """Wait until another process has written so much."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (path.exists() and path.stat().st_size >= size):
        time.sleep(0.001)


async def test_eight_writing_processes_lose_nothing_and_see_no_lock(
    sqlite_service: SqliteDatabaseService, sqlite_path: Path
) -> None:
    """Eight processes that read, change and write one row at once lose no update, and none hears of a lock."""
    await create_tables(sqlite_service)

    processes = [start(add_in_process, sqlite_path, 100) for _ in range(8)]
    codes = [await end_of(process) for process in processes]

    assert codes == [0] * 8
    assert await read_balance(sqlite_service) == 800


async def test_acknowledged_commits_survive_kill_9(
    sqlite_service: SqliteDatabaseService, sqlite_path: Path, tmp_path: Path
) -> None:
    """Every addition that a process heard of before it was killed is there, at most one more, and the file is whole."""
    await create_tables(sqlite_service)
    acknowledgements = tmp_path / "acknowledged"
    kills = 4

    for number in range(kills):
        process = start(add_until_killed, sqlite_path, acknowledgements)
        await anyio.to_thread.run_sync(wait_for_size, acknowledgements, 25 * (number + 1))
        process.kill()
        await end_of(process)

    balance = await read_balance(sqlite_service)
    assert balance is not None
    assert 0 <= balance - acknowledgements.stat().st_size <= kills
    async with sqlite_service.session(read_only=True) as session:
        assert await session.scalar(text("PRAGMA integrity_check")) == "ok"


async def test_connections_are_set_up_for_several_processes(sqlite_service: SqliteDatabaseService) -> None:
    """Both kinds use WAL, foreign keys, a busy timeout, synchronous NORMAL and full syncs; readers refuse writes."""
    pragmas = ("journal_mode", "foreign_keys", "busy_timeout", "synchronous", "fullfsync", "query_only")

    found = {}
    for read_only in (False, True):
        async with sqlite_service.session(read_only=read_only) as session:
            found[read_only] = [await session.scalar(text(f"PRAGMA {name}")) for name in pragmas]

    assert found == {False: ["wal", 1, 5000, 1, 1, 0], True: ["wal", 1, 5000, 1, 1, 1]}


async def test_synchronous_full_is_a_setting(sqlite_path: Path) -> None:
    """`SQLITE_SYNCHRONOUS=FULL` reaches the connections."""
    settings = SqliteSettings(db_path=sqlite_path, synchronous="FULL")

    async with SqliteDatabaseService(settings) as service, service.session() as session:
        synchronous = await session.scalar(text("PRAGMA synchronous"))

    assert synchronous == 2


async def test_nothing_is_made_before_the_first_use(sqlite_path: Path) -> None:
    """Making a service touches no disk; its first use makes the folder and the file."""
    service = SqliteDatabaseService(SqliteSettings(db_path=sqlite_path))
    existed = sqlite_path.parent.exists()

    await service.check()
    await service.aclose()

    assert not existed
    assert sqlite_path.is_file()


async def test_a_later_change_of_folder_does_not_move_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the folder that was the working one when the service was made."""
    service = SqliteDatabaseService(SqliteSettings(db_path=Path("here.db")))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    async with service:
        await service.check()

    assert (tmp_path / "here.db").is_file()


async def test_a_folder_as_path_is_a_configuration_error(tmp_path: Path) -> None:
    """A path that is a folder is an error that names SQLITE_DB_PATH."""
    service = SqliteDatabaseService(SqliteSettings(db_path=tmp_path))

    with pytest.raises(ConfigurationError, match=r"SQLITE_DB_PATH=.*it is a folder"):
        await service.check()
    await service.aclose()


async def test_a_path_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    """A path below a file is an error that names SQLITE_DB_PATH, also from within a session."""
    (tmp_path / "file").write_text("in the way")
    service = SqliteDatabaseService(SqliteSettings(db_path=tmp_path / "file" / "data.db"))

    with pytest.raises(ConfigurationError, match="SQLITE_DB_PATH") as raised:
        async with service.session() as session:
            await session.execute(text("SELECT 1"))
    await service.aclose()

    assert raised.value.faults[0].variable == "SQLITE_DB_PATH"


async def test_a_file_that_is_no_database_is_a_configuration_error(sqlite_path: Path) -> None:
    """Somebody else's file is refused and left as it is."""
    sqlite_path.parent.mkdir()
    sqlite_path.write_text("my diary, " * 200)
    service = SqliteDatabaseService(SqliteSettings(db_path=sqlite_path))

    with pytest.raises(ConfigurationError, match="no SQLite database"):
        await service.check()
    await service.aclose()

    assert sqlite_path.read_text().startswith("my diary")


@pytest.mark.parametrize("path", [":memory:", "file::memory:?cache=shared", "sqlite:///data.db"])
async def test_a_database_in_memory_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no path of a file is an error at start that says what to take instead."""
    monkeypatch.setenv("SQLITE_DB_PATH", path)

    with pytest.raises(InvalidSettings, match="path of a file"):
        SqliteSettings()


async def test_the_platform_serves_sqlite_without_any_setting(tmp_path: Path) -> None:
    """With no variable set, a platform opens SQLite at ./data/indiaai.db."""
    async with Platform() as platform:
        assert isinstance(platform.get_service("database"), SqliteDatabaseService)

    assert (tmp_path / "data" / "indiaai.db").is_file()


async def test_a_cancelled_statement_frees_the_lock_at_once(sqlite_service: SqliteDatabaseService) -> None:
    """A statement that would run for ever and is cancelled is interrupted: the next writer does not wait for it."""
    await create_tables(sqlite_service)

    async def run_for_ever() -> None:
        async with sqlite_service.session() as session:
            await session.execute(update(Account).values(balance=9))
            await session.execute(ENDLESS)

    for _ in range(2):
        with anyio.move_on_after(0.1):
            await run_for_ever()
        task = asyncio.create_task(run_for_ever())
        await asyncio.wait([task], timeout=0.1)
        task.cancel()
        await asyncio.wait([task])

    with anyio.fail_after(20):
        async with sqlite_service.session() as session:
            await session.execute(update(Account).values(balance=Account.balance + 1))
    assert await read_balance(sqlite_service) == 1


async def test_a_cancelled_wait_for_the_lock_leaves_nothing(sqlite_service: SqliteDatabaseService, sqlite_path: Path) -> None:
    """Who stops waiting for another process's transaction neither gets the lock later nor loses a connection."""
    await create_tables(sqlite_service)
    other = sqlite3.connect(sqlite_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    for _ in range(5):
        with anyio.move_on_after(0.02):
            async with sqlite_service.session() as session:
                await session.execute(update(Account).values(balance=9))
    other.execute("ROLLBACK")
    other.close()

    with anyio.fail_after(20):
        async with sqlite_service.session() as session:
            await session.execute(update(Account).values(balance=Account.balance + 1))
    assert await read_balance(sqlite_service) == 1


async def test_a_database_that_stays_locked_is_a_conflict(sqlite_path: Path) -> None:
    """After the busy timeout a session says that another one held the lock, and how long it waited; readers go on."""
    async with SqliteDatabaseService(SqliteSettings(db_path=sqlite_path, busy_timeout_seconds=0.2)) as service:
        await create_tables(service)
        other = sqlite3.connect(sqlite_path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        started = time.monotonic()
        with pytest.raises(TransactionConflict, match=r"locked for 0\.2 s"):
            async with service.session() as session:
                await session.execute(update(Account).values(balance=9))
        waited = time.monotonic() - started
        balance = await read_balance(service)
        other.close()

    assert 0.2 <= waited < 2
    assert balance == 0


async def test_a_migration_waits_longer_than_a_session(sqlite_path: Path) -> None:
    """Another instance may migrate for minutes, whatever the busy timeout says."""
    async with SqliteDatabaseService(SqliteSettings(db_path=sqlite_path, busy_timeout_seconds=0.1)) as service:
        await create_tables(service)
        other = sqlite3.connect(sqlite_path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.5, other.execute, ["COMMIT"])
        release.start()

        await service.migrate(lambda connection: connection.execute(update(Account).values(balance=3)))

        assert not other.in_transaction
        release.join()
        other.close()


async def test_the_log_is_cut_back_after_a_large_transaction(
    sqlite_service: SqliteDatabaseService, sqlite_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one transaction needed of the disk is not kept for ever."""
    monkeypatch.setattr("indiaai_db.sqlite.connection.WAL_SIZE_LIMIT_BYTES", 64 * 1024)
    await create_tables(sqlite_service)
    async with sqlite_service.session() as session:
        await session.execute(text("CREATE TABLE large AS SELECT randomblob(8000000) AS content"))
    log = sqlite_path.with_name(f"{sqlite_path.name}-wal")
    largest = log.stat().st_size

    async with sqlite_service.session() as session:
        await session.execute(update(Account).values(balance=1))

    assert largest > 8_000_000
    assert log.stat().st_size <= 64 * 1024


async def test_a_session_within_a_session_is_told_why_it_waits(sqlite_path: Path) -> None:
    """A writing session opened within another one would wait for itself: it ends with an error that says so."""
    async with SqliteDatabaseService(SqliteSettings(db_path=sqlite_path, busy_timeout_seconds=0.2)) as service:
        await create_tables(service)

        async with service.session() as outer:
            await outer.execute(update(Account).values(balance=1))
            with pytest.raises(TransactionConflict, match="within another one"):
                async with service.session() as inner:
                    await inner.execute(update(Account).values(balance=2))

        assert await read_balance(service) == 1


async def test_a_slow_statement_does_not_hold_up_the_event_loop(sqlite_service: SqliteDatabaseService) -> None:
    """While a statement runs for a second, other tasks are not held up by it."""
    await create_tables(sqlite_service)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await anyio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        with anyio.move_on_after(1):
            async with sqlite_service.session() as session:
                await session.execute(ENDLESS)
        group.cancel_scope.cancel()

    assert 0 < longest < 0.5  # the interpreter's lock and the other processes of the machine, not the statement's second


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
async def test_a_forked_process_gets_connections_of_its_own(sqlite_service: SqliteDatabaseService) -> None:
    """A child uses the service beside its parent, and no update of either is lost."""
    await create_tables(sqlite_service)

    codes = await _fork_and_add(sqlite_service)

    assert codes == [0, 0]
    assert await read_balance(sqlite_service) == 150


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
async def test_a_process_forked_within_a_transaction_says_so(sqlite_service: SqliteDatabaseService) -> None:
    """A child of a parent with an open transaction refuses to serve, in place of waiting for a lock that never ends."""
    await create_tables(sqlite_service)

    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(sqlite_service.session())
        await session.execute(update(Account).values(balance=Account.balance))
        pid = _fork(sqlite_service, 1)
        code = os.waitstatus_to_exitcode((await anyio.to_thread.run_sync(os.waitpid, pid, 0))[1])

    assert code == 3


async def _fork_and_add(service: SqliteDatabaseService) -> list[int]:
    pids = [_fork(service, 50) for _ in range(2)]
    await add(service, 50)
    return [os.waitstatus_to_exitcode((await anyio.to_thread.run_sync(os.waitpid, pid, 0))[1]) for pid in pids]


def _fork(service: SqliteDatabaseService, times: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1

    def work() -> None:
        nonlocal code
        try:
            asyncio.run(add(service, times))
            code = 0
        except ConfigurationError:
            code = 3

    thread = threading.Thread(target=work)  # this thread's event loop is the parent's
    thread.start()
    thread.join()
    os._exit(code)


async def test_a_full_disk_is_an_unavailable_backend(sqlite_service: SqliteDatabaseService) -> None:
    """When nothing more can be written the session says that the database cannot be used now, and the rest goes on."""
    await create_tables(sqlite_service)

    async def fill() -> None:
        async with sqlite_service.session() as session:
            pages = await session.scalar(text("PRAGMA page_count"))
            await session.execute(text(f"PRAGMA max_page_count={pages}"))
            await session.execute(text("CREATE TABLE big AS SELECT randomblob(1000000)"))

    with pytest.raises(BackendUnavailable, match="full"):
        await fill()

    assert await read_balance(sqlite_service) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's length")
@pytest.mark.parametrize(("filled_bytes", "limit_bytes"), [(0, 300_000), (5_000_000, 5_300_000)], ids=["log", "checkpoint"])
async def test_where_no_file_can_grow_nothing_acknowledged_is_lost(
    sqlite_service: SqliteDatabaseService, sqlite_path: Path, tmp_path: Path, filled_bytes: int, limit_bytes: int
) -> None:
    """Also where a checkpoint finds no room: what is refused is not there, reads go on, and so do writes once there is room."""
    async with sqlite_service.session() as session:
        await session.execute(text("CREATE TABLE numbers (number INTEGER PRIMARY KEY, filling BLOB)"))
        await session.execute(text("INSERT INTO numbers VALUES (-1, zeroblob(:size))"), {"size": filled_bytes})
    await sqlite_service.aclose()

    code = await end_of(start(write_with_little_room, sqlite_path, limit_bytes, tmp_path / "said"))

    said = json.loads((tmp_path / "said").read_text())
    async with sqlite_service.session(read_only=True) as session:
        present = [*await session.scalars(text("SELECT number FROM numbers WHERE number >= 0 ORDER BY number"))]
        health = await session.scalar(text("PRAGMA integrity_check"))
    assert (code, health) == (0, "ok")
    assert [size == limit_bytes for size in said["sizes"]] == [filled_bytes > 0, True]
    assert {error.partition(" cannot be used now")[0] for error in said["errors"]} == {
        f"BackendUnavailable: The SQLite database {sqlite_path}"
    }
    assert present == said["committed"] == [*said["read"], 100]
    assert len(said["committed"]) + len(said["errors"]) == 101


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets nobody delete or replace a file that is in use")
@pytest.mark.parametrize("is_replaced", [False, True])
async def test_nothing_is_committed_to_a_file_that_has_lost_its_name(
    sqlite_service: SqliteDatabaseService, sqlite_path: Path, *, is_replaced: bool
) -> None:
    """A file that is deleted or replaced in use is written no more, nor made anew; it serves again once it is back."""
    await create_tables(sqlite_service)
    away = sqlite_path.with_name("away")
    sqlite_path.rename(away)
    if is_replaced:
        sqlite_path.touch()

    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="replaced" if is_replaced else "deleted"):
            await add(sqlite_service, 1)
        with pytest.raises(BackendUnavailable, match="in use"):
            await read_balance(sqlite_service)
        with pytest.raises(BackendUnavailable, match="in use"):
            await sqlite_service.check()
    assert sqlite_path.exists() == is_replaced
    assert not is_replaced or sqlite_path.stat().st_size == 0

    away.replace(sqlite_path)
    await add(sqlite_service, 1)
    assert await read_balance(sqlite_service) == 1


@contextmanager
def closed_to_us(folder: Path) -> Iterator[None]:
    """Let nobody into a folder for the time of a block, nor be root, whom no permission stops."""
    is_root = os.geteuid() == 0
    folder.chmod(0)
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="a folder is closed otherwise there")
async def test_a_file_that_cannot_be_looked_at_is_not_called_deleted(
    sqlite_service: SqliteDatabaseService, sqlite_path: Path
) -> None:
    """Where its folder may not be entered any more the reason is said, nothing is written, and it serves again after that."""
    await create_tables(sqlite_service)
    await add(sqlite_service, 1)

    for work in (partial(add, sqlite_service, 1), partial(read_balance, sqlite_service), sqlite_service.check):
        with pytest.raises(BackendUnavailable, match="looked at: Permission denied"), closed_to_us(sqlite_path.parent):
            await work()

    assert await read_balance(sqlite_service) == 1
    await add(sqlite_service, 1)
    assert await read_balance(sqlite_service) == 2


async def test_a_closed_service_may_begin_with_another_file(sqlite_service: SqliteDatabaseService, sqlite_path: Path) -> None:
    """What is deleted when nothing is open is made anew, as by a process that starts."""
    await create_tables(sqlite_service)
    await sqlite_service.aclose()
    sqlite_path.unlink()

    await create_tables(sqlite_service)

    assert await read_balance(sqlite_service) == 0


async def test_a_damaged_file_is_an_unavailable_backend(sqlite_service: SqliteDatabaseService, sqlite_path: Path) -> None:
    """Where a page is no page any more, the session says that the database is damaged, and what to do."""
    await create_tables(sqlite_service)
    await sqlite_service.aclose()
    with sqlite_path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (sqlite_path.stat().st_size - 4096))

    with pytest.raises(BackendUnavailable, match=r"damaged: .* from a backup"):
        await read_balance(sqlite_service)
