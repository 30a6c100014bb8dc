"""Leases while handlers run: renewal, loss, and settling through outages."""

from __future__ import annotations

import logging
import threading
import time

import anyio
import pytest

from indiaai_core import Task, TaskState, Worker
from indiaai_core.worker import OutcomeKind, TaskContext
from indiaai_core.worker.leases import Lease, LeaseKeeper
from indiaai_core.worker.outage import Outage
from worker_fakes import FakeQueue, until

pytestmark = pytest.mark.anyio

LEASE_SECONDS = 0.3


@pytest.fixture
async def queue() -> FakeQueue:
    """Give an empty queue with a short lease."""
    return FakeQueue(lease_seconds=LEASE_SECONDS)


async def test_a_lease_is_renewed_while_its_handler_runs(queue: FakeQueue, worker: Worker) -> None:
    """A handler that takes three leases' time is called once, and its result is kept."""
    calls: list[int] = []

    @worker.task("process")
    async def process(task: Task) -> str:
        calls.append(task.attempt)
        await anyio.sleep(3 * LEASE_SECONDS)
        return "done"

    await queue.enqueue("process")
    async with worker.running(queue):
        await until(lambda: queue.entry("task-1").state is TaskState.COMPLETED)

    assert calls == [1]
    assert 3 <= queue.calls.count("update_status:processing") <= 12


async def test_a_lease_that_is_overdue_is_renewed_at_once(queue: FakeQueue) -> None:
    """A lease that fell due while others were renewed, or while the loop was blocked, is late and ends nothing."""
    await queue.enqueue("process")
    delivery = await queue.dequeue()
    assert delivery is not None
    lease, keeper = Lease(delivery, LEASE_SECONDS), LeaseKeeper(queue, Outage())
    lease.renews_at -= 60

    async with anyio.create_task_group() as group:
        keeper.hold(lease)
        group.start_soon(keeper.run)
        await until(lambda: "update_status:processing" in queue.calls)
        group.cancel_scope.cancel()

    assert not lease.is_over


async def test_a_plain_handler_s_lease_is_renewed_too(queue: FakeQueue, worker: Worker) -> None:
    """A plain handler does not hold up its own renewal."""
    worker.task("process")(lambda: time.sleep(3 * LEASE_SECONDS))

    await queue.enqueue("process")
    outcome = await worker.run_once(queue)

    assert outcome is not None
    assert outcome.kind is OutcomeKind.COMPLETED


async def test_a_short_handler_s_lease_is_not_renewed(queue: FakeQueue, worker: Worker) -> None:
    """What is settled within a third of its lease costs one call."""
    worker.task("process")(lambda: None)

    await queue.enqueue("process")
    await worker.run_once(queue)

    assert queue.calls == ["enqueue", "dequeue", "update_status:completed"]


async def test_a_cancelled_task_s_handler_is_cancelled(queue: FakeQueue, worker: Worker) -> None:
    """A handler whose task is cancelled meanwhile is cancelled at the next renewal, and nothing is settled."""
    ended: list[bool] = []

    @worker.task("process")
    async def process(context: TaskContext) -> None:
        await queue.cancel("task-1")
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(context.is_cancelled)

    await queue.enqueue("process")
    outcome = await worker.run_once(queue)

    assert outcome is not None
    assert outcome.kind is OutcomeKind.LOST
    assert ended == [True]
    assert queue.entry("task-1").state is TaskState.CANCELLED
    assert not {"retry", "release", "update_status:failed", "update_status:completed"} & set(queue.calls)


async def test_the_result_of_a_lost_lease_is_discarded(queue: FakeQueue, worker: Worker) -> None:
    """What a handler returns after its lease was lost is not written over what the next holder does."""

    @worker.task("process")
    async def process() -> str:
        await queue.cancel("task-1")
        try:
            await anyio.sleep(60)
        except anyio.get_cancelled_exc_class():
            return "too late"
        return "never"

    await queue.enqueue("process")
    outcome = await worker.run_once(queue)

    assert outcome is not None
    assert (outcome.kind, outcome.result) == (OutcomeKind.LOST, None)
    assert "update_status:completed" not in queue.calls


async def test_a_plain_handler_can_see_that_its_task_was_cancelled(queue: FakeQueue, worker: Worker) -> None:
    """A thread cannot be stopped: it can look at `is_cancelled`, and its result is discarded."""
    looks: list[float] = []

    @worker.task("process")
    def process(context: TaskContext) -> str:
        queue.entry("task-1").lease = "another's"
        while not context.is_cancelled:
            time.sleep(0.005)
        looks.append(time.monotonic())
        return "too late"

    await queue.enqueue("process")
    outcome = await worker.run_once(queue)
    await until(lambda: looks)

    assert outcome is not None
    assert outcome.kind is OutcomeKind.LOST
    assert "update_status:completed" not in queue.calls


