"""The interface of the queue layer; imported by applications for its types, by the worker and by every queue backend."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from indiaai_core.errors import InvalidTask, Unsupported
from indiaai_core.layers import Service
from indiaai_core.queue.task import Counts, NewTask, Task, TaskState, TaskStatus, check_limit

__all__ = ["QueueService"]


class QueueService(Service):
    """Tasks that are delivered at least once, until somebody settles them.

    A task is delivered under a *lease*: for `lease_seconds` nobody else gets it. Whoever holds the lease settles the task
    (`completed`, `failed`, `retry`) or renews it (`processing`); if neither happens in time, the worker is taken for
    dead and the task is delivered again, as the next attempt. A task whose last attempt is spent is a *dead letter*: failed
    and kept until it is requeued or purged. `TaskState` draws the states.

    The four abstract methods are a whole backend; the rest has a default built on them where that is honest, and raises
    `Unsupported` where it is not. A backend that does better overrides and declares the capability:

    | capability | what it adds |
    | --- | --- |
    | `retry` | `retry` |
    | `cancel` | `cancel` |
    | `dead_letters` | `dead_letters`, `requeue` |
    | `counts` | `counts` |
    | `purge` | `purge` |
    | `complete_many` | `complete_many`, which a worker then calls for all that completed meanwhile |
    | `delay`, `priority`, `dedupe` | the arguments of `enqueue` of that name |
    | `in_process` | the queue lives in this process and dies with it, so the application works it itself |

    One instance may be shared by all tasks of an event loop. Clocks are the store's, never the caller's. `aclose` ends
    every `dequeue` that waits, with None; every call after it raises `BackendUnavailable`.

    What is promised is numbered (Q12): the conformance suite `indiaai_core.testing.queue.QueueConformance` holds a backend to
    each, and docs/reference/promises.md lists them. Q00 holds any sequence of calls against a model; Q95 to Q99 and Q162 to
    Q172 are about restart, errors, health and the end.

    Attributes:
        lease_seconds: How long a delivery is the only one. A worker renews at a third of it.
        middleware: What stands around the handler of each of its tasks, the outermost first, outside of the worker's own:
            for wrappers, which watch a task from its enqueuing to its end.
    """

    contract_version: ClassVar[int] = 1
    lease_seconds: float = 30.0
    middleware: Sequence[Callable[[Task, Callable[[Task], Awaitable[Any]]], Awaitable[Any]]] = ()

    @abstractmethod
    async def enqueue(
        self,
        task_name: str,
        task_data: Mapping[str, Any] | None = None,
        *,
        delay: float = 0,
        priority: int = 0,
        max_attempts: int | None = None,
        dedupe_key: str | None = None,
    ) -> str:
        """Put a task into the queue; `NewTask` gives the arguments' limits.

        The backend must return only when it has the task as safely as its page promises.
        Promises: Q01 to Q10, Q100 to Q106; `priority` Q11 to Q14, Q107 to Q111; `delay` Q53 to Q58, Q137 to Q139;
        `dedupe_key` Q59 to Q64, Q94, Q140 to Q145, Q161, Q177; a queue that is full Q173 to Q179.

        Returns:
            The task's id; with a `dedupe_key` that is taken, the id of the task that has it.

        Raises:
            InvalidTask: An argument is out of its limits; nothing was queued.
            Unsupported: `delay`, `priority` or `dedupe_key` was asked for and the backend does not declare it.
            QueueFull: The queue has as many tasks as it may; nothing was queued.
            BackendUnavailable: The store does not answer; the task may have been queued or not.
        """

    @abstractmethod
    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Lease the task that is next: the highest priority first, the oldest first among equals.

        A store that spreads a queue over several parts may keep this order within each only. A call that is cancelled must
        not keep a task: it has leased none, or the task comes back when its lease runs out.
        Promises: Q11 to Q13, Q15 to Q26, Q90 to Q93, Q96, Q107 to Q114, Q129, Q133, Q159, Q162, Q163.

        Args:
            timeout: Seconds to wait for a task; None or 0 does not wait.

        Returns:
            The task under its lease, or None if none came in time.

        Raises:
            BackendUnavailable: The store does not answer.
        """

    @abstractmethod
    async def get_status(self, task_id: str) -> TaskStatus:
        """Return what the queue knows about a task.

        Promises: Q65 to Q70, Q146, Q147, Q164.

        Raises:
            TaskNotFound: There is no such task, or its record has expired.
        """

    @abstractmethod
    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Settle or renew a task under its lease; `StatusUpdate.of` checks the arguments.

        A lease that has run out may still be honoured as long as nobody else has the task.
        Promises: Q26 to Q33, Q35 to Q38, Q93, Q112, Q115 to Q125, Q160.

        Args:
            task_id: The delivery, which names its lease; or the task's id, which stands for the latest lease that this
                service object was given for it.
            status: `completed` settles with `data` as the result; `failed` settles with `data` as the error (text, or an
                object with `error` and `traceback`) and makes it a dead letter, whatever attempts are left; `processing`
                renews the lease for `lease_seconds` from now and keeps `data`, unless it is None, as progress.
            data: Any JSON value; at most 256 KiB as JSON.

        Returns:
            True if it was done. False, and nothing changed, if there is no such task or the lease is no longer ours: it
            was settled, cancelled, or has passed to another.

        Raises:
            InvalidTask: `status` is none of the three, or `data` is not JSON or too large; nothing changed.
        """

    async def probe(self) -> None:
        """Enqueue a task for tomorrow, look at it and cancel it, where the backend can; else `check` only. Promise: Q170.

        Raises:
            IndiaAIError: A step failed.
        """
        await self.check()
        if {"delay", "cancel"} <= self.capabilities:
            task_id = await self.enqueue("indiaai-check", delay=24 * 3600)
            try:
                await self.get_status(task_id)
            finally:
                await self.cancel(task_id)

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Put many tasks into the queue, in one round trip where the backend can.

        All are checked before the first is queued. The default queues one by one: a failure in the middle leaves those
        before it queued.
        Promises: Q63, Q83 to Q85, Q108, Q138, Q156, Q157, Q175.

        Returns:
            Their ids, in the order of the tasks.

        Raises:
            InvalidTask: One of them is out of its limits; nothing was queued.
            QueueFull: The queue has no room for all of them.
        """
        batch = list(tasks)
        for task in batch:
            task.encoded()
        return [
            await self.enqueue(
                task.name,
                task.data,
                delay=task.delay,
                priority=task.priority,
                max_attempts=task.max_attempts,
                dedupe_key=task.dedupe_key,
            )
            for task in batch
        ]

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Lease up to `limit` tasks: waits for the first as `dequeue` does, and takes what is there of the rest.

        Promises: Q86 to Q89, Q108, Q158, Q168.

        Args:
            limit: The most tasks to lease, at least 1.
            timeout: Seconds to wait for the first; None or 0 does not wait.

        Raises:
            InvalidTask: `limit` is less than 1; nothing was leased.
            BackendUnavailable: The store does not answer.
        """
        check_limit(limit)
        first = await self.dequeue(timeout)
        tasks = [first] if first else []
        while tasks and len(tasks) < limit:
            task = await self.dequeue()
            if task is None:
                break
            tasks.append(task)
        return tasks

    async def complete_many(self, results: Sequence[tuple[Task, Any]]) -> list[bool | InvalidTask]:
        """Settle many deliveries as completed, each as `update_status` does, in one round trip where the backend can.

        Promises: Q180 to Q183.

        Args:
            results: Deliveries, each with its result.

        Returns:
            For each, in their order, what `update_status` would have returned, or the `InvalidTask` it would have raised:
            one that cannot be kept keeps no other from being settled.

        Raises:
            BackendUnavailable: The store does not answer; each may have been done or not.
            Unsupported: The backend does not declare `complete_many`.
        """
        raise Unsupported(type(self).__name__, "complete_many")

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Give a task back after a failed attempt, or make it a dead letter if that was its last.

        Promises: Q39 to Q46, Q109, Q128, Q129, Q142, Q143, Q148.

        Args:
            task: The delivery; `task.max_attempts` decides which attempt is the last.
            delay: Seconds before the next delivery, 0 to 366 days.
            error: Why the attempt failed, kept in the status; of more than 16,384 characters, the beginning.
            traceback: Where it failed, as text; of more than 16,384 characters, the end.

        Returns:
            True if it was done; False, and nothing changed, if the lease is no longer ours.

        Raises:
            InvalidTask: `delay` is out of its limits.
            Unsupported: The backend does not declare `retry`.
        """
        raise Unsupported(type(self).__name__, "retry")

    async def release(self, task: Task) -> bool:
        """Give a task back untouched, so that another worker gets it at once; the attempt does not count.

        What a worker that stops does with what it has not begun. The default lets the lease run out.
        Promises: Q34, Q126, Q127, Q178.

        Returns:
            True if it was given back; False if nothing changed.
        """
        return False

    async def cancel(self, task_id: str) -> bool:
        """Stop a task from being worked: a pending one is never delivered, a processing one loses its lease.

        Promises: Q71 to Q77, Q136, Q148, Q149, Q151.

        Returns:
            True if it was pending or processing; False if it had come to an end.

        Raises:
            TaskNotFound: There is no such task.
            Unsupported: The backend does not declare `cancel`.
        """
        raise Unsupported(type(self).__name__, "cancel")

    async def dead_letters(self, limit: int = 100) -> list[TaskStatus]:
        """Return failed tasks whose record is kept, the latest first.

        Promises: Q47, Q48, Q52, Q130 to Q132, Q165.

        Args:
            limit: The most to return, at least 1.

        Raises:
            InvalidTask: `limit` is less than 1.
            Unsupported: The backend does not declare `dead_letters`.
        """
        raise Unsupported(type(self).__name__, "dead_letters")

    async def requeue(self, task_id: str) -> bool:
        """Put a failed or cancelled task back into the queue, last of its equals, with its attempts counted from 0 again.

        A dedupe key that another task has taken meanwhile stays with that one.
        Promises: Q49 to Q51, Q76, Q111, Q131, Q133 to Q136, Q144, Q145, Q165, Q179.

        Returns:
            True if it was; False if the task is not failed or cancelled.

        Raises:
            TaskNotFound: There is no such task.
            QueueFull: The queue has as many tasks as it may; nothing changed.
            Unsupported: The backend does not declare `dead_letters`.
        """
        raise Unsupported(type(self).__name__, "dead_letters")

    async def counts(self) -> Counts:
        """Return how many tasks the queue holds.

        Promises: Q78, Q79, Q150, Q151.

        Raises:
            Unsupported: The backend does not declare `counts`.
        """
        raise Unsupported(type(self).__name__, "counts")

    async def purge(self) -> int:
        """Forget every task that is pending or a dead letter; those under a lease go on.

        Promises: Q80 to Q82, Q152 to Q155.

        Returns:
            How many tasks were forgotten.

        Raises:
            Unsupported: The backend does not declare `purge`.
        """
        raise Unsupported(type(self).__name__, "purge")
