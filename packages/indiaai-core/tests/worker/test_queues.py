"""One worker on several queues: shares by weight, none starving, none costing the others anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
import pytest

from indiaai_core import BackendUnavailable, ConfigurationError, Platform, Task, Worker
from indiaai_core.platform import use_platform
from indiaai_core.worker import serve
from worker_fakes import FakeQueue, LonelyQueue, states, until

pytestmark = pytest.mark.anyio

Queues = Mapping[str | None, FakeQueue]


@asynccontextmanager
async def on_platform(queues: Queues) -> AsyncIterator[Platform]:
    """Give a platform with these queues, as what the factories see."""
    platform = Platform({})
    for name, queue in queues.items():
        platform.override("queue", queue, name)
    with use_platform(platform):
        yield platform


def record(worker: Worker, begun: list[str], *, seconds: float = 0.0) -> None:
    """Register a handler for each queue's tasks that takes some time and notes its name."""
    for name in ("main", "bulk", "mail"):

        def of(name: str) -> None:
            @worker.task(name)
            async def process() -> None:
                begun.append(name)
                await anyio.sleep(seconds)

        of(name)


async def work_until(worker: Worker, queues: Queues, begun: list[str], *, count: int) -> list[str]:
    """Work until so many tasks have begun, and return the names of the first so many."""
    async with on_platform(queues), worker.running():
        await until(lambda: len(begun) >= count, seconds=20)
        worker.stop(grace_seconds=0)
    return begun[:count]


@pytest.mark.parametrize(("concurrency", "seconds"), [(1, 0.002), (4, 0.002), (10, 0.0), (3, 0.03)])
async def test_queues_share_the_slots_by_weight(concurrency: int, seconds: float) -> None:
    """Of two queues with tasks, one with three times the weight begins three times as many, fast handlers or slow."""
    queues = {None: FakeQueue(), "bulk": FakeQueue()}
    worker = Worker({None: 3, "bulk": 1}, concurrency=concurrency)
    begun: list[str] = []
    record(worker, begun, seconds=seconds)
    for _ in range(120):
        await queues[None].enqueue("main")
        await queues["bulk"].enqueue("bulk")

    first = await work_until(worker, queues, begun, count=100)

    assert 65 <= first.count("main") <= 85


async def test_the_lightest_queue_does_not_starve() -> None:
    """However heavy the others, every queue's turn comes."""
    queues = {None: FakeQueue(), "bulk": FakeQueue()}
    worker = Worker({None: 20, "bulk": 1}, concurrency=2)
    begun: list[str] = []
    record(worker, begun, seconds=0.001)
    for _ in range(100):
        await queues[None].enqueue("main")
        await queues["bulk"].enqueue("bulk")

    first = await work_until(worker, queues, begun, count=80)

    assert 2 <= first.count("bulk") <= 10


async def test_idle_queues_leave_their_slots_to_the_others() -> None:
    """A queue with tasks has all slots while the rest are empty, however light it is."""
    queues = {None: FakeQueue(), "bulk": FakeQueue(), "mail": FakeQueue()}
    worker = Worker({None: 50, "mail": 50, "bulk": 1}, concurrency=4)
    running = most = 0

    @worker.task("bulk")
    async def process() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.01)
        running -= 1

    for _ in range(30):
        await queues["bulk"].enqueue("bulk")
    async with on_platform(queues), worker.running():
        await until(lambda: set(states(queues["bulk"])) == {"completed"})

    assert most == 4
    assert [queues[name].calls.count("dequeue") for name in (None, "mail")] == [1, 1]


async def test_a_queue_that_was_idle_has_saved_up_nothing() -> None:
    """After a while of nothing a queue gets its share, not all that it might have had."""
    queues = {None: FakeQueue(), "bulk": FakeQueue()}
    worker = Worker({None: 1, "bulk": 1}, concurrency=2)
    begun: list[str] = []
    record(worker, begun, seconds=0.001)
    for _ in range(150):
        await queues[None].enqueue("main")

    async with on_platform(queues), worker.running():
        await until(lambda: len(begun) >= 40)
        for _ in range(100):
            await queues["bulk"].enqueue("bulk")
        await until(lambda: "bulk" in begun)
        start = len(begun)
        await until(lambda: len(begun) >= start + 60)
        worker.stop(grace_seconds=0)

    assert 20 <= begun[start : start + 60].count("main") <= 40


async def test_a_queue_that_does_not_answer_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """The outage of one is said by its name, and the others are worked meanwhile."""
    caplog.set_level(logging.WARNING, "indiaai.worker")
    queues = {None: FakeQueue(), "bulk": FakeQueue()}
    queues["bulk"].fail("dequeue", times=1000)
    worker = Worker({None: 1, "bulk": 10}, concurrency=2)
    begun: list[str] = []
    record(worker, begun)
    for _ in range(20):
        await queues[None].enqueue("main")

    async with on_platform(queues), worker.running():
        await until(lambda: set(states(queues[None])) == {"completed"})

    assert len([record for record in caplog.records if "The queue 'bulk' does not answer" in record.getMessage()]) == 1


@pytest.mark.parametrize("is_hanging", [False, True])
async def test_a_queue_that_goes_away_under_load_leaves_the_others_its_slots(is_hanging: bool) -> None:
    """One that fails, or does not answer at all, in the middle of its tasks is nobody's hindrance."""

    class Leaving(FakeQueue):
        async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
            tasks = await super().dequeue_many(limit, timeout)
            if self.calls.count("dequeue") > 5:
                if is_hanging:
                    await anyio.sleep(5)
                raise BackendUnavailable("The store went away.")
            return tasks

    queues = {None: FakeQueue(), "bulk": Leaving()}
    worker = Worker({None: 1, "bulk": 10}, concurrency=2)
    begun: list[str] = []
    record(worker, begun, seconds=0.001)
    for _ in range(300):
        await queues[None].enqueue("main")
        await queues["bulk"].enqueue("bulk")

    async with on_platform(queues), worker.running():
        await until(lambda: set(states(queues[None])) == {"completed"})

    assert 2 <= begun.count("bulk") < 300


