"""Promises about tasks that are to be delivered later."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import CLOCK_SLACK_SECONDS, PATIENCE_SECONDS, take

__all__ = ["DelayPromises"]


class DelayPromises:
    """What `delay` does."""

    @promise("Q53", "A delayed task is not delivered before its time, and is after.", needs="delay")
    async def test_delayed_task_waits_for_its_time(self, service: QueueService) -> None:
        started = anyio.current_time()
        task_id = await service.enqueue("process", delay=0.3)

        task = await take(service)

        assert task.id == task_id
        assert anyio.current_time() - started >= 0.3 - CLOCK_SLACK_SECONDS

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

    @promise("Q56", "Delayed tasks come in the order of their times.", needs="delay")
    async def test_delayed_tasks_come_in_the_order_of_their_times(self, service: QueueService) -> None:
        await service.enqueue("second", delay=0.4)
        await service.enqueue("first", delay=0.1)

        delivered = []
        for _ in range(2):
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
