"""Primaries of a Redis Cluster are killed by SIGKILL and their replicas take over, while producers and workers go on.

Replication is asynchronous: an answer may be here before the replica has heard of it. With `REDIS_WAIT_REPLICAS=1` `enqueue`
returns when a replica has the task; without it what was acknowledged in the last moment before a death may go with the primary.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from crew import DICE, Ledger, Producer, asked_rounds, serve, service_of, wait_until_settled
from rediscluster import RedisCluster, ask, is_following, wait_until
from redisserver import RedisServer, find_programs

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

UNHEARD_SECONDS = 1.0
"""How long before a death an answer may have been given that the replica had not heard of."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """Three primaries, each with a replica."""
    cluster = RedisCluster(next(iter(find_programs().values())), tmp_path / "cluster", is_replicated=True)
    (tmp_path / "cluster").mkdir()
    cluster.start()
    yield cluster
    cluster.stop()


def is_primary(node: RedisServer) -> bool:
    """Tell what a node takes itself for."""
    return bool(ask(node, "ROLE")[0] == b"master")


def fail_over(cluster: RedisCluster, victim: RedisServer) -> None:
    """Kill a primary, wait until another node serves in its place, and let it come back as the new one's replica."""
    victim.kill()
    others = [node for node in cluster.nodes if node is not victim]
    count = len(cluster.primaries)
    wait_until(lambda: sum(is_primary(node) for node in others) == count, "a replica takes over")
    wait_until(lambda: all(b"cluster_state:ok" in ask(node, "CLUSTER", "INFO").split() for node in others), "all agree")
    victim.start()
    wait_until(lambda: is_following(victim), "the killed node follows")
    followers = [node for node in cluster.nodes if not is_primary(node)]
    wait_until(lambda: all(is_following(node) for node in followers), "every replica follows")


async def kill_again_and_again(cluster: RedisCluster, ledger: Ledger, *, wait_replicas: int, rounds: int) -> Sequence[float]:
    """Kill primaries under a running crew until all is settled, and return the moments of their deaths."""
    settings = {"url": cluster.nodes[0].url(), "lease_seconds": 2.0, "wait_replicas": wait_replicas}
    deaths: list[float] = []
    async with service_of(settings, retry_seconds=30) as service, serve(ledger, settings) as crew:
        await crew.start(2)
        producing = asyncio.create_task(Producer(service, ledger).run())
        for _ in range(rounds):
            await anyio.sleep(DICE.uniform(0.1, 0.8))  # the moment of death
            victim = DICE.choice([node for node in cluster.nodes if is_primary(node)])
            deaths.append(time.monotonic())
            await asyncio.to_thread(fail_over, cluster, victim)
        producing.cancel()
        await wait_until_settled(service)
    return deaths


def figures(ledger: Ledger, deaths: Sequence[float]) -> str:
    """Return what was counted."""
    return (
        f"{len(deaths)} primaries killed, {len(ledger.acknowledged):,} tasks acknowledged, {ledger.refused} refused, "
        f"{len(ledger.never_finished())} lost, {len(ledger.run_twice())} run again"
    )


async def test_no_task_is_lost_when_primaries_are_killed_and_a_replica_was_waited_for(
    cluster: RedisCluster, ledger: Ledger, report: Callable[[str], None]
) -> None:
    """With a replica waited for, every acknowledged task is completed whichever primary dies."""
    deaths = await kill_again_and_again(cluster, ledger, wait_replicas=1, rounds=asked_rounds(25))

    report(figures(ledger, deaths))
    assert ledger.never_finished() == set()
    assert len(ledger.acknowledged) > len(deaths)


async def test_only_the_last_moment_is_lost_when_primaries_are_killed_and_no_replica_was_waited_for(
    cluster: RedisCluster, ledger: Ledger, report: Callable[[str], None]
) -> None:
    """By default every acknowledged task is completed, but for what a replica had not heard of when its primary died."""
    deaths = await kill_again_and_again(cluster, ledger, wait_replicas=0, rounds=asked_rounds(25))

    report(figures(ledger, deaths))
    for number in ledger.never_finished():
        _, said = ledger.acknowledged[number]
        assert min(died - said for died in deaths if died >= said) <= UNHEARD_SECONDS
