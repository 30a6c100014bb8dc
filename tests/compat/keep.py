"""Keeps what this release stores: `.venv/bin/python tests/compat/keep.py` writes `data-VERSION.zip` beside it.

What is kept here was written once, by the release in its name, and is not touched again. Run it for each release, before it is
published; a release that changes a format writes the new one too, and goes on reading the older files.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from importlib_metadata import version

from indiaai_core import Platform
from indiaai_core.queue import QueueService
from indiaai_core.storage import StorageService
from indiaai_db import DatabaseService
from indiaai_db.outbox import Outbox
from kept import BILL, BODY, METADATA, OBJECTS, Bill, dump, redis_server

LATER_SECONDS = 1
ENV = """import indiaai_db.outbox
import kept
from indiaai_db.migrations import run

run(kept.Bill.metadata)
"""


def main() -> None:
    """Store what each backend stores, and pack it."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder, redis_server() as url:
        variables = {
            "LOCAL_STORAGE_PATH": f"{folder}/storage",
            "QUEUE_TYPE": "redis",
            "REDIS_URL": url,
            "SQLITE_DB_PATH": f"{folder}/app.db",
        }
        migrate(Path(folder), variables, here)
        (Path(folder) / "tasks.json").write_text(json.dumps(asyncio.run(store(variables))), "utf-8")
        (Path(folder) / "redis.json").write_text(dump(url), "utf-8")
        with zipfile.ZipFile(here / f"data-{version('indiaai-core')}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file() and path.suffix not in (".pyc", ".db-wal", ".db-shm"):
                    archive.write(path, path.relative_to(folder).as_posix())


def migrate(folder: Path, variables: dict[str, str], here: Path) -> None:
    """Write a history as an application has one, and bring a new database to its head."""
    env = {**os.environ, **variables, "PYTHONPATH": f"{here}"}
    command = [sys.executable, "-m", "indiaai_core", "db"]
    subprocess.run([*command, "init"], cwd=folder, env=env, check=True)
    (folder / "migrations" / "env.py").write_text(ENV, "utf-8")
    for arguments in (["upgrade"], ["revision", "-m", "first"], ["upgrade"]):
        subprocess.run([*command, *arguments], cwd=folder, env=env, check=True)


async def store(variables: dict[str, str]) -> dict[str, str]:
    """Leave objects, a task in each state, a row, and a task in the outbox; returns the tasks' ids by their names."""
    async with Platform(variables) as platform:
        storage: StorageService = platform.get_service("storage")
        queue: QueueService = platform.get_service("queue")
        database: DatabaseService = platform.get_service("database")
        for key, data in OBJECTS.items():
            await storage.upload(key, data, "text/plain", metadata=METADATA)
        await storage.get_url("README.md")  # which makes the secret
        names = ("done", "broken", "leased")
        ids = {name: await queue.enqueue(name, BODY, max_attempts=1, dedupe_key=name) for name in names}
        for _ in range(3):
            task = await queue.dequeue(timeout=1)
            assert task is not None
            if task.name == "done":
                await queue.update_status(task.id, "completed", {"bytes": 3})
            elif task.name == "broken":
                await queue.retry(task, delay=0, error="no such page")
        ids["waiting"] = await queue.enqueue("waiting", BODY, priority=5)
        ids["later"] = await queue.enqueue("later", BODY, delay=LATER_SECONDS)
        async with database.session() as session:
            session.add(Bill(**BILL))
            await Outbox().enqueue(session, "relayed", BODY)
    return ids


if __name__ == "__main__":
    main()
