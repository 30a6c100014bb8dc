"""A queue that does what the contract says in the plainest way, and is cut into small methods that a broken one overrides."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from indiaai_core import (
    BackendUnavailable,
    Counts,
    InvalidTask,
    NewTask,
    QueueFull,
    QueueService,
    Task,
    TaskNotFound,
    TaskState,
    TaskStatus,
)
from indiaai_core.queue import FINAL_STATES, StatusUpdate, check_delay, check_limit

__all__ = ["Entry", "PlainQueue", "Shelf", "now"]


def now() -> float:
    """Return the event loop's time, which the tests let jump."""
    return asyncio.get_running_loop().time()


@dataclass(eq=False)
class Entry:
    """One task."""

    id: str
    number: int
    task: NewTask
    text: bytes
    due: float
    owner: QueueService
    enqueued_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    state: TaskState = TaskState.PENDING
    attempts: int = 0
    lease: str = ""
    lease_ends: float = 0.0
    holder: QueueService | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    finished: int = 0
    progress: bytes | None = None
    result: bytes | None = None
    error: str | None = None
    traceback: str | None = None
    has_key: bool = True
    cache: Any = None


@dataclass
class Shelf:
    """What the services on one store share."""

    entries: dict[str, Entry] = field(default_factory=dict)
    services: list[PlainQueue] = field(default_factory=list)
    room: int = 1_000_000
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def next_number(self) -> int:
        """Count up."""
        return next(self.numbers)


