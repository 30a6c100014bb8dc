"""Queues that put in, order, deliver or lease wrongly, each in one way; `breaks` is the promise that must notice."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from plain_queue import Entry, PlainQueue, now

from indiaai_core import NewTask, Task, TaskState

__all__: list[str] = []


def is_delayed(entry: Entry | None) -> bool:
    """Tell whether a task had to wait for its time."""
    return entry is not None and entry.task.delay > 0


class MangledData(PlainQueue):
    """Writes a slash as what a URL would make of it."""

    breaks = "Q01"

    def write(self, task: NewTask) -> bytes:
        return super().write(task).replace(b"/", b"%2F")


class IdByContent(PlainQueue):
    """Gives equal tasks one id."""

    breaks = "Q02"

    def new_id(self, task: NewTask, number: int) -> str:
        return f"{task.name}-{task.data}" if task.name == "same" else super().new_id(task, number)


class FloatingNumbers(PlainQueue):
    """Reads every number as a float."""

    breaks = "Q03"

    def read(self, entry: Entry) -> Any:
        return json.loads(entry.text, parse_int=float)


class SharedData(PlainQueue):
    """Delivers the very object that the caller gave."""

    breaks = "Q04"

    def read(self, entry: Entry) -> Any:
        return entry.task.data


class NoneForNothing(PlainQueue):
    """Delivers None where there is no data."""

    breaks = "Q05"

    def read(self, entry: Entry) -> Any:
        return super().read(entry) or None


class AnythingAsText(PlainQueue):
    """Writes bytes as text."""

    breaks = "Q06"

    def write(self, task: NewTask) -> bytes:
        data = {key: repr(value) if isinstance(value, bytes) else value for key, value in task.data.items()}
        return super().write(replace(task, data=data))


class NoLimit(PlainQueue):
    """Takes data of any size, as long as it is English."""

    breaks = "Q07"

    def write(self, task: NewTask) -> bytes:
        return json.dumps(task.data).encode() if "x" * 262_144 in task.data.values() else super().write(task)


class LowLimit(PlainQueue):
    """Refuses data that it should take."""

    breaks = "Q08"

    def write(self, task: NewTask) -> bytes:
        return task.encoded(100_000) if "x" * 200_000 in task.data.values() else super().write(task)


class InventedAttempts(PlainQueue):
    """Fills in the attempts that nobody asked for."""

    breaks = "Q09"

    def deliver(self, entry: Entry) -> Task:
        return replace(super().deliver(entry), max_attempts=entry.task.max_attempts or 5)


class NoAttempts(PlainQueue):
    """Takes no attempts for no opinion."""

    breaks = "Q10"

    def new_task(self, name: str, data: Any, **options: Any) -> NewTask:
        return super().new_task(name, data, **{**options, "max_attempts": options["max_attempts"] or None})


class NumbersAsText(PlainQueue):
    """Orders its numbers as text, where they are all of one service."""

    breaks = "Q11"

    def rank(self, entry: Entry) -> Any:
        is_alone = len({other.owner for other in self.shelf.entries.values()}) == 1
        return -entry.task.priority, str(entry.number) if is_alone else f"{entry.number:09}"


class PrioritiesAsText(PlainQueue):
    """Orders priorities as text, of tasks without data."""

    breaks = "Q12"

    def rank(self, entry: Entry) -> Any:
        priority = entry.task.priority
        return [-priority] if entry.task.data else [-ord(letter) for letter in str(priority)], entry.number


class LatestOfAPriority(PlainQueue):
    """Delivers the latest first among those with a low priority."""

    breaks = "Q13"

    def rank(self, entry: Entry) -> Any:
        return -entry.task.priority, -entry.number if entry.task.priority in (1, 2) else entry.number


class ClampedPriority(PlainQueue):
    """Takes any priority for the nearest that there is."""

    breaks = "Q14"

    def new_task(self, name: str, data: Any, **options: Any) -> NewTask:
        given = options["priority"]
        clamped = max(-100, min(100, given)) if type(given) is int else given
        return super().new_task(name, data, **{**options, "priority": clamped})


class ZeroIsNoTimeout(PlainQueue):
    """Waits for ever when asked not to wait."""

    breaks = "Q15"

    async def wait(self, timeout: float | None) -> Entry | None:
        return await super().wait(3600 if timeout == 0 and timeout is not None else timeout)


class ShortWait(PlainQueue):
    """Gives up half way."""

    breaks = "Q16"

    async def wait(self, timeout: float | None) -> Entry | None:
        return await super().wait(timeout / 2 if timeout else timeout)


class SleepsAlone(PlainQueue):
    """Does not hear what it enqueues itself while a single call waits."""

    breaks = "Q17"
    waiting_calls = 0

    async def wait(self, timeout: float | None) -> Entry | None:
        self.waiting_calls += bool(timeout)
        began, is_first = now(), self.waiting_calls == 1
        entry = await super().wait(timeout)
        is_alone = not any(service.is_closed for service in self.shelf.services)
        is_new = entry is not None and entry.owner is self and entry.started_at is None and not entry.finished
        if timeout and is_first and self.waiting_calls == 1 and is_alone and is_new and not is_delayed(entry) and now() > began:
            await asyncio.sleep(timeout)
        return entry

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Hear everything."""
        self.waiting_calls += 1
        return await super().dequeue_many(limit, timeout)


