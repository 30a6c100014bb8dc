"""Promises about the lease that a delivery is made under, and about what happens when it runs out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio

from indiaai_core.queue import QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import PATIENCE_SECONDS, drain, lapse, reach, take

__all__ = ["LeasePromises"]


class LeasePromises:
    """What a lease means."""

    @promise("Q21", "While a lease lasts, nobody else gets the task.")
    async def test_leased_task_is_given_to_nobody_else(self, service: QueueService, elapse: Elapse) -> None:
        await service.enqueue("process")
        await take(service)

        for _ in range(3):
            assert await service.dequeue() is None
            await elapse(0.25 * service.lease_seconds)

        assert await service.dequeue() is None

    @promise("Q22", "A delivery states its lease: attempt 1, a token, and an aware end that lies ahead.")
    async def test_delivery_states_its_lease(self, service: QueueService) -> None:
        await service.enqueue("process")

        task = await take(service)

        now = datetime.now(UTC)
        assert task.attempt == 1
        assert task.lease
        assert task.enqueued_at.utcoffset() == timedelta(0)
        assert task.lease_expires_at.utcoffset() == timedelta(0)
        assert abs(task.lease_expires_at - now - timedelta(seconds=service.lease_seconds)) < timedelta(seconds=PATIENCE_SECONDS)

    @promise("Q23", "A task that nobody settles is delivered again when its lease has run out: the next attempt, a new lease.")
    async def test_unsettled_task_is_delivered_again(self, service: QueueService, elapse: Elapse) -> None:
        await service.enqueue("process", {"n": 1})
        first = await take(service)

        second = await lapse(service, elapse)

        assert (second.id, second.data, second.attempt) == (first.id, {"n": 1}, 2)
        assert second.lease != first.lease

    @promise("Q24", "A call that waits gets a task whose lease runs out meanwhile.")
    async def test_waiting_call_gets_a_lapsed_task(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process")
        await take(service)
        await elapse(service.lease_seconds - min(0.2, service.lease_seconds / 2))

        with anyio.fail_after(PATIENCE_SECONDS):
            task = await service.dequeue(timeout=4 * PATIENCE_SECONDS)

        assert task is not None
        assert (task.id, task.attempt) == (task_id, 2)

    @promise(
        "Q25", "Leases that run out spend attempts: after the last, the task is failed with the reason, and never delivered."
    )
    async def test_lapsed_last_attempt_is_a_failure(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process", max_attempts=2)
        await take(service)
        await lapse(service, elapse)
        await elapse(service.lease_seconds)

        status = await reach(service, task_id, state=TaskState.FAILED)

        assert status.attempts == 2
        assert status.error

    @promise("Q26", "A lease that has passed to another settles and renews nothing, and says False.")
    async def test_passed_lease_settles_nothing(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process")
        first = await take(service)
        second = await lapse(service, elapse)

        answers = [await service.update_status(first, status, "late") for status in ("processing", "failed", "completed")]

        status = await service.get_status(task_id)
        assert answers == [False, False, False]
        assert (status.state, status.progress, status.result) == (TaskState.PROCESSING, None, None)
        assert await service.update_status(second, "completed", "mine")

    @promise(
        "Q112",
        "A settlement that comes after the lease's end, but before anybody else has the task, is done and the task is not "
        "delivered again, or says False and it is.",
    )
    async def test_late_settlement_is_done_or_refused(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)
        await elapse(1.1 * service.lease_seconds)

        is_done = await service.update_status(task, "completed", "late")

        assert [again.id for again in await drain(service)] == ([] if is_done else [task_id])
        assert (await service.get_status(task_id)).result == ("late" if is_done else None)

    @promise("Q113", "A task whose lease ran out says so as its error, until an attempt is completed.")
    async def test_lapsed_task_says_so(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process")
        await take(service)
        again = await lapse(service, elapse)

        before = await service.get_status(task_id)
        await service.update_status(again, "completed")

        assert before.error
        assert before.traceback is None
        assert (await service.get_status(task_id)).error is None

    @promise("Q114", "Leases that were given at different times run out each at its own.")
    async def test_leases_run_out_each_at_its_own_time(self, service: QueueService, elapse: Elapse) -> None:
        early_id = await service.enqueue("early")
        await take(service)
        await elapse(0.5 * service.lease_seconds)
        late_id = await service.enqueue("late")
        await take(service)

        await elapse(0.6 * service.lease_seconds)
        first = await service.dequeue()
        second = await service.dequeue()
        await elapse(0.45 * service.lease_seconds)
        third = await service.dequeue()

        assert [task and (task.id, task.attempt) for task in (first, second, third)] == [(early_id, 2), None, (late_id, 2)]
