"""What dies, and what is left: servers, workers and connections are killed in the middle."""

from __future__ import annotations

import asyncio
import logging
import sys

import anyio
import pytest

from indiaai_core import NewTask, Task
from indiaai_core.queue import Counts, TaskState
from indiaai_queue_redis import RedisQueueService
from proxy import LossyProxy
from redisserver import RedisServer, ServiceMaker

pytestmark = pytest.mark.anyio

WORKER = """
import asyncio, os, sys
from indiaai_queue_redis import RedisQueueService, RedisSettings

async def main():
    service = RedisQueueService(RedisSettings.model_validate({"url": sys.argv[1], "lease_seconds": 0.5}))
    task = await service.dequeue(10)
    print(task.id, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def drain(service: RedisQueueService) -> list[Task]:
    """Take and complete everything, until nothing is pending, delayed or leased."""
    done: list[Task] = []
    with anyio.fail_after(20):
        while await service.counts() != Counts():
            for task in await service.dequeue_many(100, timeout=1):
                assert await service.update_status(task, "completed")
                done.append(task)
    return done


async def test_acknowledged_tasks_survive_the_death_of_the_server(make: ServiceMaker, server: RedisServer) -> None:
    """Killed and restarted on its append-only file, the server has every task, and the service finds back by itself."""
    service = make(retry_seconds=10)
    ids = await service.enqueue_many([NewTask("process", {"n": n}) for n in range(50)])
    ids.append(await service.enqueue("process", delay=0.2))
    held = await service.dequeue()
    assert held is not None
    server.kill()
    server.start()

    done = await drain(service)

    assert {task.id for task in done} == set(ids)
    assert [task.attempt for task in done if task.id == held.id] == [2]


async def test_calls_wait_for_a_server_that_restarts_and_say_so_once(
    make: ServiceMaker, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls that meet a restart succeed when it is over; the log has one line for the end and one for the return."""
    service = make(retry_seconds=20)
    await service.enqueue("process")
    caplog.set_level(logging.INFO, logger="indiaai.queue.redis")
    server.kill()

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(service.enqueue("process")) for _ in range(20)]
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)

    assert len({call.result() for call in calls}) == 20
    assert [("does not serve" in text, "serves again" in text) for text in caplog.messages] == [(True, False), (False, True)]


async def test_waiting_worker_survives_a_restart(make: ServiceMaker, server: RedisServer) -> None:
    """A call that waits while the server is killed and restarted gets what is enqueued after."""
    worker, producer = make(retry_seconds=20), make(retry_seconds=20)
    waiting = asyncio.create_task(worker.dequeue(timeout=30))
    await asyncio.sleep(0.1)

    server.kill()
    await asyncio.to_thread(server.start)
    task_id = await producer.enqueue("process")

    with anyio.fail_after(10):
        task = await waiting
    assert task is not None
    assert task.id == task_id


async def test_forgotten_scripts_are_sent_again(make: ServiceMaker, server: RedisServer) -> None:
    """A server that forgot the scripts is told them again, for calls that wait as for others."""
    service = make()
    await service.enqueue("process")
    waiting = asyncio.create_task(make().dequeue(timeout=20))
    await waiting
    late = asyncio.create_task(make().dequeue(timeout=20))
    await asyncio.sleep(0.1)
    await service.client.script_flush()

    task_id = await service.enqueue("process")

    task = await late
    assert task is not None
    assert task.id == task_id


async def test_task_of_a_killed_worker_is_delivered_again(make: ServiceMaker, shared_server: RedisServer) -> None:
    """SIGKILL of a worker's process gives its task to another within two leases."""
    service = make()
    task_id = await service.enqueue("process")
    async with await anyio.open_process([sys.executable, "-c", WORKER, shared_server.url()]) as worker:
        assert worker.stdout is not None
        held = await worker.stdout.receive()
        worker.kill()

    task = await service.dequeue(timeout=2 * service.lease_seconds + 1)

    assert task is not None
    assert (task.id, task.attempt, held.decode().strip()) == (task_id, 2, task_id)


