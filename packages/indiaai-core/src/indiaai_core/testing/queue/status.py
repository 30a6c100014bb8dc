"""Promises about what the queue tells of a task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
import pytest

from indiaai_core.errors import TaskNotFound
from indiaai_core.queue import QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.settle import HOSTILE_TEXTS
from indiaai_core.testing.queue.waiting import PATIENCE_SECONDS, give_back, lapse, side_by_side, take

__all__ = ["StatusPromises"]

SLACK = timedelta(seconds=PATIENCE_SECONDS)


class StatusPromises:
    """What `get_status` tells."""

    @promise("Q65", "A task that waits is pending: no attempt, no start, no end, no result, no error.")
    async def test_new_task_is_pending(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")

        status = await service.get_status(task_id)

        assert (status.id, status.name, status.state, status.attempts) == (task_id, "process", TaskState.PENDING, 0)
        assert (status.started_at, status.finished_at) == (None, None)
        assert (status.progress, status.result, status.error, status.traceback) == (None, None, None, None)

    @promise("Q66", "A task under a lease is processing, since its delivery.")
    async def test_leased_task_is_processing(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        await take(service)

        status = await service.get_status(task_id)

        assert (status.state, status.attempts) == (TaskState.PROCESSING, 1)
        assert status.started_at is not None
        assert status.finished_at is None

    @promise("Q67", "The times are aware, in UTC, in the order of the life, and of now.")
    async def test_times_are_of_the_life(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        await service.update_status(await take(service), "completed")

        status = await service.get_status(task_id)

        assert status.started_at is not None
        assert status.finished_at is not None
        times = [status.enqueued_at, status.started_at, status.finished_at]
        assert times == sorted(times)
        assert all(time.utcoffset() == timedelta(0) and abs(datetime.now(UTC) - time) < SLACK for time in times)

    @promise("Q68", "Attempts are counted by deliveries.")
    async def test_attempts_are_counted(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process")
        await take(service)
        await lapse(service, elapse)

        status = await service.get_status(task_id)

        assert (status.state, status.attempts) == (TaskState.PROCESSING, 2)

    @promise("Q69", "Asking for a task that is not there is TaskNotFound, whatever the id looks like.")
    @pytest.mark.parametrize("task_id", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
    async def test_unknown_task_is_not_found(self, service: QueueService, task_id: str) -> None:
        with pytest.raises(TaskNotFound) as caught:
            await service.get_status(task_id)

        assert caught.value.task_id == task_id

    @promise("Q70", "A status that was given does not change with the task.")
    async def test_given_status_stays(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        await service.update_status(await take(service), "completed", {"pages": [1]})
        first = await service.get_status(task_id)
        first.result["pages"].append(2)

        second = await service.get_status(task_id)

        assert second.result == {"pages": [1]}

    @promise("Q146", "A task has begun when its latest delivery was made.")
    async def test_start_is_of_the_latest_delivery(self, service: QueueService, elapse: Elapse) -> None:
        task_id = await service.enqueue("process")
        task = await take(service)
        first = await service.get_status(task_id)
        await anyio.sleep(0.01)
        await give_back(service, task, how="retry", elapse=elapse)
        await take(service)

        second = await service.get_status(task_id)

        assert first.started_at is not None
        assert second.started_at is not None
        assert second.started_at > first.started_at
        assert second.enqueued_at == first.enqueued_at

    @promise("Q147", "Statuses that are asked for side by side are each of the task that was asked for.")
    async def test_statuses_side_by_side_do_not_mix(self, service: QueueService) -> None:
        ids = [await service.enqueue(f"task {n}") for n in range(20)]

        found = await side_by_side(*[partial(service.get_status, task_id) for task_id in [*ids, "no-such-task"]])

        assert [(one.id, one.name) for one in found if not isinstance(one, Exception)] == [
            (task_id, f"task {n}") for n, task_id in enumerate(ids)
        ]
        assert isinstance(found[20], TaskNotFound)
