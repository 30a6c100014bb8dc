"""Promises about many tasks in one call."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import NewTask, QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import PATIENCE_SECONDS, cancel_all_waits, eventually, take, while_waiting

__all__ = ["BatchPromises"]


class BatchPromises:
    """What `enqueue_many` and `dequeue_many` do."""

    @promise("Q83", "A batch is queued whole, each task as it was given, and the ids are in the order of the tasks.")
    async def test_batch_keeps_its_order(self, service: QueueService) -> None:
        ids = await service.enqueue_many(NewTask("process", {"n": n}, max_attempts=n + 1) for n in range(5))

        tasks = [await take(service) for _ in ids]

        assert {task.id: (task.data["n"], task.max_attempts) for task in tasks} == {
            task_id: (n, n + 1) for n, task_id in enumerate(ids)
        }

    @promise("Q84", "One bad task in a batch is InvalidTask, and none is queued.")
    async def test_bad_task_in_a_batch_queues_none(self, service: QueueService) -> None:
        with pytest.raises(InvalidTask):
            await service.enqueue_many([NewTask("good"), NewTask("bad", {"a": float("nan")}), NewTask("good")])

        assert await service.dequeue() is None

    @promise("Q85", "An empty batch is none.")
    async def test_empty_batch_is_none(self, service: QueueService) -> None:
        assert await service.enqueue_many([]) == []
        assert await service.dequeue() is None

    @promise("Q86", "Many are leased in one call, at most as many as asked for, each once and under its own lease.")
    async def test_many_are_leased(self, service: QueueService) -> None:
        ids = [await service.enqueue("process") for _ in range(5)]

        tasks = [await take(service)]
        while found := await service.dequeue_many(2):
            assert len(found) <= 2
            tasks += found

        assert sorted(task.id for task in tasks) == sorted(ids)
        assert len({task.lease for task in tasks}) == 5
        for task in tasks:
            assert await service.update_status(task, "completed")

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
        ids: list[str] = []

        async def enqueue() -> None:
            ids.append(await service.enqueue("process"))

        (found,) = await while_waiting(enqueue, lambda: service.dequeue_many(3, timeout=4 * PATIENCE_SECONDS))

        assert [task.id for task in found] == ids

    @promise("Q89", "A limit of less than one is InvalidTask, and nothing is leased.")
    @pytest.mark.parametrize("limit", [0, -1, 1.5, True])
    async def test_bad_limit_is_refused(self, service: QueueService, limit: int) -> None:
        await service.enqueue("process")

        with pytest.raises(InvalidTask):
            await service.dequeue_many(limit)

        assert (await eventually(service.dequeue, what="the task is there")).attempt == 1

    @promise("Q156", "Where what gives the tasks of a batch fails, its error is raised and nothing is queued.")
    async def test_failing_source_of_a_batch_queues_none(self, service: QueueService) -> None:
        def tasks() -> Iterator[NewTask]:
            yield NewTask("process")
            raise LookupError("the source failed")

        with pytest.raises(LookupError, match="the source failed"):
            await service.enqueue_many(tasks())

        assert await service.dequeue() is None

    @promise("Q157", "A batch of more than a thousand is queued whole, each task once.")
    async def test_large_batch_is_queued_whole(self, service: QueueService) -> None:
        ids = await service.enqueue_many(NewTask("process", {"n": n}) for n in range(1200))

        delivered: dict[str, int] = {}
        while tasks := await service.dequeue_many(500):
            assert not delivered.keys() & {task.id for task in tasks}
            delivered |= {task.id: task.data["n"] for task in tasks}

        assert delivered == {task_id: n for n, task_id in enumerate(ids)}

    @promise("Q158", "A call for many that is cancelled loses no task: who asks next gets them, at the latest after a lease.")
    async def test_cancelled_call_for_many_loses_no_task(self, service: QueueService, elapse: Elapse) -> None:
        ids: set[str] = set()
        for turns in range(5):
            ids |= {await service.enqueue("process") for _ in range(4)}
            got = await cancel_all_waits(service, waits=2, cancel_after_turns=turns, limit=3)
            ids -= {task.id for task in got}

        async def found() -> bool:
            ids.difference_update(task.id for task in await service.dequeue_many(10))
            return not ids

        await found()
        await elapse(1.1 * service.lease_seconds)
        await eventually(found, what="every task is delivered")