async def test_enqueue_whose_reply_is_lost_queues_one_task(make: ServiceMaker, shared_server: RedisServer) -> None:
    """A task that was queued is not queued again because the reply was lost, and its id is the one that is given."""
    async with LossyProxy(shared_server.port) as proxy:
        service = make(url=f"redis://127.0.0.1:{proxy.port}", lease_seconds=30)
        await service.counts()
        await service.enqueue("warm")
        proxy.lose_reply_to(b"lost-one")

        ids = await service.enqueue_many([NewTask("lost-one"), NewTask("lost-one", dedupe_key="k")])

        tasks = await service.dequeue_many(10)
        await service.aclose()
    assert [task.id for task in tasks[1:]] == ids
    assert proxy.cuts == 1


async def test_delivery_whose_reply_is_lost_is_made_again(make: ServiceMaker, shared_server: RedisServer) -> None:
    """Tasks that were leased for a reply that never came are given to the same call, as the same attempt."""
    async with LossyProxy(shared_server.port) as proxy:
        service = make(url=f"redis://127.0.0.1:{proxy.port}", lease_seconds=30)
        await service.dequeue()
        ids = await service.enqueue_many([NewTask("process", max_attempts=1) for _ in range(3)])
        proxy.lose_reply_to(b"EVALSHA")

        tasks = await service.dequeue_many(10)

        settled = [await service.update_status(task, "completed") for task in tasks]
        await service.aclose()
    assert [(task.id, task.attempt) for task in sorted(tasks, key=lambda task: ids.index(task.id))] == [(one, 1) for one in ids]
    assert settled == [True, True, True]
    assert proxy.cuts == 1


@pytest.mark.parametrize("verb", ["completed", "failed", "processing", "retry", "release"])
async def test_settlement_whose_reply_is_lost_was_done(make: ServiceMaker, shared_server: RedisServer, verb: str) -> None:
    """A settlement that took effect says True although its first reply was lost."""
    async with LossyProxy(shared_server.port) as proxy:
        service = make(url=f"redis://127.0.0.1:{proxy.port}", lease_seconds=30)
        await service.enqueue("process")
        task = await service.dequeue()
        assert task is not None
        await service.update_status(task, "processing")
        proxy.lose_reply_to(task.lease.encode())

        if verb == "retry":
            is_done = await service.retry(task, delay=60, error="again")
        else:
            is_done = await (service.release(task) if verb == "release" else service.update_status(task, verb))

        await service.aclose()
    assert is_done
    assert proxy.cuts == 1


async def test_cancelled_dequeue_gives_its_task_to_the_next(make: ServiceMaker, shared_server: RedisServer) -> None:
    """What a call had leased when it was cancelled goes to the service's next call, as the same attempt."""
    async with LossyProxy(shared_server.port) as proxy:
        service = make(url=f"redis://127.0.0.1:{proxy.port}", lease_seconds=30, retry_seconds=0)
        await service.dequeue()
        task_id = await service.enqueue("process", max_attempts=1)
        proxy.lose_reply_to(b"EVALSHA")
        with pytest.raises(Exception, match="does not serve"):
            await service.dequeue()
        assert (await service.get_status(task_id)).state is TaskState.PROCESSING

        task = await service.dequeue()

        await service.aclose()
    assert task is not None
    assert (task.id, task.attempt) == (task_id, 1)


async def test_two_services_deliver_each_task_once(make: ServiceMaker) -> None:
    """Two services that race for 1,000 tasks, one at a time and in batches, deliver each exactly once."""
    producer = make(lease_seconds=30)
    ids = await producer.enqueue_many([NewTask("process", {"n": n}) for n in range(1000)])
    delivered: list[str] = []

    async def work(service: RedisQueueService, limit: int) -> None:
        while tasks := await service.dequeue_many(limit, timeout=0.1):
            for task in tasks:
                assert await service.update_status(task, "completed")
                delivered.append(task.id)

    async with asyncio.TaskGroup() as group:
        for service in (make(lease_seconds=30), make(lease_seconds=30)):
            for limit in (1, 7, 50):
                group.create_task(work(service, limit))

    assert sorted(delivered) == sorted(ids)
