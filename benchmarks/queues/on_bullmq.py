"""bullmq for Python, named by `queues.contenders`. As a program it is a worker: the package brings no command for one."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from queues import handlers
from queues.client import Client, Row, concurrency, install_uvloop, url

__all__ = ["BullmqClient"]

install_uvloop()
bullmq: Any = importlib.import_module("bullmq")
HANDLERS = {"noop": handlers.noop, "wait": handlers.wait}


class BullmqClient(Client):
    """At least once: a lock that is renewed, and a look for jobs that stalled."""

    at_once = 2
    at_once_waiting = 50

    async def open(self) -> None:
        """Make the queue's client."""
        self.queue = bullmq.Queue("bench", {"connection": url()})

    async def close(self) -> None:
        """Close it."""
        await self.queue.close()

    async def enqueue(self, task: str, number: int, text: str) -> object:
        """Add."""
        return await self.queue.add(task, {"number": number, "text": text})

    async def enqueue_batch(self, task: str, rows: Sequence[Row]) -> object:
        """Add many."""
        return await self.queue.addBulk([{"name": task, "data": {"number": number, "text": text}} for number, text in rows])

    def worker(self, at_once: int) -> list[str]:
        """Return this module as a program."""
        return [sys.executable, "-m", "queues.on_bullmq"]


async def process(job: Any, _token: str) -> int:
    """Run what the job names."""
    return await HANDLERS[job.name](**job.data)


async def work() -> None:
    """Work until killed."""
    bullmq.Worker("bench", process, {"connection": url(), "concurrency": concurrency()})
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work())
