"""The backend `redis` against the queue's conformance suite, on a Redis Cluster."""

from __future__ import annotations

import pytest

from indiaai_core.testing.queue import QueueConformance
from indiaai_queue_redis import RedisQueueService
from redisserver import ServiceMaker
from scriptclock import ScriptClock


class TestRedisOnACluster(QueueConformance):
    """Two services on one queue that is spread over the partitions that a cluster gets by default."""

    traits = frozenset()

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> ScriptClock:
        """Give the servers' clock, as the scripts see it."""
        return ScriptClock(monkeypatch)

    @pytest.fixture
    async def service(self, make: ServiceMaker, clock: ScriptClock) -> RedisQueueService:
        """Open a service on an empty queue."""
        del clock  # both services are on it
        return make()

    @pytest.fixture
    async def second_service(self, make: ServiceMaker) -> RedisQueueService:
        """Open another on the same queue."""
        return make()


class TestRedisOnOnePartition(TestRedisOnACluster):
    """The same on a queue in one partition, which keeps one order and one bound."""

    traits = frozenset({"order"})

    @pytest.fixture
    async def service(self, make: ServiceMaker, clock: ScriptClock) -> RedisQueueService:
        """Open a service on an empty queue."""
        del clock
        return make(partitions=1)

    @pytest.fixture
    async def second_service(self, make: ServiceMaker, service: RedisQueueService) -> RedisQueueService:
        """Open another on the same queue, of which the first has said what it is."""
        await service.check()
        return make()

    @pytest.fixture
    async def bounded_service(self, make: ServiceMaker) -> RedisQueueService:
        """Open a service on a queue that holds five tasks."""
        return make(partitions=1, max_tasks=5)
