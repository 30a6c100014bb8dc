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

from indiaai_core.queue import Task
from indiaai_core.worker.context import TaskContext, enter_task
from indiaai_core.worker.cron import CronTimer
from indiaai_core.worker.handlers import Handler
from indiaai_core.worker.intake import Intake
from indiaai_core.worker.journal import log_outcome
from indiaai_core.worker.leases import Interruption, Lease
from indiaai_core.worker.outcomes import Outcome, OutcomeKind
from indiaai_core.worker.registry import Registry
from indiaai_core.worker.settlement import RELEASE_SECONDS
from indiaai_core.worker.source import Delivery, Source
from indiaai_core.worker.threads import HandlerThreads
from indiaai_core.worker.verdict import as_json_value, judge_error, judge_spent, judge_timeout
from indiaai_core.worker.watchdog import Watchdog

__all__ = ["Run"]

logger = logging.getLogger("indiaai.worker")

Service = Callable[[], Coroutine[Any, Any, None]]

MOST_UNSETTLED = 500
"""How many ended handlers may wait for the queue to keep what came of them, before their slots are kept with them."""


class Run:
    """Works the queues of one worker with its handlers, in one event loop of asyncio, from its start to its stop.

    Every delivery is an asyncio task of its own, with a context of its own. It is never cancelled as a whole: what ends an
    attempt is its lease, which stands around the handler, so that settling and giving back always come after it. Its slot
    is free when the handler has ended: the settlements of many go out side by side, and a backend may send them together.
    """

    def __init__(
        self, sources: Sequence[Source], registry: Registry, *, concurrency: int, blocking_seconds: float | None
    ) -> None:
        """Prepare a run; nothing is taken yet.

        Args:
            sources: The queues; ticks of schedules go into the first.
            registry: The handlers and schedules.
            concurrency: How many handlers run at once.
            blocking_seconds: How long the event loop may stand still before the log says who did it; None does not watch.
        """
        self._sources = sources
        self._registry = registry
        self._concurrency = concurrency
        self._begun: set[Delivery] = set()
        self._fetch_scope = anyio.CancelScope()
        self._grace_scope = anyio.CancelScope()
        self._threads = HandlerThreads(concurrency, self._end_late)
        self._watchdog = Watchdog(registry.handlers, blocking_seconds)
        self._timer = CronTimer(sources[0].service, registry.schedules)
        self._intake = Intake(sources, concurrency=concurrency, rate_limits=registry.rate_limits, begin=self._begin)

    async def work(self) -> None:
        """Take and work tasks until `stop`, or until cancelled, which stops without grace."""
        names = ", ".join(source.describe(with_weight=len(self._sources) > 1) for source in self._sources)
        handlers = ", ".join(sorted(self._registry.handlers))
        logger.info("Working %s, up to %d at once: %s", names, self._concurrency, handlers)
        async with self._serviced(self._timer.run):
            with self._fetch_scope:
                await self._intake.run()
            self._intake.close()
            with self._grace_scope:
                await self._all_settled()
        logger.info("Stopped working %s", names)

    async def work_one(self, source: Source, task: Task) -> Outcome:
        """Work one delivery and return what became of it."""
        async with self._serviced():
            delivery = Delivery(task, source)
            source.keeper.hold(delivery)
            source.settlement.is_together = False  # who called waits for this one's end
            runner = self._begin(delivery)
            await asyncio.wait({runner})
        return runner.result()

    def stop(self, grace_seconds: float) -> None:
        """Take no more tasks, and end those running after the grace time. Called again, the shorter time counts.

        Must be called in the event loop's thread.
        """
        self._intake.close()
        self._fetch_scope.cancel()
        ends_at = asyncio.get_running_loop().time() + grace_seconds
        self._grace_scope.deadline = min(self._grace_scope.deadline, ends_at)

    @asynccontextmanager
    async def _serviced(self, *more: Service) -> AsyncIterator[None]:
        ending = anyio.CancelScope()
        services = [*(source.keeper.run for source in self._sources), self._watchdog.run, *more]
        # The services end by a scope of their own: the group's would cancel this task along with them.
        async with anyio.create_task_group() as group:
            group.start_soon(_serve, ending, services)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._end_all()
                ending.cancel()

    def _begin(self, delivery: Delivery) -> asyncio.Task[Outcome]:
        self._begun.add(delivery)
        runner = asyncio.get_running_loop().create_task(self._deliver(delivery))
        if delivery.runner is None:  # else it has come to its settlement already, as with asyncio's eager tasks
            delivery.runner = runner
        return runner

    async def _deliver(self, delivery: Delivery) -> Outcome:
        is_settling = False
        settlement = delivery.source.settlement
        try:
            found = self._find(delivery)
            outcome = found if isinstance(found, Outcome) else await self._handle(found, delivery)
            delivery.source.keeper.let_go(delivery)
            if not delivery.is_in_thread and len(self._begun) < MOST_UNSETTLED + self._concurrency:
                self._intake.leave_slot(delivery)
            if outcome.kind is OutcomeKind.COMPLETED and settlement.is_together:
                delivery.runner = settlement.complete(delivery, outcome, settled=self._settled)
                is_settling = True
                return outcome
            if outcome.kind is OutcomeKind.RELEASED:
                await settlement.release(delivery)
            elif outcome.kind is not OutcomeKind.LOST:
                outcome = await settlement.settle(delivery, outcome)
            log_outcome(outcome)
            return outcome
        finally:
            if not is_settling:
                delivery.source.keeper.let_go(delivery)
                self._end(delivery)

    def _settled(self, delivery: Delivery, outcome: Outcome) -> None:
        log_outcome(outcome)
        self._end(delivery)

    def _end(self, delivery: Delivery) -> None:
        self._begun.discard(delivery)
        if delivery.has_slot and not delivery.is_in_thread:
            self._intake.leave_slot(delivery)

    def _find(self, delivery: Delivery) -> Handler | Outcome:
        """Return what works a delivery or, if it is not to be worked, what becomes of it."""
        task = delivery.task
        handler = self._registry.handlers.get(task.name)
        if delivery.interruption is not None:
            return _interrupted(delivery, delivery.interruption)
        if handler is None:
            return Outcome(task, OutcomeKind.FAILED, error=self._registry.explain_unknown(task.name))
        if task.attempt > 1 and task.attempt > handler.limit(task):
            return judge_spent(task, handler)
        return handler

    async def _handle(self, handler: Handler, delivery: Delivery) -> Outcome:
        task = delivery.task
        if task.max_attempts is None and handler.max_attempts is not None:
            # The limit goes along: a handler that asks for `is_last_attempt` is to hear the one that counts.
            delivery.task = task = replace(task, max_attempts=handler.max_attempts)
        enter_task(task)
        if handler.is_async:
            self._watchdog.begin()
        try:
            outcome = await self._call(handler, delivery)
        finally:
            if handler.is_async:
                self._watchdog.end()
        why = delivery.interruption
        if why is None or (why is not Interruption.LOST and outcome.kind is OutcomeKind.COMPLETED):
            return outcome
        return judge_timeout(delivery.task, handler) if why is Interruption.TIMED_OUT else _interrupted(delivery, why)

    async def _call(self, handler: Handler, delivery: Delivery) -> Outcome:
        delivery.timeout_seconds = handler.timeout_seconds
        service = delivery.source.service
        with delivery:
            try:
                in_thread = partial(self._threads.call, delivery)
                result = await handler.call(TaskContext(delivery, service), in_thread, around=service.middleware)
                return Outcome(delivery.task, OutcomeKind.COMPLETED, result=as_json_value(result, handler))
            except (Exception, SystemExit, BaseExceptionGroup) as error:  # noqa: BLE001 - a handler may raise anything
                return judge_error(error, task=delivery.task, handler=handler)
            except asyncio.CancelledError as error:
                own = asyncio.current_task()
                if delivery.interruption is None and own is not None and own.cancelling():
                    raise  # somebody ends the whole event loop
                # Either we cancelled it, and know why, or nobody did: it awaited something that was, and failed by it.
                return judge_error(error, task=delivery.task, handler=handler)

    async def _all_settled(self) -> None:
        while runners := self._runners():
            await asyncio.wait(runners)

    async def _end_all(self) -> None:
        for source in self._sources:
            source.settlement.is_hurried = True
        self._intake.close()
        for delivery in self._begun:
            delivery.interrupt(Interruption.STOPPED)
        if not self._begun:
            return
        _, stuck = await asyncio.wait(self._runners(), timeout=RELEASE_SECONDS)
        for runner in stuck:
            runner.cancel()
        if stuck:
            names = ", ".join(sorted({delivery.task.name for delivery in self._begun}))
            logger.error("Handlers that do not end when they are cancelled are left behind: %s", names)

    def _runners(self) -> set[asyncio.Task[Any]]:
        return {delivery.runner for delivery in self._begun if delivery.runner is not None}

    def _end_late(self, delivery: Delivery) -> None:
        delivery.is_in_thread = False
        if delivery not in self._begun:  # else it is still being settled, and leaves the slot itself
            self._intake.leave_slot(delivery)


async def _serve(ending: anyio.CancelScope, services: Sequence[Service]) -> None:
    with ending:
        async with anyio.create_task_group() as group:
            for service in services:
                group.start_soon(service)


def _interrupted(lease: Lease, why: Interruption) -> Outcome:
    if why is Interruption.LOST:
        return Outcome(lease.task, OutcomeKind.LOST, error="The lease was lost, or the task was cancelled.")
    if why is Interruption.WAITED:
        return Outcome(lease.task, OutcomeKind.RELEASED, error="It was leased ahead, and no slot was free soon.")
    return Outcome(lease.task, OutcomeKind.RELEASED, error="The worker stopped.")
