"""Stopping: what finishes, what is given back, what is left behind."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from indiaai_core import Task, TaskState, Worker
from indiaai_core.worker import TaskContext, run, settlement
from worker_fakes import FakeQueue, states, until

pytestmark = pytest.mark.anyio


async def test_a_fault_of_the_backend_does_not_end_the_worker(
    queue: FakeQueue, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker outlives an exception that its backend should not raise, and logs it whole."""
    worker.task("process")(lambda: None)
    await queue.enqueue("process")
    queue.fail("dequeue", error=AttributeError("a bug"))

    async with worker.running(queue):
        await until(lambda: states(queue) == ["completed"])

    assert "fails in a way it should not" in caplog.text
    assert "AttributeError: a bug" in caplog.text


async def test_a_stop_waits_for_what_is_running(queue: FakeQueue) -> None:
    """After `stop` no task is taken, and those running finish within the grace time."""
    worker = Worker(concurrency=1)
    begun, may_end = asyncio.Event(), asyncio.Event()

    @worker.task("process")
    async def process() -> str:
        begun.set()
        await may_end.wait()
        return "done"

    for _ in range(2):
        await queue.enqueue("process")
    async with anyio.create_task_group() as group:
        group.start_soon(worker.run, queue)
        await begun.wait()
        worker.stop()
        await anyio.sleep(0.05)
        may_end.set()

    assert states(queue) == ["completed", "pending"]


async def test_what_does_not_finish_in_time_is_given_back(queue: FakeQueue) -> None:
    """When the grace time is over, handlers are cancelled and their tasks can be taken by others at once."""
    worker = Worker(grace_seconds=0.05)
    begun = asyncio.Event()
    ended: list[bool] = []

    @worker.task("process")
    async def process(context: TaskContext) -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(context.is_cancelled)

    await queue.enqueue("process")
    async with worker.running(queue):
        await begun.wait()

    assert ended == [True]
    assert states(queue) == ["pending"]
    assert queue.entry("task-1").attempts == 0


async def test_a_second_stop_shortens_the_grace_time(queue: FakeQueue) -> None:
    """`stop(grace_seconds=0)` after `stop()` stops at once; a longer time later changes nothing."""
    worker = Worker(grace_seconds=60)
    begun = asyncio.Event()

    @worker.task("process")
    async def process() -> None:
        begun.set()
        await anyio.sleep_forever()

    await queue.enqueue("process")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run, queue)
            await begun.wait()
            worker.stop()
            worker.stop(grace_seconds=0)
            worker.stop(grace_seconds=60)

    assert states(queue) == ["pending"]


async def test_a_stop_while_nothing_runs_does_nothing(worker: Worker, queue: FakeQueue) -> None:
    """A worker that was stopped, or never run, can be run."""
    worker.task("process")(lambda: None)
    worker.stop()
    for _ in range(2):
        await queue.enqueue("process")
        async with worker.running(queue):
            await until(lambda: set(states(queue)) == {"completed"})

    assert states(queue) == ["completed"] * 2


async def test_a_cancelled_run_gives_its_tasks_back(queue: FakeQueue, worker: Worker) -> None:
    """Cancelling `run` stops without grace: handlers are cancelled, and their tasks are given back all the same."""
    begun = asyncio.Event()

    @worker.task("process")
    async def process() -> None:
        begun.set()
        await anyio.sleep_forever()

    await queue.enqueue("process")
    by_scope = asyncio.create_task(worker.run(queue))
    await begun.wait()
    by_scope.cancel()
    with pytest.raises(asyncio.CancelledError):
        await by_scope
    first = states(queue)
    begun.clear()
    with anyio.move_on_after(10) as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run, queue)
            await begun.wait()
            scope.cancel()

    assert first == ["pending"]
    assert states(queue) == ["pending"]


async def test_a_handler_s_settling_is_not_cut_by_a_cancelled_run(worker: Worker) -> None:
    """A handler that has finished when the run is cancelled is settled, not given back."""
    settling, may_settle = asyncio.Event(), asyncio.Event()

    class Slow(FakeQueue):
        async def update_status(self, task_id: str | Task, status: TaskState | str, data: object = None) -> bool:
            settling.set()
            await may_settle.wait()
            return await super().update_status(task_id, status, data)

    queue = Slow()
    worker.task("process")(lambda: "done")
    await queue.enqueue("process")
    async with anyio.create_task_group() as group:
        group.start_soon(worker.run, queue)
        await settling.wait()
        group.cancel_scope.cancel()
        asyncio.get_running_loop().call_later(0.05, may_settle.set)

    assert states(queue) == ["completed"]


