"""What an earlier release stored is read by today's: objects in a folder, tasks in Redis, rows and a history in SQLite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version
from sqlalchemy import select

from indiaai_core import Platform, QueueService, Task, get_queue_service
from indiaai_db import get_database_service
from indiaai_db.outbox import Outbox
from indiaai_queue_redis import RedisQueueService
from indiaai_storage_local import LocalStorageService
from kept import BILL, BODY, METADATA, OBJECTS, Bill, load, redis_server

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent
KEPT = sorted(FOLDER.glob("data-*.zip"), key=lambda path: Version(path.stem.partition("-")[2]))


@pytest.fixture(params=KEPT, ids=lambda path: path.name)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a folder with what one release stored."""
    with zipfile.ZipFile(request.param) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "storage" / "secret").chmod(0o600)  # which an archive does not keep
    return tmp_path


def test_what_each_release_stored_is_kept() -> None:
    """The first of them is the first release, and none is larger than a repository bears."""
    assert KEPT[0].name == "data-0.1.0.zip"
    assert all(path.stat().st_size < 50_000 for path in KEPT)


async def test_stored_objects_are_read(folder: Path) -> None:
    """Each with its key, its bytes, its type and its metadata; and a new one is stored beside them."""
    secret = (folder / "storage" / "secret").read_text("utf-8")
    async with Platform({"LOCAL_STORAGE_PATH": folder / "storage"}) as platform:
        store: LocalStorageService = platform.get_service("storage")
        listed = [info async for info in store.list()]
        found = {info.key: await store.download(info.key) for info in listed}
        await store.upload("bills/new", b"new")
        link = await store.get_url("README.md")

    assert found == OBJECTS
    assert {(info.content_type, tuple(info.metadata.items())) for info in listed} == {("text/plain", tuple(METADATA.items()))}
    assert "?" in link
    assert (folder / "storage" / "secret").read_text("utf-8") == secret


async def test_stored_tasks_are_worked(folder: Path) -> None:
    """Each in the state in which it was left, whatever that was: one that waits, one that was leased, one that is due later."""
    with redis_server() as url:
        load(url, (folder / "redis.json").read_text("utf-8"))
        async with Platform({"QUEUE_TYPE": "redis", "REDIS_URL": url, "SQLITE_DB_PATH": folder / "new.db"}) as platform:
            queue: RedisQueueService = platform.get_service("queue")
            ids = json.loads((folder / "tasks.json").read_text("utf-8"))
            done, broken = await queue.get_status(ids["done"]), await queue.get_status(ids["broken"])
            taken = [await taken_from(queue) for _ in range(2)]
            settled = [await queue.update_status(task.id, "completed") for task in taken]
            again = await queue.enqueue("waiting", BODY)

            assert (done.state, done.result) == ("completed", {"bytes": 3})
            assert (broken.state, broken.error) == ("failed", "no such page")
            assert {letter.id for letter in await queue.dead_letters(10)} == {ids["broken"], ids["leased"]}
            assert {task.name for task in taken} == {"waiting", "later"}
            assert [task.data for task in taken] == [BODY, BODY]
            assert settled == [True, True]
            assert again not in ids.values()
            assert (await queue.get_status(ids["leased"])).state == "failed"  # its only attempt was lost with its worker


async def taken_from(queue: QueueService) -> Task:
    """Return the next task."""
    task = await queue.dequeue(timeout=10)
    assert task is not None
    return task


async def test_stored_rows_are_read_and_the_outbox_is_emptied(folder: Path) -> None:
    """A value of each type is what it was, and a task that was promised then is handed over now."""
    async with Platform({"SQLITE_DB_PATH": folder / "app.db", "LOCAL_STORAGE_PATH": folder / "storage"}):
        async with get_database_service().session() as session:
            (bill,) = (await session.scalars(select(Bill))).all()
            found = {name: getattr(bill, name) for name in BILL}
        count = await Outbox().relay_once()
        task = await taken_from(get_queue_service())

    assert found == BILL
    assert (count, task.name, task.data) == (1, "relayed", BODY)


def test_a_stored_history_is_at_its_head(folder: Path) -> None:
    """Nothing is pending, and nothing that today's models ask for is missing."""
    env = {**os.environ, "SQLITE_DB_PATH": f"{folder / 'app.db'}", "PYTHONPATH": f"{FOLDER}", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "indiaai_core", "db"]

    current = subprocess.run([*command, "current", "--json"], cwd=folder, env=env, capture_output=True, check=True, timeout=60)
    check = subprocess.run([*command, "check", "--json"], cwd=folder, env=env, capture_output=True, check=False, timeout=60)

    told = json.loads(current.stdout)
    assert (told["pending"], told["current"]) == (False, told["heads"])
    assert json.loads(check.stdout) == {"ok": True}, check.stderr
