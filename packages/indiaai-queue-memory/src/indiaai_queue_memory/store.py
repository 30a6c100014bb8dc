"""The queue's state machine, on a clock that is given to it; imported by what shares it between threads.

It waits for nothing, locks nothing and does no I/O. Every operation is O(log n) in the tasks it holds.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, islice

from indiaai_core import Counts, QueueFull, Task, TaskNotFound, TaskState
from indiaai_core.queue import DEFAULT_MAX_ATTEMPTS, FINAL_STATES, StatusUpdate
from indiaai_queue_memory.record import Lease, Record
from indiaai_queue_memory.schedule import Schedule
from indiaai_queue_memory.settings import MemorySettings

__all__ = ["Store"]

SLICE = 500
"""How many records one call moves or forgets at most: 500 take about 1 ms."""


class Store:
    """All tasks of one queue. A task is in exactly one of `ready`, `delayed`, `leased`, `dead` and `finished`."""

    def __init__(self, settings: MemorySettings, *, clock: Callable[[], float]) -> None:
        """Start empty."""
        self._settings = settings
        self._clock = clock
        self._sequences = count(1)
        self._tokens = count(1)
        self._reserved = 0
        self._records: dict[str, Record] = {}
        self._keys: dict[str, Record] = {}
        self.ready = Schedule()
        self._delayed = Schedule()
        self._leased = Schedule()
        self._dead: OrderedDict[str, Record] = OrderedDict()
        self._finished: OrderedDict[str, Record] = OrderedDict()

    @property
    def room(self) -> int:
        """How many more tasks it may hold."""
        held = len(self.ready) + len(self._delayed) + len(self._leased) + self._reserved
        return self._settings.max_tasks - held

    def count_new(self, records: Sequence[Record]) -> int:
        """Count the records that would be put in: those without a key that is taken."""
        keys = {record.dedupe_key for record in records if record.dedupe_key is not None}
        return sum(record.dedupe_key is None for record in records) + len(keys - self._keys.keys())

    def next_due(self) -> float:
        """Return when the next delay or lease ends, on the clock; infinity if there is none."""
        return min(self._delayed.first_key(), self._leased.first_key())

    def advance(self) -> bool:
        """Do what has come due: delays end, leases lapse, records expire.

        Returns:
            Whether more is due than one slice: the caller should let others run, and call again.
        """
        now = self._clock()
        return all(self._advance_one(now) for _ in range(SLICE))

    def add(self, records: Sequence[Record]) -> list[str]:
        """Put in all of the records, or none.

        Returns:
            Their ids; where a dedupe key is taken, the id of the task that has it.

        Raises:
            QueueFull: There is no room for all of them.
        """
        self._require_room(self.count_new(records))
        return [self._add(record) for record in records]

    def reserve(self, records: Sequence[Record]) -> int:
        """Keep room for records that are put in part by part; give it back with `unreserve` when they are.

        Raises:
            QueueFull: There is no room for all of them.
        """
        room = self.count_new(records)
        self._require_room(room)
        self._reserved += room
        return room

    def add_reserved(self, records: Sequence[Record]) -> list[str]:
        """Put in records for which room is kept."""
        return [self._add(record) for record in records]

    def unreserve(self, count: int) -> None:
        """Give room back."""
        self._reserved -= count

    def lease(self, limit: int, *, holder: object) -> list[Lease]:
        """Lease up to `limit` of the tasks that are ready."""
        now = datetime.now(UTC)
        expires_at = now + timedelta(seconds=self._settings.lease_seconds)
        due = self._clock() + self._settings.lease_seconds
        return [self._lease(holder, now, expires_at, due) for _ in range(min(limit, len(self.ready)))]

    def update(self, task: str | Task, update: StatusUpdate, *, holder: object) -> bool:
        """Settle or renew a task under its lease."""
        record = self._held(task, holder)
        if record is None:
            return False
        if update.state is TaskState.PROCESSING:
            record.due = self._clock() + self._settings.lease_seconds
            self._leased.push(record, record.due)
            record.progress = record.progress if update.data is None else update.data
            return True
        if update.state is TaskState.COMPLETED:
            record.result, record.error, record.traceback = update.data, None, None
            record.data = b"{}"  # a completed task never runs again
        else:
            record.error, record.traceback = update.error, update.traceback
        self._finish(record, update.state)
        return True

    def retry(self, task: Task, *, delay: float, failure: StatusUpdate) -> bool:
        """Give a task back after a failed attempt; the delivery says whether it was the last."""
        record = self._held(task, None)
        if record is None:
            return False
        record.error, record.traceback = failure.error, failure.traceback
        if task.is_last_attempt:
            self._finish(record, TaskState.FAILED)
        else:
            self._to_pending(record, delay)
        return True

    def release(self, task: Task) -> bool:
        """Give a task back as if it had not been delivered."""
        record = self._held(task, None)
        if record is None:
            return False
        record.attempts -= 1
        self._to_pending(record, 0)
        return True

    def cancel(self, task_id: str) -> bool:
        """Take a task that has not ended out of the queue, and its lease from whoever has it."""
        record = self._find(task_id)
        if record.state in FINAL_STATES:
            return False
        self._finish(record, TaskState.CANCELLED)
        return True

    def requeue(self, task_id: str) -> bool:
        """Let a failed or cancelled task begin anew."""
        record = self._find(task_id)
        if record.state not in (TaskState.FAILED, TaskState.CANCELLED):
            return False
        self._require_room(1)
        self._dead.pop(task_id, None)
        self._finished.pop(task_id, None)
        record.attempts, record.sequence = 0, next(self._sequences)
        record.started_at = record.finished_at = record.progress = record.error = record.traceback = None
        if record.dedupe_key is not None:
            self._keys.setdefault(record.dedupe_key, record)
        self._to_pending(record, 0)
        return True

    def status(self, task_id: str) -> Record:
        """Return a copy of a task's record."""
        return copy.copy(self._find(task_id))

    def dead_letters(self, limit: int) -> list[Record]:
        """Return copies of the latest dead letters, the latest first."""
        return [copy.copy(record) for record in islice(reversed(self._dead.values()), limit)]

    def counts(self) -> Counts:
        """Count the tasks by where they are."""
        return Counts(len(self.ready), len(self._delayed), len(self._leased), len(self._dead))

    def forgettable(self) -> list[Record]:
        """Return every task that is pending or a dead letter."""
        return [*self.ready, *self._delayed, *self._dead.values()]

    def forget(self, records: Sequence[Record]) -> int:
        """Forget those of the records that are pending or dead letters still; return how many."""
        kept = [r for r in records if r.state in (TaskState.PENDING, TaskState.FAILED) and r.id in self._records]
        for record in kept:
            self._forget(record)
        return len(kept)

    def _advance_one(self, now: float) -> bool:
        if self._delayed.first_key() <= now:
            self._to_pending(self._delayed.pop(), 0)
        elif self._leased.first_key() <= now:
            self._lapse(self._leased.pop())
        else:
            return self._expire(self._finished, now) or self._expire(self._dead, now)
        return True

    def _expire(self, ended: OrderedDict[str, Record], now: float) -> bool:
        oldest = next(iter(ended.values()), None)
        if oldest is None or oldest.due > now:
            return False
        self._forget(oldest)
        return True

    def _add(self, record: Record) -> str:
        if record.dedupe_key is not None:
            holder = self._keys.setdefault(record.dedupe_key, record)
            if holder is not record:
                return holder.id
        self._records[record.id] = record
        record.sequence = next(self._sequences)
        self._to_pending(record, record.due)
        return record.id

    def _lease(self, holder: object, now: datetime, expires_at: datetime, due: float) -> Lease:
        record = self.ready.pop()
        record.state, record.started_at, record.due = TaskState.PROCESSING, now, due
        record.attempts += 1
        record.lease, record.holder = str(next(self._tokens)), holder
        self._leased.push(record, due)
        return Lease(record, record.lease, record.attempts, record.data, expires_at)

    def _lapse(self, record: Record) -> None:
        seconds = self._settings.lease_seconds
        record.error = f"The lease ran out: the worker neither settled nor renewed the task within {seconds:g} s."
        record.traceback = None
        if record.attempts >= (record.max_attempts or DEFAULT_MAX_ATTEMPTS):  # what a handler allows is not known here
            self._finish(record, TaskState.FAILED)
        else:
            self._to_pending(record, 0)

    def _to_pending(self, record: Record, delay: float) -> None:
        self._take_out(record)
        record.state = TaskState.PENDING
        if delay > 0:
            record.due = self._clock() + delay
            self._delayed.push(record, record.due)
        else:
            self.ready.push(record, -record.priority)

    def _finish(self, record: Record, state: TaskState) -> None:
        self._take_out(record)
        self._free_key(record)
        record.state, record.finished_at = state, datetime.now(UTC)
        record.due = self._clock() + self._settings.keep_finished_seconds
        ended = self._dead if state is TaskState.FAILED else self._finished
        ended[record.id] = record
        while len(ended) > self._settings.keep_finished_tasks:
            self._forget(next(iter(ended.values())))

    def _take_out(self, record: Record) -> None:
        if record.state is TaskState.PROCESSING:
            self._leased.discard(record)
            record.lease, record.holder = "", None
        elif record.state is TaskState.PENDING:
            self.ready.discard(record)
            self._delayed.discard(record)

    def _free_key(self, record: Record) -> None:
        if record.dedupe_key is not None and self._keys.get(record.dedupe_key) is record:
            del self._keys[record.dedupe_key]

    def _forget(self, record: Record) -> None:
        self._take_out(record)
        self._free_key(record)
        self._dead.pop(record.id, None)
        self._finished.pop(record.id, None)
        del self._records[record.id]

    def _find(self, task_id: str) -> Record:
        record = self._records.get(task_id)
        if record is None:
            raise TaskNotFound(task_id)
        return record

    def _held(self, task: str | Task, holder: object) -> Record | None:
        if isinstance(task, Task):
            record = self._records.get(task.id)
            return record if record is not None and record.lease and record.lease == task.lease else None
        record = self._records.get(task)
        return record if record is not None and record.lease and record.holder is holder else None

    def _require_room(self, count: int) -> None:
        if count > self.room:
            most = self._settings.max_tasks
            raise QueueFull(
                f"The queue holds {most - self.room} of at most {most} tasks and has no room for {count} more. "
                f"Try again when workers have caught up, or raise {self._settings.variables('MEMORY_QUEUE_MAX_TASKS')}."
            )
