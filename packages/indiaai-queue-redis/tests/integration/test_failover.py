"""Primaries that die, step down or hand their slots over, under services at work."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from pathlib import Path

import anyio
import pytest

from indiaai_core import BackendUnavailable, ConfigurationError, NewTask
from indiaai_core.queue import Counts
from indiaai_queue_redis import RedisQueueService, RedisSettings
from indiaai_queue_redis.partition import SLOTS, partition_of_id, slot_of
from rediscluster import RedisCluster, SentinelSet, ask, is_following, wait_until
from redisserver import RedisServer, ServiceMaker

pytestmark = pytest.mark.anyio

PRODUCERS = 4


async def work(service: RedisQueueService, done: set[str], stop: asyncio.Event) -> None:
    """Complete what comes, as a worker would that goes on through an outage."""
    while not stop.is_set():
        try:
            for task in await service.dequeue_many(50, timeout=0.2):
                if await service.update_status(task, "completed"):
                    done.add(task.id)
        except BackendUnavailable:
            await asyncio.sleep(0.05)


async def produce(service: RedisQueueService, acknowledged: set[str], stop: asyncio.Event) -> None:
    """Enqueue one after the other, and note what was acknowledged."""
    while not stop.is_set():
        try:
            acknowledged.add(await service.enqueue("process", {"n": len(acknowledged)}))
        except BackendUnavailable:
            await asyncio.sleep(0.05)


async def wait_for(condition: object, seconds: float = 30) -> None:
    """Wait until a function says True, with a bound."""
    assert callable(condition)
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what happens in servers sets no event of this loop
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("wait_replicas", [0, 1])
async def test_cluster_goes_on_when_a_primary_is_killed(
    make: ServiceMaker, cluster: RedisCluster, wait_replicas: int, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGKILL of a primary under load: others' partitions are worked all the time, the replica's soon, nothing is lost."""
    producer, worker = make(wait_replicas=wait_replicas), make(lease_seconds=2)
    acknowledged, done, stop = set[str](), set[str](), asyncio.Event()
    caplog.set_level(logging.INFO, logger="indiaai.queue.redis")
    async with asyncio.TaskGroup() as group:
        for _ in range(PRODUCERS):
            group.create_task(produce(producer, acknowledged, stop))
        group.create_task(work(worker, done, stop))
        await wait_for(lambda: len(done) > 200)
        victim = cluster.primaries[0]
        victim.kill()
        count = len(done)
        await wait_for(lambda: len(done) > count + 100)
        await asyncio.to_thread(wait_until, lambda: _has_slots(cluster.replicas[0]), "the replica is promoted")
        await asyncio.to_thread(victim.start)  # as a replica of what was its own
        since = set(acknowledged)
        await wait_for(lambda: len(_partitions(acknowledged - since)) == 12)
        stop.set()
    await finish(worker, done)

    # What a replica has not got yet when its primary dies is lost, as the backend's page says; how much is the machine's.
    assert acknowledged <= done or not wait_replicas
    assert all(_first_home(task_id, cluster) is victim for task_id in acknowledged - done)
    assert caplog.text.count("Trying again") <= 6


async def finish(worker: RedisQueueService, done: set[str]) -> None:
    """Work until nothing is left."""
    with anyio.fail_after(30):
        while await worker.counts() != Counts():
            for task in await worker.dequeue_many(1000, timeout=0.2):
                if await worker.update_status(task, "completed"):
                    done.add(task.id)


def _partitions(ids: set[str]) -> set[int]:
    return {partition_of_id(task_id, 12) for task_id in ids}


