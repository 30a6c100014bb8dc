"""The backend `memory` against the queue's conformance suite."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from indiaai_core.testing.queue import QueueConformance, SkippingClock
from indiaai_queue_memory import InMemoryQueueService, MemorySettings


class TestInMemoryQueueService(QueueConformance):
    """Two service objects on one queue, whose clock is in the suite's hands."""

    @pytest.fixture
    def clock(self) -> SkippingClock:
        """Give the queue's clock."""
        return SkippingClock()

    @pytest.fixture
    async def service(self, clock: SkippingClock) -> AsyncIterator[InMemoryQueueService]:
        """Open a service on an empty queue."""
        async with InMemoryQueueService(MemorySettings(), clock=clock) as service:
            yield service

    @pytest.fixture
    async def second_service(self, service: InMemoryQueueService) -> AsyncIterator[InMemoryQueueService]:
        """Open another on the same queue."""
        async with service.share() as second_service:
            yield second_service

    @pytest.fixture
    async def bounded_service(self) -> AsyncIterator[InMemoryQueueService]:
        """Open a service on a queue that holds five tasks."""
        async with InMemoryQueueService(MemorySettings(max_tasks=5)) as service:
            yield service
