"""The backend `memory` against the queue's conformance suite."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from indiaai_core.testing.queue import QueueConformance
from indiaai_queue_memory import InMemoryQueueService, MemorySettings


class TestInMemoryQueueService(QueueConformance):
    """Two service objects on one queue."""

    @pytest.fixture
    async def service(self) -> AsyncIterator[InMemoryQueueService]:
        """Open a service on an empty queue."""
        async with InMemoryQueueService(MemorySettings(lease_seconds=0.4)) as service:
            yield service

    @pytest.fixture
    async def second_service(self, service: InMemoryQueueService) -> AsyncIterator[InMemoryQueueService]:
        """Open another on the same queue."""
        async with service.share() as second_service:
            yield second_service
