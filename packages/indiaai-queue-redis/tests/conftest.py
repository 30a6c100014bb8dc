"""The servers that the tests run against, and services on them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from indiaai_queue_redis import RedisQueueService, RedisSettings

sys.path.insert(0, str(Path(__file__).parent))  # for `redisserver`, which several test modules share
from redisserver import RedisServer, ServiceMaker, find_programs

collect_ignore = ["chaos", "integration"]  # run by the sessions of these names, or by their paths


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run on asyncio, which the client stands on."""
    return "asyncio"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what needs a server once with each Redis that there is; the conformance suite with Valkey as well."""
    if "program" in metafunc.fixturenames:
        programs = find_programs()
        if len(programs) > 1 and "conformance" not in getattr(metafunc.module, "__name__", ""):
            programs.pop("valkey", None)
        metafunc.parametrize("program", list(programs.values()), ids=list(programs), scope="session")


@pytest.fixture(scope="session")
def shared_server(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that lives as long as the tests do."""
    server = RedisServer(program, tmp_path_factory.mktemp("redis"), "--appendfsync", "no")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(program: Path, tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, to be killed, filled or misconfigured."""
    server = RedisServer(program, tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def make(request: pytest.FixtureRequest, program: Path) -> AsyncIterator[ServiceMaker]:
    """Make services on the test's own server, or else on an empty queue of the shared one; they are closed after the test."""
    del program  # says on which servers this is run
    is_shared = "server" not in request.fixturenames
    server: RedisServer = request.getfixturevalue("shared_server" if is_shared else "server")
    defaults: dict[str, Any] = {"url": server.url(), "lease_seconds": 0.5}
    async with AsyncExitStack() as stack:

        def make(**values: Any) -> RedisQueueService:
            service = RedisQueueService(RedisSettings.model_validate({**defaults, **values}))
            stack.push_async_exit(service)
            return service

        async with RedisQueueService(RedisSettings.model_validate(defaults)) as first:
            await first.client.flushall()
        yield make


@pytest.fixture
def service(make: ServiceMaker) -> RedisQueueService:
    """A service with a short lease."""
    return make()
