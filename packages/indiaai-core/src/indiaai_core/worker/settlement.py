"""Tells the queue what became of a delivery, through its outages; imported by the worker's run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import replace

import anyio

from indiaai_core.errors import InvalidTask
from indiaai_core.queue import QueueService, TaskState
from indiaai_core.worker.leases import Lease
from indiaai_core.worker.outage import Outage
from indiaai_core.worker.outcomes import Outcome, OutcomeKind

__all__ = ["RELEASE_SECONDS", "Settlement"]

logger = logging.getLogger("indiaai.worker")

RELEASE_SECONDS = 5.0
"""How long a worker that stops tries to give back what it has not finished."""


class Settlement:
    """Settles the deliveries of one run.

    Attributes:
        is_hurried: Whether the worker stops: a queue that does not answer is then not waited for.
    """

    def __init__(self, queue: QueueService, outage: Outage) -> None:
        """Hold what is told."""
        self._queue = queue
        self._outage = outage
        self.is_hurried = False

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
