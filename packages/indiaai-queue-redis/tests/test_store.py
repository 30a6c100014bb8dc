"""What lies in Redis: the documented format, and nothing for ever."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from indiaai_core import NewTask, QueueFull, TaskNotFound
from indiaai_core.queue import Counts, TaskState
from redisserver import RedisServer, ServiceMaker

pytestmark = pytest.mark.anyio

BASE = "{indiaai:default}"


async def test_what_another_language_writes_is_delivered(make: ServiceMaker) -> None:
    """A task written by hand, as the format's page says, is a task like others."""
    service = make()
    await service.client.set(f"{BASE}:format", "1")
    await service.client.hset(f"{BASE}:tasks", "by-hand", '[1700000000000,"process",7,3]\n{"key": "a/b"}')
    await service.client.zadd(f"{BASE}:priorities", {"7": 7})
    await service.client.rpush(f"{BASE}:pending:7", "by-hand")
    await service.client.rpush(f"{BASE}:wake", "1")

    task = await service.dequeue(timeout=5)

    assert task is not None
    assert (task.id, task.name, task.data, task.priority, task.max_attempts) == ("by-hand", "process", {"key": "a/b"}, 7, 3)
    assert task.enqueued_at.timestamp() == 1_700_000_000


async def test_what_is_written_is_the_documented_format(make: ServiceMaker) -> None:
    """Record and state are JSON under the documented names, for any language to read."""
    service = make()
    task_id = await service.enqueue("प्रक्रिया", {"n": 1}, priority=-2, max_attempts=3, dedupe_key="k")
    client: Any = service.client
    record: bytes = await client.hget(f"{BASE}:tasks", task_id)
    head, data = (json.loads(line) for line in record.split(b"\n"))
    task = await service.dequeue()
    assert task is not None
    run: bytes = await client.hget(f"{BASE}:runs", task_id)

    await service.update_status(task, "completed", {"pages": [1, None]})

    ended: bytes = await client.get(f"{BASE}:ended:{task_id}")
    lines: list[Any] = [json.loads(line) if line else None for line in ended.split(b"\n")]
    assert (head[1:], data) == (["प्रक्रिया", -2, 3, "k"], {"n": 1})
    assert [json.loads(line) for line in run.split(b"\n")] == [["processing", 1, lines[0][2], task.lease], head]
    assert lines == [["completed", 1, lines[0][2], task.lease, lines[0][4]], head, None, None, None, {"pages": [1, None]}]


async def test_head_leaves_out_what_says_nothing(make: ServiceMaker) -> None:
    """Priority, attempts and dedupe key are left out of a record from the end, as far as they are as usual."""
    service = make()
    expected: dict[str, list[Any]] = {
        await service.enqueue("a"): ["a"],
        await service.enqueue("b", priority=-1): ["b", -1],
        await service.enqueue("c", max_attempts=2): ["c", 0, 2],
        await service.enqueue('d","', dedupe_key="k"): ['d","', 0, None, "k"],
    }

    records: dict[bytes, bytes] = await service.client.hgetall(f"{BASE}:tasks")

    assert {task_id.decode(): json.loads(record.split(b"\n")[0])[1:] for task_id, record in records.items()} == expected
    tasks = {task.id: task for task in await service.dequeue_many(10)}
    for task_id, (name, *fields) in expected.items():
        task = tasks[task_id]
        values: list[Any] = [task.priority, task.max_attempts, task.dedupe_key]
        assert [task.name, *values[: len(fields)]] == [name, *fields]
        assert values[len(fields) :] == [0, None, None][len(fields) :]


