"""Schedules of several workers on one Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from indiaai_core.worker.cron import AHEAD, MARGIN, CronTimer, Schedule
from indiaai_queue_redis import RedisQueueService, RedisSettings
from redisprocess import redis_server

pytestmark = pytest.mark.anyio

WORKERS = 5


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[list[RedisQueueService]]:
    """Give a service for each worker, all on one queue."""
    with redis_server(tmp_path) as url:
        async with AsyncExitStack() as stack:
            made = [RedisQueueService(RedisSettings.model_validate({"url": url})) for _ in range(WORKERS)]
            for service in made:
                await stack.enter_async_context(service)
            yield made


async def test_a_tick_is_in_the_queue_once_for_all_workers(services: list[RedisQueueService]) -> None:
    """Five workers that race for every tick of the next half minute put each in once, to wait there for its time."""
    schedules = {"tick": Schedule.of("tick", "* * * * * *", timezone="UTC")}
    expected = int((AHEAD - MARGIN).total_seconds()) - 1  # the clock goes on meanwhile

    async with anyio.create_task_group() as group:
        for service in services:
            group.start_soon(CronTimer(service, schedules).run)
        with anyio.fail_after(20):
            while (await services[0].counts()).delayed < expected:  # noqa: ASYNC110 - nobody tells of it
                await anyio.sleep(0.02)
        await anyio.sleep(0.5)  # in which the slower ones could put theirs in, wrongly
        group.cancel_scope.cancel()

    records = await services[0].client.hvals("{indiaai:default}:tasks")
    ticks = [record.partition(b"\n")[2] for record in records]
    assert len(ticks) >= expected
    assert len(ticks) == len(set(ticks))
