"""What the backend `memory` adds to the contract: its settings, its bounds, its clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hand_clock import HandClock
from indiaai_core import (
    Counts,
    InvalidSettings,
    InvalidTask,
    NewTask,
    Platform,
    QueueFull,
    Task,
    TaskNotFound,
    TaskState,
)
from indiaai_queue_memory import InMemoryQueueService, MemoryQueueService, MemorySettings
from indiaai_queue_memory.record import Record
from indiaai_queue_memory.schedule import Schedule

pytestmark = pytest.mark.anyio


async def take(service: InMemoryQueueService) -> Task:
    """Lease the next task; there must be one."""
    task = await service.dequeue()
    assert task is not None
    return task


def test_service_needs_no_settings() -> None:
    """Without a variable, everything has a default."""
    service = InMemoryQueueService()

    assert service.lease_seconds == 30
    assert service.settings == MemorySettings(
        lease_seconds=30, max_tasks=100_000, max_task_bytes=262_144, keep_finished_seconds=86_400, keep_finished_tasks=10_000
    )
    assert MemoryQueueService is InMemoryQueueService


def test_settings_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is read from `MEMORY_QUEUE_` and its name."""
    monkeypatch.setenv("MEMORY_QUEUE_LEASE_SECONDS", "2.5")
    monkeypatch.setenv("MEMORY_QUEUE_MAX_TASKS", "7")

    service = InMemoryQueueService()

    assert (service.lease_seconds, service.settings.max_tasks) == (2.5, 7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lease_seconds", 0),
        ("lease_seconds", float("nan")),
        ("lease_seconds", float("inf")),
        ("max_tasks", 0),
        ("max_tasks", "many"),
        ("max_task_bytes", 0),
        ("max_task_bytes", 262_145),
        ("keep_finished_seconds", -1),
        ("keep_finished_tasks", -1),
    ],
)
def test_bad_setting_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    """A setting out of its limits is an error that names the variable."""
    monkeypatch.setenv(f"MEMORY_QUEUE_{name.upper()}", str(value))

    with pytest.raises(InvalidSettings, match=f"MEMORY_QUEUE_{name.upper()}"):
        MemorySettings()


async def test_platform_takes_the_backend_by_default() -> None:
    """The queue of an application that selects none is this one."""
    async with Platform() as platform:
        service = platform.get_service("queue")

        assert isinstance(service, InMemoryQueueService)


async def test_full_queue_refuses_and_says_what_to_do(service: InMemoryQueueService) -> None:
    """What waits, is delayed or is worked counts; QueueFull names the variable, and nothing is queued."""
    for n in range(20):
        await service.enqueue("process", delay=n % 2)
    await take(service)

    with pytest.raises(QueueFull, match="MEMORY_QUEUE_MAX_TASKS"):
        await service.enqueue("process")

    assert await service.counts() == Counts(pending=9, delayed=10, processing=1)


async def test_settled_task_makes_room(service: InMemoryQueueService) -> None:
    """A task that has ended takes no room."""
    await service.enqueue_many([NewTask("process")] * 20)

    await service.update_status(await take(service), "completed")

    await service.enqueue("process")
    with pytest.raises(QueueFull):
        await service.enqueue("process")


async def test_batch_that_does_not_fit_queues_none(service: InMemoryQueueService) -> None:
    """All of a batch is queued, or nothing of it."""
    await service.enqueue_many([NewTask("process")] * 15)

    with pytest.raises(QueueFull, match="15 of at most 20"):
        await service.enqueue_many([NewTask("process")] * 6)

    assert (await service.counts()).pending == 15


async def test_large_batch_that_does_not_fit_queues_none(service: InMemoryQueueService) -> None:
    """That holds for a batch that is put in part by part, too, and its room is given back."""
    with pytest.raises(QueueFull):
        await service.enqueue_many([NewTask("process")] * 1000)

    await service.enqueue_many([NewTask("process")] * 20)


async def test_large_batch_keeps_its_room_while_others_enqueue() -> None:
    """A batch that was let in is not refused half way, and nothing is lost of its order."""
    service = InMemoryQueueService(MemorySettings(max_tasks=2000))

    ids = await service.enqueue_many(NewTask("process", {"n": n}) for n in range(1990))
    tasks = [*await service.dequeue_many(2000), *await service.dequeue_many(2000)]  # of which each leases 1,000

    assert [task.id for task in tasks] == ids
    assert await service.enqueue_many([NewTask("process")] * 10)


