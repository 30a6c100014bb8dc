"""The network between is cut in the middle of commands and answers, again and again, while producers and workers go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import pytest

from crew import DICE, Ledger, Producer, asked_rounds, serve, service_of, unsettled, wait_until_settled
from cutting import CuttingProxy
from redisserver import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]


async def test_no_task_is_lost_when_the_network_is_cut(
    make_server: Callable[..., RedisServer], ledger: Ledger, report: Callable[[str], None]
) -> None:
    """All connections are cut two hundred times, wherever they are; every acknowledged task is completed, once but for few."""
    rounds = asked_rounds(200)
    server = make_server("--appendfsync", "no")

    async with CuttingProxy(server.port) as proxy:
        settings = {"url": f"redis://127.0.0.1:{proxy.port}/0", "lease_seconds": 2.0}
        async with service_of(settings, retry_seconds=10) as service, serve(ledger, settings) as crew:
            await crew.start(2)
            producing = asyncio.create_task(Producer(service, ledger).run())
            for _ in range(rounds):
                await anyio.sleep(DICE.uniform(0.01, 0.3))  # the moment of the cut
                proxy.cut()
            producing.cancel()
            await wait_until_settled(service)
            left = await unsettled(service, ledger)

    twice = ledger.run_twice()
    report(
        f"{rounds} times cut, {proxy.cuts} connections, {len(ledger.acknowledged):,} tasks acknowledged, "
        f"{ledger.refused} refused, "
        f"{len(ledger.never_finished())} lost, {len(twice)} run again"
    )
    assert ledger.never_finished() == set()
    assert left == {}
    assert len(twice) <= len(ledger.acknowledged) // 10
