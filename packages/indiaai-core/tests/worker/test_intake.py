"""What is leased ahead of need: that it keeps the slots busy, goes back in time, and is not begun when it is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import anyio
import pytest

from indiaai_core import Retry, Task, TaskState, Worker
from indiaai_core.worker import OutcomeKind, intake, run
from indiaai_core.worker.intake import Intake
from indiaai_core.worker.leases import Interruption
from indiaai_core.worker.source import Delivery, Source
from worker_fakes import BareQueue, FakeQueue, make_task, states, until

pytestmark = pytest.mark.anyio


class SlowQueue(FakeQueue):
    """A queue that is some way off, and whose answers bring many tasks."""

    latency_seconds = 0.01
    settling = 0
    most_settling = 0
    most_leased = 0

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Lease up to `limit` tasks after a while."""
        await anyio.sleep(self.latency_seconds)
        tasks = await super().dequeue_many(limit, timeout)
        self.most_leased = max(self.most_leased, states(self).count("processing"))
        return tasks

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: object = None) -> bool:
        """Settle after a while."""
        self.settling += 1
        self.most_settling = max(self.most_settling, self.settling)
        await anyio.sleep(self.latency_seconds)
        self.settling -= 1
        return await super().update_status(task_id, status, data)


class Bench:
    """An intake without a run around it, and what it began."""

    def __init__(self, queue: FakeQueue, *, concurrency: int = 1) -> None:
        """Begin with nothing."""
        self.source = Source(queue)
        self.begun: list[Delivery] = []
        self.intake = Intake([self.source], concurrency=concurrency, rate_limits={}, begin=self.begun.append)

    def accept(self, *tasks: Task, age_seconds: float = 0.0) -> None:
        """Have tasks arrive that were asked for some time ago."""
        self.intake.accept(self.source, tasks, asked_at=asyncio.get_running_loop().time() - age_seconds)


async def work_all(worker: Worker, queue: BareQueue) -> None:
    """Work until every task is completed."""
    async with worker.running(queue):
        await until(lambda: set(states(queue)) == {"completed"}, seconds=20)


async def test_a_queue_that_is_far_off_costs_no_slot_its_time() -> None:
    """Tasks are leased ahead and settlements go out side by side, while no more handlers run than may."""
    queue, worker = SlowQueue(), Worker(concurrency=2)
    running = most_running = 0

    @worker.task("process")
    async def process() -> None:
        nonlocal running, most_running
        running += 1
        most_running = max(most_running, running)
        await anyio.sleep(0.001)
        running -= 1

    for _ in range(300):
        await queue.enqueue("process")
    await work_all(worker, queue)

    assert most_running == 2
    assert queue.most_settling > 2
    assert queue.most_leased > 2 + 2


async def test_nothing_waits_longer_in_a_worker_than_a_handler_takes() -> None:
    """Of two workers on one queue none leases what it will not begin within about one handler's time."""
    queue = FakeQueue()
    workers = [Worker(concurrency=4), Worker(concurrency=4)]
    leased: dict[str, float] = {}
    waits: list[float] = []

    class Timed(FakeQueue):
        async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
            tasks = await super().dequeue_many(limit, timeout)
            leased.update((task.id, time.monotonic()) for task in tasks)
            return tasks

    async def process(task: Task) -> None:
        waits.append(time.monotonic() - leased[task.id])
        await anyio.sleep(0.2)

    queue = Timed()
    for worker in workers:
        worker.task("process")(process)
    for _ in range(80):
        await queue.enqueue("process")
    async with workers[0].running(queue):
        await work_all(workers[1], queue)

    assert len(waits) == 80
    # A handler's time, and what a busy machine adds; leased without measure, the last would wait for ten.
    assert max(waits) < 0.2 + 1


