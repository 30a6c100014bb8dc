"""Promises about counting tasks and about forgetting them."""

from __future__ import annotations

import pytest

from indiaai_core.errors import TaskNotFound
from indiaai_core.queue import Counts, QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import take

__all__ = ["CountsPromises"]


class CountsPromises:
    """What `counts` and `purge` do."""

    @promise("Q78", "Every task that has not come to a good end is counted, where it is.", needs="counts")
    async def test_tasks_are_counted_where_they_are(self, service: QueueService) -> None:
        assert await service.counts() == Counts()
        for _ in range(5):
            await service.enqueue("process")
        await service.update_status(await take(service), "completed")
        await service.update_status(await take(service), "failed")
        await take(service)

        counts = await service.counts()

        assert counts == Counts(pending=2, processing=1, dead=1)

    @promise("Q79", "Delayed tasks are counted apart.", needs=("counts", "delay"))
    async def test_delayed_tasks_are_counted_apart(self, service: QueueService) -> None:
        await service.enqueue("now")
        await service.enqueue("later", delay=3600)

        counts = await service.counts()

        assert counts == Counts(pending=1, delayed=1)

    @promise("Q80", "Purging forgets what waits and dead letters, and says how many they were.", needs="purge")
    async def test_purge_forgets_what_waits_and_dead_letters(self, service: QueueService) -> None:
        dead_id = await service.enqueue("dead")
        await service.update_status(await take(service), "failed")
        waiting_id = await service.enqueue("waiting")

        assert await service.purge() == 2

        assert await service.dequeue() is None
        for task_id in (dead_id, waiting_id):
            with pytest.raises(TaskNotFound):
                await service.get_status(task_id)
        assert await service.purge() == 0

    @promise("Q81", "Purging leaves tasks under a lease alone.", needs="purge")
    async def test_purge_leaves_leased_tasks(self, service: QueueService) -> None:
        await service.enqueue("process")
        task = await take(service)

        assert await service.purge() == 0

        assert await service.update_status(task, "completed")

    @promise("Q82", "Purging frees dedupe keys.", needs=("purge", "dedupe"))
    async def test_purge_frees_keys(self, service: QueueService) -> None:
        first_id = await service.enqueue("process", dedupe_key="k")
        await service.purge()

        second_id = await service.enqueue("process", dedupe_key="k")

        assert second_id != first_id
        assert (await take(service)).id == second_id
