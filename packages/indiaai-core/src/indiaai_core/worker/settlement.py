"""Tells the queue what became of a delivery, through its outages; imported by the worker's run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import QueueService, TaskState
from indiaai_core.worker.leases import Lease
from indiaai_core.worker.outage import Outage
from indiaai_core.worker.outcomes import Outcome, OutcomeKind

__all__ = ["RELEASE_SECONDS", "Settlement"]

logger = logging.getLogger("indiaai.worker")

Settled = Callable[[Any, Outcome], None]
"""Is called with a delivery that is settled, or is not to be, and what came of it."""

RELEASE_SECONDS = 5.0
"""How long a worker that stops tries to give back what it has not finished."""


class Settlement:
    """Settles the deliveries of one run.

    Attributes:
        is_hurried: Whether the worker stops: a queue that does not answer is then not waited for.
        is_together: Whether what completed is settled by `complete`: whether the queue can be told of many results at once.
    """

    def __init__(self, queue: QueueService, outage: Outage) -> None:
        """Hold what is told."""
        self._queue = queue
        self._outage = outage
        self._completed: list[tuple[Lease, Outcome, Settled]] = []
        self._keeping: asyncio.Task[None] | None = None
        self.is_hurried = False
        self.is_together = "complete_many" in queue.capabilities

    def complete(self, lease: Lease, outcome: Outcome, *, settled: Settled) -> asyncio.Task[None]:
        """Settle a delivery that completed, together with those that complete in the same turn of the event loop.

        Args:
            lease: The delivery.
            outcome: What came of it.
            settled: Is called when that is settled, or is not to be, with what `settle` would return.

        Returns:
            What does it, for all of them.
        """
        self._completed.append((lease, outcome, settled))
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._keep())
        return self._keeping

    async def _keep(self) -> None:
        await asyncio.sleep(0)  # an eager task would be through before it is known as the one that keeps them
        completed, self._completed, self._keeping = self._completed, [], None
        try:
            answers: list[Any] = [*await self._queue.complete_many([(each.task, each.result) for _, each, _ in completed])]
        except Exception as error:  # noqa: BLE001 - as in `settle`
            answers = [error] * len(completed)
        else:
            self._outage.ended()
        troubled: list[Awaitable[None]] = []
        for (lease, outcome, settled), answer in zip(completed, answers, strict=True):
            if answer is True:
                settled(lease, outcome)
            elif answer is False:
                settled(lease, replace(outcome, kind=OutcomeKind.LOST, error="The lease was lost."))
            else:
                troubled.append(self._settle_alone(lease, outcome, settled))
        if troubled:
            await asyncio.gather(*troubled)

    async def _settle_alone(self, lease: Lease, outcome: Outcome, settled: Settled) -> None:
        settled(lease, await self.settle(lease, outcome))

    async def settle(self, lease: Lease, outcome: Outcome) -> Outcome:
        """Settle a delivery; while the queue does not answer, ask again until the lease runs out.

        Returns:
            What came of it: the outcome; `LOST` where the lease is no longer ours or the queue stayed silent, so that
            the task is delivered again; `FAILED` where the result is not JSON.
        """
        if outcome.kind is OutcomeKind.RETRIED and "retry" not in self._queue.capabilities:
            # All that four methods can do: the lease runs out, and the task is delivered again.
            return replace(outcome, delay_seconds=max(0.0, lease.ends_at - asyncio.get_running_loop().time()))
        failures = 0
        while True:
            try:
                is_ours = await self._write(outcome)
            except InvalidTask as error:
                simpler = _simpler(outcome, error)
                if simpler is None:
                    return replace(outcome, kind=OutcomeKind.LOST, error=str(error))
                outcome = simpler
            except Exception as error:  # noqa: BLE001 - whatever a backend raises, the task must not be lost by it
                self._outage.began(error)
                failures += 1
                wait = Outage.wait_seconds(failures, error)
                if self.is_hurried or asyncio.get_running_loop().time() + wait >= lease.ends_at:
                    return replace(outcome, kind=OutcomeKind.LOST, error=f"The queue did not answer: {error}")
                await anyio.sleep(wait)
            else:
                self._outage.ended()
                return outcome if is_ours else replace(outcome, kind=OutcomeKind.LOST, error="The lease was lost.")

    async def release(self, lease: Lease) -> None:
        """Give a delivery back that was not finished; where that fails, its lease runs out."""
        if lease.is_in_thread:
            # Given back now, it would run twice at once, here in its thread and there.
            return
        with anyio.move_on_after(RELEASE_SECONDS):
            try:
                await self._queue.release(lease.task)
            except Exception as error:  # noqa: BLE001 - nothing is lost by it, and others are to be given back
                logger.info("%s could not be given back, its lease will run out: %s", lease.task.id, error)

    def _write(self, outcome: Outcome) -> Awaitable[bool]:
        if outcome.kind is OutcomeKind.COMPLETED:
            return self._queue.update_status(outcome.task, TaskState.COMPLETED, outcome.result)
        if outcome.kind is OutcomeKind.FAILED:
            report = {"error": outcome.error, **({"traceback": outcome.traceback} if outcome.traceback else {})}
            return self._queue.update_status(outcome.task, TaskState.FAILED, report)
        return self._queue.retry(outcome.task, outcome.delay_seconds, outcome.error or "", traceback=outcome.traceback)


def _simpler(outcome: Outcome, refused: InvalidTask) -> Outcome | None:
    """Return what to settle with when the queue refuses to write an outcome; None if there is nothing simpler."""
    if outcome.kind is OutcomeKind.COMPLETED:
        error = f"The handler of {outcome.task.name!r} finished, and its result cannot be kept: {refused}"
        return Outcome(outcome.task, OutcomeKind.FAILED, error=error)
    if outcome.traceback is not None:
        return replace(outcome, traceback=None)
    return None
