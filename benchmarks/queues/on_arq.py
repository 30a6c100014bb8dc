"""arq, named by `queues.contenders`; the module itself is what its worker reads its settings from."""

from __future__ import annotations

import importlib
from typing import Any

from queues import handlers
from queues.client import Client, concurrency, install_uvloop, port, script

__all__ = ["ArqClient", "WorkerSettings"]

install_uvloop()
connections: Any = importlib.import_module("arq.connections")
WHERE = connections.RedisSettings(host="127.0.0.1", port=port())


async def noop(_context: object, number: int, text: str) -> int:
    """Do nothing."""
    return await handlers.noop(number, text)


async def wait(_context: object, number: int, text: str) -> int:
    """Wait for a millisecond."""
    return await handlers.wait(number, text)


class WorkerSettings:
    """What arq's command looks for."""

    functions = (noop, wait)
    redis_settings = WHERE
    max_jobs = concurrency()
    log_results = False


class ArqClient(Client):
    """At least once, by a key for each job in progress; the worker polls."""

    at_once = 500
    at_once_waiting = 500
    polls_seconds = 0.5

    async def open(self) -> None:
        """Connect."""
        self.pool = await connections.create_pool(WHERE)

    async def close(self) -> None:
        """Disconnect."""
        await self.pool.aclose()

    async def enqueue(self, task: str, number: int, text: str) -> object:
        """Enqueue."""
        return await self.pool.enqueue_job(task, number, text)

    def worker(self, at_once: int) -> list[str]:
        """Return its own command."""
        return [script("arq"), "queues.on_arq.WorkerSettings"]
