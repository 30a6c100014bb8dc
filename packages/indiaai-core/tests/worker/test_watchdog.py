"""Handlers that block the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import anyio
import anyio.lowlevel
import pytest

from indiaai_core import TaskState, Worker
from worker_fakes import FakeQueue, until

pytestmark = pytest.mark.anyio


def is_watched() -> bool:
    """Tell whether a watchdog's thread lives."""
    return any(thread.name == "indiaai-watchdog" for thread in threading.enumerate())


async def work(worker: Worker, queue: FakeQueue, *, tasks: int = 1) -> None:
    """Have some tasks worked in a worker's run."""
    await anyio.lowlevel.checkpoint()
    async with worker.running(queue):
        await anyio.sleep(0.02)
        for _ in range(tasks):
            await queue.enqueue("process")
        await until(lambda: all(entry.state is TaskState.COMPLETED for entry in queue.entries.values()))


async def test_a_handler_that_blocks_is_named_with_its_line(
    queue: FakeQueue, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the handler and the line that blocks, once however often it does, and says what to do."""
    caplog.set_level(logging.WARNING, "indiaai.worker")

    @worker.task("process")
    async def process() -> None:
        time.sleep(0.3)  # noqa: ASYNC251 - that is the point

    await work(worker, queue, tasks=2)

    (record,) = caplog.records
    line = process.__code__.co_firstlineno + 2
    assert record.getMessage().startswith("The handler 'process' blocks the event loop, for ")
    assert f"at {__file__}:{line}." in record.getMessage()


async def test_a_handler_that_awaits_is_not_named(queue: FakeQueue, worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """Long work that awaits, in the loop or in a thread, is none of the watchdog's business."""
    caplog.set_level(logging.WARNING, "indiaai.worker")

    @worker.task("process")
    async def process() -> None:
        await anyio.sleep(0.3)
        await asyncio.to_thread(time.sleep, 0.3)

    await work(worker, queue)

    assert caplog.records == []


async def test_what_else_blocks_the_loop_is_not_laid_to_a_handler(
    queue: FakeQueue, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that runs while somebody else blocks the loop is not accused of it."""
    caplog.set_level(logging.WARNING, "indiaai.worker")

    @worker.task("process")
    async def process() -> None:
        asyncio.get_running_loop().call_soon(time.sleep, 0.3)
        await anyio.sleep(0.35)

    await work(worker, queue)

    assert caplog.records == []


async def test_many_short_steps_are_not_laid_to_one_handler(queue: FakeQueue, caplog: pytest.LogCaptureFixture) -> None:
    """A loop that is late because many handlers each take a moment names none of them."""
    caplog.set_level(logging.WARNING, "indiaai.worker")
    worker = Worker(concurrency=30)

    @worker.task("process")
    async def process() -> None:
        time.sleep(0.008)  # noqa: ASYNC251 - a moment

    await work(worker, queue, tasks=30)

    assert caplog.records == []


async def test_the_watch_can_be_left_out(queue: FakeQueue, caplog: pytest.LogCaptureFixture) -> None:
    """With `blocking_seconds=None` there is no thread and no warning."""
    caplog.set_level(logging.WARNING, "indiaai.worker")
    worker = Worker(blocking_seconds=None)
    watched: list[bool] = []

    @worker.task("process")
    async def process() -> None:
        watched.append(is_watched())
        time.sleep(0.3)  # noqa: ASYNC251 - that is the point

    await until(lambda: not is_watched())
    await work(worker, queue)

    assert watched == [False]
    assert caplog.records == []


async def test_the_watch_ends_with_the_run(queue: FakeQueue, worker: Worker) -> None:
    """The watchdog's thread ends soon after the worker's run."""

    @worker.task("process")
    async def process() -> None: ...

    await work(worker, queue)

    await until(lambda: not is_watched())


async def test_the_watch_rests_while_nothing_runs(queue: FakeQueue, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle worker's watchdog looks at no clock and wakes no loop."""
    looks: list[float] = []

    class Counting:
        sleep = staticmethod(time.sleep)

        @staticmethod
        def monotonic() -> float:
            looks.append(time.monotonic())
            return looks[-1]

    worker.task("process")(asyncio.sleep)
    async with worker.running(queue):
        await anyio.sleep(0.1)
        monkeypatch.setattr("indiaai_core.worker.watchdog.time", Counting)
        await anyio.sleep(0.3)

    assert looks == []
