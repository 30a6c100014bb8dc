"""Promises about tasks that are to be delivered later."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import MAX_DELAY_SECONDS, NewTask, QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import PATIENCE_SECONDS, drain, take

__all__ = ["DelayPromises"]


class DelayPromises:
    """What `delay` does."""

    @promise("Q53", "A delayed task is not delivered before its time, and is after.", needs="delay")
    async def test_delayed_task_waits_for_its_time(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process", delay=1.1)

        await elapse(0.8)
        assert await service.dequeue() is None

        await elapse(0.4)
        assert (await take(service)).id == task_id

    @promise("Q54", "A call that waits gets a delayed task when its time has come.", needs="delay")
    async def test_waiting_call_gets_a_delayed_task(self, service: QueueService) -> None:
        task_id = await service.enqueue("process", delay=0.2)

        with anyio.fail_after(PATIENCE_SECONDS):
            task = await service.dequeue(timeout=4 * PATIENCE_SECONDS)

        assert task is not None
        assert task.id == task_id

    @promise("Q55", "A delayed task holds up nobody.", needs="delay")
    async def test_delayed_task_holds_up_nobody(self, service: QueueService) -> None:
        await service.enqueue("later", delay=3600)
        await service.enqueue("now")

        task = await take(service)

        assert task.name == "now"
        assert await service.dequeue() is None

    @promise("Q56", "Delayed tasks come each at its own time.", needs="delay")
    async def test_delayed_tasks_come_at_their_times(self, service: QueueService, elapse: Elapse) -> None:
        await service.enqueue("second", delay=0.9)
        await service.enqueue("first", delay=0.4)

        delivered = []
        for _ in range(2):
            await elapse(0.6)
            task = await take(service)
            delivered.append(task.name)
            await service.update_status(task, "completed")

        assert delivered == ["first", "second"]

    @promise("Q57", "A task that waits for its time is pending.", needs="delay")
    async def test_delayed_task_is_pending(self, service: QueueService) -> None:
        task_id = await service.enqueue("process", delay=3600)

        status = await service.get_status(task_id)

        assert (status.state, status.attempts) == (TaskState.PENDING, 0)

    @promise("Q58", "A delay that is no number from 0 to 366 days is InvalidTask, and nothing is queued.")
    @pytest.mark.parametrize("delay", [-0.1, float("nan"), float("inf"), 367 * 24 * 3600, "1", True])
    async def test_bad_delay_is_refused(self, service: QueueService, delay: Any) -> None:
        with pytest.raises(InvalidTask):
            await service.enqueue("process", delay=delay)

        assert await service.dequeue() is None

    @promise("Q137", "The longest delay is 366 days, and the shortest that is one is over at once.", needs="delay")
    async def test_delays_at_their_bounds_are_taken(self, service: QueueService) -> None:
        longest_id = await service.enqueue("longest", delay=MAX_DELAY_SECONDS)
        await service.enqueue("shortest", delay=1e-9)

        task = await take(service)

        assert task.name == "shortest"
        assert (await service.get_status(longest_id)).state is TaskState.PENDING
        assert await service.dequeue() is None

    @promise("Q138", "Each task of a batch has its own delay.", needs="delay")
    async def test_batch_has_delays_of_its_own(self, service: QueueService, elapse: Elapse) -> None:
        await service.enqueue_many([NewTask("later", delay=0.5), NewTask("now"), NewTask("never", delay=3600)])

        before = [task.name for task in await drain(service)]
        await elapse(0.6)
        after = [task.name for task in await drain(service)]

        assert (before, after) == (["now"], ["later"])

    @promise(
        "Q139", "A delay goes on while the service that asked for it is gone: it is neither longer nor shorter.", needs="delay"
    )
    async def test_delay_outlives_its_service(
        self, service: QueueService, second_service: QueueService, elapse: Elapse
    ) -> None:
        task_id = await service.enqueue("process", delay=0.8)
        await service.aclose()

        await elapse(0.5)
        early = await second_service.dequeue()
        await elapse(0.4)

        assert early is None
        assert (await take(second_service)).id == task_id