class PlainQueue(QueueService):
    """Looks through all tasks at every call, and looks again and again while it waits."""

    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"retry", "cancel", "dead_letters", "counts", "purge", "complete_many", "delay", "priority", "dedupe"}
    )
    contract_version: ClassVar[int] = 1
    lease_seconds = 1.0
    max_bytes: ClassVar[int] = 256 * 1024

    def __init__(self, shelf: Shelf | None = None) -> None:
        """Join a shelf, or bring one."""
        self.shelf = shelf or Shelf()
        self.shelf.services.append(self)
        self.is_closed = False

    def require_open(self) -> None:
        """Refuse to work after the end."""
        if self.is_closed:
            raise BackendUnavailable("The queue is closed.")

    def find(self, task_id: str) -> Entry:
        """Return a task."""
        self.lapse_all()
        if task_id not in self.shelf.entries:
            raise TaskNotFound(task_id)
        return self.shelf.entries[task_id]

    # Putting in

    def new_task(self, name: str, data: Any, **options: Any) -> NewTask:
        """Check the arguments of `enqueue`."""
        return NewTask(name, data, **options)

    def write(self, task: NewTask) -> bytes:
        """Write a task's data."""
        return task.encoded(self.max_bytes)

    def read(self, entry: Entry) -> Any:
        """Read a task's data."""
        return json.loads(entry.text)

    def new_id(self, task: NewTask, number: int) -> str:
        """Return an id for a task."""
        return f"task-{number}"

    def same_key(self, entry: Entry, key: str) -> bool:
        """Tell whether a task has a key."""
        return entry.has_key and entry.state not in FINAL_STATES and entry.task.dedupe_key == key

    def key_holder(self, key: str | None) -> Entry | None:
        """Return the task that has a key."""
        taken = (entry for entry in self.shelf.entries.values() if key is not None and self.same_key(entry, key))
        return next(taken, None)

    def held_tasks(self) -> int:
        """Count what takes room."""
        return sum(entry.state not in FINAL_STATES for entry in self.shelf.entries.values())

    def require_room(self, count: int) -> None:
        """Refuse what does not fit."""
        held = self.held_tasks()
        if held + count > self.shelf.room:
            raise QueueFull(f"The queue holds {held} tasks and has no room for {count} more.")

    def put(self, task: NewTask, text: bytes) -> str:
        """Put one task in."""
        self.lapse_all()
        holder = self.key_holder(task.dedupe_key)
        if holder is not None:
            return holder.id
        self.require_room(1)
        number = self.shelf.next_number()
        task_id = self.new_id(task, number)
        self.shelf.entries[task_id] = Entry(task_id, number, task, text, due=now() + task.delay, owner=self)
        return task_id

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
        """Put a task into the queue."""
        self.require_open()
        task = self.new_task(
            task_name,
            {} if task_data is None else task_data,
            delay=delay,
            priority=priority,
            max_attempts=max_attempts,
            dedupe_key=dedupe_key,
        )
        return self.put(task, self.write(task))

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Put all of them into the queue, or none."""
        self.require_open()
        batch = [(task, self.write(task)) for task in tasks]
        keys = {task.dedupe_key for task, _ in batch} - {None}
        unkeyed = sum(task.dedupe_key is None for task, _ in batch)
        self.require_room(unkeyed + sum(self.key_holder(key) is None for key in keys))
        return [self.put(task, text) for task, text in batch]

    # Taking out

    def is_ready(self, entry: Entry) -> bool:
        """Tell whether a task may be delivered."""
        return entry.state is TaskState.PENDING and entry.due <= now()

    def rank(self, entry: Entry) -> Any:
        """Return what orders the tasks."""
        return -entry.task.priority, entry.number

    def lapse_all(self) -> None:
        """Let leases run out."""
        for entry in list(self.shelf.entries.values()):
            if entry.state is TaskState.PROCESSING and entry.lease_ends <= now():
                self.lapse(entry)

    def lapse(self, entry: Entry) -> None:
        """Let one lease run out."""
        entry.error, entry.traceback = "The lease ran out.", None
        if entry.attempts >= (entry.task.max_attempts or 5):
            self.end(entry, TaskState.FAILED)
        else:
            self.give_back(entry, due=now())

    def give_back(self, entry: Entry, *, due: float) -> None:
        """Let a task wait again."""
        entry.state, entry.due, entry.lease, entry.holder = TaskState.PENDING, due, "", None

    def pick(self) -> Entry | None:
        """Return the task that is next."""
        self.lapse_all()
        return min(filter(self.is_ready, self.shelf.entries.values()), key=self.rank, default=None)

    def hold(self, entry: Entry) -> None:
        """Lease a task."""
        entry.state, entry.started_at = TaskState.PROCESSING, datetime.now(UTC)
        entry.attempts += 1
        entry.lease, entry.holder = f"lease-{self.shelf.next_number()}", self
        entry.lease_ends = now() + self.lease_seconds

    def deliver(self, entry: Entry) -> Task:
        """Lease a task and return the delivery."""
        self.hold(entry)
        return Task(
            id=entry.id,
            name=entry.task.name,
            data=self.read(entry),
            attempt=entry.attempts,
            max_attempts=entry.task.max_attempts,
            priority=entry.task.priority,
            enqueued_at=entry.enqueued_at,
            lease_expires_at=datetime.now(UTC) + timedelta(seconds=self.lease_seconds),
            lease=entry.lease,
            dedupe_key=entry.task.dedupe_key,
        )

    async def wait(self, timeout: float | None) -> Entry | None:
        """Wait for a task, without taking it."""
        end = now() + (timeout or 0)
        while True:
            entry = None if self.is_closed else self.pick()
            if entry is not None or self.is_closed or now() >= end:
                return entry
            await asyncio.sleep(0.02)

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Lease the task that is next."""
        self.require_open()
        entry = await self.wait(timeout)
        return None if entry is None else self.deliver(entry)

    # Settling

    def held(self, task: str | Task) -> Entry | None:
        """Return a task if the lease is the caller's."""
        self.lapse_all()
        entry = self.shelf.entries.get(task.id if isinstance(task, Task) else task)
        if entry is None or entry.state is not TaskState.PROCESSING:
            return None
        return entry if (entry.lease == task.lease if isinstance(task, Task) else entry.holder is self) else None

    def check_update(self, status: TaskState | str, data: Any) -> StatusUpdate:
        """Check the arguments of `update_status`."""
        return StatusUpdate.of(status, data)

    def end(self, entry: Entry, state: TaskState) -> None:
        """Let a task come to an end."""
        entry.state, entry.finished_at, entry.finished = state, datetime.now(UTC), self.shelf.next_number()

    def renew(self, entry: Entry, data: bytes | None) -> None:
        """Renew a lease."""
        entry.lease_ends = now() + self.lease_seconds
        entry.progress = entry.progress if data is None else data

    def settle(self, entry: Entry, update: StatusUpdate) -> None:
        """Settle a task."""
        if update.state is TaskState.COMPLETED:
            entry.result, entry.error, entry.traceback = update.data, None, None
        else:
            entry.error, entry.traceback = update.error, update.traceback
        self.end(entry, update.state)

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Settle or renew a task."""
        self.require_open()
        update = self.check_update(status, data)
        entry = self.held(task_id)
        if entry is None:
            return False
        if update.state is TaskState.PROCESSING:
            self.renew(entry, update.data)
        else:
            self.settle(entry, update)
        return True

    async def complete_many(self, results: Sequence[tuple[Task, Any]]) -> list[bool | InvalidTask]:
        """Complete many, one after the other."""
        self.require_open()
        return [await self.complete(task, result) for task, result in results]

    async def complete(self, task: Task, result: Any) -> bool | InvalidTask:
        """Complete one of many."""
        try:
            return await PlainQueue.update_status(self, task, TaskState.COMPLETED, result)
        except InvalidTask as error:
            return error

    async def release(self, task: Task) -> bool:
        """Give a task back."""
        self.require_open()
        entry = self.held(task)
        if entry is None:
            return False
        entry.attempts -= 1
        self.give_back(entry, due=now())
        return True

    def check_retry(self, delay: float) -> None:
        """Check the delay of a retry."""
        check_delay(delay)

    def failure(self, error: str, traceback: str | None) -> StatusUpdate:
        """Shorten the error of a retry."""
        return StatusUpdate.failure(error, traceback=traceback)

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Try a task again."""
        self.require_open()
        self.check_retry(delay)
        failure = self.failure(error, traceback)
        entry = self.held(task)
        if entry is None:
            return False
        entry.error, entry.traceback = failure.error, failure.traceback
        if task.is_last_attempt:
            self.end(entry, TaskState.FAILED)
        else:
            self.give_back(entry, due=now() + delay)
        return True

    # Operating

    def status_of(self, entry: Entry) -> TaskStatus:
        """Return a task's status."""
        return TaskStatus(
            id=entry.id,
            name=entry.task.name,
            state=entry.state,
            attempts=entry.attempts,
            enqueued_at=entry.enqueued_at,
            started_at=entry.started_at,
            finished_at=entry.finished_at,
            progress=None if entry.progress is None else json.loads(entry.progress),
            result=None if entry.result is None else json.loads(entry.result),
            error=entry.error,
            traceback=entry.traceback,
        )

    async def get_status(self, task_id: str) -> TaskStatus:
        """Return a task's status."""
        self.require_open()
        return self.status_of(self.find(task_id))

    async def cancel(self, task_id: str) -> bool:
        """Cancel a task."""
        self.require_open()
        entry = self.find(task_id)
        if entry.state in FINAL_STATES:
            return False
        self.end(entry, TaskState.CANCELLED)
        return True

    def is_dead(self, entry: Entry) -> bool:
        """Tell a dead letter."""
        return entry.state is TaskState.FAILED

    async def dead_letters(self, limit: int = 100) -> list[TaskStatus]:
        """Return dead letters."""
        self.require_open()
        check_limit(limit)
        self.lapse_all()
        dead = sorted(filter(self.is_dead, self.shelf.entries.values()), key=lambda entry: -entry.finished)
        return [self.status_of(entry) for entry in dead[:limit]]

    async def requeue(self, task_id: str) -> bool:
        """Requeue a task."""
        self.require_open()
        entry = self.find(task_id)
        if entry.state not in (TaskState.FAILED, TaskState.CANCELLED):
            return False
        self.require_room(1)
        entry.has_key = self.key_holder(entry.task.dedupe_key) is None
        entry.attempts, entry.number = 0, self.shelf.next_number()
        entry.error = entry.traceback = entry.finished_at = entry.started_at = entry.progress = None
        self.give_back(entry, due=now())
        return True

    async def counts(self) -> Counts:
        """Count the tasks."""
        self.require_open()
        self.lapse_all()
        states = [entry.state for entry in self.shelf.entries.values()]
        waiting = [entry for entry in self.shelf.entries.values() if entry.state is TaskState.PENDING]
        delayed = sum(entry.due > now() for entry in waiting)
        return Counts(len(waiting) - delayed, delayed, states.count(TaskState.PROCESSING), states.count(TaskState.FAILED))

    def is_purged(self, entry: Entry) -> bool:
        """Tell what a purge forgets."""
        return entry.state in (TaskState.PENDING, TaskState.FAILED)

    async def purge(self) -> int:
        """Forget tasks."""
        self.require_open()
        self.lapse_all()
        gone = list(filter(self.is_purged, self.shelf.entries.values()))
        for entry in gone:
            del self.shelf.entries[entry.id]
        return len(gone)

    async def check(self) -> None:
        """Prove that it is open."""
        self.require_open()

    async def aclose(self) -> None:
        """Close, and let those who wait notice."""
        self.is_closed = True
