"""Calls that wait, on one event loop and on many: nothing is lost, nothing polls, nothing is left."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hand_clock import HandClock
from indiaai_core import BackendUnavailable, Counts, NewTask, Task
from indiaai_queue_memory import InMemoryQueueService, MemorySettings

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 20.0


@pytest.fixture
def queue() -> InMemoryQueueService:
    """Give a queue on the real clock."""
    return InMemoryQueueService(MemorySettings(lease_seconds=60))


def in_thread(main: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Future[Any]:
    """Run a coroutine on an event loop of its own, in a thread of its own."""
    return asyncio.get_running_loop().run_in_executor(None, asyncio.run, main())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - the condition is about threads, which set no event of this loop
            await asyncio.sleep(0.005)


def waiting(queue: InMemoryQueueService) -> int:
    """Count the calls that wait."""
    return len(queue._stores.get().waiters)


async def test_call_on_another_loop_is_woken(queue: InMemoryQueueService) -> None:
    """A task that is enqueued on one event loop wakes a call that waits on another."""
    thread = in_thread(lambda: queue.dequeue(timeout=PATIENCE_SECONDS * 2))
    await until(lambda: waiting(queue) == 1)

    task_id = await queue.enqueue("process")

    task = await asyncio.wait_for(thread, PATIENCE_SECONDS)
    assert task.id == task_id


async def test_close_ends_calls_on_another_loop(queue: InMemoryQueueService) -> None:
    """A call that waits on another event loop gets None when the service is closed."""
    thread = in_thread(lambda: queue.dequeue(timeout=PATIENCE_SECONDS * 2))
    await until(lambda: waiting(queue) == 1)

    await queue.aclose()

    assert await asyncio.wait_for(thread, PATIENCE_SECONDS) is None


async def test_loop_that_is_gone_takes_no_wake_up_with_it(queue: InMemoryQueueService) -> None:
    """A call whose event loop was closed under it does not stand in the way of those behind it."""
    lost = asyncio.new_event_loop()
    lost.set_exception_handler(lambda loop, context: None)

    def wait_and_vanish() -> None:
        call = lost.create_task(queue.dequeue(timeout=PATIENCE_SECONDS * 2))
        lost.call_later(0.05, lost.stop)
        lost.run_forever()
        lost.close()
        calls.append(call)

    calls: list[Any] = []
    await asyncio.to_thread(wait_and_vanish)
    behind = asyncio.create_task(queue.dequeue(timeout=PATIENCE_SECONDS * 2))
    await until(lambda: waiting(queue) == 2)

    task_id = await queue.enqueue("process")

    task = await asyncio.wait_for(behind, PATIENCE_SECONDS)
    assert task is not None
    assert task.id == task_id
    assert waiting(queue) == 0


async def test_sixty_four_threads_share_one_queue(queue: InMemoryQueueService) -> None:
    """Whatever threads do side by side, each task is delivered once and settled once."""
    barrier = threading.Barrier(64)
    delivered: list[str] = []

    async def produce() -> list[str]:
        ids = [await queue.enqueue("process", {"n": n}) for n in range(20)]
        return ids + await queue.enqueue_many([NewTask("process")] * 20)

    async def work() -> list[str]:
        while (task := await queue.dequeue(timeout=0.5)) is not None:
            assert await queue.update_status(task, "completed", {"n": 1})
            delivered.append(task.id)
        return []

    def run(main: Callable[[], Coroutine[Any, Any, list[str]]]) -> list[str]:
        barrier.wait(PATIENCE_SECONDS)
        return asyncio.run(main())

    with ThreadPoolExecutor(64) as threads:
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(threads, run, (produce, work)[n % 2]) for n in range(64)]
        ids = [task_id for enqueued in await asyncio.gather(*calls) for task_id in enqueued]

    assert len(ids) == 32 * 40
    assert sorted(delivered) == sorted(ids)
    assert await queue.counts() == Counts()
    assert waiting(queue) == 0


@pytest.mark.parametrize("seed", range(10))
async def test_cancelled_calls_never_keep_a_task(queue: InMemoryQueueService, seed: int) -> None:
    """However calls, tasks and cancellations meet, what nobody was given is still in the queue."""
    chance = random.Random(seed)  # noqa: S311 - a seed that can be repeated, no secret
    given: list[Task] = []
    calls: list[asyncio.Task[None]] = []

    async def wait() -> None:
        task = await queue.dequeue(timeout=chance.choice([0.001, 5]))
        if task is not None:
            given.append(task)

    for _ in range(300):
        what = chance.random()
        if what < 0.4:
            calls.append(asyncio.create_task(wait()))
        elif what < 0.7:
            await queue.enqueue("process")
        elif calls:
            chance.choice(calls).cancel()
        if chance.random() < 0.5:
            await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    assert (await queue.counts()).processing == len(given)
    assert waiting(queue) == 0


async def test_wake_up_of_a_cancelled_call_goes_to_the_next(queue: InMemoryQueueService) -> None:
    """A call that is cancelled in the turn it was woken in passes the task on at once, not after a lease."""
    first, second = (asyncio.create_task(queue.dequeue(timeout=PATIENCE_SECONDS * 2)) for _ in range(2))
    await until(lambda: waiting(queue) == 2)

    task_id = await queue.enqueue("process")
    first.cancel()

    task = await asyncio.wait_for(second, PATIENCE_SECONDS)
    assert task is not None
    assert (task.id, task.attempt) == (task_id, 1)


async def test_calls_are_served_in_the_order_they_came(queue: InMemoryQueueService) -> None:
    """The call that has waited longest gets the first task."""
    order: list[int] = []

    async def wait(number: int) -> None:
        await queue.dequeue(timeout=PATIENCE_SECONDS)
        order.append(number)

    calls = [asyncio.create_task(wait(number)) for number in range(5)]
    await until(lambda: waiting(queue) == 5)
    for _ in range(5):
        await queue.enqueue("process")
        await asyncio.sleep(0.001)
    await asyncio.gather(*calls)

    assert order == [0, 1, 2, 3, 4]


async def test_only_as_many_calls_wake_as_there_are_tasks(queue: InMemoryQueueService) -> None:
    """A hundred calls that wait are not all woken for one task."""
    calls = [asyncio.create_task(queue.dequeue(timeout=PATIENCE_SECONDS)) for _ in range(100)]
    await until(lambda: waiting(queue) == 100)

    await queue.enqueue("process")

    asleep = sum(waiter.is_asleep for waiter in queue._stores.get().waiters._waiting)
    assert asleep == 99
    await until(lambda: any(call.done() for call in calls))
    await queue.aclose()
    assert sum(task is not None for task in await asyncio.gather(*calls)) == 1


async def test_waiting_does_not_poll() -> None:
    """While nothing happens, a call that waits looks at the clock a few times and no more."""
    clock = HandClock()
    queue = InMemoryQueueService(MemorySettings(), clock=clock)
    await queue.enqueue("process", delay=1000)

    assert await queue.dequeue(timeout=0.3) is None

    assert clock.looks < 20


async def test_earlier_delay_wakes_a_call_that_waits_for_a_later_one(queue: InMemoryQueueService) -> None:
    """A call learns of a task that comes due sooner than what it knew of."""
    await queue.enqueue("later", delay=3600)
    call = asyncio.create_task(queue.dequeue(timeout=PATIENCE_SECONDS * 2))
    await until(lambda: waiting(queue) == 1)

    await queue.enqueue("sooner", delay=0.05)

    task = await asyncio.wait_for(call, PATIENCE_SECONDS)
    assert task is not None
    assert task.name == "sooner"


async def test_next_call_takes_over_the_alarm(queue: InMemoryQueueService) -> None:
    """When the call that watched for the next delay is gone, another watches."""
    await queue.enqueue("process", delay=0.2)
    first, second = (asyncio.create_task(queue.dequeue(timeout=PATIENCE_SECONDS * 2)) for _ in range(2))
    await until(lambda: waiting(queue) == 2)

    first.cancel()

    assert await asyncio.wait_for(second, PATIENCE_SECONDS) is not None


async def test_close_leaves_nothing_behind(queue: InMemoryQueueService) -> None:
    """After the end there is no task, no timer and no thread of the queue's."""
    loop = asyncio.get_running_loop()
    before, threads = asyncio.all_tasks(), threading.active_count()
    await queue.enqueue("process", delay=0.01)
    calls = [asyncio.create_task(queue.dequeue(timeout=3600)) for _ in range(5)]
    await until(lambda: waiting(queue) == 4)

    await queue.aclose()

    timers = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined] # the loop has no public list
    assert timers == []
    assert [call.result() is None for call in calls].count(True) == 4
    assert asyncio.all_tasks() == before
    assert threading.active_count() == threads


