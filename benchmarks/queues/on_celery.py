"""Celery on Redis, for tasks and results, named by `queues.contenders`."""

from __future__ import annotations

import importlib
from typing import Any

from queues import handlers
from queues.client import BlockingClient, script, url

__all__ = ["CeleryClient", "app"]

app: Any = importlib.import_module("celery").Celery("bench", broker=url(), backend=url())
app.conf.update(broker_connection_retry_on_startup=True)
TASKS: Any = {
    "noop": app.task(name="noop")(handlers.noop_blocking),
    "wait": app.task(name="wait")(handlers.wait_blocking),
}


class CeleryClient(BlockingClient):
    """At most once as it comes: a task is acknowledged before it runs."""

    at_once = 1
    at_once_waiting = 4
    tasks = 3_000

    def send(self, task: str, number: int, text: str) -> object:
        """Send."""
        return TASKS[task].delay(number, text)

    def worker(self, at_once: int) -> list[str]:
        """Return its own command."""
        quiet = ["-l", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        return [script("celery"), "-A", "queues.on_celery", "worker", "-P", "prefork", "-c", f"{at_once}", *quiet]