async def test_a_stop_does_not_wait_for_a_queue_that_is_gone(queue: FakeQueue, worker: Worker) -> None:
    """A worker that stops gives up settling at the first refusal, because the task is delivered again anyway."""
    begun = asyncio.Event()

    @worker.task("process")
    async def process() -> None:
        begun.set()
        try:
            await anyio.sleep(60)
        except anyio.get_cancelled_exc_class():
            return

    queue.fail("update_status:completed", times=1000)
    await queue.enqueue("process")
    with anyio.fail_after(20):
        async with worker.running(queue):
            await begun.wait()
            worker.stop(grace_seconds=0)

    assert states(queue) == ["processing"]


async def test_a_task_that_cannot_be_given_back_is_left_to_its_lease(queue: FakeQueue, worker: Worker) -> None:
    """A queue that fails while a worker stops does not keep it from stopping."""
    begun = asyncio.Event()

    @worker.task("process")
    async def process() -> None:
        begun.set()
        await anyio.sleep_forever()

    queue.fail("release")
    await queue.enqueue("process")
    async with worker.running(queue):
        await begun.wait()
        worker.stop(grace_seconds=0)

    assert states(queue) == ["processing"]


async def test_a_handler_that_does_not_end_is_left_behind(
    queue: FakeQueue, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that swallows every cancellation does not keep the worker from stopping, and is named."""
    monkeypatch.setattr(run, "RELEASE_SECONDS", 0.05)
    begun, may_end = asyncio.Event(), asyncio.Event()

    @worker.task("stubborn")
    async def stubborn() -> None:
        begun.set()
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0) if may_end.is_set() else None

    await queue.enqueue("stubborn")
    async with worker.running(queue):
        await begun.wait()
        worker.stop(grace_seconds=0)
    may_end.set()
    await until(lambda: len(asyncio.all_tasks()) <= 2)

    assert "left behind: stubborn" in caplog.text


async def test_a_task_that_comes_with_the_stop_is_given_back_unbegun(worker: Worker) -> None:
    """A task that the last answer brought is not begun."""
    calls: list[Task] = []

    class Late(FakeQueue):
        async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
            task = await self.dequeue(timeout)
            worker.stop()
            return [task] if task else []

    queue = Late()
    worker.task("process")(calls.append)
    await queue.enqueue("process")
    await worker.run(queue)

    assert calls == []
    assert states(queue) == ["pending"]
    assert queue.entry("task-1").attempts == 0


async def test_the_background_of_a_block_ends_with_the_block(queue: FakeQueue, worker: Worker) -> None:
    """`running()` works until the block ends, raises what the block raises as it is, and leaves no task behind."""
    worker.task("process")(lambda: None)
    before = asyncio.all_tasks()

    async def fail() -> None:
        async with worker.running(queue) as same:
            assert same is worker
            raise ValueError("the application's own")

    with pytest.raises(ValueError, match="the application's own"):
        await fail()

    assert asyncio.all_tasks() == before


async def test_cancelling_the_block_s_end_stops_at_once(queue: FakeQueue) -> None:
    """A lifespan that is cancelled while it waits for the worker ends without the rest of the grace time."""
    worker = Worker(grace_seconds=60)
    begun = asyncio.Event()

    @worker.task("process")
    async def process() -> None:
        begun.set()
        await anyio.sleep_forever()

    async def serve() -> None:
        async with worker.running(queue):
            await begun.wait()

    await queue.enqueue("process")
    lifespan = asyncio.create_task(serve())
    await begun.wait()
    await anyio.sleep(0.05)
    lifespan.cancel()
    with anyio.fail_after(5), pytest.raises(asyncio.CancelledError):
        await lifespan

    assert states(queue) == ["pending"]


async def test_a_release_that_hangs_is_given_up(queue: FakeQueue, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that does not answer while a worker stops keeps it for a bounded time only."""
    monkeypatch.setattr(settlement, "RELEASE_SECONDS", 0.05)
    queue.hangs.add("release")
    begun = asyncio.Event()

    @worker.task("process")
    async def process() -> None:
        begun.set()
        await anyio.sleep_forever()

    await queue.enqueue("process")

    with anyio.fail_after(10):
        async with worker.running(queue):
            await begun.wait()
            worker.stop(grace_seconds=0)
