"""taskiq on Redis, on a list or a stream as the environment says, named by `queues.contenders`."""

from __future__ import annotations

import importlib
import os
from typing import Any

from queues import handlers
from queues.client import Client, install_uvloop, script, url

__all__ = ["ListClient", "StreamClient", "broker"]

install_uvloop()
VARIABLE = "BENCH_TASKIQ_BROKER"
taskiq_redis: Any = importlib.import_module("taskiq_redis")
broker_class: Any = getattr(taskiq_redis, os.environ.get(VARIABLE, "RedisStreamBroker"))
broker: Any = broker_class(url()).with_result_backend(taskiq_redis.RedisAsyncResultBackend(url(), result_ex_time=3600))
TASKS: Any = {
    "noop": broker.task(task_name="noop")(handlers.noop),
    "wait": broker.task(task_name="wait")(handlers.wait),
}


class StreamClient(Client):
    """At least once: a stream's group, and what was idle for ten minutes is claimed again."""

    async def open(self) -> None:
        """Connect."""
        await broker.startup()

    async def close(self) -> None:
        """Disconnect."""
        await broker.shutdown()

    async def enqueue(self, task: str, number: int, text: str) -> object:
        """Kick."""
        return await TASKS[task].kiq(number, text)

    def worker(self, at_once: int) -> list[str]:
        """Return its own command."""
        limits = ["--max-async-tasks", f"{at_once}", "--max-prefetch", f"{at_once}"]
        return [script("taskiq"), "worker", "queues.on_taskiq:broker", "--workers", "1", *limits, "--log-level", "ERROR"]


class ListClient(StreamClient):
    """At most once: a task is popped, then run."""

    at_once = 5
    at_once_waiting = 50
