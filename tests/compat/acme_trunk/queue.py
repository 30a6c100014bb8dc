"""The queue backend `trunk`: tasks of a process, with the four methods that a queue needs, and `retry` and `delay` beside."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from indiaai_core import (
    BackendSettings,
    BackendUnavailable,
    NewTask,
    QueueService,
    SettingsConfigDict,
    Task,
    TaskNotFound,
    TaskState,
    TaskStatus,
    Unsupported,
)
from indiaai_core.queue import DEFAULT_MAX_ATTEMPTS, StatusUpdate, check_delay
from indiaai_core.settings import load_settings

__all__ = ["TrunkQueueService", "TrunkQueueSettings"]


class TrunkQueueSettings(BackendSettings):
    """How long a lease lasts."""

    model_config = SettingsConfigDict(env_prefix="TRUNK_QUEUE_")

    lease_seconds: float = Field(default=30, gt=0, description="how long a delivery is the only one")


@dataclass(eq=False)
class _Entry:
    id: str
    task: NewTask
    text: bytes
    due: float
    enqueued_at: datetime
    state: TaskState = TaskState.PENDING
    attempts: int = 0
    lease: str = ""
    lease_ends: float = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: bytes | None = None
    result: bytes | None = None
    error: str | None = None
    traceback: str | None = None


class TrunkQueueService(QueueService):
    """Tasks in a dictionary, in the order in which they came; for the tasks of one event loop."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"retry", "delay", "in_process"})
    contract_version: ClassVar[int] = 1
    settings_class: ClassVar[type[TrunkQueueSettings]] = TrunkQueueSettings

    def __init__(self, settings: TrunkQueueSettings | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with no task."""
        self.settings = settings or load_settings(TrunkQueueSettings)
        self.lease_seconds = self.settings.lease_seconds
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._is_closed = False

    async def check(self) -> None:
        """Refuse where the queue is closed."""
        if self._is_closed:
            raise BackendUnavailable("The trunk is closed: ask the platform for another.")

    async def aclose(self) -> None:
        """End, with all tasks."""
        self._is_closed = True

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
        """Put a task in, last of all."""
        await self.check()
        data = {} if task_data is None else task_data
        task = NewTask(task_name, data, delay, priority, max_attempts, dedupe_key)
        for name, is_asked in (("priority", priority), ("dedupe", dedupe_key is not None)):
            if is_asked:
                raise Unsupported(type(self).__name__, name)
        entry = _Entry(secrets.token_hex(8), task, task.encoded(), self._clock() + delay, datetime.now(UTC))
        self._entries[entry.id] = entry
        return entry.id

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Lease the first task that is due; looks again and again while it waits."""
        await self.check()
        ends = time.monotonic() + (timeout or 0)
        while not self._is_closed:
            entry = next(self._due(), None)
            if entry is not None:
                return self._deliver(entry)
            if time.monotonic() >= ends:
                break
            await asyncio.sleep(0.02)
        return None

    async def get_status(self, task_id: str) -> TaskStatus:
        """Return what is known of a task."""
        await self.check()
        self._lapse()
        if task_id not in self._entries:
            raise TaskNotFound(task_id)
        entry = self._entries[task_id]
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

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Settle a task, or renew its lease."""
        await self.check()
        update = StatusUpdate.of(status, data)
        entry = self._held(task_id)
        if entry is None:
            return False
        if update.state is TaskState.PROCESSING:
            entry.lease_ends = self._clock() + self.lease_seconds
            entry.progress = entry.progress if update.data is None else update.data
            return True
        entry.result = update.data if update.state is TaskState.COMPLETED else None
        entry.error, entry.traceback = update.error or None, update.traceback
        self._end(entry, update.state)
        return True

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Give a task back, or end it where that was its last attempt."""
        await self.check()
        check_delay(delay)
        update = StatusUpdate.failure(error, traceback=traceback)
        entry = self._held(task)
        if entry is None:
            return False
        entry.error, entry.traceback = update.error, update.traceback
        if task.is_last_attempt:
            self._end(entry, TaskState.FAILED)
        else:
            self._give_back(entry, delay)
        return True

    def _due(self) -> Iterator[_Entry]:
        self._lapse()
        now = self._clock()
        return (entry for entry in self._entries.values() if entry.state is TaskState.PENDING and entry.due <= now)

    def _deliver(self, entry: _Entry) -> Task:
        entry.state, entry.started_at = TaskState.PROCESSING, datetime.now(UTC)
        entry.attempts, entry.lease = entry.attempts + 1, secrets.token_hex(8)
        entry.lease_ends = self._clock() + self.lease_seconds
        return Task(
            id=entry.id,
            name=entry.task.name,
            data=json.loads(entry.text),
            attempt=entry.attempts,
            max_attempts=entry.task.max_attempts,
            priority=entry.task.priority,
            enqueued_at=entry.enqueued_at,
            lease_expires_at=datetime.now(UTC) + timedelta(seconds=self.lease_seconds),
            lease=entry.lease,
        )

    def _held(self, task: str | Task) -> _Entry | None:
        self._lapse()
        entry = self._entries.get(task.id if isinstance(task, Task) else task)
        if entry is None or entry.state is not TaskState.PROCESSING:
            return None
        return entry if not isinstance(task, Task) or entry.lease == task.lease else None

    def _lapse(self) -> None:
        for entry in list(self._entries.values()):
            if entry.state is TaskState.PROCESSING and entry.lease_ends <= self._clock():
                entry.error, entry.traceback = "The lease ran out.", None
                if entry.attempts >= (entry.task.max_attempts or DEFAULT_MAX_ATTEMPTS):
                    self._end(entry, TaskState.FAILED)
                else:
                    self._give_back(entry, 0)

    def _give_back(self, entry: _Entry, delay: float) -> None:
        entry.state, entry.lease, entry.due = TaskState.PENDING, "", self._clock() + delay
        self._entries[entry.id] = self._entries.pop(entry.id)  # last of all

    def _end(self, entry: _Entry, state: TaskState) -> None:
        entry.state, entry.lease, entry.finished_at = state, "", datetime.now(UTC)
