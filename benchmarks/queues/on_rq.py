"""rq, named by `queues.contenders`, with the worker that does not fork for each job, which is its fastest."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from queues import handlers
from queues.client import BlockingClient, Row, port, script, url

__all__ = ["RqClient"]

TASKS = {"noop": handlers.noop_blocking, "wait": handlers.wait_blocking}


class RqClient(BlockingClient):
    """Jobs that died with their worker are noticed, and fail unless a retry was asked for."""

    at_once = 1
    at_once_waiting = 1
    tasks = 1_000

    async def open(self) -> None:
        """Make the queue's client."""
        connection = importlib.import_module("redis").Redis(port=port())
        self.queue: Any = importlib.import_module("rq").Queue(connection=connection)

    def send(self, task: str, number: int, text: str) -> object:
        """Enqueue."""
        return self.queue.enqueue(TASKS[task], number, text)

    async def enqueue_batch(self, task: str, rows: Sequence[Row]) -> object:
        """Enqueue many."""
        return self.queue.enqueue_many([type(self.queue).prepare_data(TASKS[task], args=row) for row in rows])

    def worker(self, at_once: int) -> list[str]:
        """Return its own command."""
        return [script("rq"), "worker", "-u", url(), "-q", "-w", "rq.worker.SimpleWorker"]
