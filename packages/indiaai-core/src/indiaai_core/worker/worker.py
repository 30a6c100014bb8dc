"""The worker as an application writes it: a registry of handlers that can be run; imported by applications and the edges."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Self, TypeVar

import anyio

from indiaai_core.errors import ConfigurationError, Fault
from indiaai_core.platform import Platform
from indiaai_core.queue import QueueService, get_queue_service
from indiaai_core.worker.backoff import Backoff
from indiaai_core.worker.cron import Schedule
from indiaai_core.worker.handlers import Handler, Middleware
from indiaai_core.worker.outcomes import Outcome
from indiaai_core.worker.registry import Registry
from indiaai_core.worker.run import Run
from indiaai_core.worker.signals import stopping_at_signals
from indiaai_core.worker.source import Source

__all__ = ["Worker"]

logger = logging.getLogger("indiaai.worker")

Function = TypeVar("Function", bound=Callable[..., Any])


class Worker:
    """Runs registered functions for the tasks of one queue or several, on asyncio.

    Making one touches nothing: the queue is taken from the current platform when it is run. It lives as long as its module;
    it may be run, stopped and run again, and on several event loops.

    Attributes:
        middleware: Async callables `(task, call_next)` around every handler, the first one outermost.
        concurrency: How many tasks are worked at once.
        grace_seconds: How long running handlers may go on after `stop`.
        blocking_seconds: How long a handler may block the event loop before the log names it; None does not watch.
        backoff: How long tasks wait after a failed attempt, where the handler does not say.
    """

    def __init__(
        self,
        queue: str | Mapping[str | None, int] | None = None,
        *,
        concurrency: int = 10,
        grace_seconds: float = 25.0,
        blocking_seconds: float | None = 0.1,
        backoff: Backoff | None = None,
    ) -> None:
        """Begin with no handler.

        Several queues share the slots: while all have tasks, each begins as many as its weight says, and one that is empty
        costs the others nothing.

        The grace time leaves five of the thirty seconds that Kubernetes waits between SIGTERM and SIGKILL for giving
        back what did not finish.

        Args:
            queue: The named queue instance that is worked; None for the main one. Or several, each with its weight, such
                as `{None: 3, "bulk": 1}`; ticks of schedules go into the first.
            concurrency: How many tasks are worked at once.
            grace_seconds: How long running handlers may go on after `stop`.
            blocking_seconds: How long a handler may block the event loop before the log names it; None does not watch.
            backoff: How long tasks wait after a failed attempt, where the handler does not say.

        Raises:
            ValueError: A number is out of its limits.
        """
        if type(concurrency) is not int or concurrency < 1:
            raise ValueError(f"concurrency={concurrency!r}: expected a whole number from 1.")
        if not 0 <= grace_seconds < float("inf"):
            raise ValueError(f"grace_seconds={grace_seconds!r}: expected seconds from 0.")
        if blocking_seconds is not None and not blocking_seconds > 0:
            raise ValueError(f"blocking_seconds={blocking_seconds!r}: expected seconds above 0, or None.")
        self._queues = _weights(queue)
        self.middleware: list[Middleware] = []
        self.concurrency = concurrency
        self.grace_seconds = grace_seconds
        self.blocking_seconds = blocking_seconds
        self.backoff = Backoff() if backoff is None else backoff
        self._registry = Registry()
        self._runs: set[Run] = set()

    @property
    def queues(self) -> Mapping[str | None, int]:
        """The named queue instances that are worked, None being the main one, and the weight of each.

        It may be set while nothing runs: what `indiaai worker --queue` does.

        Raises:
            ValueError: It is set to none, or to a weight that is not a whole number from 1.
        """
        return MappingProxyType(self._queues)

    @queues.setter
    def queues(self, queues: Mapping[str | None, int]) -> None:
        self._queues = _weights(queues)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The registered handlers, by task name."""
        return MappingProxyType(self._registry.handlers)

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        """What is due by the clock, by task name."""
        return MappingProxyType(self._registry.schedules)

    def task(
        self,
        name: str,
        *,
        max_attempts: int | None = None,
        timeout: float | None = None,
        backoff: Backoff | None = None,
        rate_limit: str | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function as the handler of a task name; the function itself stays as it is.

        Args:
            name: The task's name.
            max_attempts: How often a task is tried whose `enqueue` did not say, 1 to 1,000.
            timeout: Seconds that one attempt may take; None: as long as it likes, its lease renewed all the while.
            backoff: How long tasks wait after a failed attempt; the worker's where it is None.
            rate_limit: How often it may begin in this process, evenly spread: `10/s`, `600/m` or `1000/h`; None: no limit.

        Raises:
            InvalidTask: `name` or `max_attempts` is out of its limits.
            ValueError: There is a handler for the name, `timeout` is not positive, or `rate_limit` is none.
            TypeError: The function's parameters are not what a handler can have.
        """

        def register(function: Function) -> Function:
            self._registry.add(
                Handler.of(
                    name,
                    function,
                    max_attempts=max_attempts,
                    timeout_seconds=timeout,
                    backoff=self.backoff if backoff is None else backoff,
                    middleware=self.middleware,
                    rate_limit=rate_limit,
                )
            )
            return function

        return register

    def cron(
        self,
        expression: str,
        *,
        name: str | None = None,
        timezone: str = "UTC",
        max_attempts: int | None = None,
        timeout: float | None = None,
        backoff: Backoff | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function as a handler whose task is enqueued by the clock, once for all workers.

        The task's data is `{"scheduled_at": …}`, the tick in UTC as ISO 8601; the function need not take it. `CronTimer`
        says what "once" rests on.

        Args:
            expression: Five cron fields, such as `*/5 * * * *`.
            name: The task's name; the function's where it is None.
            timezone: The zone the expression is read in, such as `Asia/Kolkata`.
            max_attempts: As for `task`.
            timeout: As for `task`.
            backoff: As for `task`.

        Raises:
            ConfigurationError: The extra `indiaai-core[cron]` is not installed.
            ValueError: The expression or the zone is none, or there is a handler for the name.
        """

        def register(function: Function) -> Function:
            task_name = name or function.__name__
            schedule = Schedule.of(task_name, expression, timezone=timezone)
            self.task(task_name, max_attempts=max_attempts, timeout=timeout, backoff=backoff)(function)
            self._registry.schedules[task_name] = schedule
            return function

        return register

    def include(self, other: Worker) -> None:
        """Register what another worker has registered by now, so that modules can each have a worker of their own.

        Its handlers keep their middleware, inside of this worker's.

        Raises:
            ValueError: A name is registered with both.
        """
        self._registry.include(other._registry, self.middleware)

    async def run(self, queue: QueueService | None = None) -> None:
        """Work until `stop`, or until cancelled, which stops without grace. No signal is handled.

        Args:
            queue: The one queue to work; None: those it was made for, of the current platform.

        Raises:
            ConfigurationError: No handler is registered, or the queue's configuration is wrong.
        """
        run = self._prepare(self._find(queue))
        try:
            await run.work()
        finally:
            self._runs.discard(run)

    async def run_forever(self, queue: QueueService | None = None) -> None:
        """Work until SIGTERM or SIGINT: the first stops gracefully, a second at once, a third ends the process.

        Raises:
            ConfigurationError: No handler is registered, or the queue's configuration is wrong.
        """
        with stopping_at_signals(self.stop, lambda: self.stop(grace_seconds=0)):
            await self.run(queue)

    @asynccontextmanager
    async def running(self, queue: QueueService | None = None) -> AsyncIterator[Self]:
        """Work in the background of a block, and stop gracefully at its end: what an application's lifespan enters.

        Raises:
            ConfigurationError: No handler is registered, or the queue's configuration is wrong.
        """
        run = self._prepare(self._find(queue))
        working = asyncio.get_running_loop().create_task(run.work(), name="indiaai-worker")
        # Whoever waits for requests in the block would hear of a run that broke down only at the block's end.
        working.add_done_callback(_log_breakdown)
        try:
            yield self
        finally:
            run.stop(self.grace_seconds)
            try:
                await asyncio.wait({working})
            except asyncio.CancelledError:
                run.stop(0)
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({working})
                raise
            finally:
                self._runs.discard(run)

    def is_in_process(self, platform: Platform) -> bool:
        """Return whether the queues live in the process that uses them, so that the application works them itself.

        Args:
            platform: Where the queues are found.

        Raises:
            ConfigurationError: Some do and some do not, so that no process could work all; or a backend is not set up.
        """
        lonely = {name for name in self._queues if "in_process" in platform.get_service("queue", name).capabilities}
        if lonely and lonely != self._queues.keys():
            raise _mixture(lonely, self._queues.keys() - lonely, platform)
        return bool(lonely)

    def stop(self, *, grace_seconds: float | None = None) -> None:
        """Take no more tasks; end the running ones after the grace time and give them back.

        Called again, the shorter time counts. Does nothing while nothing runs. Call it in the event loop's thread.

        Args:
            grace_seconds: How long running handlers may go on; the worker's `grace_seconds` where it is None.
        """
        for run in self._runs:
            run.stop(self.grace_seconds if grace_seconds is None else grace_seconds)

    async def run_once(self, queue: QueueService | None = None) -> Outcome | None:
        """Work the one task that is due next, and return what became of it; None if none is due. For tests.

        Of several queues the first that has one; rate limits do not hold here.

        Raises:
            ConfigurationError: No handler is registered, or the queue's configuration is wrong.
        """
        sources = self._find(queue)
        for source in sources:
            task = await source.service.dequeue()
            if task is not None:
                break
        else:
            return None
        run = self._prepare(sources)
        try:
            return await run.work_one(source, task)
        finally:
            self._runs.discard(run)

    async def drain(self, queue: QueueService | None = None, *, limit: int = 1000) -> list[Outcome]:
        """Work every task that is due, one after the other, also those that handlers enqueue meanwhile. For tests.

        What is delayed, retries after their backoff included, is left where it is.

        Args:
            queue: The one queue to work; None: those it was made for, of the current platform.
            limit: After how many tasks to give up, so that a task that enqueues itself does not go on for ever.

        Returns:
            What became of each, in the order they were worked.

        Raises:
            RuntimeError: There were more than `limit`.
        """
        outcomes: list[Outcome] = []
        while (outcome := await self.run_once(queue)) is not None:
            outcomes.append(outcome)
            if len(outcomes) > limit:
                raise RuntimeError(f"More than {limit} tasks were due; the last one was {outcome.task.name!r}.")
        return outcomes

    def _find(self, queue: QueueService | None) -> list[Source]:
        if not self._registry.handlers:
            raise ConfigurationError(
                "The worker has no handler, and would make a dead letter of every task. "
                "Register one with @worker.task(...), or import the module that does."
            )
        if queue is not None:
            return [Source(queue)]
        return [Source(get_queue_service(name), name=name, weight=weight) for name, weight in self._queues.items()]

    def _prepare(self, sources: Sequence[Source]) -> Run:
        run = Run(sources, self._registry, concurrency=self.concurrency, blocking_seconds=self.blocking_seconds)
        self._runs.add(run)
        return run


def _weights(queue: str | Mapping[str | None, int] | None) -> dict[str | None, int]:
    weights = dict(queue) if isinstance(queue, Mapping) else {queue: 1}
    if not weights or not all(type(weight) is int and weight >= 1 for weight in weights.values()):
        raise ValueError(f"queue={queue!r}: expected the name of a queue, None, or names with weights, whole numbers from 1.")
    return weights


def _mixture(lonely: Iterable[str | None], shared: Iterable[str | None], platform: Platform) -> ConfigurationError:
    def variables(names: Iterable[str | None]) -> str:
        return ", ".join(sorted(platform.environment.for_instance(name).variable("QUEUE_TYPE") for name in names))

    remedy = f"set {variables(lonely)} to a queue that processes share, or work them with a worker of their own"
    reason = f"it lives in one process, and {variables(shared)} is shared: no process could work both"
    return ConfigurationError(
        f"One worker has queues of both kinds. To mend it, {remedy}.",
        faults=[Fault(variables(lonely), reason, "a queue that processes share", remedy)],
    )


def _log_breakdown(working: asyncio.Task[None]) -> None:
    if not working.cancelled() and (error := working.exception()) is not None:
        logger.critical("The worker broke down and works no task any more; this is a fault of indiaai", exc_info=error)
