"""Promises about taking a task, and about waiting for one."""

from __future__ import annotations

import anyio
import pytest

from indiaai_core.queue import QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import PATIENCE_SECONDS, cancel_all_waits, eventually, take, while_waiting

__all__ = ["DequeuePromises"]


class DequeuePromises:
    """What `dequeue` does."""

    @promise("Q15", "Without a timeout, an empty queue answers None at once.")
    @pytest.mark.parametrize("timeout", [None, 0])
    async def test_empty_queue_answers_at_once(self, service: QueueService, timeout: float | None) -> None:
        with anyio.fail_after(PATIENCE_SECONDS):
            task = await service.dequeue(timeout)

        assert task is None

    @promise("Q16", "With a timeout, an empty queue answers None when the time is over, and not before.")
    async def test_empty_queue_answers_none_in_time(self, service: QueueService) -> None:
        started = anyio.current_time()

        with anyio.fail_after(PATIENCE_SECONDS):
            task = await service.dequeue(timeout=0.2)

        assert task is None
        assert anyio.current_time() - started >= 0.15

    @promise("Q17", "A call that waits gets a task that is enqueued meanwhile, long before its time is over.")
    async def test_waiting_call_gets_a_new_task(self, service: QueueService) -> None:
        ids: list[str] = []

        async def enqueue() -> None:
            ids.append(await service.enqueue("process"))

        (task,) = await while_waiting(enqueue, lambda: service.dequeue(timeout=4 * PATIENCE_SECONDS))

        assert [task and task.id] == ids

    @promise("Q18", "Calls that wait side by side get a task each, and no task twice.")
    async def test_waiting_calls_get_a_task_each(self, service: QueueService) -> None:
        ids: list[str] = []

        async def enqueue() -> None:
            ids.extend([await service.enqueue("process") for _ in range(10)])

        tasks = await while_waiting(enqueue, *[lambda: service.dequeue(timeout=4 * PATIENCE_SECONDS)] * 10)

        assert sorted(task.id for task in tasks if task is not None) == sorted(ids)

    @promise("Q19", "A call that is cancelled loses no task: who asks next gets it, at the latest when a lease has run out.")
    async def test_cancelled_call_loses_no_task(self, service: QueueService, elapse: Elapse) -> None:
        lost: set[str] = set()

        async def found() -> bool:
            task = await service.dequeue()
            if task is not None:
                lost.discard(task.id)
            return not lost

        for turns in range(6):  # pragma: no branch - on 3.11, being cancelled makes the tracer miss where the loop ends
            lost.add(await service.enqueue("process"))
            got = await cancel_all_waits(service, waits=3, cancel_after_turns=turns)
            lost -= {task.id for task in got}

        while lost and (task := await service.dequeue()) is not None:
            lost.discard(task.id)
        if lost:
            await elapse(1.1 * service.lease_seconds)
        await eventually(found, what="every task is delivered")

    @promise("Q20", "A task that is enqueued at the moment a waiting call is cancelled is lost by neither.")
    async def test_task_that_meets_a_cancelled_call_is_delivered(self, service: QueueService, elapse: Elapse) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(service.dequeue, 4 * PATIENCE_SECONDS)
            await anyio.sleep(0.05)
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                task_id = await service.enqueue("process")

        task = await service.dequeue()
        if task is None:
            await elapse(1.1 * service.lease_seconds)
            task = await take(service)
        assert task.id == task_id
