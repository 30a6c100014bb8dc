"""Tasks that are due by the clock, enqueued once for all workers; imported by the worker, its registry and its run."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import anyio

from indiaai_core.errors import ConfigurationError, Fault
from indiaai_core.queue import NewTask, QueueService
from indiaai_core.worker.outage import Outage

__all__ = ["CronTimer", "Schedule"]

logger = logging.getLogger("indiaai.worker")

AHEAD = timedelta(seconds=30)
"""How long before it is due a tick is put into a shared queue, to wait there for its time."""

MARGIN = timedelta(seconds=5)
"""How much the clocks of workers may differ: nearer to its time than this, a tick is not enqueued any more."""

LONGEST_SLEEP_SECONDS = 60.0
"""After which a timer looks at the clock again, because clocks are set and machines sleep."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a task is due.

    Attributes:
        name: The task's name.
        expression: The cron expression, five fields, or six with seconds at the front.
        timezone: The zone it is read in.
    """

    name: str
    expression: str
    timezone: tzinfo

    @classmethod
    def of(cls, name: str, expression: str, *, timezone: str) -> Schedule:
        """Check what is registered.

        Raises:
            ConfigurationError: The cron library is not installed.
            ValueError: The expression or the zone is none, or no date fits the expression.
            InvalidTask: The name is too long for a dedupe key to be made of it.
        """
        try:
            zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"The schedule of {name!r} is in an unknown time zone {timezone!r}: {error}.") from error
        schedule = cls(name, expression, zone)
        NewTask(name, dedupe_key=schedule.key(schedule.next_after(datetime.now(UTC))))
        return schedule

    def next_after(self, instant: datetime) -> datetime:
        """Return the first tick after an instant, in UTC."""
        simulator, simulator_error = _cron_library()
        try:
            tick: datetime = next(simulator(self.expression, instant.astimezone(self.timezone)))
        except (simulator_error, StopIteration) as error:
            raise ValueError(
                f"The schedule of {self.name!r} is no cron expression that is ever due: {self.expression!r} ({error}). "
                f"Expected five fields, such as '*/5 * * * *'."
            ) from error
        return tick.astimezone(UTC)

    def key(self, tick: datetime) -> str:
        """Return the dedupe key of a tick."""
        return f"cron:{self.name}:{tick:%Y-%m-%dT%H:%M:%SZ}"


class CronTimer:
    """Enqueues the ticks of a worker's schedules.

    A dedupe key is free again when its task is settled, so it alone cannot keep a worker whose clock is late from
    enqueuing a tick that another's has long finished. So a tick is enqueued before it is due, with a delay: from then until
    its time the key is taken, and within `MARGIN` of its time nobody enqueues it any more. A tick is thus delivered to one
    worker as long as no two clocks differ by more than `MARGIN`, and missed if no worker runs in the 25 seconds before.

    A queue in this process has one worker, and its ticks are enqueued when they are due. A shared queue without `delay`
    and `dedupe` cannot hold a tick: each worker then enqueues its own, and the log says so.
    """

    def __init__(
        self,
        queue: QueueService,
        schedules: Mapping[str, Schedule],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[Any]] = anyio.sleep,
    ) -> None:
        """Hold what is enqueued where; a test puts in its own clock."""
        self._queue = queue
        self._schedules = schedules
        self._clock = clock
        self._sleep = sleep
        self._is_alone = "in_process" in queue.capabilities
        self._is_held = not self._is_alone and queue.capabilities >= {"delay", "dedupe"}

    async def run(self) -> None:
        """Enqueue until cancelled."""
        if self._schedules and not self._is_alone and not self._is_held:
            logger.warning(
                "%s does not declare delay and dedupe: each worker fires every schedule itself", type(self._queue).__name__
            )
        async with anyio.create_task_group() as timers:
            for schedule in self._schedules.values():
                timers.start_soon(self._keep, schedule)

    async def _keep(self, schedule: Schedule) -> None:
        after = self._earliest()
        while True:
            tick = schedule.next_after(after)
            opens_at = tick - AHEAD if self._is_held else tick
            await self._sleep_until(opens_at)
            await self._fire(schedule, tick, closes_at=opens_at + AHEAD - MARGIN)
            # After a long sleep of the machine the ticks in between are skipped, not made up for.
            after = max(tick, self._earliest() - (timedelta() if self._is_held else AHEAD))

    def _earliest(self) -> datetime:
        return self._clock() + (MARGIN if self._is_held else timedelta())

    async def _sleep_until(self, instant: datetime) -> None:
        while (remaining := (instant - self._clock()).total_seconds()) > 0:
            await self._sleep(min(remaining, LONGEST_SLEEP_SECONDS))

    async def _fire(self, schedule: Schedule, tick: datetime, *, closes_at: datetime) -> None:
        failures = 0
        while self._clock() <= closes_at:
            try:
                await self._enqueue(schedule, tick)
                return
            except Exception as error:  # noqa: BLE001 - one tick that fails must not end the schedule
                failures += 1
                if failures == 1:
                    logger.warning("The tick of %s at %s is not enqueued yet: %s", schedule.name, tick, error)
                await self._sleep(Outage.wait_seconds(failures, error))
        logger.error("The tick of %s at %s was missed", schedule.name, tick)

    async def _enqueue(self, schedule: Schedule, tick: datetime) -> None:
        await self._queue.enqueue(
            schedule.name,
            {"scheduled_at": tick.isoformat()},
            delay=max(0.0, (tick - self._clock()).total_seconds()) if self._is_held else 0,
            dedupe_key=schedule.key(tick) if "dedupe" in self._queue.capabilities else None,
        )


def _cron_library() -> tuple[Any, type[Exception]]:
    try:
        from cronsim import CronSim, CronSimError
    except ModuleNotFoundError as error:
        command = "pip install 'indiaai-core[cron]'"
        raise ConfigurationError(
            f"@worker.cron needs the library cronsim, which is not installed. To install it: {command}",
            faults=[Fault("cronsim", "it is not installed", "the extra indiaai-core[cron]", command)],
        ) from error
    return CronSim, CronSimError
