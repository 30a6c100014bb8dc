"""streaq, named by `queues.contenders`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from queues import handlers
from queues.client import Client, Row, concurrency, install_uvloop, script, url

__all__ = ["StreaqClient", "worker"]

install_uvloop()
worker: Any = importlib.import_module("streaq").Worker(
    redis_url=url(), concurrency=concurrency(), anyio_kwargs={"use_uvloop": True}
)
TASKS: Any = {"noop": worker.task(handlers.noop), "wait": worker.task(handlers.wait)}


class StreaqClient(Client):
    """At least once: a stream's group, and what was idle too long is claimed again."""

    tasks = 3_000

    async def open(self) -> None:
        """Connect."""
        self.open_things = AsyncExitStack()
        await self.open_things.enter_async_context(worker)

    async def close(self) -> None:
        """Disconnect."""
        await self.open_things.aclose()

    async def enqueue(self, task: str, number: int, text: str) -> object:
        """Enqueue."""
        return await TASKS[task].enqueue(number, text)

    async def enqueue_batch(self, task: str, rows: Sequence[Row]) -> object:
        """Enqueue many."""
        return await worker.enqueue_many([TASKS[task].enqueue(*row) for row in rows])

    def worker(self, at_once: int) -> list[str]:
        """Return its own command."""
        return [script("streaq"), "run", "queues.on_streaq:worker"]
