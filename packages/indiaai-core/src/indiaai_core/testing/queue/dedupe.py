"""Promises about tasks that are to be queued once."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import NewTask, QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import drain, give_back, side_by_side, take

__all__ = ["DedupePromises"]


class DedupePromises:
    """What `dedupe_key` does."""

    @promise("Q59", "While a task with the key waits, another one is not queued: its id is the first one's.", needs="dedupe")
    async def test_taken_key_gives_the_first_ones_id(self, service: QueueService) -> None:
        first_id = await service.enqueue("process", {"n": 1}, dedupe_key="k")

        second_id = await service.enqueue("process", {"n": 2}, dedupe_key="k")

        task = await take(service)
        assert second_id == first_id
        assert (task.id, task.data, task.dedupe_key) == (first_id, {"n": 1}, "k")
        assert await service.dequeue() is None

    @promise("Q60", "The key is taken while the task is worked, too.", needs="dedupe")
    async def test_key_is_taken_while_the_task_is_worked(self, service: QueueService) -> None:
        first_id = await service.enqueue("process", dedupe_key="k")
        await take(service)

        second_id = await service.enqueue("process", dedupe_key="k")

        assert second_id == first_id
        assert await service.dequeue() is None

    @promise("Q61", "The key is free again when the task has completed or failed.", needs="dedupe")
    @pytest.mark.parametrize("status", ["completed", "failed"])
    async def test_key_is_free_when_the_task_has_ended(self, service: QueueService, status: str) -> None:
        first_id = await service.enqueue("process", dedupe_key="k")
        await service.update_status(await take(service), status)

        second_id = await service.enqueue("process", dedupe_key="k")

        assert second_id != first_id
        assert (await take(service)).id == second_id

    @promise("Q62", "Different keys, and tasks without one, have nothing to do with each other.", needs="dedupe")
    async def test_different_keys_are_apart(self, service: QueueService) -> None:
        keys = ["k", "K", "k ", "ॐ", "क" * 200, "क" * 199, 'a",null]', "null", "{1}*", None, None]

        ids = [await service.enqueue("process", dedupe_key=key) for key in keys]

        assert len(set(ids)) == len(keys)
        assert {task.id: task.dedupe_key for task in await drain(service)} == dict(zip(ids, keys, strict=True))

    @promise("Q63", "Two tasks with one key in one batch are one task.", needs="dedupe")
    async def test_one_key_twice_in_a_batch_is_one_task(self, service: QueueService) -> None:
        ids = await service.enqueue_many([NewTask("process", dedupe_key="k"), NewTask("process", dedupe_key="k")])

        assert ids[0] == ids[1]
        assert (await take(service)).id == ids[0]
        assert await service.dequeue() is None

    @promise("Q64", "A key that is not 1 to 200 printable characters is InvalidTask, and nothing is queued.")
    @pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", 7])
    async def test_bad_key_is_refused(self, service: QueueService, key: Any) -> None:
        with pytest.raises(InvalidTask):
            await service.enqueue("process", dedupe_key=key)

        assert await service.dequeue() is None

    @promise("Q140", "Tasks with one key that are enqueued side by side are one task.", needs="dedupe")
    async def test_one_key_side_by_side_is_one_task(self, service: QueueService) -> None:
        await service.enqueue("before", dedupe_key="before")
        await drain(service)

        ids = await side_by_side(*[partial(service.enqueue, "process", dedupe_key=f"k{n % 3}") for n in range(18)])

        assert ids == ids[:3] * 6
        assert sorted(task.id for task in await drain(service)) == sorted(map(str, set(ids)))

    @promise("Q141", "The key is taken while the task waits for its delay.", needs=("dedupe", "delay"))
    async def test_key_is_taken_while_the_task_is_delayed(self, service: QueueService, elapse: Elapse) -> None:
        first_id = await service.enqueue("process", dedupe_key="k", delay=0.3)

        second_id = await service.enqueue("process", dedupe_key="k")

        early = await service.dequeue()
        await elapse(0.4)
        assert second_id == first_id
        assert early is None
        assert [task.id for task in await drain(service)] == [first_id]

    @promise("Q142", "A task keeps its key when it comes back for another attempt.", needs="dedupe")
    @pytest.mark.parametrize("how", ["retry", "release", "lapse"])
    async def test_returning_task_keeps_its_key(self, service: QueueService, elapse: Elapse, how: str) -> None:
        first_id = await service.enqueue("process", dedupe_key="k")
        await give_back(service, await take(service), how=how, elapse=elapse)

        second_id = await service.enqueue("process", dedupe_key="k")

        task = await take(service)
        assert second_id == first_id
        assert (task.id, task.dedupe_key) == (first_id, "k")

    @promise("Q143", "The key is free again when the last attempt was retried, or its lease ran out.", needs="dedupe")
    @pytest.mark.parametrize("how", ["retry", "lapse"])
    async def test_key_is_free_after_the_last_attempt(self, service: QueueService, elapse: Elapse, how: str) -> None:
        first_id = await service.enqueue("process", dedupe_key="k", max_attempts=1)
        await give_back(service, await take(service), how=how, elapse=elapse)
        assert await service.dequeue() is None

        second_id = await service.enqueue("process", dedupe_key="k")

        assert second_id != first_id
        assert (await take(service)).id == second_id

    @promise("Q144", "A requeued task takes its key again.", needs=("dedupe", "dead_letters"))
    async def test_requeued_task_takes_its_key(self, service: QueueService) -> None:
        first_id = await service.enqueue("process", dedupe_key="k")
        await service.update_status(await take(service), "failed")
        await service.requeue(first_id)

        second_id = await service.enqueue("process", dedupe_key="k")

        assert second_id == first_id
        assert [task.id for task in await drain(service)] == [first_id]

    @promise(
        "Q145",
        "A key that another task has taken stays with that one when the first is requeued, and when that one ends.",
        needs=("dedupe", "dead_letters"),
    )
    async def test_key_stays_with_the_task_that_took_it(self, service: QueueService) -> None:
        first_id = await service.enqueue("process", dedupe_key="k")
        await service.update_status(await take(service), "failed")
        second_id = await service.enqueue("process", dedupe_key="k")
        second = await take(service)

        is_requeued = await service.requeue(first_id)
        ids = [await service.enqueue("process", dedupe_key="k")]
        await service.update_status(await take(service), "completed")
        ids.append(await service.enqueue("process", dedupe_key="k"))

        assert is_requeued
        assert ids == [second_id, second_id]
        assert await service.update_status(second, "completed")
