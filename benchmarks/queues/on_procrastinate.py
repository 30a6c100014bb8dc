"""procrastinate, whose tasks lie in PostgreSQL, named by `queues.contenders`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from queues import handlers
from queues.client import Client, Row, install_uvloop, script, url

__all__ = ["ProcrastinateClient", "app"]

install_uvloop()
procrastinate: Any = importlib.import_module("procrastinate")
app: Any = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url()))
TASKS: Any = {"noop": app.task(name="noop")(handlers.noop), "wait": app.task(name="wait")(handlers.wait)}


class ProcrastinateClient(Client):
    """A row stays taken when its worker dies, unless the application looks for such rows."""

    at_once = 50
    at_once_waiting = 50
    tasks = 1_000
    store = "postgresql"

    async def open(self) -> None:
        """Connect, make the tables where they are not there, and forget what was deferred before."""
        await app.open_async()
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async("TRUNCATE procrastinate_jobs CASCADE")

    async def close(self) -> None:
        """Disconnect."""
        await app.close_async()

    async def enqueue(self, task: str, number: int, text: str) -> object:
        """Defer."""
        return await TASKS[task].defer_async(number=number, text=text)

    async def enqueue_batch(self, task: str, rows: Sequence[Row]) -> object:
        """Defer many."""
        return await TASKS[task].batch_defer_async(*({"number": number, "text": text} for number, text in rows))

    def worker(self, at_once: int) -> list[str]:
        """Return its own command."""
        return [script("procrastinate"), "--app", "queues.on_procrastinate.app", "worker", "--concurrency", f"{at_once}"]
