"""A relay of an outbox as a process of its own, which can be killed at its worst moment; what processes import."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import cast

import anyio

from indiaai_core import Platform
from indiaai_core.platform import use_platform
from indiaai_core.queue import NewTask, QueueService
from indiaai_db import DatabaseService
from indiaai_db.commands import build_commands
from indiaai_db.outbox import Outbox, relay
from indiaai_queue_memory import MemoryQueueService
from writing import start

__all__ = ["relay_in_process", "relay_until_taken", "write_until_killed"]


def relay_in_process(variables: dict[str, str], given: Path, dies: bool) -> int | None:
    """Relay what there is to a queue that is a file, and return the process's exit code.

    Args:
        variables: What selects the database.
        given: The file: a line for each task, with its number.
        dies: Whether the process is killed when the file has taken 40 tasks of a batch.
    """
    process = start(_relay, variables, given, dies)
    process.join(120)
    return process.exitcode


async def relay_until_taken(database: DatabaseService, queue: QueueService) -> None:
    """Relay again and again until the queue took something, which another relay's lease may keep it from."""
    with anyio.fail_after(30):
        while await Outbox().relay_once(database=database, queue=queue) == 0:  # noqa: ASYNC110 - it waits for a clock
            await anyio.sleep(0.05)


class _FileQueue(MemoryQueueService):
    capabilities = MemoryQueueService.capabilities - {"in_process"}

    def __init__(self, file: Path, dies: bool) -> None:
        super().__init__()
        self._file, self._dies = file, dies

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        for count, task in enumerate(list(tasks)):
            with self._file.open("a") as file:
                file.write(f"{task.data['i']}\n")
            if self._dies and count == 40:
                os.kill(os.getpid(), signal.SIGKILL)
        return []


def _relay(variables: dict[str, str], given: Path, dies: bool) -> None:
    relay.LEASE_SECONDS = 0.2

    async def main() -> None:
        async with cast(DatabaseService, Platform(variables).get_service("database")) as database:
            await relay_until_taken(database, _FileQueue(given, dies))

    asyncio.run(main())


def write_until_killed(variables: dict[str, str], noted: Path, first: int) -> None:
    """Commit a task with an even number, note it down, and roll one back with the odd number after it, until killed."""

    async def main() -> None:
        service = cast(DatabaseService, Platform(variables).get_service("database"))
        with noted.open("ab", buffering=0) as file:
            number = first
            while True:
                async with service.session() as session:
                    await Outbox().enqueue(session, "count", {"i": number})
                file.write(f"{number}\n".encode())
                with suppress(LookupError):
                    async with service.session() as session:
                        await Outbox().enqueue(session, "count", {"i": number + 1})
                        raise LookupError
                number += 2

    asyncio.run(main())


def _serve(path: Path, given: Path) -> None:
    platform = Platform({"DATABASE_TYPE": "sqlite", "SQLITE_DB_PATH": str(path)})
    platform.override("queue", _FileQueue(given, dies=False))
    with use_platform(platform):
        build_commands()(["relay"])


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
