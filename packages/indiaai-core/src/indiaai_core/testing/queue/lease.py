"""Promises about the lease that a delivery is made under, and about what happens when it runs out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio

from indiaai_core.queue import QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import CLOCK_SLACK_SECONDS, PATIENCE_SECONDS, lapse, reach, take

__all__ = ["LeasePromises"]


class LeasePromises:
    """What a lease means."""

    @promise("Q21", "While a lease lasts, nobody else gets the task.")
    async def test_leased_task_is_given_to_nobody_else(self, service: QueueService) -> None:
        await service.enqueue("process")
        started = anyio.current_time()
        await take(service)

        await lapse(service)

        assert anyio.current_time() - started >= service.lease_seconds - CLOCK_SLACK_SECONDS

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
    async def test_unsettled_task_is_delivered_again(self, service: QueueService) -> None:
        await service.enqueue("process", {"n": 1})
        first = await take(service)

        second = await lapse(service)

        assert (second.id, second.data, second.attempt) == (first.id, {"n": 1}, 2)
        assert second.lease != first.lease

    @promise("Q24", "A call that waits gets a task whose lease runs out meanwhile.")
    async def test_waiting_call_gets_a_lapsed_task(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        await take(service)

        with anyio.fail_after(2 * service.lease_seconds + PATIENCE_SECONDS):
            task = await service.dequeue(timeout=4 * (service.lease_seconds + PATIENCE_SECONDS))

        assert task is not None
        assert (task.id, task.attempt) == (task_id, 2)

    @promise(
        "Q25", "Leases that run out spend attempts: after the last, the task is failed with the reason, and never delivered."
    )
    async def test_lapsed_last_attempt_is_a_failure(self, service: QueueService) -> None:
        task_id = await service.enqueue("process", max_attempts=2)
        await take(service)
        await lapse(service)

        status = await reach(service, task_id, state=TaskState.FAILED)

        assert status.attempts == 2
        assert status.error

    @promise("Q26", "A lease that has passed to another settles and renews nothing, and says False.")
    async def test_passed_lease_settles_nothing(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        first = await take(service)
        second = await lapse(service)

        answers = [await service.update_status(first, status, "late") for status in ("processing", "failed", "completed")]

        status = await service.get_status(task_id)
        assert answers == [False, False, False]
        assert (status.state, status.progress, status.result) == (TaskState.PROCESSING, None, None)
        assert await service.update_status(second, "completed", "mine")