async def test_cancelled_batch_gives_its_room_back() -> None:
    """A large batch whose call is cancelled holds no more room than the tasks it left."""
    service = InMemoryQueueService(MemorySettings(max_tasks=2000))
    call = asyncio.create_task(service.enqueue_many([NewTask("process")] * 2000))
    async with asyncio.timeout(10):
        while (await service.counts()).pending == 0:  # noqa: ASYNC110 - a turn of the loop is what is waited for
            await asyncio.sleep(0)

    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    left = (await service.counts()).pending
    assert 0 < left < 2000
    await service.enqueue_many([NewTask("process")] * (2000 - left))


async def test_taken_key_needs_no_room(service: InMemoryQueueService) -> None:
    """A task that is not queued because of its key is not refused either."""
    task_id = await service.enqueue("process", dedupe_key="k")
    await service.enqueue_many([NewTask("process")] * 19)

    assert await service.enqueue("process", dedupe_key="k") == task_id
    assert await service.enqueue_many([NewTask("process", dedupe_key="k")] * 2) == [task_id] * 2


async def test_requeue_into_a_full_queue_is_refused(service: InMemoryQueueService) -> None:
    """A dead letter stays one while there is no room."""
    dead_id = await service.enqueue("process")
    await service.update_status(await take(service), "failed")
    await service.enqueue_many([NewTask("process")] * 20)

    with pytest.raises(QueueFull):
        await service.requeue(dead_id)

    assert (await service.get_status(dead_id)).state is TaskState.FAILED


async def test_requeued_task_leaves_its_key_to_who_has_it(service: InMemoryQueueService) -> None:
    """A key that another task has taken meanwhile stays with that one."""
    first_id = await service.enqueue("process", dedupe_key="k")
    await service.cancel(first_id)
    second_id = await service.enqueue("process", dedupe_key="k")

    await service.requeue(first_id)

    assert await service.enqueue("process", dedupe_key="k") == second_id
    await service.cancel(first_id)
    assert await service.enqueue("process", dedupe_key="k") == second_id


async def test_own_limit_of_a_payload_is_held(service: InMemoryQueueService) -> None:
    """A setting lowers the limit for data, results and progress."""
    with pytest.raises(InvalidTask, match="1000"):
        await service.enqueue("process", {"a": "x" * 1000})
    with pytest.raises(InvalidTask, match="1000"):
        await service.enqueue_many([NewTask("process", {"a": "x" * 1000})])
    await service.enqueue("process")

    with pytest.raises(InvalidTask, match="1000"):
        await service.update_status(await take(service), "completed", "x" * 1000)


async def test_finished_tasks_are_forgotten_in_time(service: InMemoryQueueService, clock: HandClock) -> None:
    """A record is kept for its time after the end, whatever the end was."""
    ids = [await service.enqueue("process") for _ in range(3)]
    await service.update_status(await take(service), "completed")
    await service.update_status(await take(service), "failed")
    await service.cancel(ids[2])

    clock.now = 59
    states = [(await service.get_status(task_id)).state for task_id in ids]
    clock.now = 60

    assert states == ["completed", "failed", "cancelled"]
    for task_id in ids:
        with pytest.raises(TaskNotFound):
            await service.get_status(task_id)
    assert await service.counts() == Counts()
    assert await service.dead_letters() == []


async def test_only_so_many_finished_tasks_are_kept(service: InMemoryQueueService) -> None:
    """Completed tasks push out older ones, and no dead letter; dead letters push out older ones."""
    dead_id = await service.enqueue("process")
    await service.update_status(await take(service), "failed")

    ids = []
    for _ in range(7):
        ids.append(await service.enqueue("process"))
        await service.update_status(await take(service), "completed")

    assert (await service.get_status(dead_id)).state is TaskState.FAILED
    for task_id in ids[:2]:
        with pytest.raises(TaskNotFound):
            await service.get_status(task_id)
    assert all([(await service.get_status(task_id)).is_final for task_id in ids[2:]])


async def test_nothing_is_kept_where_nothing_is_to_be_kept() -> None:
    """A task is forgotten as it ends."""
    service = InMemoryQueueService(MemorySettings(keep_finished_tasks=0))
    task_id = await service.enqueue("process")

    assert await service.update_status(await take(service), "completed")

    with pytest.raises(TaskNotFound):
        await service.get_status(task_id)


async def test_forgotten_task_is_not_settled(service: InMemoryQueueService) -> None:
    """A lease of a task that was cancelled and forgotten settles nothing."""
    service = InMemoryQueueService(MemorySettings(keep_finished_tasks=0))
    await service.enqueue("process")
    task = await take(service)
    await service.cancel(task.id)

    assert not await service.update_status(task, "completed")
    assert not await service.release(task)
    assert not await service.retry(task)


