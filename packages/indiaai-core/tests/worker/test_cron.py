"""What is due by the clock, and that it is enqueued once."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import sys
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import anyio
import anyio.lowlevel
import pytest

from indiaai_core import ConfigurationError, InvalidTask, QueueFull, TaskState, Worker
from indiaai_core.worker.cron import CronTimer, Schedule
from worker_fakes import BareQueue, FakeQueue, LonelyQueue, until

NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)


async def settle_down() -> None:
    """Let every task go on as far as it can without time passing."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


class Clock:
    """A clock that stands still until everybody who sleeps by it has been asked for, and then jumps to the next of them."""

    def __init__(self, now: datetime) -> None:
        """Stand at an instant."""
        self.now = now
        self._sleepers: list[tuple[datetime, int, asyncio.Event]] = []
        self._order = itertools.count()

    def reader(self, *, skew_seconds: float = 0) -> _Reader:
        """Return somebody's reading of the clock, off by so much."""
        return _Reader(self, timedelta(seconds=skew_seconds))

    async def sleep(self, seconds: float) -> None:
        """Sleep by this clock."""
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self.now + timedelta(seconds=seconds), next(self._order), woken))
        await woken.wait()

    async def advance(self, **by: float) -> None:
        """Let time pass, and everybody who is due in it wake in turn."""
        ends_at = self.now + timedelta(**by)
        await settle_down()
        while self._sleepers and self._sleepers[0][0] <= ends_at:
            due_at, _, woken = heapq.heappop(self._sleepers)
            self.now = max(self.now, due_at)
            woken.set()
            await settle_down()
        self.now = ends_at


class _Reader:
    def __init__(self, clock: Clock, skew: timedelta) -> None:
        self._clock, self._skew = clock, skew

    def __call__(self) -> datetime:
        return self._clock.now + self._skew


def every_minute(name: str = "tick") -> dict[str, Schedule]:
    """Return the schedule of a task that is due each minute."""
    return {name: Schedule.of(name, "* * * * *", timezone="UTC")}


def ticks(queue: BareQueue) -> list[str]:
    """Return the times that were enqueued."""
    return [str(entry.new.data["scheduled_at"]).removeprefix("2024-03-01T") for entry in queue.entries.values()]


def settle_all(queue: BareQueue) -> None:
    """Complete every task, which frees its dedupe key."""
    for entry in queue.entries.values():
        entry.state = TaskState.COMPLETED


@pytest.mark.parametrize(
    ("expression", "timezone", "tick"),
    [
        ("*/5 * * * *", "UTC", "2024-03-01T12:05:00+00:00"),
        ("0 9 * * *", "Asia/Kolkata", "2024-03-02T03:30:00+00:00"),
        ("30 2 31 3 *", "Europe/Berlin", "2024-03-31T01:00:00+00:00"),
        ("0 0 29 2 *", "UTC", "2028-02-29T00:00:00+00:00"),
    ],
)
def test_a_schedule_is_read_in_its_time_zone(expression: str, timezone: str, tick: str) -> None:
    """The next tick is what the expression says in its zone, summer time and leap years included."""
    schedule = Schedule.of("tick", expression, timezone=timezone)

    found = schedule.next_after(NOON)

    assert found.isoformat() == tick


