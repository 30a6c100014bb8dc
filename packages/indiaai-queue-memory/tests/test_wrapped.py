"""A wrapped queue keeps every promise of its layer: wrappers change what they are for, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from indiaai_core.discovery import find_layer
from indiaai_core.environment import Environment
from indiaai_core.testing.queue import QueueConformance, SkippingClock
from indiaai_core.wrappers.retry import retry
from indiaai_core.wrappers.timeout import timeout
from indiaai_queue_memory import InMemoryQueueService, MemorySettings


def wrapped(service: InMemoryQueueService) -> Any:
    """Put a time limit and retries in front of a service."""
    around: Any = service
    for wrapper in (timeout, retry):
        around = wrapper(around, layer=find_layer("queue"), environment=Environment({}, {}))
    return around


class TestWrappedMemoryQueue(QueueConformance):
    """Two service objects on one queue, each behind two wrappers."""

    @pytest.fixture
    def clock(self) -> SkippingClock:
        """Give the queue's clock."""
        return SkippingClock()

    @pytest.fixture
    async def service(self, clock: SkippingClock) -> AsyncIterator[Any]:
        """Open a service on an empty queue."""
        async with InMemoryQueueService(MemorySettings(), clock=clock) as service:
            yield wrapped(service)

    @pytest.fixture
    async def second_service(self, service: Any) -> AsyncIterator[Any]:
        """Open another on the same queue."""
        async with service.share() as second_service:
            yield wrapped(second_service)
