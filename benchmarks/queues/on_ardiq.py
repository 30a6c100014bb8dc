"""ardiq, named by `queues.contenders`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from queues import handlers
from queues.client import Client, Row, concurrency, install_uvloop, script, url

__all__ = ["ArdiqClient", "app"]

install_uvloop()
app: Any = importlib.import_module("ardiq").Ardiq(redis_url=url(), concurrency=concurrency())
TASKS: Any = {"noop": app.task(handlers.noop), "wait": app.task(handlers.wait)}


class ArdiqClient(Client):
    """At least once: a stream's group, and what was idle too long is claimed again."""

    tasks = 20_000

    async def enqueue(self, task: str, number: int, text: str) -> object:
        """Enqueue."""
        return await TASKS[task].enqueue(number, text)

    async def enqueue_batch(self, task: str, rows: Sequence[Row]) -> object:
        """Enqueue many."""
        return await app.enqueue_many([TASKS[task].prepare(*row) for row in rows])

    def worker(self, at_once: int) -> list[str]:
        """Return its own command."""
        return [script("ardiq"), "run", "-q", "queues.on_ardiq:app"]
