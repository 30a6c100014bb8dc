"""A queue in memory that a test can look into and break, and what tests of the worker wait with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, ClassVar
from uuid import uuid4

import anyio
import anyio.lowlevel

from indiaai_core import BackendUnavailable, InvalidTask, NewTask, QueueService, Task, TaskNotFound, TaskState, TaskStatus
from indiaai_core.queue import encode_json

__all__ = ["BareQueue", "FakeQueue", "LonelyQueue", "TogetherQueue", "make_task", "states", "until"]


def make_task(name: str = "process", data: dict[str, Any] | None = None, **changes: Any) -> Task:
    """Return a delivery that no queue knows."""
    now = datetime.now(UTC)
    task = Task(
        id=uuid4().hex,
        name=name,
        data={} if data is None else data,
        attempt=1,
        max_attempts=None,
        priority=0,
        enqueued_at=now,
        lease_expires_at=now + timedelta(seconds=30),
        lease=uuid4().hex,
    )
    return replace(task, **changes)


async def until(condition: Callable[[], object], *, seconds: float = 15.0) -> None:
    """Wait for a condition, and fail where it does not come true in time."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - conditions are of many kinds, and few tell when they come true
            await anyio.sleep(0.002)


@dataclass
class Entry:
    """A task as the fake keeps it."""

    new: NewTask
    id: str
    due_at: float
    state: TaskState = TaskState.PENDING
    attempts: int = 0
    lease: str = ""
    lease_ends_at: float = 0.0
    progress: Any = None
    result: Any = None
    error: str | None = None
    traceback: str | None = None
    max_attempts: int | None = None
    history: list[str] = field(default_factory=list)


class BareQueue(QueueService):
    """The four abstract methods, and the means to see and break what the worker does with them.

    Attributes:
        entries: The tasks by id.
        calls: The name of every call, in order.
        failures: For a method's name, the errors its next calls raise.
        hangs: The names of the methods that do not answer.
    """

    def __init__(self, *, lease_seconds: float = 30.0) -> None:
        """Begin empty."""
        self.lease_seconds = lease_seconds
        self.entries: dict[str, Entry] = {}
        self.calls: list[str] = []
        self.failures: dict[str, list[Exception]] = {}
        self.hangs: set[str] = set()
        self._arrived = asyncio.Event()

    def fail(self, method: str, *, times: int = 1, error: Exception | None = None) -> None:
        """Have the next calls of a method raise."""
        self.failures[method] = [error or BackendUnavailable("The store does not answer.") for _ in range(times)]

    def entry(self, task_id: str) -> Entry:
        """Return a task as it is kept."""
        return self.entries[task_id]

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
        await self._answer("enqueue")
        new = NewTask(
            task_name, task_data or {}, delay=delay, priority=priority, max_attempts=max_attempts, dedupe_key=dedupe_key
        )
        new.encoded()
        for entry in self.entries.values():
            if dedupe_key and entry.new.dedupe_key == dedupe_key and entry.state in {"pending", "processing"}:
                return entry.id
        entry = Entry(new, f"task-{len(self.entries) + 1}", time.monotonic() + delay, max_attempts=max_attempts)
        self.entries[entry.id] = entry
        self._arrived.set()
        return entry.id

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Lease the oldest task that is due."""
        await self._answer("dequeue")
        ends_at = time.monotonic() + (timeout or 0)
        while True:
            self._arrived.clear()
            for entry in self.entries.values():
                if self._is_due(entry):
                    return self._lease(entry)
            wait = ends_at - time.monotonic()
            if wait <= 0:
                return None
            with anyio.move_on_after(min(wait, 0.01)):
                await self._arrived.wait()

    async def get_status(self, task_id: str) -> TaskStatus:
        """Return what is known about a task."""
        if task_id not in self.entries:
            raise TaskNotFound(task_id)
        entry = self.entries[task_id]
        return TaskStatus(
            id=entry.id,
            name=entry.new.name,
            state=entry.state,
            attempts=entry.attempts,
            enqueued_at=datetime.now(UTC),
            progress=entry.progress,
            result=entry.result,
            error=entry.error,
            traceback=entry.traceback,
        )

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Settle or renew a task."""
        assert isinstance(task_id, Task), "the worker must settle under the lease that it holds"
        await self._answer(f"update_status:{status}")
        encode_json(data, what="data", max_bytes=256 * 1024)
        entry = self._held(task_id)
        if entry is None:
            return False
        if status == TaskState.PROCESSING:
            entry.lease_ends_at = time.monotonic() + self.lease_seconds
            entry.progress = entry.progress if data is None else data
            return True
        entry.state, entry.lease = TaskState(status), ""
        if status == TaskState.COMPLETED:
            entry.result = data
        else:
            entry.error, entry.traceback = data["error"], data.get("traceback")
        return True

    async def _answer(self, call: str) -> None:
        self.calls.append(call)
        await anyio.lowlevel.checkpoint()
        if call in self.hangs:
            await anyio.sleep_forever()
        if self.failures.get(call):
            raise self.failures[call].pop(0)

    def _is_due(self, entry: Entry) -> bool:
        now = time.monotonic()
        is_lapsed = entry.state is TaskState.PROCESSING and entry.lease_ends_at <= now
        return is_lapsed or (entry.state is TaskState.PENDING and entry.due_at <= now)

    def _lease(self, entry: Entry) -> Task:
        entry.attempts += 1
        entry.state = TaskState.PROCESSING
        entry.lease = uuid4().hex
        entry.lease_ends_at = time.monotonic() + self.lease_seconds
        return make_task(
            entry.new.name,
            dict(entry.new.data),
            id=entry.id,
            attempt=entry.attempts,
            max_attempts=entry.new.max_attempts,
            lease=entry.lease,
        )

    def _held(self, task: Task) -> Entry | None:
        entry = self.entries.get(task.id)
        return entry if entry is not None and entry.lease and entry.lease == task.lease else None


