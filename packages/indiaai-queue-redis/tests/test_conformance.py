"""The backend `redis` against the queue's conformance suite."""

from __future__ import annotations

import pytest

from indiaai_core.testing.queue import QueueConformance
from indiaai_queue_redis import RedisQueueService
from redisserver import ServiceMaker
from scriptclock import ScriptClock


class TestRedisQueueService(QueueConformance):
    """Two services on one queue of a real server, whose clock is in the suite's hands."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> ScriptClock:
        """Give the server's clock, as the scripts see it."""
        return ScriptClock(monkeypatch)

    @pytest.fixture
    async def service(self, make: ServiceMaker, clock: ScriptClock) -> RedisQueueService:
        """Open a service on an empty queue."""
        del clock  # both services are on it
        return make(lease_seconds=30)

    @pytest.fixture
    async def second_service(self, make: ServiceMaker) -> RedisQueueService:
        """Open another on the same queue."""
        return make(lease_seconds=30)

    @pytest.fixture
    async def bounded_service(self, make: ServiceMaker) -> RedisQueueService:
        """Open a service on a queue that holds five tasks."""
        return make(lease_seconds=30, max_tasks=5)
