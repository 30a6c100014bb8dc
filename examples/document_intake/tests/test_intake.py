"""What happens when a service fails in the middle: all of a document, or nothing of it, and nothing is forgotten."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from application import HOME
from sqlalchemy import select

import reader
from extraction import Content
from form import IncomingFile
from indiaai_core import BackendUnavailable, Platform, QueueFull, QueueService, StorageService, TaskState
from indiaai_db import DatabaseService, get_database_service, utc_now
from intake import receive, recover
from models import Document, DocumentState
from worker import worker

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture
async def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Platform]:
    """Return an open platform on the defaults, with its data in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    async with Platform() as platform:
        await get_database_service().upgrade(config=HOME / "alembic.ini")
        yield platform


class Sender:
    """A file that arrives, as `IncomingFile` gives it: some bytes, and perhaps a pause that never ends."""

    name = "letter.txt"
    declared_type = "text/plain"

    def __init__(self, *, hangs: bool = False) -> None:
        self.size = 0
        self._hangs = hangs

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.size += 5
        yield b"words"
        if self._hangs:
            await anyio.sleep_forever()


async def take_in(platform: Platform, sender: Sender | None = None) -> Document:
    """Send a file in, past HTTP."""
    storage, queue = platform.get_service("storage"), platform.get_service("queue")
    file = cast(IncomingFile, sender or Sender())
    return await receive(file, storage=storage, queue=queue, database=platform.get_service("database"))


async def what_is_left(platform: Platform) -> tuple[list[str], list[str], int]:
    """Return the states of all rows, the keys of all objects, and how many tasks are queued."""
    database: DatabaseService = platform.get_service("database")
    async with database.session(read_only=True) as session:
        states = [str(state) for state in await session.scalars(select(Document.state))]
    keys = [info.key async for info in platform.get_service("storage").list()]
    return states, keys, (await platform.get_service("queue").counts()).pending


def break_method(monkeypatch: pytest.MonkeyPatch, service: Any, name: str, error: BaseException) -> None:
    """Make a method of a service fail."""

    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(service, name, fail)


@pytest.mark.parametrize(
    ("layer", "method", "error"),
    [
        ("storage", "upload", BackendUnavailable("The store does not answer.")),
        ("queue", "enqueue", QueueFull("The queue is full.")),
        ("queue", "enqueue", BackendUnavailable("The queue does not answer.")),
    ],
)
async def test_a_service_that_fails_leaves_nothing_of_the_document(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, layer: str, method: str, error: Exception
) -> None:
    """The sender hears of the failure, and there is no row, no object and no task."""
    break_method(monkeypatch, platform.get_service(layer), method, error)

    with pytest.raises(type(error)):
        await take_in(platform)

    assert await what_is_left(platform) == ([], [], 0)


async def test_an_upload_that_is_cancelled_leaves_nothing(platform: Platform) -> None:
    """A cancellation in the middle of the file, a deadline's for example, undoes what was begun."""
    with anyio.move_on_after(0.2):
        await take_in(platform, Sender(hangs=True))

    assert await what_is_left(platform) == ([], [], 0)


async def test_what_could_not_be_undone_is_swept_later(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the storage is down, the row stays and tells; once it is back and the time is over, row and file go."""
    storage: StorageService = platform.get_service("storage")
    with monkeypatch.context() as outage:
        break_method(outage, platform.get_service("queue"), "enqueue", QueueFull("The queue is full."))
        break_method(outage, storage, "delete", BackendUnavailable("The store does not answer."))
        with pytest.raises(QueueFull):
            await take_in(platform)
    states, keys, _ = await what_is_left(platform)
    async with get_database_service().session() as session:
        document = (await session.scalars(select(Document))).one()
        document.state, document.created_at = DocumentState.RECEIVING, utc_now() - timedelta(days=1)

    await recover()

    assert (states, len(keys)) == (["pending"], 1)
    assert await what_is_left(platform) == ([], [], 0)


async def test_a_reader_that_dies_at_every_attempt_fails_the_document_after_the_last(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that may pass is tried three times, and then said."""

    async def die(*_: object) -> Content:
        raise RuntimeError("The process that was to read the file ended with status -11 and said nothing.")

    monkeypatch.setattr("worker.read_apart", die)
    document = await take_in(platform)

    queue: QueueService = platform.get_service("queue")
    with anyio.fail_after(20):
        async with worker.running():
            while not (status := await queue.get_status(str(document.task_id))).is_final:  # noqa: ASYNC110 - a queue gives no event
                await anyio.sleep(0.05)

    async with get_database_service().session(read_only=True) as session:
        found = await session.get_one(Document, document.id)
    assert (status.state, status.attempts) == (TaskState.FAILED, 3)
    assert found.state == DocumentState.FAILED
    assert "ended with status -11" in str(found.error)


async def test_a_document_whose_worker_was_killed_for_good_is_told_to_have_failed(platform: Platform) -> None:
    """What the queue gave up, and nobody was left to write down, the next round writes down."""
    document = await take_in(platform)
    queue: QueueService = platform.get_service("queue")
    task = await queue.dequeue()
    assert task is not None
    await queue.update_status(task, TaskState.FAILED, "The last attempt's lease ran out.")

    await recover()

    async with get_database_service().session(read_only=True) as session:
        found = await session.get_one(Document, document.id)
    assert (found.state, found.error) == (DocumentState.FAILED, "The last attempt's lease ran out.")


async def test_two_rounds_of_recovery_at_once_queue_a_document_once(platform: Platform) -> None:
    """Every process recovers at its start; however many do so together, there is one task."""
    document = await take_in(platform)
    await platform.get_service("queue").purge()

    async with anyio.create_task_group() as rounds:
        for _ in range(5):
            rounds.start_soon(recover)

    _, _, pending = await what_is_left(platform)
    assert pending == 1
    assert (await worker.drain())[0].result["words"] == 1
    async with get_database_service().session(read_only=True) as session:
        assert (await session.get_one(Document, document.id)).job_id == document.job_id


async def test_a_task_that_is_delivered_again_gives_the_same_result(platform: Platform) -> None:
    """At least once means sometimes twice: the second time finds the work done."""
    document = await take_in(platform)
    first = (await worker.drain())[0]
    data: Mapping[str, Any] = {"document_id": document.id}

    await platform.get_service("queue").enqueue("process", data)
    second = (await worker.drain())[0]

    assert first.result == second.result


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a file that can be waited for without end is a FIFO")
async def test_a_reader_is_ended_when_its_reading_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is left behind by a deadline or a stop."""
    started: list[Any] = []
    start = reader._start

    def start_and_remember(*arguments: Any) -> Any:
        started.append(start(*arguments))
        return started[-1]

    monkeypatch.setattr(reader, "_start", start_and_remember)
    endless = tmp_path / "endless"
    os.mkfifo(endless)

    with anyio.move_on_after(1):
        await reader.read_apart(endless, None, lambda _: anyio.lowlevel.checkpoint())

    assert started[0].returncode is not None