@pytest.mark.parametrize(
    ("expression", "timezone", "message"),
    [
        ("* * * *", "UTC", "is no cron expression"),
        ("61 * * * *", "UTC", "is no cron expression"),
        ("0 0 30 2 *", "UTC", "is no cron expression"),
        ("0 0 31 2,4 *", "UTC", "is no cron expression"),
        ("* * * * *", "Asia/Atlantis", "unknown time zone"),
        ("* * * * *", "../etc/passwd", "unknown time zone"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(expression: str, timezone: str, message: str) -> None:
    """A wrong expression or zone is one error where it is registered, naming the task."""
    worker = Worker()

    with pytest.raises(ValueError, match=message):
        worker.cron(expression, name="tick", timezone=timezone)(lambda: None)

    assert not worker.handlers


def test_a_schedule_s_name_leaves_room_for_its_key() -> None:
    """A name that could not be part of a dedupe key is refused where it is registered."""
    with pytest.raises(InvalidTask, match="dedupe_key"):
        Worker().cron("* * * * *", name="x" * 190)(lambda: None)


def test_the_cron_library_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, registering a schedule says what to install; a worker without schedules needs nothing."""
    monkeypatch.setitem(sys.modules, "cronsim", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'indiaai-core\[cron\]'") as caught:
        Worker().cron("* * * * *")(print)

    assert caught.value.faults[0].remedy == "pip install 'indiaai-core[cron]'"


@pytest.mark.anyio
async def test_a_tick_waits_in_the_queue_for_its_time() -> None:
    """Thirty seconds before it is due a tick is enqueued with that delay, under a key of its own."""
    queue, clock = FakeQueue(), Clock(NOON)
    timer = CronTimer(queue, every_minute(), clock=clock.reader(), sleep=clock.sleep)
    early = ["nobody looked"]

    async with anyio.create_task_group() as group:
        group.start_soon(timer.run)
        await clock.advance(seconds=29)
        early = ticks(queue)
        await clock.advance(seconds=1)
        group.cancel_scope.cancel()

    assert early == []
    (entry,) = queue.entries.values()
    assert entry.new.data == {"scheduled_at": "2024-03-01T12:01:00+00:00"}
    assert (entry.new.delay, entry.new.dedupe_key) == (30, "cron:tick:2024-03-01T12:01:00Z")


@pytest.mark.anyio
async def test_a_tick_is_enqueued_once_by_all_workers_together() -> None:
    """Workers whose clocks differ by less than the margin enqueue each tick once, however soon it is settled when due."""
    queue, clock = FakeQueue(), Clock(NOON)
    skews = [-2.4, -1, 0, 0.7, 2.4]
    timers = [CronTimer(queue, every_minute(), clock=clock.reader(skew_seconds=skew), sleep=clock.sleep) for skew in skews]

    async with anyio.create_task_group() as group:
        for timer in timers:
            group.start_soon(timer.run)
        for _ in range(10):
            await clock.advance(seconds=58)
            settle_all(queue)  # at second 58, before the slowest is past its time: the worst moment
            await clock.advance(seconds=2)
        group.cancel_scope.cancel()

    assert ticks(queue) == [f"12:{minute:02}:00+00:00" for minute in range(1, 11)]


@pytest.mark.anyio
async def test_a_worker_that_starts_just_before_a_tick_leaves_it_to_the_others() -> None:
    """Within the margin of its time a tick may have been worked by a faster clock; it is not enqueued any more."""
    queue, clock = FakeQueue(), Clock(NOON + timedelta(seconds=56))
    timer = CronTimer(queue, every_minute(), clock=clock.reader(), sleep=clock.sleep)

    async with anyio.create_task_group() as group:
        group.start_soon(timer.run)
        await clock.advance(seconds=60)
        group.cancel_scope.cancel()

    assert ticks(queue) == ["12:02:00+00:00"]


@pytest.mark.anyio
async def test_a_tick_is_tried_again_while_the_queue_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    """An outage within the tick's window delays its enqueuing and is said once; a longer one misses it, and says so."""
    queue, clock = FakeQueue(), Clock(NOON)
    timer = CronTimer(queue, every_minute(), clock=clock.reader(), sleep=clock.sleep)
    caplog.set_level(logging.WARNING, "indiaai.worker")

    async with anyio.create_task_group() as group:
        group.start_soon(timer.run)
        queue.fail("enqueue", times=5, error=QueueFull("full"))
        await clock.advance(seconds=60)
        queue.fail("enqueue", times=1000)
        await clock.advance(seconds=60)
        queue.failures.clear()
        await clock.advance(seconds=60)
        group.cancel_scope.cancel()

    assert ticks(queue) == ["12:01:00+00:00", "12:03:00+00:00"]
    assert [record.getMessage().split(" at ")[1] for record in caplog.records] == [
        "2024-03-01 12:01:00+00:00 is not enqueued yet: full",
        "2024-03-01 12:02:00+00:00 is not enqueued yet: The store does not answer.",
        "2024-03-01 12:02:00+00:00 was missed",
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("queue_class", "expected"), [(FakeQueue, ["17:01", "17:02"]), (LonelyQueue, ["17:00", "17:01", "17:02"])]
)
async def test_ticks_of_a_machine_that_slept_are_not_made_up_for(queue_class: type[FakeQueue], expected: list[str]) -> None:
    """After hours without running, a schedule goes on with the next tick; it does not fire all that it missed."""
    queue, clock = queue_class(), Clock(NOON)
    timer = CronTimer(queue, every_minute(), clock=clock.reader(), sleep=clock.sleep)

    async with anyio.create_task_group() as group:
        group.start_soon(timer.run)
        await settle_down()
        clock.now += timedelta(hours=5)
        await clock.advance(seconds=60)
        await clock.advance(seconds=60)
        group.cancel_scope.cancel()

    assert [tick[:5] for tick in ticks(queue) if tick > "13"] == expected


@pytest.mark.anyio
async def test_a_queue_in_this_process_gets_each_tick_when_it_is_due() -> None:
    """A queue that one worker works gets its ticks on time, also the one just after the start."""
    queue, clock = LonelyQueue(), Clock(NOON + timedelta(seconds=58))
    timer = CronTimer(queue, every_minute(), clock=clock.reader(), sleep=clock.sleep)
    early = ["nobody looked"]

    async with anyio.create_task_group() as group:
        group.start_soon(timer.run)
        await clock.advance(seconds=1)
        early = ticks(queue)
        await clock.advance(seconds=61)
        group.cancel_scope.cancel()

    assert early == []
    assert ticks(queue) == ["12:01:00+00:00", "12:02:00+00:00"]
    assert {entry.new.delay for entry in queue.entries.values()} == {0}


@pytest.mark.anyio
@pytest.mark.parametrize("declared", [frozenset(), frozenset({"dedupe"})])
async def test_a_queue_that_cannot_hold_a_tick_is_pointed_out(
    declared: frozenset[str], caplog: pytest.LogCaptureFixture
) -> None:
    """On a shared queue without `delay` and `dedupe` each worker fires by itself, and a warning says so."""

    class Simple(FakeQueue):
        capabilities: ClassVar[frozenset[str]] = declared

    queue, clock = Simple(), Clock(NOON)
    timer = CronTimer(queue, every_minute(), clock=clock.reader(), sleep=clock.sleep)

    async with anyio.create_task_group() as group:
        group.start_soon(timer.run)
        await clock.advance(seconds=60)
        group.cancel_scope.cancel()

    assert "each worker fires every schedule itself" in caplog.text
    assert ticks(queue) == ["12:01:00+00:00"]
    assert {entry.new.dedupe_key is None for entry in queue.entries.values()} == {"dedupe" not in declared}


@pytest.mark.anyio
async def test_a_worker_fires_and_works_its_schedules() -> None:
    """A running worker enqueues what is due and works it; the function is named by itself and takes what it likes."""
    queue, worker, seen = LonelyQueue(), Worker(), []

    @worker.cron("* * * * * *", timezone="Asia/Kolkata", max_attempts=1, timeout=5)
    async def clean(data: dict[str, str]) -> None:
        seen.append(data["scheduled_at"])

    async with worker.running(queue):
        await until(lambda: seen)

    assert list(worker.schedules) == ["clean"]
    assert datetime.fromisoformat(seen[0]).utcoffset() == timedelta(0)
