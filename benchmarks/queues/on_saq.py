"""saq, named by `queues.contenders`."""

from __future__ import annotations

import importlib
from typing import Any

from queues import handlers
from queues.client import Client, concurrency, install_uvloop, script, url

__all__ = ["SaqClient", "settings"]

install_uvloop()
queue: Any = importlib.import_module("saq").Queue.from_url(url())


async def noop(_context: object, *, number: int, text: str) -> int:
    """Do nothing."""
    return await handlers.noop(number, text)


async def wait(_context: object, *, number: int, text: str) -> int:
    """Wait for a millisecond."""
    return await handlers.wait(number, text)


settings = {"queue": queue, "functions": [noop, wait], "concurrency": concurrency()}


class SaqClient(Client):
    """Jobs that died with their worker are swept; one without retries is then aborted."""

    at_once = 10
    at_once_waiting = 50

    async def open(self) -> None:
        """Connect."""
        await queue.connect()

    async def close(self) -> None:
        """Disconnect."""
        await queue.disconnect()

    async def enqueue(self, task: str, number: int, text: str) -> object:
        """Enqueue."""
        return await queue.enqueue(task, number=number, text=text)

    def worker(self, at_once: int) -> list[str]:
        """Return its own command."""
        return [script("saq"), "queues.on_saq.settings", "-q"]
