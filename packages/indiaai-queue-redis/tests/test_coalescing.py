"""Calls of many at the same time, on a real server: few commands, and to each his own outcome."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from indiaai_core import BackendUnavailable, InvalidTask, NewTask, QueueFull, TaskNotFound
from indiaai_core.queue import Counts, Task, TaskState, TaskStatus
from indiaai_queue_redis import RedisQueueService
from proxy import LossyProxy
from redisserver import RedisServer, ServiceMaker

pytestmark = pytest.mark.anyio


async def commands_of(client: Any, *names: str) -> int:
    """Return how often commands were sent to the server, or ran in scripts, so far."""
    stats = await client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)


async def outcomes_of(*calls: Any) -> list[Any]:
    """Return what calls that run at the same time give or raise."""
    async with asyncio.timeout(20):
        return await asyncio.gather(*calls, return_exceptions=True)


async def test_enqueues_at_the_same_time_are_few_commands(make: ServiceMaker) -> None:
    """A hundred calls are three commands at most, and each gives an id of its own task."""
    service, observer = make(), make().client
    await service.counts()
    before = await commands_of(observer, "eval", "evalsha")

    ids = await asyncio.gather(*(service.enqueue("process", {"n": n}) for n in range(100)))

    assert await commands_of(observer, "eval", "evalsha") - before <= 4  # two, and once more where the script is new
    tasks = {task.id: task.data["n"] for task in await service.dequeue_many(100)}
    assert tasks == {task_id: n for n, task_id in enumerate(ids)}


async def test_bad_task_among_good_ones_fails_alone(make: ServiceMaker) -> None:
    """Of calls at the same time only those that ask for what cannot be are refused."""
    service = make(max_task_bytes=200)
    data: list[Any] = [{"n": 1}, {"n": float("nan")}, {"n": 2}, {3: "key"}, {"n": "x" * 300}, {"n": {"deep": [1.5, 2**70]}}, []]

    outcomes = await outcomes_of(*(service.enqueue("process", one) for one in data), service.enqueue("process", priority=True))

    assert [isinstance(outcome, InvalidTask) for outcome in outcomes] == [False, True, False, True, True, False, True, True]
    assert [task.data for task in await service.dequeue_many(10)] == [data[0], data[2], data[5]]


async def test_full_queue_takes_those_that_fit(make: ServiceMaker) -> None:
    """Of calls at the same time as many are queued as there is room for; a batch is still queued whole or not at all."""
    service = make(max_tasks=5)

    outcomes = await outcomes_of(*(service.enqueue("process", {"n": n}) for n in range(8)))
    with pytest.raises(QueueFull, match="REDIS_MAX_TASKS"):
        await service.enqueue_many([NewTask("process")])

    assert [isinstance(outcome, QueueFull) for outcome in outcomes] == [False] * 5 + [True] * 3
    assert await service.counts() == Counts(pending=5)
    assert [task.data["n"] for task in await service.dequeue_many(10)] == [0, 1, 2, 3, 4]


async def test_dedupe_key_holds_within_a_bundle(make: ServiceMaker) -> None:
    """Calls at the same time with one dedupe key give one task's id, in a full queue as well."""
    service = make(max_tasks=3)

    first = await asyncio.gather(*(service.enqueue("process", {"n": n}, dedupe_key=f"{n % 3}") for n in range(30)))
    again = await asyncio.gather(*(service.enqueue("process", dedupe_key=f"{n % 3}") for n in range(30)))

    assert len(set(first)) == 3
    assert first == again == first[:3] * 10


async def test_bundle_whose_reply_is_lost_is_queued_once(make: ServiceMaker, shared_server: RedisServer) -> None:
    """Sent again, calls that were together get the ids that they would have got, and nothing is there twice."""
    async with LossyProxy(shared_server.port) as proxy:
        service = make(url=f"redis://127.0.0.1:{proxy.port}", lease_seconds=30)
        await service.counts()
        await service.enqueue("warm")
        proxy.lose_reply_to(b"lost-one")

        ids = await asyncio.gather(*(service.enqueue("lost-one", dedupe_key=f"{n % 7}" if n % 2 else None) for n in range(50)))

        tasks = await service.dequeue_many(100)
        await service.aclose()
    assert proxy.cuts == 1
    assert len({*ids}) == 25 + 7
    assert sorted(task.id for task in tasks[1:]) == sorted({*ids})