@pytest.mark.parametrize(
    "record",
    [
        b"\x80\x04pickle",
        b"{}",
        b'[1,"x"]\n[1]',
        b'[1,"x",0,5,null]\n{"a":NaN',
        b"\n",
        b'[1e300,"x"]\n{}',
        b'[1,"x",0,5,null,6]\n{}',
        b"[1,2]\n{}",
        b'["x"]\n{}',
        b"[" * 50_000,
    ],
)
async def test_unreadable_record_becomes_a_dead_letter(make: ServiceMaker, record: bytes) -> None:
    """A record that is no task stops nobody: it is failed with the reason, and the next is delivered."""
    service = make()
    await service.client.hset(f"{BASE}:tasks", "bad", record)
    await service.client.zadd(f"{BASE}:priorities", {"0": 0})
    await service.client.rpush(f"{BASE}:pending:0", "bad")
    task_id = await service.enqueue("process")

    tasks = await service.dequeue_many(10)

    letters = await service.dead_letters()
    assert [task.id for task in tasks] == [task_id]
    assert (await service.counts()).dead == 1
    assert [(letter.state, "not readable" in (letter.error or "")) for letter in letters] == [(TaskState.FAILED, True)]


async def test_evicted_task_stops_nobody(make: ServiceMaker) -> None:
    """A task whose record the server dropped is passed over, and frees its dedupe key."""
    service = make()
    lost_id = await service.enqueue("process", dedupe_key="k")
    await service.client.hdel(f"{BASE}:tasks", lost_id)
    task_id = await service.enqueue("process", dedupe_key="k")

    tasks = await service.dequeue_many(10)

    assert [task.id for task in tasks] == [task_id]
    assert await service.counts() == Counts(processing=1)


async def test_nothing_is_left_of_what_has_ended(make: ServiceMaker) -> None:
    """After every way of ending, what remains has a lifetime or a bound; with neither kept, nothing but the format's key."""
    service = make(keep_finished_seconds=0, max_dead_letters=0)
    for n in range(6):
        await service.enqueue("process", {"n": n}, priority=n, dedupe_key=f"k{n}", delay=0.01 if n == 5 else 0)
    await service.cancel(await service.enqueue("process", delay=60, dedupe_key="late"))
    first, second, third = await service.dequeue_many(3)
    await service.update_status(first, "completed", {"ok": True})
    await service.update_status(second, "failed", "broken")
    await service.cancel(third.id)

    while task := await service.dequeue(timeout=0.2):
        await service.update_status(task, "completed")

    assert await service.client.keys("*") == [f"{BASE}:format".encode()]


async def test_finished_tasks_expire(make: ServiceMaker) -> None:
    """What is known of a completed or cancelled task is gone after `keep_finished_seconds`."""
    service = make(keep_finished_seconds=0.2)
    done_id, cancelled_id = await service.enqueue("process"), await service.enqueue("process", delay=60)
    await service.dequeue()
    await service.update_status(done_id, "completed")
    await service.cancel(cancelled_id)

    states = [(await service.get_status(task_id)).state for task_id in (done_id, cancelled_id)]
    await asyncio.sleep(0.3)

    assert states == [TaskState.COMPLETED, TaskState.CANCELLED]
    for task_id in (done_id, cancelled_id):
        with pytest.raises(TaskNotFound):
            await service.get_status(task_id)


async def test_requeued_task_no_longer_expires(make: ServiceMaker) -> None:
    """A cancelled task that is put back loses the lifetime it was given."""
    service = make(keep_finished_seconds=0.3)
    task_id = await service.enqueue("process", {"n": 1})
    await service.cancel(task_id)

    await service.requeue(task_id)
    await asyncio.sleep(0.4)

    task = await service.dequeue()
    assert task is not None
    assert (task.id, task.data) == (task_id, {"n": 1})


async def test_oldest_dead_letters_give_way(make: ServiceMaker) -> None:
    """Beyond `max_dead_letters` the oldest are forgotten with all that was kept of them."""
    service = make(max_dead_letters=3)
    ids = []
    for n in range(5):
        ids.append(await service.enqueue("process", {"n": n}))
        await service.update_status(await service.dequeue() or "", "failed", "broken")

    letters = await service.dead_letters()

    assert [letter.id for letter in letters] == ids[:1:-1]
    assert len(await service.client.keys(f"{BASE}:ended:*")) == 3


