"""Plain handlers, which run in threads that nothing can stop."""

from __future__ import annotations

import asyncio
import threading
import time

import anyio
import pytest

from indiaai_core import Task, TaskState, Worker
from indiaai_core.worker.source import Delivery, Source
from indiaai_core.worker.threads import HandlerThreads, _ThreadCall
from worker_fakes import FakeQueue, states, until

pytestmark = pytest.mark.anyio


async def taken(queue: FakeQueue) -> Task:
    """Return a delivery that the queue knows."""
    await queue.enqueue("process")
    (task,) = await queue.dequeue_many(1)
    return task


async def test_plain_handlers_run_side_by_side_in_threads(queue: FakeQueue) -> None:
    """Plain handlers do not block the event loop, and are as many at once as the worker may run."""
    worker = Worker(concurrency=2)
    together = threading.Barrier(2, timeout=5)
    worker.task("process")(lambda data: together.wait())

    for _ in range(4):
        await queue.enqueue("process")
    async with worker.running(queue):
        await until(lambda: states(queue) == ["completed"] * 4)

    assert not together.broken


async def test_a_thread_past_its_timeout_keeps_its_slot_until_it_ends(queue: FakeQueue) -> None:
    """A timeout ends a plain handler's attempt but not its thread, so threads never outnumber the slots."""
    worker = Worker(concurrency=1)
    may_end = threading.Event()

    @worker.task("slow", timeout=0.05)
    def slow() -> None:
        may_end.wait(5)

    worker.task("quick")(lambda: None)
    await queue.enqueue("slow", max_attempts=1)
    await queue.enqueue("quick")
    async with worker.running(queue):
        await until(lambda: queue.entry("task-1").state is TaskState.FAILED)
        await anyio.sleep(0.05)
        before = states(queue)
        may_end.set()
        await until(lambda: states(queue) == ["failed", "completed"])

    assert before == ["failed", "pending"]
    assert "Its thread cannot be stopped" in (queue.entry("task-1").error or "")


async def test_a_thread_that_ends_while_its_attempt_is_settled_frees_its_slot() -> None:
    """However the end of a late thread and of its settling fall together, the slot is free again, once."""
    settling: set[str] = set()

    class Slow(FakeQueue):
        async def update_status(self, task_id: str | Task, status: TaskState | str, data: object = None) -> bool:
            assert isinstance(task_id, Task)
            settling.add(task_id.id)
            await anyio.sleep(0.1)
            return await super().update_status(task_id, status, data)

    queue = Slow()
    worker = Worker(concurrency=1)

    @worker.task("slow", timeout=0.05, max_attempts=1)
    def slow(task: Task) -> None:
        deadline = time.monotonic() + 5
        while task.id not in settling and time.monotonic() < deadline:  # no event: its thread may be late to begin, too
            time.sleep(0.001)

    for _ in range(3):
        await queue.enqueue("slow")
    async with worker.running(queue):
        await until(lambda: states(queue) == ["failed"] * 3)

    assert settling == {"task-1", "task-2", "task-3"}


async def test_a_running_thread_s_task_is_not_given_back(queue: FakeQueue, worker: Worker) -> None:
    """A plain handler's task is left to its lease by a worker that stops: given back, it would run twice at once."""
    begun, may_end = threading.Event(), threading.Event()

    @worker.task("process")
    def process() -> None:
        begun.set()
        may_end.wait(5)

    await queue.enqueue("process")
    async with worker.running(queue):
        await until(begun.is_set)
        worker.stop(grace_seconds=0)
    may_end.set()

    assert states(queue) == ["processing"]
    assert "release" not in queue.calls


async def test_a_plain_handler_that_is_stopped_before_its_thread_begins_is_not_called(queue: FakeQueue) -> None:
    """A stop between the taking of a task and the start of its thread leaves the handler uncalled."""
    calls: list[Task] = []
    lease = Delivery(await taken(queue), Source(queue))
    threads = HandlerThreads(1, lambda _lease: None)

    with anyio.CancelScope() as scope:
        scope.cancel()
        await threads.call(lease, lambda: calls.append(lease.task))
    early = _ThreadCall(lambda: calls.append(lease.task))
    was_running = early.abandon(lambda: None)
    early.run()

    assert (calls, lease.is_in_thread, was_running) == ([], False, False)


async def test_a_thread_may_outlive_the_event_loop(queue: FakeQueue) -> None:
    """A late thread that ends when its event loop is closed has nobody to tell, and does not mind."""
    begun, may_end, told = threading.Event(), threading.Event(), []

    def refuse() -> None:
        told.append("asked")
        raise RuntimeError("Event loop is closed")

    def work() -> str:
        begun.set()
        may_end.wait(5)
        return "done"

    call = _ThreadCall(work)
    thread = threading.Thread(target=call.run)
    thread.start()
    await until(begun.is_set)
    is_running = call.abandon(refuse)
    may_end.set()
    await asyncio.to_thread(thread.join, 5)

    assert (is_running, told) == (True, ["asked"])
