"""What the queue keeps of one task; imported by the store."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from indiaai_core.queue import NewTask, Task, TaskState, TaskStatus

__all__ = ["Lease", "Record"]


@dataclass(slots=True, eq=False)
class Record:
    """One task, from `enqueue` until it is forgotten. Data stays JSON, so that nobody's later change reaches it.

    Attributes:
        sequence: Its place among equals, given when it is put in; a requeued task gets a new one.
        due: When its delay, its lease or its record ends, whichever it has now, on the store's clock; until it is put in,
            the delay.
        lease: The token of its lease; empty while it has none.
        holder: The service object that the lease was given through.
    """

    id: str
    name: str
    data: bytes
    priority: int
    max_attempts: int | None
    dedupe_key: str | None
    enqueued_at: datetime
    sequence: int = 0
    due: float = 0.0
    state: TaskState = TaskState.PENDING
    attempts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: bytes | None = None
    result: bytes | None = None
    error: str | None = None
    traceback: str | None = None
    lease: str = ""
    holder: object = None

    @classmethod
    def of(cls, task: NewTask, data: bytes) -> Self:
        """Return the record of a task that is to be put in, with an id of its own."""
        task_id, now = uuid.uuid4().hex, datetime.now(UTC)
        return cls(task_id, task.name, data, task.priority, task.max_attempts, task.dedupe_key, now, due=task.delay)

    def as_status(self) -> TaskStatus:
        """Return what a caller may know; call it on a copy, outside of the lock: reading JSON takes its time."""
        times = (self.enqueued_at, self.started_at, self.finished_at)
        outcome = (_read(self.progress), _read(self.result), self.error, self.traceback)
        return TaskStatus(self.id, self.name, self.state, self.attempts, *times, *outcome)


class Lease(NamedTuple):
    """One delivery, as it was when it was made: the record itself may change as soon as the lock is free."""

    record: Record
    token: str
    attempt: int
    data: bytes
    expires_at: datetime

    def as_task(self) -> Task:
        """Return the delivery with its data read; outside of the lock."""
        record = self.record
        return Task(
            id=record.id,
            name=record.name,
            data=json.loads(self.data),
            attempt=self.attempt,
            max_attempts=record.max_attempts,
            priority=record.priority,
            enqueued_at=record.enqueued_at,
            lease_expires_at=self.expires_at,
            lease=self.token,
            dedupe_key=record.dedupe_key,
        )


def _read(text: bytes | None) -> Any:
    return None if text is None else json.loads(text)
