"""Promises about tasks that are to be queued once."""

from __future__ import annotations

from typing import Any

import pytest

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import NewTask, QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import take

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
        keys = ["k", "K", "k ", "ॐ", None, None]

        ids = [await service.enqueue("process", dedupe_key=key) for key in keys]

        assert len(set(ids)) == len(keys)
        assert [(await take(service)).dedupe_key for _ in ids] == keys

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
