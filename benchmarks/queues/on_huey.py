"""huey on Redis, named by `queues.contenders`."""

from __future__ import annotations

import importlib
from typing import Any

from queues import handlers
from queues.client import BlockingClient, port, script

__all__ = ["HueyClient", "huey"]

huey: Any = importlib.import_module("huey").RedisHuey("bench", host="127.0.0.1", port=port())
TASKS: Any = {
    "noop": huey.task(name="noop")(handlers.noop_blocking),
    "wait": huey.task(name="wait")(handlers.wait_blocking),
}


class HueyClient(BlockingClient):
    """At most once: a task is popped, then run."""

    at_once = 4
    at_once_waiting = 16
    tasks = 10_000

    def send(self, task: str, number: int, text: str) -> object:
        """Send."""
        return TASKS[task](number, text)

    def worker(self, at_once: int) -> list[str]:
        """Return its own command."""
        return [script("huey_consumer"), "queues.on_huey.huey", "-k", "thread", "-w", f"{at_once}", "-q"]
