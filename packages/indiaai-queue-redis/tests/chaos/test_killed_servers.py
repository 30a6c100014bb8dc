"""redis-server is killed by SIGKILL and restarted on its append-only file, while producers and workers go on.

What is promised depends on `appendfsync`: with `always` what was acknowledged is on the disk. With `everysec` it is in the
kernel's hands, so it survives the death of the process, but for what Redis holds back while the disk is slow: up to two
seconds; the power going would cost as much.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import anyio
import pytest

from crew import DICE, Ledger, Producer, asked_rounds, serve, service_of, unsettled, wait_until_settled
from redisserver import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

HELD_BACK_SECONDS = 2.0
"""How long Redis may put off writing to its file with `everysec` while a sync is under way."""


async def kill_again_and_again(server: RedisServer, ledger: Ledger, rounds: int) -> tuple[Sequence[float], set[int]]:
    """Kill and restart a server under a running crew until all is settled.

    Returns:
        The moments of its deaths, and the acknowledged tasks that it has lost: some may have run before.
    """
    settings = {"url": server.url(), "lease_seconds": 2.0}
    deaths: list[float] = []
    async with service_of(settings, retry_seconds=30) as service, serve(ledger, settings) as crew:
        await crew.start(2)
        producing = asyncio.create_task(Producer(service, ledger).run())
        for _ in range(rounds):
            await anyio.sleep(DICE.uniform(0.1, 0.8))  # the moment of death
            deaths.append(time.monotonic())
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        producing.cancel()
        await wait_until_settled(service)
        left = await unsettled(service, ledger)
    assert {state for state in left.values() if state is not None} == set()
    return deaths, left.keys() | ledger.never_finished()


def figures(ledger: Ledger, deaths: Sequence[float], lost: set[int]) -> str:
    """Return what was counted."""
    return (
        f"{len(deaths)} times killed, {len(ledger.acknowledged):,} tasks acknowledged, {ledger.refused} refused, "
        f"{len(lost)} lost, {len(ledger.run_twice())} run again"
    )


async def test_no_task_is_lost_when_the_server_is_killed_that_syncs_always(
    make_server: Callable[..., RedisServer], ledger: Ledger, report: Callable[[str], None]
) -> None:
    """With `appendfsync always` every acknowledged task is completed in the end."""
    deaths, lost = await kill_again_and_again(make_server("--appendfsync", "always"), ledger, asked_rounds(100))

    report(figures(ledger, deaths, lost))
    assert lost == set()


async def test_only_the_last_moments_are_lost_when_the_server_is_killed_that_syncs_every_second(
    make_server: Callable[..., RedisServer], ledger: Ledger, report: Callable[[str], None]
) -> None:
    """With `appendfsync everysec` every acknowledged task is completed, but for what Redis held back before its death."""
    deaths, lost = await kill_again_and_again(make_server("--appendfsync", "everysec"), ledger, asked_rounds(100))

    report(figures(ledger, deaths, lost))
    for number in lost:
        _, said = ledger.acknowledged[number]
        assert min(died - said for died in deaths if died >= said) <= HELD_BACK_SECONDS
