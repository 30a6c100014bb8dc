"""Promises about which task is next."""

from __future__ import annotations

from typing import Any

import pytest

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import QueueService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.queue.waiting import take

__all__ = ["OrderPromises"]


class OrderPromises:
    """The order of delivery."""

    @promise("Q11", "Tasks of one priority are delivered in the order they came.")
    async def test_equals_are_delivered_in_the_order_they_came(self, service: QueueService) -> None:
        ids = [await service.enqueue("process", {"n": n}) for n in range(10)]

        delivered = [(await take(service)).id for _ in ids]

        assert delivered == ids

    @promise("Q12", "A higher priority is delivered sooner, and the delivery carries it.", needs="priority")
    async def test_higher_priority_is_delivered_sooner(self, service: QueueService) -> None:
        for priority in (-100, 5, 100, 6, -1):
            await service.enqueue("process", priority=priority)

        delivered = [(await take(service)).priority for _ in range(5)]

        assert delivered == [100, 6, 5, -1, -100]

    @promise("Q13", "Among equal priorities the oldest is delivered first, also beside others.", needs="priority")
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
