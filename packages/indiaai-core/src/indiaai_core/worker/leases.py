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


class Lease:
    """One delivery while this worker has it.

    Entered with `with` around the handler's call, it can end that from outside, by asyncio's own cancellation: unlike a
    cancel scope's, that comes once, so that a handler can still await what cleans up, roll a transaction back or close a
    connection. One that hangs in there is cancelled again every `CLEANUP_SECONDS`.

    Attributes:
        task: The delivery.
        seconds: How long the lease lasts from its last renewal.
        interruption: Why the worker ended the attempt, if it did.
        ends_at: When the lease runs out if it is not renewed, on the event loop's clock. Counted from when the answer was
            here, so up to one network delay later than the queue counts: it bounds our patience, it decides nothing.
        renews_at: When it is to be renewed, on the same clock.
        is_in_thread: Whether a thread still works on it, which no cancellation ends.
        timeout_seconds: How long the handler may take; None: as long as it likes.
    """

    __slots__ = (
        "_cancelled",
        "_loop",
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

    def __init__(self, task: Task, seconds: float) -> None:
        """Begin the lease now."""
        self.task = task
        self.seconds = seconds
        self.interruption: Interruption | None = None
        self.is_in_thread = False
        self.timeout_seconds: float | None = None
        self._loop = asyncio.get_running_loop()
        self._runner: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cancelled: tuple[asyncio.Task[Any], ...] = ()
        self.renewed()

    @property
    def is_over(self) -> bool:
        """Whether the attempt was ended from outside of its handler."""
        return self.interruption is not None

    def renewed(self) -> None:
        """Count from now again."""
        now = self._loop.time()
        self.ends_at = now + self.seconds
        self.renews_at = now + self.seconds / 3

    def interrupt(self, why: Interruption) -> None:
        """End the attempt; the first reason stands."""
        if self.interruption is None:
            self.interruption = why
            # Not at once: called by the handler itself, which then returns without another await, the cancellation
            # would hit what comes after the handler.
            self._loop.call_soon(self._cancel)

    def __enter__(self) -> None:
        """Begin the handler's call."""
        self._runner = asyncio.current_task()
        if self.timeout_seconds is not None:
            self._timer = self._loop.call_later(self.timeout_seconds, self.interrupt, Interruption.TIMED_OUT)

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
            self._timer = self._loop.call_later(CLEANUP_SECONDS, self._cancel)


class LeaseKeeper:
    """Renews the leases of the handlers that are running, each at a third of its time.

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
        with anyio.move_on_after(lease.seconds / 3):
            try:
                is_ours = await self._queue.update_status(lease.task, TaskState.PROCESSING)
            except Exception as error:  # noqa: BLE001 - a backend's fault in one renewal must not end all of them
                self._outage.began(error)
            else:
                self._outage.ended()
                self._judge(lease, is_ours=is_ours)
                return
        lease.renews_at = asyncio.get_running_loop().time() + lease.seconds / 12

    def _judge(self, lease: Lease, *, is_ours: bool) -> None:
        if is_ours:
            lease.renewed()
        elif lease in self._held:
            # Not held any more: the handler ended while we asked, its settling made the answer False, and nothing is lost.
            lease.interrupt(Interruption.LOST)
