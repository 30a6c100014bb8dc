"""The backend `redis` against the queue's conformance suite."""

from __future__ import annotations

import pytest

from indiaai_core.testing.queue import QueueConformance
from indiaai_queue_redis import RedisQueueService
from redisserver import ServiceMaker


class TestRedisQueueService(QueueConformance):
    """Two services on one queue of a real server."""

    @pytest.fixture
    async def service(self, make: ServiceMaker) -> RedisQueueService:
        """Open a service on an empty queue."""
        return make()

    @pytest.fixture
    async def second_service(self, make: ServiceMaker) -> RedisQueueService:
        """Open another on the same queue."""
        return make()
