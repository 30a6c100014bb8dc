"""Promises about stopping a task."""

from __future__ import annotations

import anyio
import pytest

from indiaai_core.errors import TaskNotFound
from indiaai_core.queue import QueueService, Task, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import expect_none, take

__all__ = ["CancelPromises"]


class CancelPromises:
    """What `cancel` does."""

    @promise("Q71", "A cancelled task that waited is never delivered.", needs="cancel")
    async def test_cancelled_task_is_not_delivered(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")

        assert await service.cancel(task_id)

        status = await service.get_status(task_id)
        assert status.state is TaskState.CANCELLED
        assert status.finished_at is not None
        assert await service.dequeue() is None

    @promise("Q72", "Cancelling a task that is worked takes its lease away, and it is not delivered again.", needs="cancel")
    async def test_cancelled_task_loses_its_lease(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)

        assert await service.cancel(task_id)

        assert not await service.update_status(task, "processing")
        assert not await service.update_status(task, "completed", "late")
        await expect_none(service, elapse, for_seconds=1.5 * service.lease_seconds)
        status = await service.get_status(task_id)
        assert (status.state, status.result) == (TaskState.CANCELLED, None)

    @promise("Q73", "Cancelling a delayed task stops it.", needs=("cancel", "delay"))
    async def test_delayed_task_is_cancelled(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process", delay=0.1)

        assert await service.cancel(task_id)

        await expect_none(service, elapse, for_seconds=0.3)

    @promise("Q74", "Cancelling what has ended says False and changes nothing.", needs="cancel")
    @pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
    async def test_ended_task_is_not_cancelled(self, service: QueueService, end: str) -> None:
        task_id = await service.enqueue("process")
        if end == "cancelled":
            await service.cancel(task_id)
        else:
            await service.update_status(await take(service), end)

        assert not await service.cancel(task_id)
        assert (await service.get_status(task_id)).state == end

    @promise("Q75", "Cancelling a task that is not there is TaskNotFound.", needs="cancel")
    async def test_cancel_of_an_unknown_task_is_not_found(self, service: QueueService) -> None:
        with pytest.raises(TaskNotFound):
            await service.cancel("no-such-task")

    @promise("Q76", "A cancelled task can be requeued.", needs=("cancel", "dead_letters"))
    async def test_cancelled_task_can_be_requeued(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        await service.cancel(task_id)

        assert await service.requeue(task_id)

        assert (await take(service)).id == task_id

    @promise("Q77", "Cancelling a task frees its dedupe key.", needs=("cancel", "dedupe"))
    async def test_cancel_frees_the_key(self, service: QueueService) -> None:
        first_id = await service.enqueue("process", dedupe_key="k")
        await service.cancel(first_id)

        second_id = await service.enqueue("process", dedupe_key="k")

        assert second_id != first_id
        assert (await take(service)).id == second_id

    @promise(
        "Q148", "A task that was cancelled while it was worked is neither retried nor given back.", needs=("cancel", "retry")
    )
    async def test_cancelled_task_is_not_retried(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)
        await service.cancel(task_id)

        answers = [await service.retry(task, error="late"), await service.release(task)]

        status = await service.get_status(task_id)
        assert answers == [False, False]
        assert (status.state, status.error) == (TaskState.CANCELLED, None)
        assert await service.dequeue() is None

    @promise("Q149", "Cancelled while others take tasks, a task that was cancelled is completed by nobody.", needs="cancel")
    async def test_task_is_cancelled_or_completed(self, service: QueueService) -> None:
        ids = [await service.enqueue("process") for _ in range(20)]
        cancelled: dict[str, bool] = {ids[0]: await service.cancel(ids[0])}
        completed: dict[str, bool] = {}

        async def cancel(task_id: str) -> None:
            cancelled[task_id] = await service.cancel(task_id)

        async def complete(task: Task | None = None) -> None:
            while (task := await service.dequeue()) is not None:
                await anyio.lowlevel.checkpoint()
                completed[task.id] = await service.update_status(task, "completed")

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(complete)
            for task_id in ids[1:]:
                group.start_soon(cancel, task_id)

        assert all(cancelled[task_id] != completed.get(task_id, False) for task_id in ids)
