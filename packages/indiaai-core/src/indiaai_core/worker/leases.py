"""The leases a worker holds, and their renewal while handlers run; imported by the worker's run."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

import anyio

from indiaai_core.queue import QueueService, Task, TaskState
from indiaai_core.worker.outage import Outage

__all__ = ["Interruption", "Lease", "LeaseKeeper"]


CLEANUP_SECONDS = 5.0
"""How long a handler that was cancelled may clean up before it is cancelled again."""


class Interruption(Enum):
    """Why the worker ends an attempt before its handler does."""

    LOST = "lost"
    """The lease is no longer ours, or the task was cancelled."""
    STOPPED = "stopped"
    """The worker stops, and its grace time is over."""
    TIMED_OUT = "timed out"
    """The handler took longer than it may."""
    WAITED = "waited"
    """It was leased ahead of need, and its turn did not come soon; or its lease is over before it was begun."""


class Lease:
    """One delivery while this worker has it.

    Entered with `with` around the handler's call, it can end that from outside, by asyncio's own cancellation: unlike a
    cancel scope's, that comes once, so that a handler can still await what cleans up, roll a transaction back or close a
    connection. One that hangs in there is cancelled again every `CLEANUP_SECONDS`.

    Attributes:
        task: The delivery.
        seconds: How long the lease lasts from its last renewal.
        interruption: Why the worker ended the attempt, if it did.
        ends_at: When the lease may run out if it is not renewed, on the event loop's clock. Counted from when the queue was
            asked for it, so never later than the queue counts: until then nobody else has the task.
        renews_at: When it is to be renewed, on the same clock.
        is_in_thread: Whether a thread still works on it, which no cancellation ends.
        timeout_seconds: How long the handler may take; None: as long as it likes.
    """

    __slots__ = (
        "_cancelled",
        "_runner",
        "_timer",
        "ends_at",
        "interruption",
        "is_in_thread",
        "renews_at",
        "seconds",
        "task",
        "timeout_seconds",
    )

    def __init__(self, task: Task, seconds: float, *, asked_at: float | None = None, now: float | None = None) -> None:
        """Begin the lease.

        Args:
            task: The delivery.
            seconds: How long the lease lasts.
            asked_at: When the queue was asked for it, on the event loop's clock; None: now.
            now: The time on that clock, where it is known.
        """
        if now is None:
            now = asyncio.get_running_loop().time()
        self.task = task
        self.seconds = seconds
        self.interruption: Interruption | None = None
        self.is_in_thread = False
        self.timeout_seconds: float | None = None
        # From the answer on, unlike its end: a call that waited for the task has used up a part of the lease, which is no
        # reason to renew that of a handler that takes a moment.
        self.renews_at = now + seconds / 3
        self.ends_at = (now if asked_at is None else asked_at) + seconds
        self._runner: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cancelled: tuple[asyncio.Task[Any], ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the attempt was ended from outside of its handler."""
        return self.interruption is not None

    def renewed(self, asked_at: float) -> None:
        """Count from a renewal, which the queue was asked for at that time of the event loop's clock."""
        self.ends_at = asked_at + self.seconds
        self.renews_at = asked_at + self.seconds / 3

    def interrupt(self, why: Interruption) -> None:
        """End the attempt; the first reason stands."""
        if self.interruption is None:
            self.interruption = why
            # Not at once: called by the handler itself, which then returns without another await, the cancellation
            # would hit what comes after the handler.
            asyncio.get_running_loop().call_soon(self._cancel)

    def __enter__(self) -> None:
        """Begin the handler's call."""
        self._runner = asyncio.current_task()
        if self.timeout_seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(self.timeout_seconds, self.interrupt, Interruption.TIMED_OUT)

    def __exit__(self, *_: object) -> None:
        """End the handler's call, and take back what was asked of its asyncio task."""
        self._runner = None
        if self._timer is not None:
            self._timer.cancel()
        for runner in self._cancelled:
            runner.uncancel()

    def _cancel(self) -> None:
        if self._runner is not None:
            self._cancelled = (*self._cancelled, self._runner)
            self._runner.cancel()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(CLEANUP_SECONDS, self._cancel)


class LeaseKeeper:
    """Renews the leases of what is worked or waits to be begun, each at a third of its time.

    One sleeping task for all of them: a lease that begins while it sleeps is due later than it wakes.
    """

    def __init__(self, queue: QueueService, outage: Outage) -> None:
        """Hold what renewals go to."""
        self._queue = queue
        self._outage = outage
        self._held: set[Lease] = set()

    def hold(self, lease: Lease) -> None:
        """Renew a lease from now on."""
        self._held.add(lease)

    def let_go(self, lease: Lease) -> None:
        """Renew a lease no longer."""
        self._held.discard(lease)

    async def run(self) -> None:
        """Renew until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            next_look = clock() + self._queue.lease_seconds / 3
            wake_at = min([next_look, *(lease.renews_at for lease in self._held)])
            # It may be past already: one lease falls due while others are renewed, or while somebody blocks the loop.
            await anyio.sleep(max(0.0, wake_at - clock()))
            due = [lease for lease in self._held if lease.renews_at <= clock()]
            if due:
                # Side by side: a slow answer for one must not let another's lease run out.
                async with anyio.create_task_group() as renewals:
                    for lease in due:
                        renewals.start_soon(self._renew, lease)

    async def _renew(self, lease: Lease) -> None:
        # An answer that hangs must not hold up the next round of the other leases.
        asked_at = asyncio.get_running_loop().time()
        with anyio.move_on_after(lease.seconds / 3):
            try:
                is_ours = await self._queue.update_status(lease.task, TaskState.PROCESSING)
            except Exception as error:  # noqa: BLE001 - a backend's fault in one renewal must not end all of them
                self._outage.began(error)
            else:
                self._outage.ended()
                self._judge(lease, asked_at, is_ours=is_ours)
                return
        lease.renews_at = asyncio.get_running_loop().time() + lease.seconds / 12

    def _judge(self, lease: Lease, asked_at: float, *, is_ours: bool) -> None:
        if is_ours:
            lease.renewed(asked_at)
        elif lease in self._held:
            # Not held any more: the handler ended while we asked, its settling made the answer False, and nothing is lost.
            lease.interrupt(Interruption.LOST)