async def test_settlements_at_the_same_time_have_their_own_outcomes(make: ServiceMaker) -> None:
    """Completed, failed, renewed, retried and given back together, each as it was asked; who comes too late is told so."""
    service, observer = make(lease_seconds=30), make().client
    await service.enqueue_many([NewTask("process", {"n": n}) for n in range(7)])
    first, second, third, fourth, fifth, sixth, _ = tasks = await service.dequeue_many(10)
    await service.update_status(sixth, "processing")
    before = await commands_of(observer, "eval", "evalsha")

    outcomes = await outcomes_of(
        service.update_status(first, "completed", {"ok": True}),
        service.update_status(second, "failed", "broken"),
        service.update_status(third, "processing", 0.5),
        service.retry(fourth, delay=60, error="again"),
        service.release(fifth),
        service.update_status(sixth, "processing", 1),
        service.update_status(sixth, "completed"),
        service.update_status(sixth, "processing", 2),
        service.update_status(sixth, "failed", "late"),
        service.update_status("no-such-task", "completed"),
        service.update_status(first, "completed", 2**70),
        service.update_status(third, "completed", {1}),
    )

    assert await commands_of(observer, "eval", "evalsha") - before <= 3
    assert outcomes[:11] == [True] * 7 + [False] * 4
    assert isinstance(outcomes[11], InvalidTask)
    states = await asyncio.gather(*(service.get_status(task.id) for task in tasks))
    expected = ["completed", "failed", "processing", "pending", "pending", "completed", "processing"]
    assert [status.state for status in states] == expected
    assert [states[n].progress for n in (2, 5)] == [0.5, 1]
    assert states[0].result == {"ok": True}
    assert await service.counts() == Counts(pending=1, delayed=1, processing=2, dead=1)


async def test_status_of_many_is_one_command(make: ServiceMaker) -> None:
    """Calls of `get_status` at the same time go together, and one for a task that is not there fails alone."""
    service, observer = make(), make().client
    ids = await service.enqueue_many([NewTask("process") for _ in range(50)])
    await service.get_status(ids[0])
    before = await commands_of(observer, "eval", "evalsha")

    found = await outcomes_of(*(service.get_status(task_id) for task_id in [*ids, "absent", "\ud800"]))

    assert await commands_of(observer, "eval", "evalsha") - before <= 2
    assert [status.id for status in found if isinstance(status, TaskStatus)] == ids
    assert [type(error) for error in found[50:]] == [TaskNotFound] * 2


async def test_cancelled_enqueue_takes_no_other_with_it(make: ServiceMaker) -> None:
    """Of calls at the same time some are cancelled at every stage; the rest are queued."""
    service = make()
    kept: list[str] = []
    for turns in range(6):
        calls = [asyncio.create_task(service.enqueue("process", {"n": n})) for n in range(20)]
        for _ in range(turns):
            await asyncio.sleep(0)

        for call in calls[::3]:
            call.cancel()

        outcomes = await outcomes_of(*calls)
        kept += [outcome for outcome in outcomes if isinstance(outcome, str)]
        assert all(isinstance(outcome, str) for n, outcome in enumerate(outcomes) if n % 3)

    assert set(kept) <= {task.id for task in await service.dequeue_many(200)}


async def test_close_leaves_no_call_hanging(make: ServiceMaker) -> None:
    """Whatever is under way when the service is closed is done, or says that the backend is not available."""
    service = make()
    await service.enqueue("process")
    calls = [asyncio.create_task(service.enqueue("process")) for _ in range(200)]
    calls += [asyncio.create_task(service.get_status(f"{n}")) for n in range(20)]  # type: ignore[arg-type]  # raises
    await asyncio.sleep(0)

    await service.aclose()

    outcomes = await outcomes_of(*calls)
    assert {type(outcome) for outcome in outcomes} <= {str, BackendUnavailable, TaskNotFound}


