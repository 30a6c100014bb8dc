"""dramatiq on Redis, for messages and results, named by `queues.contenders`."""

from __future__ import annotations

import importlib
from typing import Any

from queues import handlers
from queues.client import BlockingClient, script, url

__all__ = ["DramatiqClient"]

dramatiq: Any = importlib.import_module("dramatiq")
broker: Any = importlib.import_module("dramatiq.brokers.redis").RedisBroker(url=url())
results: Any = importlib.import_module("dramatiq.results.backends").RedisBackend(url=url())
broker.add_middleware(importlib.import_module("dramatiq.results").Results(backend=results))
dramatiq.set_broker(broker)
ACTORS: Any = {
    "noop": dramatiq.actor(handlers.noop_blocking, actor_name="noop", store_results=True),
    "wait": dramatiq.actor(handlers.wait_blocking, actor_name="wait", store_results=True),
}


class DramatiqClient(BlockingClient):
    """At least once, by the worker's heartbeat."""

    at_once = 16
    at_once_waiting = 16
    polls_seconds = 0.1

    def send(self, task: str, number: int, text: str) -> object:
        """Send."""
        return ACTORS[task].send(number, text)

    def worker(self, at_once: int) -> list[str]:
        """Return its own command."""
        return [script("dramatiq"), "-p", "1", "-t", f"{at_once}", "queues.on_dramatiq"]
