"""What a handler may know and say about the attempt it is in; imported by applications and by the worker."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import anyio.from_thread

from indiaai_core.errors import BackendUnavailable
from indiaai_core.queue import QueueService, Task, TaskState
from indiaai_core.worker.leases import Interruption, Lease

__all__ = ["TaskContext", "current_task", "enter_task"]

_current: ContextVar[Task | None] = ContextVar("indiaai_task", default=None)


class TaskContext:
    """One attempt, as its handler sees it; it lives as long as the attempt.

    A handler gets it by a second parameter annotated `TaskContext`.
    """

    __slots__ = ("_lease", "_queue")

    def __init__(self, lease: Lease, queue: QueueService) -> None:
        """Hold what the attempt runs under."""
        self._lease = lease
        self._queue = queue

    @property
    def task(self) -> Task:
        """The delivery."""
        return self._lease.task

    @property
    def is_cancelled(self) -> bool:
        """Whether the attempt is over for the worker: timed out, its lease lost, its task cancelled, the worker stopping.

        An async handler is cancelled then. A plain one cannot be: one that runs long should look here and return; its
        result is discarded. May be read from any thread.
        """
        return self._lease.is_over

    async def progress(self, data: Any) -> bool:
        """Keep a progress report in the task's status and renew the lease.

        Args:
            data: Any JSON value, at most 256 KiB as JSON; it replaces the last report.

        Returns:
            True if it was kept. False if it was not: the queue does not answer now, which does not fail the attempt, or
            the lease is lost, and the handler is being cancelled.

        Raises:
            InvalidTask: `data` is not JSON or too large.
        """
        if self._lease.is_over:
            return False
        asked_at = asyncio.get_running_loop().time()
        try:
            was_kept = await self._queue.update_status(self.task, TaskState.PROCESSING, data)
        except BackendUnavailable:
            return False
        if was_kept:
            self._lease.renewed(asked_at)
        else:
            self._lease.interrupt(Interruption.LOST)
        return was_kept

    def progress_from_thread(self, data: Any) -> bool:
        """Do what `progress` does, from a plain handler, which runs in a thread; blocks until it is done.

        Raises:
            InvalidTask: `data` is not JSON or too large.
            RuntimeError: It was called in the event loop's own thread: `await progress(...)` there.
        """
        if self._lease.is_over:
            return False
        return anyio.from_thread.run(self.progress, data)


def current_task() -> Task:
    """Return the delivery whose handler is running here, in async code and in threads: for logs far from the handler.

    Raises:
        LookupError: No handler is running here.
    """
    task = _current.get()
    if task is None:
        raise LookupError("No task is being worked here: current_task() is for code that a handler calls.")
    return task


def enter_task(task: Task) -> None:
    """Make a delivery the current one, for the rest of this asyncio task."""
    _current.set(task)
