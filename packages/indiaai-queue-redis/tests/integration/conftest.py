"""Several servers that belong together, and services on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from indiaai_queue_redis import RedisQueueService, RedisSettings
from rediscluster import RedisCluster, SentinelSet, ask
from redisserver import ServiceMaker


@pytest.fixture(scope="session")
def shared_cluster(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three primaries that live as long as the tests do."""
    cluster = RedisCluster(program, tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(program: Path, tmp_path: Path) -> Iterator[RedisCluster]:
    """Three primaries with a replica each, to be killed."""
    cluster = RedisCluster(program, tmp_path, is_replicated=True)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def sentinels(program: Path, tmp_path: Path) -> Iterator[SentinelSet]:
    """A primary and a replica behind three sentinels, to be killed."""
    sentinels = SentinelSet(program, tmp_path)
    try:
        sentinels.start()
        yield sentinels
    finally:
        sentinels.stop()


@pytest.fixture
async def make(request: pytest.FixtureRequest, program: Path) -> AsyncIterator[ServiceMaker]:
    """Make services on the servers that the test asks for, or else on an empty queue of the shared cluster."""
    del program  # says on which servers this is run
    names = [name for name in ("sentinels", "cluster") if name in request.fixturenames]
    servers: RedisCluster | SentinelSet = request.getfixturevalue(names[0] if names else "shared_cluster")
    url = servers.url() if isinstance(servers, SentinelSet) else servers.nodes[0].url()
    if not names and isinstance(servers, RedisCluster):
        for node in servers.nodes:
            ask(node, "FLUSHALL")
    async with AsyncExitStack() as stack:

        def make(**values: object) -> RedisQueueService:
            settings = RedisSettings.model_validate({"url": url, "lease_seconds": 30, "retry_seconds": 20, **values})
            service = RedisQueueService(settings)
            stack.push_async_exit(service)
            return service

        yield make
