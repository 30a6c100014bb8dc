"""One contender's producer as a process, in the contender's environment: it enqueues as it is told and says how long it took.

Imported by `queue_redis` where that is started as a worker.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import random
from collections.abc import Awaitable, Mapping, Sequence
from time import monotonic, perf_counter, process_time
from typing import Any

from queues.client import BATCH, Client, Row
from queues.record import Record
from storage.rounds import Cell, serve

__all__ = ["serve_producer"]

WARM = 200
PATIENCE_SECONDS = 20.0
LOOK_SECONDS = 0.0005


def serve_producer(options: Mapping[str, Any]) -> None:
    """Make the contender's client and do what is asked, until nobody asks any more."""
    os.environ.update(options["environment"])
    module, _, name = options["client"].partition(":")
    client: Client = getattr(importlib.import_module(module), name)()
    asyncio.run(_serve(client))  # the module may have chosen the loop


async def _serve(client: Client) -> None:
    await client.open()
    at_once = {"noop": client.at_once, "wait": client.at_once_waiting}
    hello = {
        "commands": {task: client.worker(number) for task, number in at_once.items()},
        "at_once": at_once,
        "tasks": client.tasks,
        "polls_seconds": client.polls_seconds,
    }
    deeds = {"one": _one, "gather": _gather, "bulk": _bulk, "fill": _fill, "pickup": _pickup}

    async def answer(cell: Cell) -> dict[str, float]:
        try:
            return await deeds[cell["do"]](client, cell)
        except NotImplementedError:
            return {}

    try:
        await serve(hello, answer)
    finally:
        await client.close()


def _batches(cell: Cell) -> list[list[Row]]:
    text = "x" * cell["bytes"]
    return [
        [(number, text) for number in range(first, min(first + BATCH, cell["count"]))]
        for first in range(0, cell["count"], BATCH)
    ]


async def _one(client: Client, cell: Cell) -> dict[str, float]:
    text = "x" * cell["bytes"]
    for number in range(WARM):
        await client.enqueue("noop", number, text)

    async def send() -> None:
        for number in range(cell["count"]):
            await client.enqueue("noop", number, text)

    return await _timed(send(), cell["count"])


async def _gather(client: Client, cell: Cell) -> dict[str, float]:
    batches = _batches(cell)
    await client.enqueue_together("noop", batches[0])

    async def send() -> None:
        for batch in batches:
            await client.enqueue_together("noop", batch)

    return await _timed(send(), cell["count"])


async def _bulk(client: Client, cell: Cell) -> dict[str, float]:
    batches = _batches(cell)
    await client.enqueue_batch("noop", batches[0])

    async def send() -> None:
        for batch in batches:
            await client.enqueue_batch("noop", batch)

    return await _timed(send(), cell["count"])


async def _timed(work: Awaitable[None], count: int) -> dict[str, float]:
    started, busy = perf_counter(), process_time()
    await work
    elapsed, used = perf_counter() - started, process_time() - busy
    return {"rate": count / elapsed, "cpu_us": used / count * 1e6}


async def _fill(client: Client, cell: Cell) -> dict[str, float]:
    for batch in _batches(cell):
        await _send(client, cell["task"], batch)
    return {}


async def _send(client: Client, task: str, batch: Sequence[Row]) -> None:
    try:
        await client.enqueue_batch(task, batch)
    except NotImplementedError:
        await client.enqueue_together(task, batch)


async def _pickup(client: Client, cell: Cell) -> dict[str, float]:
    """Enqueue one by one to a worker that has nothing to do, after pauses of random length."""
    record = Record(cell["record"])
    waits: list[float] = []
    for number in range(cell["count"]):
        await asyncio.sleep(random.uniform(0.01, 0.04 + cell["polls_seconds"]))
        sent = monotonic()
        await client.enqueue("noop", number, "x" * cell["bytes"])
        while not (ran := record.time_of(number)):
            await asyncio.sleep(LOOK_SECONDS)
            if monotonic() - sent > PATIENCE_SECONDS:
                raise TimeoutError(f"an idle worker did not run a task within {PATIENCE_SECONDS:g} s")
        waits.append(ran - sent)
    waits = sorted(waits[cell["warm"] :])
    return {"p50_ms": waits[len(waits) // 2] * 1e3, "p99_ms": waits[len(waits) * 99 // 100] * 1e3}
