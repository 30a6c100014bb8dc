"""This project's queue in Redis; named by `queues.contenders`.

As a program it is what `indiaai worker` does, on uvloop where that is asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import anyio

from indiaai_core import Platform
from indiaai_core.queue import NewTask
from indiaai_core.worker import Worker, serve
from indiaai_queue_redis import RedisQueueService, RedisSettings
from queues import handlers
from queues.client import Client, Row, concurrency, install_uvloop, url

__all__ = ["AsyncioClient", "UvloopClient", "worker"]

worker = Worker(concurrency=concurrency())


@worker.task("noop")
async def noop(data: dict[str, Any]) -> int:
    """Do nothing."""
    return await handlers.noop(**data)


@worker.task("wait")
async def wait(data: dict[str, Any]) -> int:
    """Wait for a millisecond."""
    return await handlers.wait(**data)


class AsyncioClient(Client):
    """The queue as it comes, on asyncio's own loop."""

    tasks = 20_000
    loop = "asyncio"

    async def open(self) -> None:
        """Make the service."""
        self.service = RedisQueueService(RedisSettings.model_validate({"url": url()}))

    async def close(self) -> None:
        """Close it."""
        await self.service.aclose()

    async def enqueue(self, task: str, number: int, text: str) -> object:
        """Enqueue."""
        return await self.service.enqueue(task, {"number": number, "text": text})

    async def enqueue_batch(self, task: str, rows: Sequence[Row]) -> object:
        """Enqueue many."""
        return await self.service.enqueue_many([NewTask(task, {"number": number, "text": text}) for number, text in rows])

    def worker(self, at_once: int) -> list[str]:
        """Return this module as a program."""
        return [sys.executable, "-m", "queues.on_indiaai", self.loop]


class UvloopClient(AsyncioClient):
    """The same on uvloop, as the peers that are written for asyncio."""

    loop = "uvloop"

    def __init__(self) -> None:
        """Let the producer's loop be uvloop's."""
        install_uvloop()


if __name__ == "__main__":
    if sys.argv[1] == "uvloop":
        install_uvloop()
    os.environ |= {"QUEUE_TYPE": "redis", "REDIS_URL": url()}
    anyio.run(serve, worker, Platform())
