"""What the outbox promises: a task is delivered if and only if its transaction commits, on both dialects."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from typer.testing import CliRunner

from indiaai_core import BackendUnavailable, ConfigurationError, InvalidTask, Platform
from indiaai_core.queue import NewTask
from indiaai_db import Base, DatabaseService, ReadOnlySession
from indiaai_db.commands import build_commands
from indiaai_db.outbox import Outbox, OutboxMessage
from indiaai_db.outbox.message import OutboxLease
from indiaai_db.outbox.relay import BATCH
from indiaai_db.sqlite import SqliteDatabaseService, SqliteSettings
from indiaai_db.testing.tables import Account, Tables
from indiaai_queue_memory import MemoryQueueService
from relaying import relay_in_process, relay_until_taken, write_until_killed
from writing import start

pytestmark = pytest.mark.anyio

OUTBOX = Outbox(poll_seconds=0.05)


class FailingQueue(MemoryQueueService):
    """A queue that does not answer until it is told to, and tells what it was given."""

    def __init__(self) -> None:
        """Begin without an answer."""
        super().__init__()
        self.is_down = True
        self.given: list[int] = []

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Refuse, or take."""
        if self.is_down:
            raise BackendUnavailable("The queue is down.")
        batch = list(tasks)
        ids = await super().enqueue_many(batch)
        self.given += [task.data["i"] for task in batch]
        return ids


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await anyio.sleep(0.01)


async def create_tables(service: DatabaseService) -> None:
    """Make the outbox's tables."""
    tables = [Base.metadata.tables[model.__tablename__] for model in (OutboxMessage, OutboxLease)]
    async with service.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all, tables=tables)


@pytest.fixture(params=["sqlite", "postgresql"])
def variables(request: pytest.FixtureRequest, sqlite_path: Path) -> dict[str, str]:
    """What selects an empty database of each dialect."""
    if request.param == "sqlite":
        return {"DATABASE_TYPE": "sqlite", "SQLITE_DB_PATH": str(sqlite_path)}
    return {"DATABASE_TYPE": "postgresql", "DATABASE_URL": request.getfixturevalue("postgresql_url")}


@pytest.fixture
def closed_database(variables: dict[str, str]) -> DatabaseService:
    """A service on an empty database, on each dialect."""
    return cast(DatabaseService, Platform(variables).get_service("database"))


@pytest.fixture
async def database(closed_database: DatabaseService) -> AsyncIterator[DatabaseService]:
    """An open service with an outbox."""
    async with closed_database:
        await create_tables(closed_database)
        yield closed_database


@pytest.fixture
async def queue() -> AsyncIterator[FailingQueue]:
    """A queue of this process that answers."""
    async with FailingQueue() as service:
        service.is_down = False
        yield service


async def write(database: DatabaseService, *numbers: int) -> None:
    """Commit a message for each number, all in one transaction."""
    async with database.session() as session:
        for number in numbers:
            await OUTBOX.enqueue(session, "count", {"i": number})


async def test_a_committed_task_reaches_the_queue_as_it_was_written(database: DatabaseService, queue: FailingQueue) -> None:
    """Name, data in any script, priority, attempts and dedupe key travel."""
    async with database.session() as session:
        await OUTBOX.enqueue(session, "mail", {"i": 1, "नाम": "बिल"}, priority=7, max_attempts=3, dedupe_key="बिल-1")

    assert await OUTBOX.relay_once(database=database, queue=queue) == 1

    task = await queue.dequeue()
    assert task is not None
    assert (task.name, task.data, task.priority) == ("mail", {"i": 1, "नाम": "बिल"}, 7)
    assert (task.max_attempts, task.dedupe_key) == (3, "बिल-1")
    assert await OUTBOX.relay_once(database=database, queue=queue) == 0


async def test_a_task_of_a_transaction_that_fails_is_never_delivered(database: DatabaseService, queue: FailingQueue) -> None:
    """What rolls the transaction back takes the task with it."""

    async def fail() -> None:
        async with database.session() as session:
            await OUTBOX.enqueue(session, "count", {"i": 1})
            raise LookupError("mine")

    with pytest.raises(LookupError):
        await fail()

    assert await OUTBOX.relay_once(database=database, queue=queue) == 0
    assert queue.given == []


