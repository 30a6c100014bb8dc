"""One run of a worker on one queue: takes tasks, has them worked, settles them, stops; imported by the worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import anyio

from indiaai_core.queue import QueueService, Task
from indiaai_core.worker.context import TaskContext, enter_task
from indiaai_core.worker.cron import CronTimer
from indiaai_core.worker.handlers import Handler
from indiaai_core.worker.journal import log_outcome
from indiaai_core.worker.leases import Interruption, Lease, LeaseKeeper
from indiaai_core.worker.outage import Outage
from indiaai_core.worker.outcomes import Outcome, OutcomeKind
from indiaai_core.worker.registry import Registry
from indiaai_core.worker.settlement import RELEASE_SECONDS, Settlement
from indiaai_core.worker.threads import HandlerThreads
from indiaai_core.worker.verdict import as_json_value, judge_error, judge_spent, judge_timeout
from indiaai_core.worker.watchdog import Watchdog

__all__ = ["Run"]

logger = logging.getLogger("indiaai.worker")

Service = Callable[[], Coroutine[Any, Any, None]]

FETCH_SECONDS = 10.0
"""How long one call waits for tasks: an idle worker asks this often, and no oftener."""

SHORTEST_FETCH_SECONDS = 0.05
"""How long an empty answer may take at least: a backend that does not wait must not make a busy loop of ours."""

LARGEST_FETCH = 100
"""The most tasks of one call, so that the first of a large batch does not wait for the last to be read."""


class Run:
    """Works one queue with one worker's handlers, in one event loop of asyncio, from its start to its stop.

    Every delivery is an asyncio task of its own, with a context of its own. It is never cancelled as a whole: what ends an
    attempt is its lease, which stands around the handler, so that settling and giving back always come after it.
    """

    def __init__(self, queue: QueueService, registry: Registry, *, concurrency: int, blocking_seconds: float | None) -> None:
        """Prepare a run; nothing is taken yet."""
        self._queue = queue
        self._registry = registry
        self._concurrency = self._free = concurrency
        self._has_room = asyncio.Event()
        self._deliveries: set[asyncio.Task[Outcome]] = set()
        self._leases: set[Lease] = set()
        self._is_stopping = False
        self._fetch_scope = anyio.CancelScope()
        self._grace_scope = anyio.CancelScope()
        self._outage = Outage()
        self._keeper = LeaseKeeper(queue, self._outage)
        self._settlement = Settlement(queue, self._outage)
        self._threads = HandlerThreads(concurrency, self._end_late)
        self._watchdog = Watchdog(registry.handlers, blocking_seconds)
        self._timer = CronTimer(queue, registry.schedules)

    async def work(self) -> None:
        """Take and work tasks until `stop`, or until cancelled, which stops without grace."""
        handlers = sorted(self._registry.handlers)
        logger.info("Working %s, up to %d at once: %s", type(self._queue).__name__, self._concurrency, ", ".join(handlers))
        async with self._serviced(self._timer.run):
            with self._fetch_scope:
                await self._fetch()
            with self._grace_scope:
                await self._all_delivered()
        logger.info("Stopped working %s", type(self._queue).__name__)

    async def work_one(self, task: Task) -> Outcome:
        """Work one delivery and return what became of it."""
        async with self._serviced():
            delivery = self._begin(task)
            await asyncio.wait({delivery})
        return delivery.result()

    def stop(self, grace_seconds: float) -> None:
        """Take no more tasks, and end those running after the grace time. Called again, the shorter time counts.

        Must be called in the event loop's thread.
        """
        self._is_stopping = True
        self._fetch_scope.cancel()
        ends_at = asyncio.get_running_loop().time() + grace_seconds
        self._grace_scope.deadline = min(self._grace_scope.deadline, ends_at)

    @asynccontextmanager
    async def _serviced(self, *more: Service) -> AsyncIterator[None]:
        ending = anyio.CancelScope()
        # The services end by a scope of their own: the group's would cancel this task along with them.
        async with anyio.create_task_group() as group:
            group.start_soon(_serve, ending, [self._keeper.run, self._watchdog.run, *more])
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._end_all()
                ending.cancel()

    async def _fetch(self) -> None:
        failures = 0
        while not self._is_stopping:
            if self._free <= 0:
                self._has_room.clear()
                await self._has_room.wait()
                continue
            try:
                tasks = await self._dequeue()
            except Exception as error:  # noqa: BLE001 - a worker outlives whatever its queue does
                self._outage.began(error)
                failures += 1
                await anyio.sleep(Outage.wait_seconds(failures, error))
                continue
            failures = 0
            self._outage.ended()
            for task in tasks:
                self._begin(task)

    async def _dequeue(self) -> list[Task]:
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        tasks = await self._queue.dequeue_many(min(self._free, LARGEST_FETCH), FETCH_SECONDS)
        if not tasks:
            await anyio.sleep(max(0.0, asked_at + SHORTEST_FETCH_SECONDS - clock()))
        return tasks

    def _begin(self, task: Task) -> asyncio.Task[Outcome]:
        lease = Lease(task, self._queue.lease_seconds)
        self._free -= 1
        self._leases.add(lease)
        self._keeper.hold(lease)
        if self._is_stopping:  # it came with the last answer
            lease.interrupt(Interruption.STOPPED)
        delivery = asyncio.get_running_loop().create_task(self._deliver(lease))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)
        return delivery

    async def _deliver(self, lease: Lease) -> Outcome:
        try:
            outcome = await self._attempt(lease)
            self._keeper.let_go(lease)
            if outcome.kind is OutcomeKind.RELEASED:
                await self._settlement.release(lease)
            elif outcome.kind is not OutcomeKind.LOST:
                outcome = await self._settlement.settle(lease, outcome)
            log_outcome(outcome)
            return outcome
        finally:
            self._keeper.let_go(lease)
            self._leases.discard(lease)
            if not lease.is_in_thread:
                self._give_room()

    async def _attempt(self, lease: Lease) -> Outcome:
        task = lease.task
        handler = self._registry.handlers.get(task.name)
        if lease.interruption is not None:
            return _interrupted(lease, lease.interruption)
        if handler is None:
            return Outcome(task, OutcomeKind.FAILED, error=self._registry.explain_unknown(task.name))
        if task.attempt > handler.limit(task):
            return judge_spent(task, handler)
        if task.max_attempts is None and handler.max_attempts is not None:
            # The limit goes along: a handler that asks for `is_last_attempt` is to hear the one that counts.
            lease.task = task = replace(task, max_attempts=handler.max_attempts)
        enter_task(task)
        if not handler.is_async:
            return await self._handle(handler, lease)
        with self._watchdog.watching():
            return await self._handle(handler, lease)

    async def _handle(self, handler: Handler, lease: Lease) -> Outcome:
        lease.timeout_seconds = handler.timeout_seconds
        with lease:
            outcome = await self._call(handler, lease)
        why = lease.interruption
        if why is None or (why is not Interruption.LOST and outcome.kind is OutcomeKind.COMPLETED):
            return outcome
        return judge_timeout(lease.task, handler) if why is Interruption.TIMED_OUT else _interrupted(lease, why)

    async def _call(self, handler: Handler, lease: Lease) -> Outcome:
        try:
            result = await handler.call(TaskContext(lease, self._queue), partial(self._threads.call, lease))
            return Outcome(lease.task, OutcomeKind.COMPLETED, result=as_json_value(result, handler))
        except (Exception, SystemExit, BaseExceptionGroup) as error:  # noqa: BLE001 - a handler may raise anything
            return judge_error(error, task=lease.task, handler=handler)
        except asyncio.CancelledError as error:
            own = asyncio.current_task()
            if lease.interruption is None and own is not None and own.cancelling():
                raise  # somebody ends the whole event loop
            # Either we cancelled it, and know why, or nobody did: it awaited something that was, and failed by it.
            return judge_error(error, task=lease.task, handler=handler)

    async def _all_delivered(self) -> None:
        while self._deliveries:
            await asyncio.wait(self._deliveries)

    async def _end_all(self) -> None:
        self._settlement.is_hurried = True
        for lease in list(self._leases):
            lease.interrupt(Interruption.STOPPED)
        if not self._deliveries:
            return
        _, stuck = await asyncio.wait(self._deliveries, timeout=RELEASE_SECONDS)
        for delivery in stuck:
            delivery.cancel()
        if stuck:
            names = ", ".join(sorted({lease.task.name for lease in self._leases}))
            logger.error("Handlers that do not end when they are cancelled are left behind: %s", names)

    def _give_room(self) -> None:
        self._free += 1
        self._has_room.set()

    def _end_late(self, lease: Lease) -> None:
        lease.is_in_thread = False
        if lease not in self._leases:  # else its delivery is still being settled, and gives the room itself
            self._give_room()


async def _serve(ending: anyio.CancelScope, services: Sequence[Service]) -> None:
    with ending:
        async with anyio.create_task_group() as group:
            for service in services:
                group.start_soon(service)


def _interrupted(lease: Lease, why: Interruption) -> Outcome:
    if why is Interruption.LOST:
        return Outcome(lease.task, OutcomeKind.LOST, error="The lease was lost, or the task was cancelled.")
    return Outcome(lease.task, OutcomeKind.RELEASED, error="The worker stopped.")
