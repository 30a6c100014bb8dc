"""Promises about two services on one store."""

from __future__ import annotations

from functools import partial

import anyio

from indiaai_core.queue import NewTask, QueueService, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import PATIENCE_SECONDS, lapse, side_by_side, take, while_waiting

__all__ = ["ConcurrencyPromises"]


class ConcurrencyPromises:
    """What two services on one store do to each other."""

    @promise("Q90", "What one service enqueues another delivers, and the first sees how it ends.")
    async def test_services_share_the_store(self, service: QueueService, second_service: QueueService) -> None:
        task_id = await service.enqueue("process", {"n": 1})

        task = await take(second_service)
        await second_service.update_status(task, "completed", "done")

        assert (task.id, task.data) == (task_id, {"n": 1})
        assert (await service.get_status(task_id)).result == "done"

    @promise("Q91", "However many take side by side, each task is delivered once.")
    async def test_each_task_is_delivered_once(self, service: QueueService, second_service: QueueService) -> None:
        ids = await service.enqueue_many(NewTask("process") for _ in range(40))
        delivered: list[str] = []

        async def work(taker: QueueService) -> None:
            while (task := await taker.dequeue()) is not None:
                delivered.append(task.id)
                assert await taker.update_status(task, "completed")

        async with anyio.create_task_group() as group:
            for taker in (service, second_service) * 4:
                group.start_soon(work, taker)

        assert sorted(delivered) == sorted(ids)

    @promise("Q92", "A call that waits at one service is woken by a task that another enqueues.")
    async def test_waiting_call_is_woken_by_the_other(self, service: QueueService, second_service: QueueService) -> None:
        ids: list[str] = []

        async def enqueue() -> None:
            ids.append(await service.enqueue("process"))

        (task,) = await while_waiting(enqueue, lambda: second_service.dequeue(timeout=4 * PATIENCE_SECONDS))

        assert [task and task.id] == ids

    @promise("Q93", "The task's id alone does not settle under a lease that another service was given.")
    async def test_id_does_not_settle_under_a_strangers_lease(
        self, service: QueueService, second_service: QueueService, elapse: Elapse
    ) -> None:
        task_id = await service.enqueue("process")
        await take(service)
        task = await lapse(second_service, elapse)

        assert not await service.update_status(task_id, "completed", "late")

        assert (await service.get_status(task_id)).state is TaskState.PROCESSING
        assert await second_service.update_status(task, "completed")

    @promise("Q94", "A key that one service has taken is taken for the other.", needs="dedupe")
    async def test_key_is_taken_for_both(self, service: QueueService, second_service: QueueService) -> None:
        first_id = await service.enqueue("process", dedupe_key="k")

        second_id = await second_service.enqueue("process", dedupe_key="k")

        assert second_id == first_id

    @promise("Q159", "Tasks that are enqueued while others are worked, at two services, are each completed once.")
    async def test_each_task_is_completed_once(self, service: QueueService, second_service: QueueService) -> None:
        ids: list[str] = []
        completed: list[str] = []

        async def produce(giver: QueueService) -> None:
            ids.extend([await giver.enqueue("process", {"n": n}) for n in range(15)])
            ids.extend(await giver.enqueue_many([NewTask("process")] * 15))

        async def work(taker: QueueService) -> None:
            while len(completed) < 60:
                await anyio.lowlevel.checkpoint()
                for task in await taker.dequeue_many(4, timeout=0.2):
                    assert await taker.update_status(task, "completed")
                    completed.append(task.id)

        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                for one in (service, second_service):
                    group.start_soon(work, one)
                    group.start_soon(work, one)
                    group.start_soon(produce, one)

        assert sorted(completed) == sorted(ids)

    @promise("Q160", "Of two services that settle one delivery side by side, one does.")
    async def test_one_of_two_services_settles(self, service: QueueService, second_service: QueueService) -> None:
        ids = [await service.enqueue("process") for _ in range(10)]
        tasks = [await take(service) for _ in ids]

        for task in tasks:
            answers = await side_by_side(
                partial(service.update_status, task, "completed", "first"),
                partial(second_service.update_status, task, "completed", "second"),
            )

            assert sorted(answers, key=str) == [False, True]
            assert (await service.get_status(task.id)).result == ("first" if answers[0] is True else "second")

    @promise("Q161", "Tasks with one key that two services enqueue side by side are one task.", needs="dedupe")
    async def test_one_key_at_two_services_is_one_task(self, service: QueueService, second_service: QueueService) -> None:
        givers = [service, second_service] * 6

        ids = await side_by_side(*[partial(giver.enqueue, "process", dedupe_key="both") for giver in givers])

        assert len(set(ids)) == 1
        assert (await take(service)).id == ids[0]
        assert await second_service.dequeue() is None