async def test_settling_a_lease_that_has_passed_on_changes_nothing(queue: FakeQueue, worker: Worker) -> None:
    """A handler that ends after its lease went to another is told apart from one that settled."""

    @worker.task("process")
    async def process() -> str:
        queue.entry("task-1").lease = "another's"
        return "done"

    await queue.enqueue("process")
    outcome = await worker.run_once(queue)

    assert outcome is not None
    assert (outcome.kind, outcome.error) == (OutcomeKind.LOST, "The lease was lost.")


async def test_a_renewal_that_fails_is_tried_again(queue: FakeQueue, worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """A store that is away for two renewals costs nothing, and is said once, with its return."""
    caplog.set_level(logging.WARNING, "indiaai.worker")
    queue.fail("update_status:processing", times=2)

    @worker.task("process")
    async def process() -> None:
        await anyio.sleep(2 * LEASE_SECONDS)

    await queue.enqueue("process")
    outcome = await worker.run_once(queue)

    assert outcome is not None
    assert outcome.kind is OutcomeKind.COMPLETED
    assert [record.getMessage().partition(":")[0].partition(",")[0] for record in caplog.records] == [
        "The queue does not answer",
        "The queue answers again",
    ]


async def test_a_renewal_that_hangs_holds_up_no_other(queue: FakeQueue, worker: Worker) -> None:
    """A renewal without an answer is given up in time for the next one."""
    queue.hangs.add("update_status:processing")

    @worker.task("process")
    async def process() -> None:
        await until(lambda: queue.calls.count("update_status:processing") >= 2)
        queue.hangs.clear()

    await queue.enqueue("process")
    outcome = await worker.run_once(queue)

    assert outcome is not None
    assert outcome.kind is OutcomeKind.COMPLETED


async def test_a_handler_that_ends_during_its_renewal_is_not_taken_for_lost(queue: FakeQueue, worker: Worker) -> None:
    """A renewal that is under way when the task is settled says False, and means nothing by it."""
    under_way, settled = anyio.Event(), anyio.Event()

    class SlowRenewal(FakeQueue):
        async def update_status(self, task_id: str | Task, status: TaskState | str, data: object = None) -> bool:
            if status == TaskState.PROCESSING:
                under_way.set()
                await settled.wait()
            else:
                settled.set()
            return await super().update_status(task_id, status, data)

    slow = SlowRenewal(lease_seconds=LEASE_SECONDS)
    worker.task("process")(under_way.wait)
    await slow.enqueue("process")
    outcome = await worker.run_once(slow)

    assert outcome is not None
    assert outcome.kind is OutcomeKind.COMPLETED


async def test_settling_is_tried_again_until_the_queue_answers(
    queue: FakeQueue, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """A result is not lost to a short outage of the queue, which is said once in the log."""
    caplog.set_level(logging.WARNING, "indiaai.worker")
    queue.lease_seconds = 30
    queue.fail("update_status:completed", times=2)
    worker.task("process")(lambda: "done")

    await queue.enqueue("process")
    async with worker.running(queue):
        await until(lambda: queue.entry("task-1").state is TaskState.COMPLETED)

    assert queue.entry("task-1").result == "done"
    assert len([record for record in caplog.records if "does not answer" in record.getMessage()]) == 1


async def test_settling_is_given_up_when_the_lease_is_over(queue: FakeQueue, worker: Worker) -> None:
    """A queue that stays away costs the attempt, not the task: it is delivered again."""
    queue.fail("update_status:completed", times=100)
    attempts: list[int] = []

    @worker.task("process")
    async def process(task: Task) -> str:
        attempts.append(task.attempt)
        if task.attempt == 2:
            queue.failures.clear()
        return f"attempt {task.attempt}"

    await queue.enqueue("process")
    async with worker.running(queue):
        await until(lambda: queue.entry("task-1").state is TaskState.COMPLETED)

    assert attempts == [1, 2]
    assert queue.entry("task-1").result == "attempt 2"


async def test_a_backend_s_own_fault_in_settling_is_survived(
    queue: FakeQueue, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that no backend should raise is logged with its traceback, and settling is tried again."""
    queue.lease_seconds = 30
    queue.fail("update_status:completed", error=KeyError("a bug"))
    worker.task("process")(lambda: "done")

    await queue.enqueue("process")
    async with worker.running(queue):
        await until(lambda: queue.entry("task-1").state is TaskState.COMPLETED)

    faults = [record for record in caplog.records if "fails in a way it should not" in record.getMessage()]
    assert len(faults) == 1
    assert faults[0].exc_info is not None


async def test_a_traceback_that_the_queue_refuses_is_left_out(queue: FakeQueue, worker: Worker) -> None:
    """A backend with a tighter limit gets the error without its traceback; one that refuses that too gets nothing."""
    from indiaai_core import InvalidTask

    @worker.task("process", max_attempts=1)
    async def process() -> None:
        raise ValueError("boom")

    queue.fail("update_status:failed", error=InvalidTask("too large"))
    first = await queue.enqueue("process")
    await worker.run_once(queue)
    queue.fail("update_status:failed", times=2, error=InvalidTask("too large"))
    await queue.enqueue("process")
    outcome = await worker.run_once(queue)

    assert (queue.entry(first).error, queue.entry(first).traceback) == ("ValueError: boom", None)
    assert outcome is not None
    assert (outcome.kind, outcome.error) == (OutcomeKind.LOST, "too large")


async def test_progress_is_kept_and_renews_the_lease(queue: FakeQueue, worker: Worker) -> None:
    """What a handler reports is in the task's status while it runs."""
    reports: list[object] = []

    @worker.task("process")
    async def process(context: TaskContext) -> None:
        assert await context.progress({"pages": 1})
        reports.append((await queue.get_status(context.task.id)).progress)

    await queue.enqueue("process")
    await worker.run_once(queue)

    assert reports == [{"pages": 1}]


async def test_progress_from_a_thread_is_kept(queue: FakeQueue, worker: Worker) -> None:
    """A plain handler reports by the blocking call."""
    threads: list[str] = []

    @worker.task("process")
    def process(context: TaskContext) -> bool:
        threads.append(threading.current_thread().name)
        return context.progress_from_thread({"pages": 1})

    await queue.enqueue("process")
    outcome = await worker.run_once(queue)

    assert outcome is not None
    assert outcome.result is True
    assert queue.entry("task-1").progress == {"pages": 1}
    assert threads != [threading.current_thread().name]


async def test_progress_that_finds_the_lease_lost_cancels_the_handler(queue: FakeQueue, worker: Worker) -> None:
    """Progress says False where the lease is gone, and the handler is cancelled at its next await."""
    answers: list[bool] = []

    @worker.task("process")
    async def process(context: TaskContext) -> None:
        queue.entry("task-1").lease = "another's"
        answers.append(await context.progress(1))
        try:
            await anyio.sleep_forever()
        finally:
            answers.append(await context.progress(2))

    await queue.enqueue("process")
    outcome = await worker.run_once(queue)

    assert outcome is not None
    assert outcome.kind is OutcomeKind.LOST
    assert answers == [False, False]


async def test_a_handler_that_hears_of_the_loss_and_returns_has_lost(queue: FakeQueue, worker: Worker) -> None:
    """A handler may end by itself when progress says False; nothing is settled then either."""

    @worker.task("process")
    async def process(context: TaskContext) -> str:
        queue.entry("task-1").lease = "another's"
        return "kept" if await context.progress(1) else "lost"

    await queue.enqueue("process")
    outcome = await worker.run_once(queue)

    assert outcome is not None
    assert (outcome.kind, outcome.result) == (OutcomeKind.LOST, None)


async def test_a_plain_handler_s_progress_says_when_the_attempt_is_over(worker: Worker) -> None:
    """From a thread whose lease is lost, progress says False without asking the queue again."""
    queue = FakeQueue(lease_seconds=60)  # renewals would be counted, too
    answers: list[bool] = []

    @worker.task("process")
    def process(context: TaskContext) -> None:
        queue.entry("task-1").lease = "another's"
        answers.append(context.progress_from_thread(1))
        answers.append(context.progress_from_thread(2))

    await queue.enqueue("process")
    await worker.run_once(queue)
    await until(lambda: len(answers) == 2)

    assert answers == [False, False]
    assert queue.calls.count("update_status:processing") == 1


async def test_progress_during_an_outage_does_not_fail_the_attempt(queue: FakeQueue, worker: Worker) -> None:
    """A report that cannot be kept is dropped; the work goes on."""
    queue.fail("update_status:processing")

    @worker.task("process")
    async def process(context: TaskContext) -> bool:
        return await context.progress(1)

    await queue.enqueue("process")
    outcome = await worker.run_once(queue)

    assert outcome is not None
    assert (outcome.kind, outcome.result) == (OutcomeKind.COMPLETED, False)


async def test_progress_that_is_not_json_is_the_handler_s_error(queue: FakeQueue, worker: Worker) -> None:
    """A report that cannot be written raises in the handler, where the mistake is."""

    @worker.task("process", max_attempts=1)
    async def process(context: TaskContext) -> None:
        await context.progress(object())

    task_id = await queue.enqueue("process")
    await worker.run_once(queue)

    assert "InvalidTask" in (queue.entry(task_id).error or "")
