"""A worker at work: concurrency, contexts, outages, and the background of a block."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar

import anyio
import pytest

from indiaai_core import Task, Worker
from indiaai_core.worker import OutcomeKind, current_task
from indiaai_core.worker.leases import Interruption, Lease, LeaseKeeper
from worker_fakes import FakeQueue, states, until

pytestmark = pytest.mark.anyio


async def taken(queue: FakeQueue) -> Task:
    """Return a delivery that the queue knows."""
    await queue.enqueue("process")
    (task,) = await queue.dequeue_many(1)
    return task


async def test_as_many_handlers_run_at_once_as_the_worker_may(queue: FakeQueue) -> None:
    """Never more handlers run than there are slots, all slots are used, and tasks begin in the order of the queue."""
    worker = Worker(concurrency=3)
    now_running, most, order = 0, 0, []

    @worker.task("process")
    async def process(task: Task) -> None:
        nonlocal now_running, most
        now_running += 1
        most = max(most, now_running)
        order.append(task.id)
        await anyio.sleep(0.01)
        now_running -= 1

    for _ in range(10):
        await queue.enqueue("process")
    async with worker.running(queue):
        await until(lambda: states(queue) == ["completed"] * 10)

    assert most == 3
    assert order == [f"task-{number}" for number in range(1, 11)]


async def test_an_idle_worker_asks_seldom(queue: FakeQueue, worker: Worker) -> None:
    """A worker without tasks waits in one call, and begins a task as soon as it comes."""
    worker.task("process")(lambda: None)

    async with worker.running(queue):
        await anyio.sleep(0.2)
        asked_while_idle = queue.calls.count("dequeue")
        await queue.enqueue("process")
        await until(lambda: states(queue) == ["completed"], seconds=1)

    assert asked_while_idle == 1


async def test_a_backend_that_does_not_wait_makes_no_busy_loop(worker: Worker) -> None:
    """A backend that answers at once where it should wait is asked some twenty times a second, not more."""

    class Impatient(FakeQueue):
        async def dequeue(self, timeout: float | None = None) -> Task | None:
            return await super().dequeue(None)

    queue = Impatient()
    worker.task("process")(lambda: None)

    async with worker.running(queue):
        await anyio.sleep(0.25)

    assert 2 <= queue.calls.count("dequeue") <= 8


async def test_a_handler_has_a_context_of_its_own(queue: FakeQueue, worker: Worker) -> None:
    """What a handler sets in a context variable does not reach the next task."""
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
    seen: list[str] = []

    @worker.task("process")
    async def process(task: Task) -> None:
        seen.append(tenant.get())
        tenant.set(task.id)

    for _ in range(3):
        await queue.enqueue("process")
    await worker.drain(queue)

    assert seen == ["nobody"] * 3


async def test_the_current_task_is_known_far_from_the_handler(queue: FakeQueue, worker: Worker) -> None:
    """`current_task()` gives the delivery in async handlers and in threads, and an error elsewhere."""
    seen: list[str] = []

    @worker.task("async")
    async def in_loop() -> None:
        seen.append(current_task().name)

    worker.task("plain")(lambda: seen.append(current_task().name))
    await queue.enqueue("async")
    await queue.enqueue("plain")
    await worker.drain(queue)

    assert seen == ["async", "plain"]
    with pytest.raises(LookupError, match="No task is being worked here"):
        current_task()


async def test_an_outage_of_the_queue_is_said_once_and_survived(
    queue: FakeQueue, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """While the queue does not answer the worker asks more and more seldom, says so once, and goes on when it does."""
    caplog.set_level(logging.WARNING, "indiaai.worker")
    worker.task("process")(lambda: None)
    await queue.enqueue("process")
    queue.fail("dequeue", times=3)

    async with worker.running(queue):
        await until(lambda: states(queue) == ["completed"])

    assert [record.getMessage().split(",")[0].split(":")[0] for record in caplog.records] == [
        "The queue does not answer",
        "The queue answers again",
    ]


async def test_the_first_reason_for_an_attempt_s_end_stands(queue: FakeQueue) -> None:
    """A lease that was lost is not given back by a stop that comes after."""
    lease = Lease(await taken(queue), 30)

    lease.interrupt(Interruption.LOST)
    lease.interrupt(Interruption.STOPPED)

    assert lease.interruption is Interruption.LOST


async def test_a_delivery_that_is_cancelled_from_outside_is_left_to_its_lease(worker: Worker) -> None:
    """What ends the whole event loop settles nothing: the task is delivered again, and the slot is free."""
    queue = FakeQueue(lease_seconds=0.1)
    attempts: list[int] = []

    @worker.task("process")
    async def process(task: Task) -> None:
        attempts.append(task.attempt)
        own = asyncio.current_task()
        if task.attempt == 1 and own is not None:
            own.cancel()
            await anyio.sleep(60)

    await queue.enqueue("process")
    async with worker.running(queue):
        await until(lambda: states(queue) == ["completed"])

    assert attempts == [1, 2]
    assert not {"retry", "release", "update_status:failed"} & set(queue.calls)


async def test_a_task_whose_worker_died_is_worked_by_another(worker: Worker) -> None:
    """A delivery that nobody settles or renews comes back as the next attempt, and is worked."""
    queue = FakeQueue(lease_seconds=0.1)
    attempts: list[int] = []

    @worker.task("process")
    async def process(task: Task) -> None:
        attempts.append(task.attempt)

    await queue.enqueue("process")
    await queue.dequeue()
    async with worker.running(queue):
        await until(lambda: states(queue) == ["completed"])

    assert attempts == [2]


async def test_a_breakdown_of_the_worker_is_logged_at_once(
    queue: FakeQueue, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of the worker's own in the background of a block is in the log while the block goes on."""

    async def break_down(_keeper: LeaseKeeper) -> None:
        raise AssertionError("a fault of ours")

    monkeypatch.setattr(LeaseKeeper, "run", break_down)
    worker.task("process")(lambda: None)

    async with worker.running(queue):
        await until(lambda: "The worker broke down" in caplog.text)

    assert "a fault of ours" in caplog.text


async def test_completed_tasks_are_logged_when_asked_for(
    queue: FakeQueue, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG each task has its line; its data is in none."""
    caplog.set_level(logging.DEBUG, "indiaai.worker")
    worker.task("process")(lambda: None)

    await queue.enqueue("process", {"password": "a secret"})
    outcomes = await worker.drain(queue)

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.COMPLETED]
    assert "process task-1 completed at attempt 1" in caplog.text
    assert "a secret" not in caplog.text