def _first_home(task_id: str, cluster: RedisCluster) -> RedisServer:
    """Return the node that had a task's partition when the cluster was made."""
    return cluster.primaries[partition_of_id(task_id, 12) * 3 // 12]


def _has_slots(node: RedisServer) -> bool:
    return b"myself,master" in ask(node, "CLUSTER", "NODES")


def _steps_up(replica: RedisServer) -> bool:
    """Ask a replica to step up, which it declines or gives up when the machine is busy, and tell whether it has."""
    if not _has_slots(replica):
        ask(replica, "CLUSTER", "FAILOVER")
        time.sleep(0.5)
    return _has_slots(replica)


async def test_planned_failover_loses_nothing(make: ServiceMaker, cluster: RedisCluster) -> None:
    """CLUSTER FAILOVER under load loses no task, and no call fails that has the time to try again."""
    producer, worker = make(), make(lease_seconds=2)
    acknowledged, done, stop = set[str](), set[str](), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(produce(producer, acknowledged, stop))
        group.create_task(work(worker, done, stop))
        await wait_for(lambda: len(done) > 100)
        for replica in cluster.replicas:
            await asyncio.to_thread(wait_until, functools.partial(_steps_up, replica), "it is primary")
        count = len(done)
        await wait_for(lambda: len(done) > count + 200)
        stop.set()
    await finish(worker, done)

    assert acknowledged <= done


async def test_slot_that_is_handed_over_is_waited_for(make: ServiceMaker, cluster: RedisCluster) -> None:
    """While a slot moves to another node no script runs on half of a queue; calls wait, and go on at the new node."""
    service = make(partitions=1)
    ids = await service.enqueue_many([NewTask("process", {"n": n}) for n in range(100)])
    slot = slot_of("{indiaai:default}:")
    source = cluster.primaries[slot * 3 // SLOTS]
    target = cluster.primaries[(slot * 3 // SLOTS + 1) % 3]
    await asyncio.to_thread(cluster.begin_to_move, slot, source, target)

    hasty = make(retry_seconds=0)
    with pytest.raises(BackendUnavailable, match="ASK"):
        await hasty.dequeue()
    waiting = asyncio.create_task(service.dequeue_many(200))
    late = asyncio.create_task(service.enqueue("process"))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await asyncio.to_thread(cluster.end_to_move, slot, source, target)

    late_id = await late
    tasks = [*await waiting, *await service.dequeue_many(200)]
    assert {task.id for task in tasks} == {*ids, late_id}
    assert [task.id for task in tasks if task.id in ids] == ids


async def test_clients_that_differ_agree(make: ServiceMaker, cluster: RedisCluster, caplog: pytest.LogCaptureFixture) -> None:
    """Services that start at the same time with different settings use the partitions that one of them made."""
    services = [make(partitions=count) for count in (3, 5, 7, 0)]

    ids = await asyncio.gather(*(service.enqueue("process") for service in services for _ in range(10)))

    for service in services:
        for task_id in ids:
            assert (await service.get_status(task_id)).id == task_id
    assert caplog.text.count("changes nothing") >= 2


async def test_keys_hold_across_services(make: ServiceMaker, cluster: RedisCluster) -> None:
    """A dedupe key is held for all, whichever service and batch it comes with."""
    one, other = make(), make()
    first = await one.enqueue("process", dedupe_key="k")

    ids = await other.enqueue_many([NewTask("process", dedupe_key=key) for key in ("a", "k", "b", "a")])

    assert ids[1] == first
    assert ids[0] == ids[3]
    assert len({*ids}) == 3


async def test_work_is_spread_over_all_nodes(make: ServiceMaker, cluster: RedisCluster) -> None:
    """Every primary holds tasks when a few dozen were enqueued, one by one or in batches, and one worker gets them all."""
    service = make()
    ids = [await service.enqueue("process") for _ in range(24)]
    for _ in range(12):
        ids += await service.enqueue_many([NewTask("process") for _ in range(10)])

    sizes = [await asyncio.to_thread(ask, node, "DBSIZE") for node in cluster.primaries]
    delivered: list[str] = []
    while tasks := await service.dequeue_many(50):
        delivered += [task.id for task in tasks]

    assert min(sizes) >= 4 * 3
    assert sorted(delivered) == sorted(ids)


async def test_too_few_replicas_are_said(make: ServiceMaker, cluster: RedisCluster) -> None:
    """Where fewer replicas confirm than are asked for, `enqueue` says so after its time, and the task is there."""
    service = make(wait_replicas=2, timeout_seconds=0.3)

    with pytest.raises(BackendUnavailable, match=r"[01] of 2 replicas.*REDIS_WAIT_REPLICAS"):
        await service.enqueue("process", dedupe_key="k")

    assert await service.counts() == Counts(pending=1)


async def test_user_who_may_not_ask_is_told(make: ServiceMaker, cluster: RedisCluster) -> None:
    """A user without the right to CLUSTER is told which right is missing, on a node that has not got the queue."""
    for node in cluster.nodes:
        await asyncio.to_thread(ask, node, "ACL", "SETUSER", "worker", "on", ">hunter2", "~*", "+@all", "-cluster")
    slot = slot_of("{indiaai:default}:")
    stranger = cluster.primaries[(slot * 3 // SLOTS + 1) % 3]
    service = make(url=stranger.url("worker:hunter2@"))

    with pytest.raises(ConfigurationError, match="CLUSTER SLOTS") as refusal:
        await service.enqueue("process")

    assert "hunter2" not in str(refusal.value)


async def test_client_is_the_clusters(make: ServiceMaker, cluster: RedisCluster) -> None:
    """`service.client` reaches keys on every node, once the service knows that it is a cluster."""
    service = make()
    await service.check()

    for n in range(20):
        await service.client.set(f"mine:{n}", n)

    assert [await service.client.get(f"mine:{n}") for n in range(20)] == [b"%d" % n for n in range(20)]


async def test_sentinels_name_the_next_primary(make: ServiceMaker, sentinels: SentinelSet) -> None:
    """With a sentinel dead and the primary killed, the replica is found, and all that it has is delivered."""
    service = make(retry_seconds=30)
    ids = await service.enqueue_many([NewTask("process", {"n": n}) for n in range(50)])
    waiting = asyncio.create_task(make(retry_seconds=30, queue_name="other").dequeue(timeout=60))
    primary, replica = sentinels.servers
    await asyncio.to_thread(wait_until, lambda: _offset(primary) == _offset(replica), "the replica has all")
    sentinels.sentinels[0].kill()
    primary.kill()

    ids.append(await service.enqueue("process"))

    tasks = await service.dequeue_many(100)
    assert [task.id for task in tasks] == ids
    late = await make(queue_name="other").enqueue("process")
    with anyio.fail_after(20):
        task = await waiting
    assert task is not None
    assert task.id == late


def _offset(server: RedisServer) -> bytes:
    told: list[bytes] = ask(server, "INFO", "replication").split()
    return next(line.partition(b":")[2] for line in told if line.startswith((b"slave_repl_offset", b"master_repl_offset")))


async def test_primary_that_comes_back_as_a_replica_is_left(make: ServiceMaker, sentinels: SentinelSet) -> None:
    """After a failover that was ordered, calls go to the new primary, although the old one still answers."""
    service = make(retry_seconds=30)
    task_id = await service.enqueue("process")
    await asyncio.to_thread(ask, sentinels.sentinels[0], "SENTINEL", "FAILOVER", "queue")
    await asyncio.to_thread(wait_until, lambda: is_following(sentinels.servers[0]), "the old primary follows")

    task = await service.dequeue()

    assert task is not None
    assert task.id == task_id
    assert await service.update_status(task, "completed")
    assert await service.client.execute_command("ROLE")


@pytest.mark.parametrize("is_dead", [True, False], ids=["dead", "unknown"])
async def test_sentinels_that_know_nothing_are_said(sentinels: SentinelSet, is_dead: bool) -> None:
    """A service that no sentinel knows is a configuration error; sentinels that are all dead are an outage."""
    url = sentinels.url("user:hunter2@").replace("/queue", "/other")
    if is_dead:
        for sentinel in sentinels.sentinels:
            sentinel.kill()
    service = RedisQueueService(RedisSettings.model_validate({"url": url, "retry_seconds": 0.2}))

    with pytest.raises(BackendUnavailable if is_dead else ConfigurationError) as refusal:
        await service.enqueue("process")

    assert "hunter2" not in str(refusal.value)
    assert sentinels.sentinels[0].url().removeprefix("redis://")[:-2] in str(refusal.value)
    await service.aclose()


async def test_sentinels_and_servers_have_passwords_of_their_own(
    program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The address's user is for the servers, REDIS_SENTINEL_PASSWORD for the sentinels; neither is shown."""
    primary = RedisServer(program, tmp_path / "primary", "--requirepass", "hunter2-server")
    secrets = "requirepass hunter2-sentinel", "sentinel auth-pass queue hunter2-server"
    sentinel = RedisServer(program, tmp_path / "sentinel", *secrets)
    primary.start()
    sentinel.start_as_sentinel(primary.port, quorum=1)
    url = f"redis+sentinel://:hunter2-server@127.0.0.1:{sentinel.port}/queue"
    settings = RedisSettings.model_validate({"url": url, "sentinel_password": "hunter2-sentinel"})
    try:
        async with RedisQueueService(settings) as service:
            task_id = await service.enqueue("process")
            assert (await service.get_status(task_id)).id == task_id
        stranger = RedisQueueService(RedisSettings.model_validate({"url": url}))
        with pytest.raises(ConfigurationError) as refusal:
            await stranger.enqueue("process")
        await stranger.aclose()
    finally:
        sentinel.kill()
        primary.kill()

    assert "hunter2" not in caplog.text + str(refusal.value) + repr(settings) + repr(refusal.value.__cause__)
    assert "REDIS_SENTINEL_PASSWORD" in str(refusal.value)