async def test_queue_takes_no_more_than_its_bound(make: ServiceMaker) -> None:
    """`max_tasks` counts what waits, is delayed or is leased; a batch that does not fit is refused whole."""
    service = make(max_tasks=3)
    await service.enqueue("process")
    await service.enqueue("process", delay=60)
    await service.dequeue()

    with pytest.raises(QueueFull, match="REDIS_MAX_TASKS"):
        await service.enqueue_many([NewTask("process"), NewTask("process")])

    assert await service.counts() == Counts(delayed=1, processing=1)
    await service.enqueue("process", dedupe_key="k")
    await service.enqueue("process", dedupe_key="k")  # stands for the one that is there


async def test_smaller_limit_of_bytes_holds(make: ServiceMaker) -> None:
    """`max_task_bytes` bounds data and results; the error says what to do instead."""
    service = make(max_task_bytes=100)

    with pytest.raises(ValueError, match=r"limit is 100.*storage"):
        await service.enqueue("process", {"content": "x" * 100})


@pytest.mark.parametrize("count", [1000, 1001, 2500])
async def test_large_batches_keep_their_order(make: ServiceMaker, count: int) -> None:
    """Batches beyond what one script takes are queued and leased whole and in order."""
    service = make(lease_seconds=30)

    ids = await service.enqueue_many(NewTask("process", {"n": n}) for n in range(count))

    delivered: list[str] = []
    while tasks := await service.dequeue_many(5000):
        delivered += [task.id for task in tasks]
    assert delivered == ids


async def test_queues_of_other_names_are_apart(make: ServiceMaker) -> None:
    """Queue name, prefix and database keep queues apart; purging one leaves the others."""
    services = [make(), make(queue_name="other"), make(prefix="app")]
    ids = [await service.enqueue("process") for service in services]

    forgotten = await services[0].purge()

    assert forgotten == 1
    assert [task and task.id for task in [await service.dequeue() for service in services]] == [None, *ids[1:]]


async def test_purge_of_many_forgets_all(make: ServiceMaker) -> None:
    """More than one script's share is purged, dedupe keys included."""
    service = make()
    await service.enqueue_many(NewTask("process", dedupe_key=f"{n}", delay=60 * (n % 2), priority=n % 3) for n in range(2300))

    forgotten = await service.purge()

    assert forgotten == 2300
    assert await service.client.keys("*") == [f"{BASE}:format".encode()]


async def test_all_keys_lie_in_one_slot(make: ServiceMaker) -> None:
    """Every key begins with the queue's braces, so a cluster keeps them together."""
    service = make()
    await service.enqueue("process", dedupe_key="k")
    await service.enqueue("process", delay=60)
    await service.enqueue("process", priority=5)
    await service.update_status(await service.dequeue() or "", "failed", "x")

    keys = await service.client.keys("*")

    assert len(keys) > 8
    assert all(key.startswith(b"{indiaai:default}:") for key in keys)


async def test_every_key_is_on_the_formats_page(make: ServiceMaker) -> None:
    """The page of the format names every kind of key."""
    service = make(max_tasks=6, full_wait_seconds=0.05)
    await service.enqueue("process", dedupe_key="k")
    await service.enqueue("process", delay=60)
    await service.enqueue("process")
    tasks = await service.dequeue_many(2)
    await service.update_status(tasks[0], "completed", 1)
    await service.update_status(tasks[1], "failed", {"error": "e", "traceback": "t"})
    with pytest.raises(QueueFull):
        await service.enqueue_many([NewTask("process", dedupe_key=f"{n}") for n in range(7)])
    await service.enqueue_many([NewTask("process", dedupe_key=f"{n}") for n in range(3)])
    await service.dequeue()
    docs = next(parent / "docs" for parent in Path(__file__).parents if (parent / "docs").is_dir())

    text = (docs / "reference/formats/queue-redis.md").read_text("utf-8")

    keys = {key.decode().removeprefix(f"{BASE}:").split(":")[0] for key in await service.client.keys("*")}
    assert len(keys) >= 10
    assert {name for name in keys if f"`{name}" not in text} == set()


async def test_server_with_another_database_is_apart(make: ServiceMaker, shared_server: RedisServer) -> None:
    """The address's database number is another store."""
    service, other = make(), make(url=f"redis://127.0.0.1:{shared_server.port}/1")

    await other.enqueue("process")

    assert await service.dequeue() is None