async def test_a_savepoint_that_is_rolled_back_takes_its_tasks_with_it(database: DatabaseService, queue: FailingQueue) -> None:
    """And no others, whatever it is within."""
    async with database.session() as session:
        await OUTBOX.enqueue(session, "count", {"i": 1})
        async with session.begin_nested():
            await OUTBOX.enqueue(session, "count", {"i": 2})
            undone = await session.begin_nested()
            await OUTBOX.enqueue(session, "count", {"i": 3})
            await undone.rollback()

    assert await OUTBOX.relay_once(database=database, queue=queue) == 2
    assert queue.given == [1, 2]


async def test_an_open_transactions_task_is_not_delivered_yet(database: DatabaseService, queue: FailingQueue) -> None:
    """Nobody takes it before the commit."""
    async with database.session() as session:
        await OUTBOX.enqueue(session, "count", {"i": 1})
        async with database.session(read_only=True) as other:
            seen = (await other.scalars(select(OutboxMessage.id))).all()

    assert seen == []
    assert await OUTBOX.relay_once(database=database, queue=queue) == 1


async def test_a_delay_is_counted_from_when_it_was_written(database: DatabaseService, queue: FailingQueue) -> None:
    """A relay that comes late does not make the task wait again."""
    async with database.session() as session:
        await OUTBOX.enqueue(session, "count", {"i": 1}, delay=3600)
        await OUTBOX.enqueue(session, "count", {"i": 2}, delay=0.001)
    await anyio.sleep(0.01)

    await OUTBOX.relay_once(database=database, queue=queue)

    counts = await queue.counts()
    assert (counts.pending, counts.delayed) == (1, 1)


async def test_more_than_a_batch_arrives_in_order(database: DatabaseService, queue: FailingQueue) -> None:
    """Tasks arrive in the order in which they were written."""
    numbers = list(range(2 * BATCH + 10))
    await write(database, *numbers[:BATCH])
    await write(database, *numbers[BATCH:])

    count = await OUTBOX.relay_once(database=database, queue=queue)

    assert count == len(numbers)
    assert queue.given == numbers


async def test_a_commit_wakes_the_relay_of_its_process(database: DatabaseService, queue: FailingQueue) -> None:
    """Nobody waits for the next look."""
    slow = Outbox(poll_seconds=3600)
    async with slow.relaying(database=database, queue=queue):
        await anyio.sleep(0.1)  # the relay has looked once and sleeps
        async with database.session() as session:
            await slow.enqueue(session, "count", {"i": 1})

        with anyio.fail_after(10):
            task = await queue.dequeue(timeout=10)

    assert task is not None


async def test_what_another_process_wrote_is_found_by_looking(database: DatabaseService, queue: FailingQueue) -> None:
    """A relay that nobody wakes looks by itself."""
    async with Outbox(poll_seconds=0.05).relaying(database=database, queue=queue):
        await write(database, 1)

        with anyio.fail_after(10):
            assert await queue.dequeue(timeout=10) is not None


async def test_several_relays_keep_the_order_and_double_nothing(database: DatabaseService, queue: FailingQueue) -> None:
    """One is at work at a time."""
    async with asyncio.TaskGroup() as group:
        relays = [group.create_task(OUTBOX.run(database=database, queue=queue)) for _ in range(4)]
        for first in range(0, 100, 10):
            await write(database, *range(first, first + 10))
        await until(lambda: len(queue.given) >= 100)
        for relay in relays:
            relay.cancel()

    assert queue.given == list(range(100))


