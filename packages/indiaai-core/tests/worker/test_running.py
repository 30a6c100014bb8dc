"""A worker at work: concurrency, threads, outages, the background of a block, and stopping."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextvars import ContextVar

import anyio
import pytest

from indiaai_core import Task, TaskState, Worker
from indiaai_core.worker import OutcomeKind, TaskContext, current_task, run, settlement
from indiaai_core.worker.leases import Interruption, Lease
from indiaai_core.worker.threads import HandlerThreads, _ThreadCall
from worker.fakes import BareQueue, FakeQueue, until

pytestmark = pytest.mark.anyio


def states(queue: BareQueue) -> list[str]:
    """Return the tasks' states, in the order they were enqueued."""
    return [entry.state.value for entry in queue.entries.values()]


async def taken(queue: FakeQueue) -> Task:
    """Return a delivery that the queue knows."""
    await queue.enqueue("process")
    (task,) = await queue.dequeue_many(1)
    return task


async def test_as_many_handlers_run_at_once_as_the_worker_may(queue: FakeQueue) -> None:
    """Never more tasks are taken than there are free slots, and all slots are used."""
    worker = Worker(concurrency=3)
    now_running, most, order = 0, 0, []

    @worker.task("process")
    async def process(task: Task) -> None:
        nonlocal now_running, most
        now_running += 1
        most = max(most, now_running)
        order.append(task.id)
        assert sum(entry.state is TaskState.PROCESSING for entry in queue.entries.values()) <= 3
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
    with anyio.fail_after(2):
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
    ends: list[threading.Event] = []

    class Slow(FakeQueue):
        async def update_status(self, task_id: str | Task, status: TaskState | str, data: object = None) -> bool:
            ends[-1].set()
            await anyio.sleep(0.1)
            return await super().update_status(task_id, status, data)

    queue = Slow()
    worker = Worker(concurrency=1)

    @worker.task("slow", timeout=0.05, max_attempts=1)
    def slow() -> None:
        ends.append(threading.Event())
        ends[-1].wait(5)

    for _ in range(3):
        await queue.enqueue("slow")
    async with worker.running(queue):
        await until(lambda: states(queue) == ["failed"] * 3)

    assert len(ends) == 3


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
    lease = Lease(await taken(queue), 30)
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
    started = time.monotonic()
    async with worker.running(queue):
        await begun.wait()
        worker.stop(grace_seconds=0)

    assert time.monotonic() - started < 2


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
