"""Rate limits: how they are written, that they hold, and what they hold up."""

from __future__ import annotations

import time

import anyio
import pytest

from indiaai_core import Task, TaskState, Worker
from indiaai_core.worker.rate import RateLimit
from indiaai_core.worker.source import Delivery, Source
from indiaai_core.worker.throttle import LENIENCE_SECONDS, Throttle
from worker_fakes import FakeQueue, make_task, states, until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "seconds"), [("10/s", 0.1), ("1/s", 1.0), ("600/m", 0.1), ("1000/h", 3.6), ("5000/s", 0.0002)]
)
def test_a_rate_limit_is_a_number_per_time(text: str, seconds: float) -> None:
    """`10/s`, `600/m` and `1000/h` are understood, as the time from one begin to the next."""
    limit = RateLimit.of(text)

    assert limit.interval_seconds == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "0/s", "-1/s", "1.5/s", "10/d", "10/S", "10 / s", "10/s ", "/s", "1e3/s", "٣/s"])
def test_any_other_rate_limit_is_refused(text: str) -> None:
    """What is not understood is refused where the handler is registered, with what would be."""
    with pytest.raises(ValueError, match="such as '10/s' or '600/m'"):
        Worker().task("mail", rate_limit=text)(lambda: None)


async def test_a_handler_begins_no_oftener_than_it_may(queue: FakeQueue, worker: Worker) -> None:
    """Begins are spread evenly, in the order of the queue, however many slots are free."""
    begins: list[float] = []
    order: list[str] = []

    @worker.task("mail", rate_limit="50/s")
    async def mail(task: Task) -> None:
        begins.append(time.monotonic())
        order.append(task.id)

    for _ in range(15):
        await queue.enqueue("mail")
    async with worker.running(queue):
        await until(lambda: set(states(queue)) == {"completed"})

    assert order == [f"task-{number}" for number in range(1, 16)]
    # One may come a little late, and the next is not put off by that; the machine may be slow to begin the first.
    assert begins[-1] - begins[0] >= 14 * 0.02 - 2 * LENIENCE_SECONDS
    assert begins[-1] - begins[0] < 14 * 0.02 + 1


async def test_an_idle_time_saves_up_no_begins(queue: FakeQueue) -> None:
    """After a while of nothing the first begins at once, and the second after the whole interval."""
    throttle = Throttle({"mail": RateLimit.of("1/s")})
    source = Source(queue)
    first, second = Delivery(make_task("mail"), source), Delivery(make_task("mail"), source)

    admitted = [throttle.may_begin(first, 1000.0), throttle.may_begin(second, 1000.0)]
    throttle.hold(second)
    ready = [throttle.next_ready(1000.9), throttle.next_ready(1001.0)]

    assert admitted == [True, False]
    assert ready == [None, second]


async def test_a_limit_holds_up_no_other_handler(queue: FakeQueue, worker: Worker) -> None:
    """Tasks that wait for their limit take no slot, and others begin at once."""
    worker.task("mail", rate_limit="1/h")(lambda: None)
    worker.task("process")(lambda: None)
    for _ in range(5):
        await queue.enqueue("mail")
    task_ids = [await queue.enqueue("process") for _ in range(50)]

    async with worker.running(queue):
        await until(lambda: all(queue.entry(task_id).state is TaskState.COMPLETED for task_id in task_ids), seconds=2)

    assert states(queue)[0] == "completed"
    assert states(queue)[1:5] == ["pending"] * 4


async def test_few_are_held_for_their_limit(queue: FakeQueue) -> None:
    """A worker does not lease a queue empty for a limit: another worker, with a limit of its own, finds the rest."""
    worker = Worker(concurrency=3)
    worker.task("mail", rate_limit="1/h")(lambda: None)
    for _ in range(50):
        await queue.enqueue("mail")

    async with worker.running(queue):
        await until(lambda: states(queue).count("processing") >= 3)
        await anyio.sleep(0.1)
        leased = states(queue).count("processing")

    assert leased <= 2 * 3
    assert states(queue).count("pending") == 49
    assert sum(entry.attempts for entry in queue.entries.values()) == 1


async def test_a_fast_worker_does_not_hoard_what_is_over_its_limit(queue: FakeQueue, worker: Worker) -> None:
    """Of many that were leased ahead, before it was known that they must wait, most go back uncounted."""
    worker.task("mail", rate_limit="1/h")(lambda: None)

    @worker.task("fast")
    async def fast() -> None: ...

    for name in ["fast"] * 1000 + ["mail"] * 200:
        await queue.enqueue(name)
    async with worker.running(queue):
        await until(lambda: states(queue).count("completed") == 1001)
        await until(lambda: states(queue).count("processing") <= 2 * worker.concurrency)

    assert sum(entry.attempts for entry in queue.entries.values()) == 1001


async def test_what_waits_for_its_limit_keeps_its_lease(worker: Worker) -> None:
    """A task that waits for longer than a lease is still at its first attempt."""
    queue = FakeQueue(lease_seconds=0.1)
    attempts: list[int] = []

    @worker.task("mail", rate_limit="4/s")
    async def mail(task: Task) -> None:
        attempts.append(task.attempt)

    for _ in range(3):
        await queue.enqueue("mail")
    async with worker.running(queue):
        await until(lambda: set(states(queue)) == {"completed"})

    assert attempts == [1, 1, 1]


async def test_a_task_that_is_cancelled_while_it_waits_for_its_limit_is_not_worked(worker: Worker) -> None:
    """The renewal finds it cancelled, and its turn goes to nobody."""
    queue = FakeQueue(lease_seconds=0.1)
    calls: list[str] = []

    @worker.task("mail", rate_limit="4/s")
    async def mail(task: Task) -> None:
        calls.append(task.id)

    for _ in range(3):
        await queue.enqueue("mail")
    async with worker.running(queue):
        await until(lambda: calls)
        await queue.cancel("task-2")
        await until(lambda: queue.entry("task-3").state is TaskState.COMPLETED)

    assert calls == ["task-1", "task-3"]


async def test_two_limits_are_two(queue: FakeQueue, worker: Worker) -> None:
    """Each handler has its own: one that opens rarely does not hold back one that opens often."""
    worker.task("rare", rate_limit="1/h")(lambda: None)
    worker.task("often", rate_limit="200/s")(lambda: None)
    for _ in range(4):
        await queue.enqueue("rare")
        await queue.enqueue("often")

    async with worker.running(queue):
        await until(lambda: states(queue)[1::2] == ["completed"] * 4, seconds=2)

    assert states(queue)[0::2].count("completed") == 1


async def test_a_limited_handler_s_tasks_are_drained_at_once(queue: FakeQueue, worker: Worker) -> None:
    """A test that drains a queue does not wait for limits."""
    worker.task("mail", rate_limit="1/h")(lambda: None)
    for _ in range(3):
        await queue.enqueue("mail")

    outcomes = await worker.drain(queue)

    assert len(outcomes) == 3