async def test_no_more_is_leased_of_idle_queues_than_there_are_slots() -> None:
    """A burst into each of several queues that all waited does not leave one worker with more than it can begin."""
    queues = {None: FakeQueue(), "bulk": FakeQueue(), "mail": FakeQueue()}
    worker = Worker({None: 1, "bulk": 1, "mail": 1}, concurrency=6)
    may_end = asyncio.Event()
    for name in ("main", "bulk", "mail"):
        worker.task(name)(may_end.wait)

    async with on_platform(queues), worker.running():
        await until(lambda: all(queue.calls for queue in queues.values()))
        for _ in range(10):
            for instance, queue in queues.items():
                await queue.enqueue(instance or "main")
        await until(lambda: sum(states(queue).count("processing") for queue in queues.values()) >= 6)
        await anyio.sleep(0.05)
        leased = [states(queue).count("processing") for queue in queues.values()]
        may_end.set()

    assert sum(leased) <= 6 + len(queues) - 1


async def test_a_worker_says_what_it_works(caplog: pytest.LogCaptureFixture) -> None:
    """The log's first line names the queues and the handlers."""
    caplog.set_level(logging.INFO, "indiaai.worker")
    queues = {None: FakeQueue(), "bulk": FakeQueue()}
    worker = Worker({None: 3, "bulk": 1})
    record(worker, [])

    async with on_platform(queues), worker.running():
        await until(lambda: "Working" in caplog.text)

    assert "Working FakeQueue with weight 3, FakeQueue 'bulk' with weight 1, up to 10 at once: bulk, mail, main" in caplog.text


async def test_one_queue_can_be_given_to_a_worker_of_several(queue: FakeQueue) -> None:
    """`run(queue)` works that one, whatever the worker was made for: what a test does."""
    worker = Worker({None: 3, "bulk": 1})
    worker.task("process")(lambda: "done")
    await queue.enqueue("process")

    outcomes = await worker.drain(queue)

    assert [outcome.result for outcome in outcomes] == ["done"]


async def test_draining_works_every_queue() -> None:
    """`drain` works what is due in each, the first queue first."""
    queues = {"bulk": FakeQueue(), None: FakeQueue()}
    worker = Worker({"bulk": 1, None: 9})
    begun: list[str] = []
    record(worker, begun)
    for _ in range(2):
        await queues[None].enqueue("main")
        await queues["bulk"].enqueue("bulk")

    async with on_platform(queues):
        await worker.drain()

    assert begun == ["bulk", "bulk", "main", "main"]


async def test_ticks_go_into_the_first_queue() -> None:
    """A schedule's task is enqueued once, not once for each queue."""
    queues = {"bulk": LonelyQueue(), None: LonelyQueue()}
    worker = Worker({"bulk": 1, None: 1})
    worker.cron("* * * * * *", name="tick")(lambda: None)

    async with on_platform(queues), worker.running():
        await until(lambda: states(queues["bulk"]))

    assert states(queues[None]) == []


@pytest.mark.parametrize("queue", [{}, {"bulk": 0}, {"bulk": -1}, {"bulk": 1.5}, {"bulk": True}, {None: "3"}])
def test_a_weight_is_a_whole_number_from_1(queue: Mapping[str | None, int]) -> None:
    """Other weights, and no queue at all, are refused where the worker is made."""
    with pytest.raises(ValueError, match="names with weights, whole numbers from 1"):
        Worker(queue)


def test_the_queues_can_be_set() -> None:
    """What is worked may be said after the worker was made, by the same rules."""
    worker = Worker("bulk")

    worker.queues = {None: 3, "bulk": 1}
    with pytest.raises(ValueError, match="names with weights"):
        worker.queues = {"bulk": 0}

    assert dict(worker.queues) == {None: 3, "bulk": 1}


async def test_queues_of_both_kinds_are_refused() -> None:
    """One that lives in one process and one that is shared cannot have one worker, and the error says what to set."""
    worker = Worker({None: 1, "bulk": 1})
    worker.task("process")(lambda: None)

    async with on_platform({None: LonelyQueue(), "bulk": FakeQueue()}) as platform:
        with pytest.raises(ConfigurationError, match=r"queues of both kinds\. To mend it, set QUEUE_TYPE to a queue"):
            worker.is_in_process(platform)


@pytest.mark.parametrize(("kind", "is_alone"), [(LonelyQueue, True), (FakeQueue, False)])
async def test_where_queues_are_worked_is_known(kind: type[FakeQueue], is_alone: bool) -> None:
    """An application works the queues of its own process, and a process of the worker's own those that are shared."""
    worker = Worker({None: 1, "bulk": 1})

    async with on_platform({None: kind(), "bulk": kind()}) as platform:
        found = worker.is_in_process(platform)

    assert found is is_alone


async def test_a_worker_process_refuses_queues_that_live_in_one() -> None:
    """A process of the worker's own would work empty queues for ever."""
    worker = Worker({"bulk": 1, None: 1})
    worker.task("process")(lambda: None)
    platform = Platform({})
    for name in ("bulk", None):
        platform.override("queue", LonelyQueue(), name)

    with pytest.raises(ConfigurationError, match="set BULK_QUEUE_TYPE to a queue that processes share"):
        await serve(worker, platform)