async def test_closed_service_leaves_the_one_that_shares_its_queue_alone(queue: InMemoryQueueService) -> None:
    """Closing one service object ends its own calls only."""
    other = queue.share()
    call = asyncio.create_task(other.dequeue(timeout=PATIENCE_SECONDS * 2))
    await until(lambda: waiting(other) == 1)

    await queue.aclose()
    task_id = await other.enqueue("process")

    task = await asyncio.wait_for(call, PATIENCE_SECONDS)
    assert task is not None
    assert task.id == task_id


async def test_every_method_of_a_closed_service_says_so(queue: InMemoryQueueService) -> None:
    """After the end every call raises BackendUnavailable, which says why and what to do."""
    await queue.enqueue("process")
    task = await queue.dequeue()
    assert task is not None
    await queue.aclose()
    await queue.aclose()

    calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        lambda: queue.enqueue_many([NewTask("process")]),
        lambda: queue.dequeue_many(2, timeout=1),
        lambda: queue.retry(task),
        lambda: queue.release(task),
        lambda: queue.cancel(task.id),
        lambda: queue.requeue(task.id),
        queue.dead_letters,
        queue.counts,
        queue.purge,
        queue.check,
    ]
    for call in calls:
        with pytest.raises(BackendUnavailable, match="closed"):
            await call()


async def test_clock_that_fails_locks_nobody_out() -> None:
    """An error in the middle of a call frees the lock."""
    clock = HandClock()
    queue = InMemoryQueueService(MemorySettings(), clock=clock)
    await queue.enqueue("process")
    await queue.enqueue("process", delay=1)
    clock.now = "not a number"  # type: ignore[assignment] # a clock as wrong as it can be

    with pytest.raises(TypeError):
        await queue.dequeue()

    clock.now = 1.0
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await queue.dequeue() is not None