async def test_a_backend_that_cannot_give_back_is_not_asked_ahead_of_need(worker: Worker) -> None:
    """Of the four abstract methods alone nothing brings a task back uncounted, so none is taken that has no slot."""
    queue = BareQueue()
    most = 0

    @worker.task("process")
    async def process() -> None:
        nonlocal most
        most = max(most, states(queue).count("processing"))

    for _ in range(300):
        await queue.enqueue("process")
    await work_all(worker, queue)

    # The handlers that ended are still being settled.
    assert most <= worker.concurrency * 3


async def fill_stock(worker: Worker, queue: FakeQueue, *, may_end: asyncio.Event) -> Callable[[], int]:
    """Register handlers that are fast at first and then hang, and give what counts the tasks under a lease."""

    @worker.task("fast")
    async def fast() -> None: ...

    @worker.task("slow")
    async def slow() -> None:
        await may_end.wait()

    for name in ["fast"] * 400 + ["slow"] * 60:
        await queue.enqueue(name)
    return lambda: states(queue).count("processing")


async def test_what_was_leased_ahead_goes_back_when_handlers_become_slow(
    queue: FakeQueue, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What found no slot in time is released, uncounted, so that another worker gets it at once."""
    monkeypatch.setattr(intake, "LONGEST_STOCK_SECONDS", 0.1)
    may_end = asyncio.Event()
    leased = await fill_stock(worker, queue, may_end=may_end)

    async with worker.running(queue):
        await until(lambda: leased() > worker.concurrency and states(queue).count("completed") == 400)
        await until(lambda: leased() == worker.concurrency)
        released = queue.calls.count("release")
        may_end.set()
        await until(lambda: set(states(queue)) == {"completed"})

    assert released >= 1
    assert {entry.attempts for entry in queue.entries.values()} == {1}


async def test_a_stop_gives_back_at_once_what_was_leased_ahead(queue: FakeQueue, worker: Worker) -> None:
    """Within the grace time only what has begun stays with a worker that stops."""
    may_end = asyncio.Event()
    leased = await fill_stock(worker, queue, may_end=may_end)

    async with worker.running(queue):
        await until(lambda: leased() > worker.concurrency and states(queue).count("completed") == 400)
        worker.stop(grace_seconds=5)
        await until(lambda: leased() == worker.concurrency, seconds=1)
        may_end.set()

    assert states(queue).count("completed") == 400 + worker.concurrency
    assert {entry.attempts for entry in queue.entries.values() if entry.state is TaskState.PENDING} == {0}


async def test_a_stop_waits_for_an_answer_that_is_under_way(worker: Worker) -> None:
    """What a call brings that the stop found half done is given back, uncounted, not left to its lease."""
    asked, may_answer = asyncio.Event(), asyncio.Event()

    class Slow(FakeQueue):
        async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
            tasks = await super().dequeue_many(limit, timeout)
            if timeout == 0:
                asked.set()
                await may_answer.wait()
            return tasks

    queue = Slow()
    worker.task("process")(lambda: None)
    for _ in range(100):
        await queue.enqueue("process")
    async with worker.running(queue):
        await asked.wait()
        worker.stop(grace_seconds=5)
        asyncio.get_running_loop().call_later(0.05, may_answer.set)

    assert set(states(queue)) == {"completed", "pending"}
    assert {entry.attempts for entry in queue.entries.values() if entry.state is TaskState.PENDING} == {0}


async def test_a_stop_does_not_wait_long_for_an_answer(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that hangs while it is asked keeps no worker from stopping."""
    monkeypatch.setattr(intake, "LAST_ANSWER_SECONDS", 0.05)
    asked = asyncio.Event()

    class Hanging(FakeQueue):
        async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
            if timeout == 0:
                asked.set()
                await anyio.sleep_forever()
            return await super().dequeue_many(limit, timeout)

    queue = Hanging()
    worker.task("process")(lambda: None)
    for _ in range(100):
        await queue.enqueue("process")

    with anyio.fail_after(10):
        async with worker.running(queue):
            await asked.wait()


async def test_a_delivery_that_was_lost_while_it_waited_is_not_begun(queue: FakeQueue) -> None:
    """What a renewal found cancelled, or with another, takes no slot; the next one does."""
    bench = Bench(queue)
    first, lost, last = make_task(), make_task(), make_task()

    bench.accept(first, lost, last)
    bench.source.stock[0].interrupt(Interruption.LOST)
    bench.intake.leave_slot(bench.begun[0])

    assert [delivery.task for delivery in bench.begun] == [first, lost, last]
    assert [delivery.has_slot for delivery in bench.begun] == [False, False, True]


async def test_a_delivery_whose_lease_is_over_is_not_begun(queue: FakeQueue) -> None:
    """Counted from when the queue was asked, so that no other worker can have it when it begins here."""
    bench = Bench(queue)

    bench.accept(make_task(), age_seconds=queue.lease_seconds)
    bench.accept(make_task(), age_seconds=queue.lease_seconds - 5)

    assert [delivery.interruption for delivery in bench.begun] == [Interruption.WAITED, None]


async def test_deliveries_that_end_as_they_begin_are_all_begun(queue: FakeQueue) -> None:
    """However many end before `begin` returns, as with asyncio's eager tasks, the stack does not grow with them."""
    begun: list[Delivery] = []

    def begin(delivery: Delivery) -> None:
        begun.append(delivery)
        eager.leave_slot(delivery)

    source = Source(queue)
    eager = Intake([source], concurrency=2, rate_limits={}, begin=begin)
    eager.accept(source, [make_task() for _ in range(3000)], asked_at=asyncio.get_running_loop().time())

    assert len(begun) == 3000
    assert not source.stock


async def test_a_lease_that_ended_while_the_loop_was_blocked_is_given_back(worker: Worker) -> None:
    """A worker that stood still for longer than a lease does not begin what it had leased before."""
    queue = FakeQueue(lease_seconds=0.3)
    calls: list[str] = []

    class Batch(FakeQueue):
        async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
            return await super().dequeue_many(2 if self.calls.count("dequeue") == 0 else limit, timeout)

    queue = Batch(lease_seconds=0.3)
    worker = Worker(concurrency=1, blocking_seconds=None)

    @worker.task("process")
    async def process(task: Task) -> None:
        calls.append(task.id)
        if len(calls) == 1:
            time.sleep(0.4)  # noqa: ASYNC251 - that it blocks is what is tested

    await queue.enqueue("process")
    await queue.enqueue("process")
    async with worker.running(queue):
        await until(lambda: set(states(queue)) == {"completed"})

    assert queue.calls.count("release") == 1
    assert calls[1:] in (["task-1", "task-2"], ["task-2", "task-1"], ["task-2"])


async def test_slots_are_kept_while_too_many_outcomes_wait_for_the_queue(
    queue: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that keeps no outcome bounds what is worked without one."""
    monkeypatch.setattr(run, "MOST_UNSETTLED", 5)
    queue.hangs.add("update_status:completed")
    worker = Worker(concurrency=2, grace_seconds=0)
    calls: list[str] = []

    @worker.task("process")
    async def process(task: Task) -> None:
        calls.append(task.id)

    for _ in range(30):
        await queue.enqueue("process")
    monkeypatch.setattr(run, "RELEASE_SECONDS", 0.05)
    async with worker.running(queue):
        await until(lambda: len(calls) >= 7)
        await anyio.sleep(0.1)
        queue.hangs.clear()

    assert len(calls) <= 5 + 2 * worker.concurrency


async def test_an_answer_that_holds_no_task_is_survived(
    queue: FakeQueue, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """A backend that gives something else than tasks is logged as failing, and the tasks beside it are worked."""
    caplog.set_level(logging.ERROR, "indiaai.worker")

    class Wrong(FakeQueue):
        async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
            tasks = await super().dequeue_many(limit, timeout)
            return [*tasks, None] if len(self.calls) < 4 else tasks  # type: ignore[list-item]  # what is tested

    queue = Wrong()
    worker.task("process")(lambda: None)
    await queue.enqueue("process")
    await work_all(worker, queue)

    assert "fails in a way it should not" in caplog.text
    assert "gave None where a Task belongs" in caplog.text


async def test_a_delivery_that_is_answered_twice_is_settled_once(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """The second of two deliveries under one lease finds it settled, and changes nothing."""
    caplog.set_level(logging.WARNING, "indiaai.worker")

    class Twice(FakeQueue):
        async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
            tasks = await super().dequeue_many(limit, timeout)
            return [*tasks, *tasks]

    queue = Twice()
    results: list[int] = []

    @worker.task("process")
    async def process() -> int:
        results.append(len(results))
        return results[-1]

    await queue.enqueue("process")
    async with worker.running(queue):
        await until(lambda: len(results) == 2 and OutcomeKind.LOST.value in caplog.text)

    assert queue.entry("task-1").result in results
    assert states(queue) == ["completed"]


async def test_a_task_that_comes_again_begins_when_nothing_else_waits(queue: FakeQueue) -> None:
    """It may have ended the worker that had it: what was leased with it begins before it, and is not held when it does."""
    bench = Bench(queue)
    first, again, other = make_task(id="first"), make_task(id="again", attempt=2), make_task(id="other")

    bench.accept(first, again, other)
    for _ in range(3):
        bench.intake.leave_slot(bench.begun[-1])

    assert [delivery.task.id for delivery in bench.begun] == ["first", "other", "again"]


async def test_what_comes_while_a_task_that_came_again_runs_goes_back(queue: FakeQueue) -> None:
    """An answer that was under way is given back uncounted, the first of it last, so that it is first again."""
    bench = Bench(queue)

    bench.accept(make_task(id="again", attempt=2))
    bench.accept(make_task(id="one"), make_task(id="two"))

    assert [delivery.task.id for delivery in bench.begun] == ["again", "two", "one"]
    assert [delivery.interruption for delivery in bench.begun] == [None, Interruption.WAITED, Interruption.WAITED]


async def test_a_task_that_comes_again_goes_back_with_the_others(queue: FakeQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where handlers are slow another worker gets it, and where the worker stops it is given back, as any that waits."""
    monkeypatch.setattr(intake, "LONGEST_STOCK_SECONDS", 0.02)
    bench = Bench(queue)
    queue.entries.clear()

    bench.accept(make_task(id="slow"), make_task(id="again", attempt=2))
    async with anyio.create_task_group() as group:
        group.start_soon(bench.intake.run)
        await until(lambda: len(bench.begun) == 2)
        bench.accept(make_task(id="later", attempt=3))
        bench.intake.close()
        group.cancel_scope.cancel()

    assert [(delivery.task.id, delivery.interruption) for delivery in bench.begun] == [
        ("slow", None),
        ("again", Interruption.WAITED),
        ("later", Interruption.STOPPED),
    ]


async def test_nothing_is_leased_ahead_while_a_task_that_came_again_runs(queue: FakeQueue, worker: Worker) -> None:
    """A worker that such a task ends holds no more than what it had begun."""
    leased: list[int] = []

    @worker.task("process")
    async def process() -> None: ...

    @worker.task("fragile", max_attempts=3)
    async def fragile(task: Task) -> None:
        if task.attempt == 1:
            raise Retry(after=0)
        for _ in range(20):
            await anyio.sleep(0.001)
            leased.append(states(queue).count("processing"))

    for name in [*["process"] * 300, "fragile", *["process"] * 2000]:
        await queue.enqueue(name)
    await work_all(worker, queue)

    # The handlers that ended are still being settled.
    assert max(leased) <= worker.concurrency * 3
