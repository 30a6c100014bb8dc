"""The plainest model of a queue, and a service that is held against it call by call.

Imported by the promise about any sequence of calls, and by stateful tests of backends whose clock can be set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from indiaai_core.errors import TaskNotFound
from indiaai_core.queue import DEFAULT_MAX_ATTEMPTS, FINAL_STATES, Counts, QueueService, Task, TaskState

__all__ = ["ModelTask", "ModelledQueue", "QueueModel"]


@dataclass
class ModelTask:
    """One task as the model sees it.

    Attributes:
        is_fresh: Whether it was never delivered or requeued, so that its place among equals is known.
    """

    id: str
    priority: int
    max_attempts: int | None
    dedupe_key: str | None
    due: float
    state: TaskState = TaskState.PENDING
    attempts: int = 0
    lease: str = ""
    lease_ends: float = 0.0
    result: Any = None
    is_fresh: bool = True

    @property
    def limit(self) -> int:
        """How many attempts it has."""
        return self.max_attempts or DEFAULT_MAX_ATTEMPTS


@dataclass
class QueueModel:
    """A list of tasks, looked through from its start to its end at every question. `now` is set by whoever has the clock."""

    lease_seconds: float
    now: float = 0.0
    tasks: dict[str, ModelTask] = field(default_factory=dict)

    def catch_up(self) -> None:
        """Let leases run out."""
        for task in self.tasks.values():
            if task.state is TaskState.PROCESSING and task.lease_ends <= self.now:
                self.give_back(task, due=self.now, is_last=task.attempts >= task.limit)

    def ready(self) -> list[ModelTask]:
        """Return the tasks of the highest priority that may be delivered, the oldest first."""
        waiting = [task for task in self.tasks.values() if task.state is TaskState.PENDING and task.due <= self.now]
        return [task for task in waiting if task.priority == max(other.priority for other in waiting)]

    def holder_of(self, dedupe_key: str | None) -> ModelTask | None:
        """Return the task that has a key."""
        live = [task for task in self.tasks.values() if task.state not in FINAL_STATES]
        return next((task for task in live if dedupe_key is not None and task.dedupe_key == dedupe_key), None)

    def held(self, delivery: Task) -> ModelTask | None:
        """Return the task of a delivery, if its lease is still its own."""
        task = self.tasks.get(delivery.id)
        return task if task is not None and task.state is TaskState.PROCESSING and task.lease == delivery.lease else None

    def give_back(self, task: ModelTask, *, due: float, is_last: bool) -> None:
        """Let an attempt have failed."""
        task.state, task.due, task.is_fresh = (TaskState.FAILED if is_last else TaskState.PENDING), due, False

    def counts(self) -> Counts:
        """Count the tasks by where they are."""
        states = [task.state for task in self.tasks.values()]
        delayed = sum(task.state is TaskState.PENDING and task.due > self.now for task in self.tasks.values())
        return Counts(
            pending=states.count(TaskState.PENDING) - delayed,
            delayed=delayed,
            processing=states.count(TaskState.PROCESSING),
            dead=states.count(TaskState.FAILED),
        )


class ModelledQueue:
    """A service beside its model: every call is made of both, and they must agree.

    What a call is about is chosen by number: `nth` stands for one of all tasks, or one of all deliveries, those of the past
    included.
    """

    def __init__(self, service: QueueService, *, now: Callable[[], float] = lambda: 0.0) -> None:
        """Start beside a service that is empty.

        Args:
            service: What is held against the model.
            now: Its clock; standing still where nobody can set it.
        """
        self.service = service
        self.model = QueueModel(service.lease_seconds)
        self.deliveries: list[Task] = []
        self._now = now

    async def enqueue(
        self, *, priority: int = 0, delay: float = 0, max_attempts: int | None = None, dedupe_key: str | None = None
    ) -> None:
        """Enqueue a task."""
        self._catch_up()
        holder = self.model.holder_of(dedupe_key)

        task_id = await self.service.enqueue(
            "process", delay=delay, priority=priority, max_attempts=max_attempts, dedupe_key=dedupe_key
        )

        if holder is not None:
            assert task_id == holder.id, "a key that is taken gives another task's id"
            return
        assert task_id not in self.model.tasks, "an id was given twice"
        self.model.tasks[task_id] = ModelTask(task_id, priority, max_attempts, dedupe_key, self.model.now + delay)

    async def dequeue(self) -> None:
        """Lease the next task."""
        self._catch_up()
        ready = self.model.ready()

        delivery = await self.service.dequeue()

        if delivery is None:
            assert not ready, f"nothing was delivered though {len(ready)} tasks are ready"
            return
        task = self.model.tasks[delivery.id]
        oldest_fresh = next((other for other in ready if other.is_fresh), None)
        assert task in ready, f"{task} was delivered, which is not ready or not of the highest priority"
        assert not task.is_fresh or task is oldest_fresh, "a task was delivered before an older one of its priority"
        assert delivery.attempt == task.attempts + 1, f"attempt {delivery.attempt} follows {task.attempts}"
        assert all(delivery.lease != other.lease for other in self.deliveries), "a lease's token was given twice"
        task.state, task.attempts, task.lease = TaskState.PROCESSING, delivery.attempt, delivery.lease
        task.lease_ends, task.is_fresh = self.model.now + self.model.lease_seconds, False
        self.deliveries.append(delivery)

    async def update(self, *, nth: int, status: str) -> None:
        """Settle or renew one of the deliveries."""
        self._catch_up()
        if not self.deliveries:
            return
        delivery = self.deliveries[nth % len(self.deliveries)]
        task = self.model.held(delivery)

        is_done = await self.service.update_status(delivery, status, nth)

        assert is_done == (task is not None), f"{status} said {is_done}"
        if task is not None and status == "processing":
            task.lease_ends = self.model.now + self.model.lease_seconds
        elif task is not None:
            task.state = TaskState(status)
            task.result = nth if status == "completed" else None

    async def retry(self, *, nth: int, delay: float = 0) -> None:
        """Retry one of the deliveries."""
        self._catch_up()
        if not self.deliveries:
            return
        delivery = self.deliveries[nth % len(self.deliveries)]
        task = self.model.held(delivery)

        is_done = await self.service.retry(delivery, delay, "once more")

        assert is_done == (task is not None), f"retry said {is_done}"
        if task is not None:
            self.model.give_back(task, due=self.model.now + delay, is_last=delivery.is_last_attempt)

    async def release(self, *, nth: int) -> None:
        """Release one of the deliveries."""
        self._catch_up()
        if not self.deliveries:
            return
        delivery = self.deliveries[nth % len(self.deliveries)]
        task = self.model.held(delivery)

        is_done = await self.service.release(delivery)

        assert not is_done or task is not None, "a lease that is over was released"
        if task is not None and is_done:
            self.model.give_back(task, due=self.model.now, is_last=False)
            task.attempts -= 1

    async def cancel(self, *, nth: int) -> None:
        """Cancel one of the tasks."""
        self._catch_up()
        if not self.model.tasks:
            return
        task = self._nth_task(nth)
        is_live = task.state not in FINAL_STATES

        assert await self.service.cancel(task.id) == is_live
        if is_live:
            task.state = TaskState.CANCELLED

    async def requeue(self, *, nth: int) -> None:
        """Requeue one of the tasks."""
        self._catch_up()
        if not self.model.tasks:
            return
        task = self._nth_task(nth)
        is_ended = task.state in (TaskState.FAILED, TaskState.CANCELLED)
        if is_ended and self.model.holder_of(task.dedupe_key) is not None:
            return  # two tasks with one key would then live, and the model knows of one

        assert await self.service.requeue(task.id) == is_ended
        if is_ended:
            self.model.give_back(task, due=self.model.now, is_last=False)
            task.attempts = 0

    async def purge(self) -> None:
        """Purge the queue."""
        self._catch_up()
        gone = [task.id for task in self.model.tasks.values() if task.state in (TaskState.PENDING, TaskState.FAILED)]

        assert await self.service.purge() == len(gone)
        for task_id in gone:
            del self.model.tasks[task_id]
            try:
                await self.service.get_status(task_id)
            except TaskNotFound:
                continue
            raise AssertionError(f"{task_id} was purged and is still known")

    async def compare(self) -> None:
        """Compare every task's status, and the counts where the backend has them."""
        self._catch_up()
        for task in self.model.tasks.values():
            status = await self.service.get_status(task.id)
            found = (status.state, status.attempts, status.result)
            assert found == (task.state, task.attempts, task.result), f"{found} is not what {task} says"
        if {"counts", "purge"} <= self.service.capabilities:  # what cannot be purged may be left from before
            assert await self.service.counts() == self.model.counts()

    async def empty(self) -> None:
        """Leave nothing that would be delivered to others."""
        for delivery in self.deliveries:
            await self.service.update_status(delivery, "completed")
        while (task := await self.service.dequeue()) is not None:
            await self.service.update_status(task, "completed")
        if "purge" in self.service.capabilities:
            await self.service.purge()

    def _nth_task(self, nth: int) -> ModelTask:
        return list(self.model.tasks.values())[nth % len(self.model.tasks)]

    def _catch_up(self) -> None:
        self.model.now = self._now()
        self.model.catch_up()
