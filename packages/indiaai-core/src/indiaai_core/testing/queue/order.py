"""Promises about which task is next."""

from __future__ import annotations

from typing import Any

import pytest

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import NewTask, QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.clock import Elapse
from indiaai_core.testing.queue.waiting import drain, give_back, take

__all__ = ["OrderPromises"]


class OrderPromises:
    """The order of delivery, where the store keeps one over the whole queue."""

    @promise("Q11", "Tasks of one priority are delivered in the order they came.", where="order")
    async def test_equals_are_delivered_in_the_order_they_came(self, service: QueueService) -> None:
        ids = [await service.enqueue("process", {"n": n}) for n in range(10)]

        delivered = [(await take(service)).id for _ in ids]

        assert delivered == ids

    @promise("Q12", "A higher priority is delivered sooner, and the delivery carries it.", needs="priority", where="order")
    async def test_higher_priority_is_delivered_sooner(self, service: QueueService) -> None:
        for priority in (-100, 5, 100, 6, -1):
            await service.enqueue("process", priority=priority)

        delivered = [(await take(service)).priority for _ in range(5)]

        assert delivered == [100, 6, 5, -1, -100]

    @promise(
        "Q13", "Among equal priorities the oldest is delivered first, also beside others.", needs="priority", where="order"
    )
    async def test_equal_priorities_keep_their_order(self, service: QueueService) -> None:
        for n, priority in enumerate((1, 2, 1, 2, 1, 2)):
            await service.enqueue("process", {"n": n}, priority=priority)

        delivered = [(await take(service)).data["n"] for _ in range(6)]

        assert delivered == [1, 3, 5, 0, 2, 4]

    @promise("Q14", "A priority outside of -100 to 100 is InvalidTask, and nothing is queued.")
    @pytest.mark.parametrize("priority", [-101, 101, 0.5, "1", True])
    async def test_bad_priority_is_refused(self, service: QueueService, priority: Any) -> None:
        with pytest.raises(InvalidTask):
            await service.enqueue("process", priority=priority)

        assert await service.dequeue() is None

    @promise("Q107", "Tasks that two services enqueue by turns are delivered in the order they came.", where="order")
    async def test_order_holds_over_services(self, service: QueueService, second_service: QueueService) -> None:
        ids = [await (second_service if n % 2 else service).enqueue("process", {"n": n}) for n in range(10)]

        delivered = [(await take(service if n % 3 else second_service)).id for n in range(10)]

        assert delivered == ids

    @promise("Q108", "A batch of mixed priorities is leased by priority, in one call as well.", needs="priority", where="order")
    async def test_batch_is_leased_by_priority(self, service: QueueService) -> None:
        given = [0, 3, -3, 3, 100, 0, -100, -3]
        await service.enqueue_many(NewTask("process", {"n": n}, priority=priority) for n, priority in enumerate(given))

        delivered: list[int] = []
        while tasks := await service.dequeue_many(3):
            delivered += [task.data["n"] for task in tasks]

        assert delivered == [4, 1, 3, 0, 5, 2, 7, 6]

    @promise("Q109", "A task that comes back keeps its priority.", needs="priority", where="order")
    @pytest.mark.parametrize("how", ["retry", "release", "lapse"])
    async def test_returning_task_keeps_its_priority(self, service: QueueService, elapse: Elapse, how: str) -> None:
        await service.enqueue("process", priority=5)
        task = await take(service)
        for priority in (4, 6):
            await service.enqueue("process", priority=priority)

        await give_back(service, task, how=how, elapse=elapse)

        assert [task.priority for task in await drain(service)] == [6, 5, 4]

    @promise("Q110", "A task whose time has come is delivered by its priority.", needs=("priority", "delay"), where="order")
    async def test_task_that_is_due_is_delivered_by_its_priority(self, service: QueueService, elapse: Elapse) -> None:
        for priority, delay in ((1, 0.0), (2, 0.1), (0, 0.1), (3, 0.0)):
            await service.enqueue("process", priority=priority, delay=delay)

        await elapse(0.2)

        assert [task.priority for task in await drain(service)] == [3, 2, 1, 0]

    @promise("Q111", "A requeued task is the last of its equals.", needs="dead_letters", where="order")
    async def test_requeued_task_is_the_last(self, service: QueueService) -> None:
        task_id = await service.enqueue("process")
        await service.update_status(await take(service), "failed", "broken")
        ids = [await service.enqueue("process") for _ in range(2)]

        await service.requeue(task_id)

        assert [task.id for task in await drain(service)] == [*ids, task_id]