async def finish(service: RedisQueueService, count: int) -> None:
    """Work some tasks."""
    for task in await service.dequeue_many(count):
        assert await service.update_status(task, "completed")


async def test_full_queue_is_waited_for(make: ServiceMaker) -> None:
    """With `full_wait_seconds` set, calls wait for room, all get in as tasks end, and none asks all the time meanwhile."""
    service, observer = make(max_tasks=4, full_wait_seconds=20, lease_seconds=30), make().client
    await service.enqueue_many([NewTask("process") for _ in range(4)])
    before = await commands_of(observer, "eval", "evalsha", "blpop")

    waiting = [asyncio.create_task(service.enqueue("process", {"n": n})) for n in range(20)]
    waiting.append(asyncio.create_task(service.enqueue_many([NewTask("process") for _ in range(3)])))  # type: ignore[arg-type]  # a list
    await asyncio.sleep(0.5)

    assert not any(call.done() for call in waiting)
    assert await commands_of(observer, "eval", "evalsha", "blpop") - before < 15
    async with asyncio.timeout(20):
        while not all(call.done() for call in waiting):
            await finish(service, 4)
            await asyncio.sleep(0.01)
    assert len({*(await asyncio.gather(*waiting[:20]))}) == 20


async def test_wait_for_room_has_an_end(make: ServiceMaker) -> None:
    """Where no room is made in time, the call says that the queue is full."""
    service = make(max_tasks=1, full_wait_seconds=0.2)
    await service.enqueue("process")

    for call in (service.enqueue("process"), service.enqueue_many([NewTask("process")])):
        with pytest.raises(QueueFull):
            await call

    assert await service.counts() == Counts(pending=1)


@pytest.mark.parametrize("how", ["cancel", "fail", "purge", "lapse"])
async def test_room_is_made_however_a_task_ends(make: ServiceMaker, how: str) -> None:
    """Who waits for room is let in when a task is cancelled, fails, is purged, or its last lease runs out."""
    service = make(max_tasks=1, full_wait_seconds=20, lease_seconds=0.2)
    task_id = await service.enqueue("process", max_attempts=1)
    task = None if how in ("cancel", "purge") else await service.dequeue()
    waiting = asyncio.create_task(service.enqueue("process"))
    await asyncio.sleep(0.1)

    if how == "cancel":
        await service.cancel(task_id)
    elif how == "purge":
        await service.purge()
    elif how == "fail":
        await service.update_status(task or "", "failed", "broken")
    else:
        await service.dequeue(timeout=2)

    async with asyncio.timeout(5):
        assert await waiting != task_id


async def test_nothing_grows_with_the_tasks_that_went_through(make: ServiceMaker) -> None:
    """After 50,000 tasks neither the server's memory and keys nor the process's objects are more than after 5,000."""
    service = make(keep_finished_seconds=0.05, max_dead_letters=10, lease_seconds=30)
    client, seen = service.client, []
    for count in range(50):
        await service.enqueue_many([NewTask("process", {"n": n}, dedupe_key=f"{n}" if n < 100 else None) for n in range(1000)])
        tasks = await service.dequeue_many(1000)
        settled = [service.update_status(task, *_ending(task)) for task in tasks]
        assert all(await asyncio.gather(*settled))
        del tasks, settled
        if count in (4, 49):
            await _expired(service)
            gc.collect()
            seen.append((int((await client.info("memory"))["used_memory"]), await client.dbsize(), len(gc.get_objects())))

    (memory, keys, objects), (memory_later, keys_later, objects_later) = seen
    assert await service.counts() == Counts(dead=10)
    assert keys == keys_later
    assert memory_later - memory < 300_000
    assert objects_later - objects < 1_000


def _ending(task: Task) -> tuple[TaskState, Any]:
    return (TaskState.FAILED, "broken") if task.data["n"] % 10 == 0 else (TaskState.COMPLETED, {"n": task.data["n"]})


async def _expired(service: RedisQueueService) -> None:
    """Wait until what was kept of completed tasks is gone."""
    async with asyncio.timeout(20):
        while await service.client.dbsize() > 12:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.02)
