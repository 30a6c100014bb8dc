"""What one process of an application does in a second at each stage of the scaling path: the same code on other settings.

It goes through the platform, as an application does: a 4 KiB object is stored and read, a task is enqueued, a row is written
in a transaction and read, so many at once. Servers run on this machine, beside the process that is measured: figures to
compare stages by, and the least that a machine of one's own for each would do.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import Uuid, select
from sqlalchemy.orm import Mapped, mapped_column

from indiaai_core import Platform, get_queue_service, get_storage_service
from indiaai_db import Base, get_database_service
from indiaai_db.testing import PostgresqlServer
from queues.server import redis_server
from storage.servers import ACCESS_KEY, BUCKET, SECRET_KEY, distant, rclone

CONTENT = b"x" * 4096
ROUND_TRIP_MS = 20.0

Operation = Callable[[int], Awaitable[object]]


class Row(Base):
    """What is written and read."""

    __tablename__ = "row"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    text: Mapped[str]


async def store(number: int) -> None:
    """Store an object."""
    await get_storage_service().upload(f"documents/{number}", CONTENT)


async def read(number: int) -> None:
    """Read one that was stored."""
    await get_storage_service().download(f"documents/{number % 64}")


async def enqueue(number: int) -> None:
    """Enqueue a task."""
    await get_queue_service().enqueue("process", {"key": f"documents/{number}"})


async def insert(number: int) -> None:
    """Commit a row."""
    async with get_database_service().session() as session:
        session.add(Row(id=uuid.uuid5(uuid.NAMESPACE_OID, f"{time.monotonic_ns()}{number}"), text="kept"))


async def query(_: int) -> None:
    """Read a row."""
    async with get_database_service().session(read_only=True) as session:
        await session.scalar(select(Row).limit(1))


OPERATIONS: tuple[Operation, ...] = (store, read, enqueue, insert, query)


async def rate(operation: Operation, *, at_once: int, seconds: float) -> float:
    """Return how many a second so many tasks do, each one after the other."""
    count, ends = 0, time.perf_counter() + seconds

    async def work(first: int) -> None:
        nonlocal count
        number = first
        while time.perf_counter() < ends:
            await operation(number)
            count, number = count + 1, number + at_once

    await asyncio.gather(*(work(first) for first in range(at_once)))
    return count / (time.perf_counter() - ends + seconds)


async def measure(settings: dict[str, object], *, at_once: int, seconds: float) -> dict[str, float]:
    """Return the rates of all operations on a stage's settings."""
    async with Platform(settings):
        async with get_database_service().engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        for number in range(64):
            await store(number)
        return {it.__name__: await rate(it, at_once=at_once, seconds=seconds) for it in OPERATIONS}


def stages(stack: ExitStack, folder: Path) -> dict[str, dict[str, object]]:
    """Start the servers, and return the settings of each stage."""
    laptop: dict[str, object] = {
        "LOCAL_STORAGE_PATH": folder / "storage",
        "SQLITE_DB_PATH": folder / "app.db",
        "MEMORY_QUEUE_MAX_TASKS": 10_000_000,
    }
    durable = {**laptop, "SQLITE_SYNCHRONOUS": "FULL"}
    endpoint = stack.enter_context(distant(stack.enter_context(rclone(folder / "bucket")), ROUND_TRIP_MS))
    server = stack.enter_context(redis_server(folder))
    growth: dict[str, object] = {
        "DATABASE_TYPE": "postgresql",
        "DATABASE_URL": stack.enter_context(PostgresqlServer()).url,
        "STORAGE_TYPE": "r2",
        "R2_ENDPOINT_URL": endpoint,
        "R2_BUCKET_NAME": BUCKET,
        "R2_ACCESS_KEY_ID": ACCESS_KEY,
        "R2_SECRET_ACCESS_KEY": SECRET_KEY,
        "QUEUE_TYPE": "redis",
        "REDIS_URL": server.url,
    }
    return {"1 laptop": laptop, "2 one machine": durable, "3 growth": growth}


def main() -> None:
    """Print a row a stage, of medians over rounds in which the stages take turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    is_quick = parser.parse_args().quick
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        chosen = stages(stack, Path(folder))
        for _ in range(3 if is_quick else 7):
            for name, settings in chosen.items():
                found.setdefault(name, []).append(asyncio.run(measure(settings, at_once=64, seconds=1.5 if is_quick else 4)))
    names = [operation.__name__ for operation in OPERATIONS]
    print(f"{'a second, 64 at once':24}" + "".join(f"{name:>10}" for name in names))
    for stage, rounds in found.items():
        print(f"{stage:24}" + "".join(f"{statistics.median(one[name] for one in rounds):10,.0f}" for name in names))


if __name__ == "__main__":
    main()
