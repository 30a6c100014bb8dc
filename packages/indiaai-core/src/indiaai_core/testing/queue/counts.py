"""Promises about counting tasks and about forgetting them."""

from __future__ import annotations

import pytest

from indiaai_core.errors import TaskNotFound
from indiaai_core.queue import Counts, QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import drain, give_back, take

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

    @promise(
        "Q150", "A task that waits for its retry is counted as delayed, until its time has come.", needs=("counts", "retry")
    )
    async def test_retried_task_is_counted_as_delayed(self, service: QueueService, elapse: Elapse) -> None:
        await service.counts()
        await service.enqueue("process")
        await service.retry(await take(service), delay=0.4)

        counts = [await service.counts()]
        await elapse(0.5)
        counts.append(await service.counts())

        assert counts == [Counts(delayed=1), Counts(pending=1)]

    @promise(
        "Q151",
        "What was cancelled is counted no more, and what was requeued is again.",
        needs=("counts", "cancel", "dead_letters"),
    )
    async def test_cancelled_task_is_counted_no_more(self, service: QueueService) -> None:
        await service.counts()
        ids = [await service.enqueue("process") for _ in range(3)]
        await take(service)

        for task_id in ids:
            await service.cancel(task_id)
        counts = [await service.counts()]
        for task_id in ids[:2]:
            await service.requeue(task_id)
        counts.append(await service.counts())

        assert counts == [Counts(), Counts(pending=2)]

    @promise("Q152", "A task that was under a lease while the queue was purged comes back as any other.", needs="purge")
    @pytest.mark.parametrize("how", ["retry", "release", "lapse"])
    async def test_leased_task_outlives_a_purge(self, service: QueueService, elapse: Elapse, how: str) -> None:
        task_id = await service.enqueue("process", {"n": 2})
        task = await take(service)

        await service.purge()
        await give_back(service, task, how=how, elapse=elapse)

        again = await take(service)
        assert (again.id, again.data) == (task_id, {"n": 2})

    @promise("Q153", "Purging forgets what is delayed, and it is not delivered when its time comes.", needs=("purge", "delay"))
    async def test_purge_forgets_delayed_tasks(self, service: QueueService, elapse: Elapse) -> None:
        await service.purge()
        task_id = await service.enqueue("process", delay=0.2)

        assert await service.purge() == 1

        await elapse(0.3)
        assert await service.dequeue() is None
        with pytest.raises(TaskNotFound):
            await service.get_status(task_id)

    @promise("Q154", "Purging leaves what is known of completed tasks.", needs="purge")
    async def test_purge_leaves_completed_tasks(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        await service.update_status(await take(service), "completed", "done")

        assert await service.purge() == 0

        status = await service.get_status(task_id)
        assert (status.state, status.result) == (TaskState.COMPLETED, "done")

    @promise("Q155", "A queue that was purged takes and delivers tasks as before.", needs="purge")
    async def test_purged_queue_goes_on(self, service: QueueService) -> None:
        for _ in range(3):
            await service.enqueue("before")
        await service.purge()

        ids = [await service.enqueue("after") for _ in range(3)]

        assert sorted(task.id for task in await drain(service)) == sorted(ids)