async def test_an_outage_of_the_queue_loses_nothing_and_is_said_once(
    database: DatabaseService, queue: FailingQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """The relay tries again until the queue answers."""
    caplog.set_level(logging.WARNING, "indiaai.outbox")
    queue.is_down = True
    async with OUTBOX.relaying(database=database, queue=queue):
        await write(database, 1)
        await anyio.sleep(1)
        queue.is_down = False

        with anyio.fail_after(20):
            assert await queue.dequeue(timeout=20) is not None
        await until(lambda: len(caplog.messages) >= 2)

    assert "cannot be relayed now" in caplog.messages[0]
    assert "relayed again" in caplog.messages[1]


async def test_a_relay_that_died_is_followed_by_another(
    database: DatabaseService, queue: FailingQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease runs out, and what it had not noted is handed over again under the same key."""
    await write(database, 1)
    monkeypatch.setattr("indiaai_db.outbox.relay.LEASE_SECONDS", 0.5)
    relay = OUTBOX._relay(database, queue)
    await relay._hand_over(await relay._take())  # and dies here

    assert await OUTBOX.relay_once(database=database, queue=queue) == 0
    await relay_until_taken(database, queue)

    assert queue.given == [1, 1]
    assert (await queue.counts()).pending == 1


async def test_a_task_that_the_queue_refuses_is_kept_and_holds_up_nobody(
    database: DatabaseService, queue: FailingQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays with the reason, and those behind it go on."""
    await write(database, 1, 2, 3)
    async with database.session() as session:
        await session.execute(update(OutboxMessage).where(OutboxMessage.data == '{"i":2}').values(priority=9999))

    assert await OUTBOX.relay_once(database=database, queue=queue) == 2

    assert queue.given == [1, 3]
    assert "will never take" in caplog.text
    async with database.session(read_only=True) as session:
        kept = (await session.scalars(select(OutboxMessage))).one()
    assert "priority" in (kept.error or "")


async def test_a_bad_task_is_refused_at_once(database: DatabaseService, queue: FailingQueue) -> None:
    """The caller hears of it, and what else the transaction does is untouched."""
    async with database.session() as session:
        await OUTBOX.enqueue(session, "count", {"i": 1})
        with pytest.raises(InvalidTask):
            await OUTBOX.enqueue(session, "count", {"i": float("nan")})
        with pytest.raises(InvalidTask):
            await OUTBOX.enqueue(session, "")

    assert await OUTBOX.relay_once(database=database, queue=queue) == 1


async def test_a_read_only_session_takes_no_task(database: DatabaseService) -> None:
    """As it takes nothing else."""
    with pytest.raises(ReadOnlySession):
        async with database.session(read_only=True) as session:
            await OUTBOX.enqueue(session, "count")


async def test_missing_tables_are_named_with_the_remedy(database: DatabaseService) -> None:
    """Who forgot the migration hears how to write it."""
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.tables[OutboxMessage.__tablename__].drop)

    with pytest.raises(ConfigurationError, match="indiaai db revision"):
        async with database.session() as session:
            await OUTBOX.enqueue(session, "count")


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
async def test_a_senseless_poll_is_refused(seconds: float) -> None:
    """A relay that never looks, or always, is none."""
    with pytest.raises(ValueError, match="poll_seconds"):
        Outbox(poll_seconds=seconds)


async def test_tasks_of_one_key_arrive_in_the_order_of_their_transactions(
    database: DatabaseService, queue: FailingQueue
) -> None:
    """Transactions that follow each other on a row hand their tasks over in that order, however many run at once."""
    keys, times = (1, 2), 8
    async with database.engine.begin() as connection:
        await connection.run_sync(Tables.metadata.create_all)
    async with database.session() as session:
        session.add_all(Account(id=key) for key in keys)

    async def advance(key: int) -> None:
        async def work(session: AsyncSession) -> None:
            account = await session.get_one(Account, key)
            account.balance += 1
            await OUTBOX.enqueue(session, "count", {"i": 1000 * key + account.balance})

        await database.run(work)

    async with asyncio.TaskGroup() as group, OUTBOX.relaying(database=database, queue=queue):
        for _ in range(times):
            for key in keys:
                group.create_task(advance(key))
        await until(lambda: len(queue.given) >= len(keys) * times)

    for key in keys:
        assert [i for i in queue.given if i // 1000 == key] == [1000 * key + number for number in range(1, times + 1)]


async def test_a_task_whose_transaction_overlapped_a_faster_one_is_not_passed_over(
    database: DatabaseService, queue: FailingQueue
) -> None:
    """What was written first and committed last is handed over too; on SQLite the other transaction waits for it."""
    relay = OUTBOX._relay(database, queue)
    written, may_commit = asyncio.Event(), asyncio.Event()

    async def write_slowly() -> None:
        async with database.session() as session:
            await OUTBOX.enqueue(session, "count", {"i": 1})
            written.set()
            await may_commit.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(write_slowly())
        await written.wait()
        faster = group.create_task(write(database, 2))
        if database.dialect_name == "postgresql":
            await faster
        taken_meanwhile = await relay.empty()
        may_commit.set()
    await relay.empty()

    order = {"postgresql": (1, [2, 1]), "sqlite": (0, [1, 2])}
    assert (taken_meanwhile, queue.given) == order[database.dialect_name]


async def test_a_relay_that_is_killed_loses_nothing(
    database: DatabaseService, variables: dict[str, str], tmp_path: Path
) -> None:
    """Killed again and again between handing over and noting it, every committed task arrives, none of the others, in order."""
    given = tmp_path / "given"
    for first in range(0, 100, 10):
        await write(database, *range(first, first + 10))

    codes = [await anyio.to_thread.run_sync(relay_in_process, variables, given, dies) for dies in (True, True, True, False)]

    arrived = [json.loads(line) for line in given.read_text().splitlines()]
    assert codes == [-signal.SIGKILL] * 3 + [0]
    assert list(dict.fromkeys(arrived)) == list(range(100))
    assert len(arrived) <= 100 + 3 * BATCH


async def test_a_writer_that_is_killed_leaves_the_tasks_of_what_it_committed_and_no_others(
    database: DatabaseService, variables: dict[str, str], queue: FailingQueue, tmp_path: Path
) -> None:
    """Every acknowledged commit's task arrives, at most one more of each kill, and none that was rolled back."""
    noted, kills = tmp_path / "noted", 3
    for number in range(kills):
        process = start(write_until_killed, variables, noted, 10_000 * number)
        await anyio.to_thread.run_sync(wait_for_lines, noted, 10 * (number + 1))
        process.kill()
        await anyio.to_thread.run_sync(process.join, 60)

    await OUTBOX.relay_once(database=database, queue=queue)

    acknowledged = {int(line) for line in noted.read_text().split()}
    assert len(acknowledged) >= 10 * kills
    assert acknowledged <= set(queue.given)
    assert len(queue.given) <= len(acknowledged) + kills
    assert [number for number in queue.given if number % 2] == []


async def test_the_command_refuses_a_queue_of_one_process() -> None:
    """A relay of its own beside a queue in memory would fill a queue that nobody sees."""
    result = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(build_commands(), ["relay"]))

    assert result.exit_code == 1
    assert "lifespan" in result.output


def test_the_command_relays_until_it_is_stopped(sqlite_path: Path, tmp_path: Path) -> None:
    """`indiaai db relay` is a process that takes tasks over and ends well at SIGTERM."""
    asyncio.run(fill(sqlite_path, 5))
    given = tmp_path / "given"
    command = [sys.executable, "-m", "relaying", str(sqlite_path), str(given)]

    with subprocess.Popen(command, cwd=Path(__file__).parent) as process:
        wait_for_lines(given, 5)
        process.terminate()
        code = process.wait(20)

    assert code == 0
    assert given.read_text().split() == ["0", "1", "2", "3", "4"]


async def fill(path: Path, count: int) -> None:
    """Make a database with an outbox and so many tasks in it."""
    async with SqliteDatabaseService(SqliteSettings(db_path=path)) as database:
        await create_tables(database)
        await write(database, *range(count))


def wait_for_lines(path: Path, count: int) -> None:
    """Wait until another process has written so many lines."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (path.exists() and len(path.read_text().split()) >= count):
        time.sleep(0.01)
