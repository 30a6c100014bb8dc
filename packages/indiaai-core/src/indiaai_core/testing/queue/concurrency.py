"""Promises about two services on one store, and about what is left when one of them is gone."""

from __future__ import annotations

import anyio

from indiaai_core.queue import NewTask, QueueService, Task, TaskState
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import CLOCK_SLACK_SECONDS, PATIENCE_SECONDS, lapse, take

__all__ = ["ConcurrencyPromises", "RestartPromises"]


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
        found: list[Task | None] = []

        async def wait() -> None:
            found.append(await second_service.dequeue(timeout=4 * PATIENCE_SECONDS))

        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.sleep(0.05)
                task_id = await service.enqueue("process")

        assert [task and task.id for task in found] == [task_id]

    @promise("Q93", "The task's id alone does not settle under a lease that another service was given.")
    async def test_id_does_not_settle_under_a_strangers_lease(
        self, service: QueueService, second_service: QueueService
    ) -> None:
        task_id = await service.enqueue("process")
        await take(service)
        task = await lapse(second_service)

        assert not await service.update_status(task_id, "completed", "late")

        assert (await service.get_status(task_id)).state is TaskState.PROCESSING
        assert await second_service.update_status(task, "completed")

    @promise("Q94", "A key that one service has taken is taken for the other.", needs="dedupe")
    async def test_key_is_taken_for_both(self, service: QueueService, second_service: QueueService) -> None:
        first_id = await service.enqueue("process", dedupe_key="k")

        second_id = await second_service.enqueue("process", dedupe_key="k")

        assert second_id == first_id


class RestartPromises:
    """What is left when a service is gone; a closed one stands for a process that ended."""

    @promise("Q95", "What one service has acknowledged is there when it is gone.")
    async def test_acknowledged_task_outlives_its_service(self, service: QueueService, second_service: QueueService) -> None:
        task_id = await service.enqueue("process", {"n": 1})
        await service.aclose()

        task = await take(second_service)

        assert (task.id, task.data) == (task_id, {"n": 1})

    @promise("Q96", "What a service that is gone had leased is delivered again when the lease has run out, and not before.")
    async def test_lease_of_a_service_that_is_gone_runs_out(self, service: QueueService, second_service: QueueService) -> None:
        task_id = await service.enqueue("process")
        started = anyio.current_time()
        await take(service)
        await service.aclose()

        task = await lapse(second_service)

        assert (task.id, task.attempt) == (task_id, 2)
        assert anyio.current_time() - started >= service.lease_seconds - CLOCK_SLACK_SECONDS