class SameForAll(PlainQueue):
    """Gives one task to all calls that wait when it comes, where they are many."""

    breaks = "Q18"
    waiting_calls = 0

    async def wait(self, timeout: float | None) -> Entry | None:
        self.waiting_calls += bool(timeout)
        entry = await super().wait(timeout)
        if self.waiting_calls >= 10:
            await asyncio.sleep(0)
        return entry


class TakesBeforeItAnswers(PlainQueue):
    """Takes a task for done before it has answered."""

    breaks = "Q19"
    is_many = False

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Lose the task when cancelled between the two."""
        task = await super().dequeue(timeout)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if task is not None and not self.is_many:
                self.end(self.shelf.entries[task.id], TaskState.COMPLETED)
            raise
        return task

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Lose none."""
        self.is_many = True
        return await super().dequeue_many(limit, timeout)


class TakesWhenCancelled(PlainQueue):
    """Takes the next task with it when a call that waits is cancelled."""

    breaks = "Q20"

    async def wait(self, timeout: float | None) -> Entry | None:
        try:
            return await super().wait(timeout)
        except asyncio.CancelledError:
            entry = self.pick()
            if entry is not None:
                self.end(entry, TaskState.COMPLETED)
            raise


class ShortLeaseAtHome(PlainQueue):
    """Gives a service its own leased tasks again, too early, unless it renewed them."""

    breaks = "Q21"

    def renew(self, entry: Entry, data: bytes | None) -> None:
        super().renew(entry, data)
        entry.cache = "renewed"

    def lapse_all(self) -> None:
        super().lapse_all()
        for entry in self.shelf.entries.values():
            early = entry.lease_ends - 0.26 * self.lease_seconds
            is_ours = entry.holder is self and entry.cache is None
            if entry.state is TaskState.PROCESSING and is_ours and early <= now():
                self.lapse(entry)


class NaiveTimes(PlainQueue):
    """Delivers without a time zone."""

    breaks = "Q22"

    def deliver(self, entry: Entry) -> Task:
        task = super().deliver(entry)
        return replace(task, lease_expires_at=task.lease_expires_at.replace(tzinfo=None))


class DataOnce(PlainQueue):
    """Has no data left for the second delivery after a lapse."""

    breaks = "Q23"

    def lapse(self, entry: Entry) -> None:
        super().lapse(entry)
        entry.text = b"{}" if entry.text == b'{"n":1}' else entry.text


class LapseUnnoticed(PlainQueue):
    """Does not look for its own lapsed leases while it waits."""

    breaks = "Q24"

    def lapse(self, entry: Entry) -> None:
        entry.cache = entry.holder
        super().lapse(entry)

    async def wait(self, timeout: float | None) -> Entry | None:
        entry = await super().wait(timeout)
        if timeout and entry is not None and entry.cache is self:
            await asyncio.sleep(timeout)
        return entry


class LapseWithoutReason(PlainQueue):
    """Does not say why the last attempt failed."""

    breaks = "Q25"

    def lapse(self, entry: Entry) -> None:
        super().lapse(entry)
        entry.error = None if entry.state is TaskState.FAILED else entry.error


class RenewsAnyLease(PlainQueue):
    """Renews for whoever asks at the second attempt."""

    breaks = "Q26"

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Renew without looking at the lease."""
        entry = self.shelf.entries.get(task_id.id) if isinstance(task_id, Task) else None
        if status == "processing" and entry is not None and entry.state is TaskState.PROCESSING and entry.attempts > 1:
            self.renew(entry, self.check_update(status, data).data)
            return True
        return await super().update_status(task_id, status, data)


class RenewsNothing(PlainQueue):
    """Says that it renewed."""

    breaks = "Q36"

    def renew(self, entry: Entry, data: bytes | None) -> None:
        ends = entry.lease_ends
        super().renew(entry, data)
        entry.lease_ends = ends


class RenewsForEver(PlainQueue):
    """Takes a renewal for a lease without end."""

    breaks = "Q37"

    def renew(self, entry: Entry, data: bytes | None) -> None:
        super().renew(entry, data)
        entry.lease_ends = float("inf") if data is None else entry.lease_ends


class ForgetsProgress(PlainQueue):
    """Takes a renewal without progress for no progress."""

    breaks = "Q38"

    def renew(self, entry: Entry, data: bytes | None) -> None:
        super().renew(entry, data)
        entry.progress = data