class FakeQueue(BareQueue):
    """A queue that declares what the worker makes use of."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"retry", "cancel", "delay", "dedupe"})

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Lease up to `limit` tasks, in one step: a call that is cancelled keeps none."""
        first = await self.dequeue(timeout)
        due = (entry for entry in self.entries.values() if self._is_due(entry))
        return [] if first is None else [first, *(self._lease(entry) for entry in islice(due, limit - 1))]

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Give a task back after a failed attempt."""
        await self._answer("retry")
        encode_json([error, traceback], what="error")
        entry = self._held(task)
        if entry is None:
            return False
        entry.state, entry.lease, entry.due_at = TaskState.PENDING, "", time.monotonic() + delay
        entry.error, entry.traceback, entry.max_attempts = error, traceback, task.max_attempts
        self._arrived.set()
        return True

    async def release(self, task: Task) -> bool:
        """Give a task back untouched."""
        await self._answer("release")
        entry = self._held(task)
        if entry is None:
            return False
        entry.state, entry.lease, entry.due_at = TaskState.PENDING, "", time.monotonic()
        entry.attempts -= 1
        self._arrived.set()
        return True

    async def cancel(self, task_id: str) -> bool:
        """Stop a task from being worked."""
        entry = self.entries[task_id]
        entry.state, entry.lease = TaskState.CANCELLED, ""
        return True


class LonelyQueue(FakeQueue):
    """A queue that lives in this process."""

    capabilities: ClassVar[frozenset[str]] = FakeQueue.capabilities | {"in_process"}


class TogetherQueue(FakeQueue):
    """A queue that is told of many results at once.

    Attributes:
        together: How many results each call brought.
    """

    capabilities: ClassVar[frozenset[str]] = FakeQueue.capabilities | {"complete_many"}

    def __init__(self, *, lease_seconds: float = 30.0) -> None:
        """Begin empty."""
        super().__init__(lease_seconds=lease_seconds)
        self.together: list[int] = []

    async def complete_many(self, results: Sequence[tuple[Task, Any]]) -> list[bool | InvalidTask]:
        """Settle many tasks as completed."""
        await self._answer("complete_many")
        self.together.append(len(results))
        answers: list[bool | InvalidTask] = []
        for task, result in results:
            try:
                answers.append(await super().update_status(task, TaskState.COMPLETED, result))
            except InvalidTask as error:
                answers.append(error)
        return answers


def states(queue: BareQueue) -> list[str]:
    """Return the tasks' states, in the order they were enqueued."""
    return [entry.state.value for entry in queue.entries.values()]
