"""The worker on the queue backend `memory`: retries, dead letters, cancelling, schedules, and a bound that is full."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel

from indiaai_core import NewTask, Platform, Reject, Task, TaskState, Worker, get_queue_service
from indiaai_core.worker import Backoff, OutcomeKind, TaskContext
from indiaai_queue_memory import InMemoryQueueService, MemorySettings

pytestmark = pytest.mark.anyio


class Page(BaseModel):
    """What a task is given."""

    number: int


@pytest.fixture
async def queue() -> AsyncIterator[InMemoryQueueService]:
    """Give an empty queue with a short lease."""
    async with InMemoryQueueService(MemorySettings(lease_seconds=1)) as service:
        yield service


@pytest.fixture
def worker() -> Worker:
    """Give a worker whose failed tasks are due again at once."""
    return Worker(backoff=Backoff(base_seconds=0, cap_seconds=0))


async def final_state(queue: InMemoryQueueService, task_id: str) -> TaskState:
    """Wait for a task's end and return it."""
    with anyio.fail_after(10):
        while not (status := await queue.get_status(task_id)).is_final:  # noqa: ASYNC110 - the queue tells nobody
            await anyio.sleep(0.005)
    return status.state


async def test_a_thousand_tasks_are_each_worked_once(queue: InMemoryQueueService) -> None:
    """Async and plain handlers side by side work every task, none twice, and every result is there."""
    worker = Worker(concurrency=20)
    seen: list[int] = []
    lock = threading.Lock()

    @worker.task("async")
    async def in_loop(page: Page) -> int:
        await anyio.lowlevel.checkpoint()
        with lock:
            seen.append(page.number)
        return page.number * 2

    @worker.task("plain")
    def in_thread(page: Page) -> int:
        with lock:
            seen.append(page.number)
        return page.number * 2

    ids = await queue.enqueue_many(NewTask("async" if number % 2 else "plain", {"number": number}) for number in range(1000))
    async with worker.running(queue):
        states = [await final_state(queue, task_id) for task_id in ids]

    assert set(states) == {TaskState.COMPLETED}
    assert sorted(seen) == list(range(1000))
    assert [(await queue.get_status(task_id)).result for task_id in ids] == [number * 2 for number in range(1000)]


async def test_a_failing_task_is_a_dead_letter_that_can_be_requeued(queue: InMemoryQueueService, worker: Worker) -> None:
    """After its attempts a task is a dead letter with error and traceback; requeued, it is worked from its first attempt."""
    is_mended = False
    attempts: list[int] = []

    @worker.task("process", max_attempts=7)
    async def process(task: Task) -> str:
        attempts.append(task.attempt)
        if not is_mended:
            raise ValueError("not mended")
        return "done"

    task_id = await queue.enqueue("process")
    outcomes = await worker.drain(queue)
    (letter,) = await queue.dead_letters()
    is_mended = True
    await queue.requeue(task_id)
    await worker.drain(queue)

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.RETRIED] * 6 + [OutcomeKind.FAILED]
    assert (letter.id, letter.error) == (task_id, "ValueError: not mended")
    assert "in process" in (letter.traceback or "")
    assert attempts == [1, 2, 3, 4, 5, 6, 7, 1]
    assert (await queue.get_status(task_id)).result == "done"


async def test_a_rejected_task_and_an_unknown_one_are_dead_letters_at_once(queue: InMemoryQueueService, worker: Worker) -> None:
    """A rejection, data that does not validate, and a name that nobody registered each cost one delivery."""

    @worker.task("process")
    async def process(page: Page) -> None:
        raise Reject(f"there is no page {page.number}")

    ids = [await queue.enqueue("process", {"number": 9}), await queue.enqueue("process"), await queue.enqueue("report")]
    await worker.drain(queue)

    found = [await queue.get_status(task_id) for task_id in ids]
    assert [(status.state, status.attempts) for status in found] == [(TaskState.FAILED, 1)] * 3
    assert [(status.error or "")[:30] for status in found] == [
        "there is no page 9",
        "The task's data is not a Page:",
        "No handler is registered for t",
    ]


async def test_a_cancelled_task_s_handler_is_ended_by_the_next_renewal(queue: InMemoryQueueService, worker: Worker) -> None:
    """Cancelling a task that is being worked cancels its handler within a third of the lease."""
    begun, ended = asyncio.Event(), asyncio.Event()

    @worker.task("process")
    async def process(context: TaskContext) -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    task_id = await queue.enqueue("process")
    async with worker.running(queue):
        await begun.wait()
        await queue.cancel(task_id)
        with anyio.fail_after(20):
            await ended.wait()

    assert (await queue.get_status(task_id)).state is TaskState.CANCELLED


async def test_a_long_task_outlives_its_lease_once(queue: InMemoryQueueService, worker: Worker) -> None:
    """A handler that takes longer than the lease is delivered once, and its progress can be read meanwhile."""
    deliveries: list[int] = []
    reported = asyncio.Event()

    @worker.task("process")
    async def process(task: Task, context: TaskContext) -> str:
        deliveries.append(task.attempt)
        await context.progress({"part": 0.5})
        reported.set()
        await anyio.sleep(1.5)
        return "done"

    task_id = await queue.enqueue("process")
    async with worker.running(queue):
        await reported.wait()
        meanwhile = await queue.get_status(task_id)
        state = await final_state(queue, task_id)

    assert (meanwhile.state, meanwhile.progress) == (TaskState.PROCESSING, {"part": 0.5})
    assert (state, deliveries) == (TaskState.COMPLETED, [1])


async def test_a_stopped_worker_s_tasks_are_another_s_at_once(queue: InMemoryQueueService) -> None:
    """What a worker gives back at its stop is taken by the next one without waiting for the lease, as the same attempt."""
    first, second = Worker(grace_seconds=0), Worker()
    begun = asyncio.Event()

    @first.task("process")
    async def process() -> None:
        begun.set()
        await anyio.sleep_forever()

    second.task("process")(lambda: None)
    task_id = await queue.enqueue("process")
    async with first.running(queue):
        await begun.wait()
    outcome = await second.run_once(queue)

    assert outcome is not None
    assert (outcome.task.id, outcome.task.attempt, outcome.kind) == (task_id, 1, OutcomeKind.COMPLETED)


async def test_a_schedule_is_worked_in_the_application_s_process(queue: InMemoryQueueService, worker: Worker) -> None:
    """A tick comes when it is due, with its time."""
    seen: list[str] = []

    @worker.cron("* * * * * *")
    async def tick(data: dict[str, str]) -> None:
        seen.append(data["scheduled_at"])

    async with worker.running(queue):
        with anyio.fail_after(5):
            while len(seen) < 2:  # noqa: ASYNC110 - two ticks are two events
                await anyio.sleep(0.01)

    assert seen == sorted(set(seen))


async def test_the_platform_s_queue_is_worked_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With no settings at all a worker works what the application enqueues."""
    monkeypatch.chdir(tmp_path)
    worker = Worker()

    @worker.task("process")
    async def process(page: Page) -> int:
        await get_queue_service().enqueue("report", {"number": page.number})
        return page.number

    worker.task("report")(lambda data: data["number"])

    async with Platform():
        await get_queue_service().enqueue("process", {"number": 3})
        outcomes = await worker.drain()

    assert [(outcome.task.name, outcome.result) for outcome in outcomes] == [("process", 3), ("report", 3)]
