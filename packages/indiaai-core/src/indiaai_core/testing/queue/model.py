"""The plainest model of a queue: a list of tasks and a clock that stands; imported by what holds services against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from indiaai_core.queue import DEFAULT_MAX_ATTEMPTS, FINAL_STATES, Counts, QueueService, Task, TaskState

__all__ = ["ModelTask", "QueueModel"]

_ROUNDING_SECONDS = 1e-6
"""By how much sums of seconds may be off."""


@dataclass
class ModelTask:
    """One task as the model sees it.

    Attributes:
        is_fresh: Whether it was never delayed, delivered or requeued, so that its place among equals is known.
        lease_ends: When its lease runs out. What is past that, and not looked at since, may have lapsed already or not.
        holder: The service object that its latest lease was given through.
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
    holder: QueueService | None = None
    progress: Any = None
    result: Any = None
    is_fresh: bool = True

    @property
    def has_attempts(self) -> bool:
        """Whether it may be delivered once more."""
        return self.attempts < (self.max_attempts or DEFAULT_MAX_ATTEMPTS)


@dataclass
class QueueModel:
    """All tasks of a queue, looked through from the first to the last at every question. Who has the clock sets `now`.

    Attributes:
        keys: The dedupe keys that are taken, and the task that has each.
    """

    lease_seconds: float
    now: float = 0.0
    tasks: dict[str, ModelTask] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def add(self, task: ModelTask) -> None:
        """Take a task in."""
        self.tasks[task.id] = task
        if task.dedupe_key is not None:
            self.keys[task.dedupe_key] = task.id

    def is_over(self, time: float) -> bool:
        """Tell whether an instant has come."""
        return time <= self.now + _ROUNDING_SECONDS

    def has_lapsed(self, task: ModelTask) -> bool:
        """Tell whether a task's lease has run out."""
        return task.state is TaskState.PROCESSING and self.is_over(task.lease_ends)

    def lapsed(self) -> list[ModelTask]:
        """Return the tasks whose lease has run out, of which a store may not have taken notice yet."""
        return [task for task in self.tasks.values() if self.has_lapsed(task)]

    def ready(self, *, has_order: bool = True) -> list[ModelTask]:
        """Return the tasks that may be the next to be delivered, the oldest first.

        Args:
            has_order: Whether only those of the highest priority may.
        """
        ready = [
            task
            for task in self.tasks.values()
            if (task.state is TaskState.PENDING and self.is_over(task.due)) or (self.has_lapsed(task) and task.has_attempts)
        ]
        highest = max((task.priority for task in ready), default=0)
        return [task for task in ready if not has_order or task.priority == highest]

    def held(self, delivery: Task) -> ModelTask | None:
        """Return the task of a delivery, if its lease is still its own."""
        task = self.tasks.get(delivery.id)
        return task if task is not None and task.state is TaskState.PROCESSING and task.lease == delivery.lease else None

    def held_by(self, holder: QueueService, task_id: str) -> ModelTask | None:
        """Return a task, if the latest lease of it that a service object was given is still its own."""
        task = self.tasks.get(task_id)
        return task if task is not None and task.state is TaskState.PROCESSING and task.holder is holder else None

    def deliver(self, task: ModelTask, delivery: Task, *, holder: QueueService) -> None:
        """Lease a task."""
        task.state, task.attempts, task.lease, task.holder = TaskState.PROCESSING, delivery.attempt, delivery.lease, holder
        task.lease_ends, task.is_fresh = self.now + self.lease_seconds, False

    def settle(self, task: ModelTask, status: str, *, data: Any) -> None:
        """Settle or renew."""
        if status == "processing":
            task.lease_ends = self.now + self.lease_seconds
            task.progress = task.progress if data is None else data
        else:
            task.result = data if status == "completed" else None
            self.end(task, TaskState(status))

    def give_back(self, task: ModelTask, *, due: float, is_last: bool = False) -> None:
        """Let an attempt have failed."""
        task.is_fresh = False
        if is_last:
            self.end(task, TaskState.FAILED)
        else:
            task.state, task.due = TaskState.PENDING, due

    def end(self, task: ModelTask, state: TaskState) -> None:
        """Let a task come to an end, which frees its key, if it is the one that has it."""
        task.state = state
        if task.dedupe_key is not None and self.keys.get(task.dedupe_key) == task.id:
            del self.keys[task.dedupe_key]

    def requeue(self, task: ModelTask) -> None:
        """Let a task begin anew; a key that another has taken stays with that one."""
        task.attempts, task.progress = 0, None
        if task.dedupe_key is not None:
            self.keys.setdefault(task.dedupe_key, task.id)
        self.give_back(task, due=self.now)

    def purge(self) -> list[str]:
        """Forget what is pending or a dead letter, and return the ids."""
        gone = [task for task in self.tasks.values() if task.state in (TaskState.PENDING, TaskState.FAILED)]
        for task in gone:
            self.end(task, task.state)
            del self.tasks[task.id]
        return [task.id for task in gone]

    def counts(self) -> Counts:
        """Count the tasks by where they are."""
        states = [task.state for task in self.tasks.values()]
        delayed = sum(task.state is TaskState.PENDING and not self.is_over(task.due) for task in self.tasks.values())
        return Counts(
            pending=states.count(TaskState.PENDING) - delayed,
            delayed=delayed,
            processing=states.count(TaskState.PROCESSING),
            dead=states.count(TaskState.FAILED),
        )

    def nth(self, number: int) -> ModelTask | None:
        """Return one of the tasks; None if there are none."""
        return list(self.tasks.values())[number % len(self.tasks)] if self.tasks else None

    @staticmethod
    def is_live(task: ModelTask) -> bool:
        """Tell whether a task has not come to an end."""
        return task.state not in FINAL_STATES
