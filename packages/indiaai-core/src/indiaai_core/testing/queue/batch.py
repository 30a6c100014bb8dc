"""Promises about many tasks in one call."""

from __future__ import annotations

import anyio
import pytest

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import NewTask, QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import PATIENCE_SECONDS, eventually, take

__all__ = ["BatchPromises"]


class BatchPromises:
    """What `enqueue_many` and `dequeue_many` do."""

    @promise("Q83", "A batch is queued in its order, and gives the ids in its order.")
    async def test_batch_keeps_its_order(self, service: QueueService) -> None:
        ids = await service.enqueue_many(NewTask("process", {"n": n}, max_attempts=n + 1) for n in range(5))

        tasks = [await take(service) for _ in ids]

        assert [task.id for task in tasks] == ids
        assert [(task.data["n"], task.max_attempts) for task in tasks] == [(n, n + 1) for n in range(5)]

    @promise("Q84", "One bad task in a batch is InvalidTask, and none is queued.")
    async def test_bad_task_in_a_batch_queues_none(self, service: QueueService) -> None:
        with pytest.raises(InvalidTask):
            await service.enqueue_many([NewTask("good"), NewTask("bad", {"a": float("nan")}), NewTask("good")])

        assert await service.dequeue() is None

    @promise("Q85", "An empty batch is none.")
    async def test_empty_batch_is_none(self, service: QueueService) -> None:
        assert await service.enqueue_many([]) == []
        assert await service.dequeue() is None

    @promise("Q86", "Many are leased in the order they are next, at most as many as asked for, each under its own lease.")
    async def test_many_are_leased_in_order(self, service: QueueService) -> None:
        ids = [await service.enqueue("process") for _ in range(5)]

        tasks = [await take(service), *await service.dequeue_many(3)]

        assert [task.id for task in tasks] == ids[:4]
        assert len({task.lease for task in tasks}) == 4
        assert await service.update_status(tasks[1], "completed")
        assert await service.update_status(tasks[2], "completed")

    @promise("Q87", "Asked for more than there are, what is there is given without waiting for the rest.")
    async def test_what_is_there_is_given(self, service: QueueService) -> None:
        ids = [await service.enqueue("process") for _ in range(2)]

        with anyio.fail_after(PATIENCE_SECONDS):
            tasks = await service.dequeue_many(10, timeout=4 * PATIENCE_SECONDS)

        assert {task.id for task in tasks} <= set(ids)
        assert tasks
        assert await service.dequeue_many(10) == [] or len(tasks) < 2

    @promise("Q88", "A call for many that waits gets the first that comes.")
    async def test_waiting_call_for_many_gets_the_first(self, service: QueueService) -> None:
        found: list[str] = []

        async def wait() -> None:
            found.extend(task.id for task in await service.dequeue_many(3, timeout=4 * PATIENCE_SECONDS))

        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.sleep(0.05)
                task_id = await service.enqueue("process")

        assert found == [task_id]

    @promise("Q89", "A limit of less than one is InvalidTask, and nothing is leased.")
    @pytest.mark.parametrize("limit", [0, -1, 1.5, True])
    async def test_bad_limit_is_refused(self, service: QueueService, limit: int) -> None:
        await service.enqueue("process")

        with pytest.raises(InvalidTask):
            await service.dequeue_many(limit)

        assert (await eventually(service.dequeue, what="the task is there")).attempt == 1