async def test_thousands_that_come_due_at_once_are_all_delivered(clock: HandClock) -> None:
    """However many delays end at once, the order is that of priorities and arrivals."""
    service = InMemoryQueueService(MemorySettings(), clock=clock)
    ids = await service.enqueue_many(NewTask("process", delay=5, priority=n % 2) for n in range(2000))

    clock.now = 5
    tasks = [*await service.dequeue_many(2000), *await service.dequeue_many(2000)]  # of which each leases 1,000

    assert [task.id for task in tasks] == ids[1::2] + ids[::2]


async def test_purge_of_thousands_forgets_all(clock: HandClock) -> None:
    """A purge takes what was there when it was called."""
    service = InMemoryQueueService(MemorySettings(), clock=clock)
    await service.enqueue_many(NewTask("process", delay=n % 2) for n in range(1000))

    assert await service.purge() == 1000
    assert await service.counts() == Counts()


async def test_delivered_data_is_the_receivers_own(service: InMemoryQueueService, clock: HandClock) -> None:
    """What a handler does to its data is not seen at the next attempt."""
    await service.enqueue("process", {"pages": [1]})
    (await take(service)).data["pages"].append(2)

    clock.now = 10

    assert (await take(service)).data == {"pages": [1]}


def new_record(sequence: int) -> Record:
    """Return a record."""
    record = Record.of(NewTask("process"), b"{}")
    record.sequence = sequence
    return record


def test_schedule_that_loses_what_it_takes_in_does_not_grow() -> None:
    """What is taken out before its turn leaves no trace."""
    schedule = Schedule()
    keeper = new_record(0)
    schedule.push(keeper, 1e9)

    for n in range(10_000):
        record = new_record(n)
        schedule.push(record, n)
        schedule.discard(record)
        schedule.push(keeper, 1e9 + n)

    assert len(schedule) == 1
    assert len(schedule._heap) < 100
    assert schedule.pop() is keeper
    assert schedule.first_key() == float("inf")


def test_record_that_is_pushed_again_is_moved() -> None:
    """Only the latest place of a record counts, though the earlier one comes up first."""
    schedule = Schedule()
    moved, other = new_record(1), new_record(2)
    schedule.push(moved, 1)
    schedule.push(other, 3)
    schedule.push(moved, 5)

    assert schedule.first_key() == 3
    assert [schedule.pop(), schedule.pop()] == [other, moved]


async def test_a_full_queue_is_waited_for() -> None:
    """Who came first gets the room first, however it came about; nobody waits longer than is set."""
    service = InMemoryQueueService(MemorySettings(max_tasks=2, full_wait_seconds=10))
    await service.enqueue_many([NewTask("process")] * 2)
    task = await service.dequeue()
    assert task is not None

    async with asyncio.TaskGroup() as group:
        first = group.create_task(service.enqueue("first"))
        await asyncio.sleep(0)
        second = group.create_task(service.enqueue("second"))
        await asyncio.sleep(0.01)
        assert not first.done()
        await service.update_status(task, "completed")
        await asyncio.wait([first])
        assert not second.done()
        await service.purge()

    assert (await service.get_status(second.result())).name == "second"


async def test_a_wait_for_room_ends() -> None:
    """A queue that stays full is `QueueFull` in the end, and a batch that will never fit is at once."""
    service = InMemoryQueueService(MemorySettings(max_tasks=2, full_wait_seconds=0.05))
    await service.enqueue_many([NewTask("process")] * 2)

    with pytest.raises(QueueFull):
        await service.enqueue("process")
    with pytest.raises(QueueFull):
        await service.enqueue_many([NewTask("process")] * 3)


@pytest.mark.parametrize(("processes", "count"), [("4", 1), ("1", 0), ("", 0), ("many", 0), (None, 0)])
async def test_several_processes_are_told_of(monkeypatch: pytest.MonkeyPatch, processes: str | None, count: int) -> None:
    """A server that is set up for several processes would have as many queues: an operator is told, and of one not."""
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    if processes is not None:
        monkeypatch.setenv("WEB_CONCURRENCY", processes)

    found = await InMemoryQueueService().caveats()

    assert [fault.variable for fault in found] == ["QUEUE_TYPE"] * count
    assert all("in each of 4 (WEB_CONCURRENCY)" in fault.found and "QUEUE_TYPE=redis" in fault.remedy for fault in found)
