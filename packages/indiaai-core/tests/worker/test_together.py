"""A worker on a queue that is told of many results at once."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import anyio
import pytest

from indiaai_core import Worker
from indiaai_core.worker import OutcomeKind
from indiaai_core.worker.run import MOST_UNSETTLED
from worker_fakes import TogetherQueue, states, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def queue() -> TogetherQueue:
    """Give an empty queue."""
    return TogetherQueue()


@pytest.fixture
def numbering() -> Worker:
    """Give a worker whose handler returns the number that it is given."""
    worker = Worker(concurrency=20)

    @worker.task("process")
    async def process(data: dict[str, Any]) -> Any:
        return data.get("number")

    return worker


async def test_results_of_one_moment_are_told_in_one_call(queue: TogetherQueue, numbering: Worker) -> None:
    """What completes at the same time is settled by one call, each task with its own result."""
    for number in range(20):
        await queue.enqueue("process", {"number": number})

    async with numbering.running(queue):
        await until(lambda: states(queue) == ["completed"] * 20)

    assert [entry.result for entry in queue.entries.values()] == [*range(20)]
    assert sum(queue.together) == 20
    assert len(queue.together) <= 2


async def test_one_lost_lease_among_results_is_said_and_no_other(
    queue: TogetherQueue, numbering: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """A task that was cancelled as its handler ended is lost, as the log says; those told with it are completed."""
    lost, *_ = [await queue.enqueue("process") for _ in range(3)]
    is_taken = asyncio.Event()

    async def cancel_at_the_end(_task: Any, call_next: Any) -> Any:
        result = await call_next(_task)
        if _task.id == lost:
            await queue.cancel(lost)
            is_taken.set()
        return result

    numbering.middleware.append(cancel_at_the_end)

    with caplog.at_level(logging.WARNING, logger="indiaai.worker"):
        async with numbering.running(queue):
            await until(lambda: is_taken.is_set() and states(queue) == ["cancelled", "completed", "completed"])

    assert [record.getMessage() for record in caplog.records] == [f"process {lost} lost at attempt 1: The lease was lost."]


async def test_results_outlast_an_outage(queue: TogetherQueue, numbering: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """Where the call for many fails, each result is tried by itself until it is kept, and no handler runs again."""
    for number in range(5):
        await queue.enqueue("process", {"number": number})
    queue.fail("complete_many")
    queue.fail("update_status:completed", times=3)

    async with numbering.running(queue):
        await until(lambda: states(queue) == ["completed"] * 5)

    assert [entry.result for entry in queue.entries.values()] == [*range(5)]
    assert {entry.attempts for entry in queue.entries.values()} == {1}
    assert "answers again" in caplog.text


async def test_result_that_is_not_json_makes_a_dead_letter_of_its_task_alone(queue: TogetherQueue, numbering: Worker) -> None:
    """One result that the queue refuses fails its own task; those told with it are completed."""

    @numbering.task("bad")
    async def bad() -> object:
        return object()

    for name in ("process", "bad", "process"):
        await queue.enqueue(name)

    async with numbering.running(queue):
        await until(lambda: states(queue) == ["completed", "failed", "completed"])

    assert "cannot be kept" in (queue.entry("task-2").error or "")


@pytest.fixture
def gate(queue: TogetherQueue) -> anyio.Event:
    """Hold up the calls that tell results until this is set."""
    gate, complete_many = anyio.Event(), queue.complete_many

    async def hold_up(results: Any) -> Any:
        await gate.wait()
        return await complete_many(results)

    queue.complete_many = hold_up  # type: ignore[method-assign]  # the calls of this one queue
    return gate


async def test_a_stop_waits_for_results_to_be_kept(queue: TogetherQueue, numbering: Worker, gate: anyio.Event) -> None:
    """Results that are on their way when the worker stops arrive: nothing is given back, nothing is left to its lease."""
    for _ in range(5):
        await queue.enqueue("process")

    async with anyio.create_task_group() as group:
        group.start_soon(numbering.run, queue)
        await until(lambda: states(queue) == ["processing"] * 5)
        numbering.stop()
        await anyio.sleep(0.05)  # in which it could give them back, wrongly
        assert states(queue) == ["processing"] * 5
        gate.set()

    assert states(queue) == ["completed"] * 5
    assert "release" not in queue.calls


async def test_a_queue_that_keeps_nothing_is_not_worked_in_vain(queue: TogetherQueue, gate: anyio.Event) -> None:
    """While no result is kept, only so many more handlers run as may wait for it; then the rest follow."""
    worker, runs = Worker(concurrency=20), 0
    tasks = MOST_UNSETTLED + 100

    @worker.task("process")
    async def process() -> None:
        nonlocal runs
        runs += 1

    for _ in range(tasks):
        await queue.enqueue("process")

    async with worker.running(queue):
        await until(lambda: runs >= MOST_UNSETTLED)
        await anyio.sleep(0.1)  # in which more could run, wrongly
        held = runs
        gate.set()
        await until(lambda: states(queue) == ["completed"] * tasks, seconds=20)

    assert held <= MOST_UNSETTLED + worker.concurrency
    assert runs == tasks


async def test_one_task_by_itself_is_settled_when_its_outcome_is_told(queue: TogetherQueue, numbering: Worker) -> None:
    """`run_once` returns what became of the task, which is settled by then."""
    await queue.enqueue("process", {"number": 7})

    outcome = await numbering.run_once(queue)

    assert outcome is not None
    assert (outcome.kind, outcome.result) == (OutcomeKind.COMPLETED, 7)
    assert states(queue) == ["completed"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks from Python 3.12 on")
async def test_eager_tasks_are_settled_together_as_well(queue: TogetherQueue, numbering: Worker) -> None:
    """On an event loop whose tasks begin at once, every result is kept, and the stop finds nothing left."""
    for number in range(50):
        await queue.enqueue("process", {"number": number})
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - not there on 3.11

    async with numbering.running(queue):
        await until(lambda: states(queue) == ["completed"] * 50)

    assert [entry.result for entry in queue.entries.values()] == [*range(50)]
