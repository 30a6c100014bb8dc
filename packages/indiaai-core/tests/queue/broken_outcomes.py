"""Queues that settle, retry, list or requeue wrongly, each in one way; `breaks` is the promise that must notice."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from plain_queue import Entry, PlainQueue, now

from indiaai_core import Task, TaskNotFound, TaskState, TaskStatus
from indiaai_core.queue import StatusUpdate

__all__: list[str] = []


class CompletedComesAgain(PlainQueue):
    """Delivers a completed task again when its lease would have ended, if it has an object for a result."""

    breaks = "Q27"

    def lapse_all(self) -> None:
        super().lapse_all()
        for entry in self.shelf.entries.values():
            is_of_pages = entry.result == b'{"pages":3}'
            if entry.state is TaskState.COMPLETED and is_of_pages and entry.lease_ends <= now():
                self.give_back(entry, due=now())


class FailedComesAgain(PlainQueue):
    """Delivers a failed task again when its lease would have ended."""

    breaks = "Q28"

    def lapse_all(self) -> None:
        super().lapse_all()
        for entry in self.shelf.entries.values():
            if (
                entry.state is TaskState.FAILED
                and entry.lease
                and entry.lease_ends <= now()
                and entry.error != "The lease ran out."
            ):
                self.give_back(entry, due=now())


class NoTraceback(PlainQueue):
    """Keeps the error only, of the shortest."""

    breaks = "Q29"

    def settle(self, entry: Entry, update: StatusUpdate) -> None:
        super().settle(entry, replace(update, traceback=None) if update.traceback == "line 7" else update)


class ProgressAfterTheEnd(PlainQueue):
    """Lets a completed task be renewed."""

    breaks = "Q30"

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Renew what is completed, too."""
        is_done = await super().update_status(task_id, status, data)
        entry = self.shelf.entries.get(task_id.id) if isinstance(task_id, Task) else None
        return is_done or (status == "processing" and entry is not None and entry.state is TaskState.COMPLETED)


class DeliveriesOnly(PlainQueue):
    """Does not know what a plain id stands for."""

    breaks = "Q31"

    def held(self, task: str | Task) -> Entry | None:
        return super().held(task) if isinstance(task, Task) else None


class SettlesTheUnknown(PlainQueue):
    """Is content with a task that is not there."""

    breaks = "Q32"

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Say that it was done."""
        is_done = await super().update_status(task_id, status, data)
        return is_done or task_id == "no-such-task"


class UnknownStatus(PlainQueue):
    """Takes a status of its own for `completed`."""

    breaks = "Q33"

    def check_update(self, status: TaskState | str, data: Any) -> StatusUpdate:
        return super().check_update("completed" if status == "done" else status, data)


class CountsReleased(PlainQueue):
    """Counts an attempt that was given back."""

    breaks = "Q34"

    async def release(self, task: Task) -> bool:
        """Give back, and count."""
        is_done = await super().release(task)
        self.shelf.entries[task.id].attempts += is_done and task.max_attempts is None
        return is_done


class NoEmptyResults(PlainQueue):
    """Takes an empty result for none."""

    breaks = "Q35"

    def settle(self, entry: Entry, update: StatusUpdate) -> None:
        super().settle(entry, replace(update, data=None if update.data in (b'""', b"[]") else update.data))


class RetryLosesData(PlainQueue):
    """Retries without the data."""

    breaks = "Q39"

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Retry, and drop the data."""
        if error == "no route":
            self.shelf.entries[task.id].text = b"{}"
        return await super().retry(task, delay, error, traceback=traceback)


class RetriesAtOnce(PlainQueue):
    """Does not wait before a retry after a second."""

    breaks = "Q40"

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Retry, and forget a delay of a second."""
        self.check_retry(delay)
        return await super().retry(task, 0 if delay == 1 else delay, error, traceback=traceback)


class RetryWithoutTraceback(PlainQueue):
    """Keeps no short traceback of a retry."""

    breaks = "Q41"

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Retry, and drop the traceback."""
        return await super().retry(task, delay, error, traceback=traceback if len(traceback or "") > 100 else None)


class ErrorOfTheCompleted(PlainQueue):
    """Keeps an error beside a result."""

    breaks = "Q42"

    def settle(self, entry: Entry, update: StatusUpdate) -> None:
        error, traceback = entry.error, entry.traceback
        super().settle(entry, update)
        if update.state is TaskState.COMPLETED and error != "The lease ran out.":
            entry.error, entry.traceback = error, traceback


class LastErrorLost(PlainQueue):
    """Keeps the error of the last attempt but one."""

    breaks = "Q43"

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Retry, and keep the first error."""
        known = self.shelf.entries[task.id].error
        return await super().retry(task, delay, known or error, traceback=traceback)


class OwnIdeaOfTheLast(PlainQueue):
    """Counts attempts by what was enqueued, whatever the handler says."""

    breaks = "Q44"

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Retry by its own limit."""
        own = replace(task, max_attempts=self.shelf.entries[task.id].task.max_attempts)
        return await super().retry(own, delay, error, traceback=traceback)


class RetriesAnyLease(PlainQueue):
    """Says that it retried for a lease that had passed on."""

    breaks = "Q45"

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Retry, and say so."""
        is_done = await super().retry(task, delay, error, traceback=traceback)
        return is_done or self.shelf.entries[task.id].state is TaskState.PROCESSING


class NegativeRetry(PlainQueue):
    """Takes a delay in the past for now."""

    breaks = "Q46"

    def check_retry(self, delay: float) -> None:
        super().check_retry(0 if delay == -1 else delay)


class OldestDeadFirst(PlainQueue):
    """Lists a few dead letters in the order of their deaths."""

    breaks = "Q47"

    async def dead_letters(self, limit: int = 100) -> list[TaskStatus]:
        """List them."""
        return (await super().dead_letters(1000))[::-1][:limit] if limit == 2 else await super().dead_letters(limit)


class EverythingIsDead(PlainQueue):
    """Takes the completed for dead letters, too."""

    breaks = "Q48"

    def is_dead(self, entry: Entry) -> bool:
        return super().is_dead(entry) or entry.state is TaskState.COMPLETED


class RequeueKeepsTheError(PlainQueue):
    """Goes on telling the error of a task that begins anew."""

    breaks = "Q49"

    async def requeue(self, task_id: str) -> bool:
        """Requeue, with the error of before."""
        error = self.find(task_id).error
        is_done = await super().requeue(task_id)
        self.find(task_id).error = error
        return is_done


class RequeuesTheCompleted(PlainQueue):
    """Lets what completed run again."""

    breaks = "Q50"

    async def requeue(self, task_id: str) -> bool:
        """Requeue anything."""
        entry = self.find(task_id)
        if entry.state is TaskState.COMPLETED:
            entry.state = TaskState.FAILED
        return await super().requeue(task_id)


class RequeuesTheUnknown(PlainQueue):
    """Says False for a task that is not there."""

    breaks = "Q51"

    async def requeue(self, task_id: str) -> bool:
        """Requeue what is there."""
        try:
            return await super().requeue(task_id)
        except TaskNotFound:
            if task_id == "no-such-task":
                return False
            raise


class LapsedAreNotDead(PlainQueue):
    """Lists only what a worker has failed."""

    breaks = "Q52"

    def is_dead(self, entry: Entry) -> bool:
        return super().is_dead(entry) and entry.error != "The lease ran out."


class StartsWhenItCame(PlainQueue):
    """Says that a task began when it came."""

    breaks = "Q65"

    def status_of(self, entry: Entry) -> TaskStatus:
        status = super().status_of(entry)
        return replace(status, started_at=status.started_at or status.enqueued_at)


class EndsAtTheStart(PlainQueue):
    """Says that a task has ended when it begins."""

    breaks = "Q66"

    def status_of(self, entry: Entry) -> TaskStatus:
        status = super().status_of(entry)
        return replace(status, finished_at=status.started_at) if entry.state is TaskState.PROCESSING else status


class NaiveStatus(PlainQueue):
    """Tells times without a zone."""

    breaks = "Q67"

    def status_of(self, entry: Entry) -> TaskStatus:
        status = super().status_of(entry)
        return replace(status, enqueued_at=status.enqueued_at.replace(tzinfo=None))


class CountsToOne(PlainQueue):
    """Counts no further than one while a task is worked."""

    breaks = "Q68"

    def status_of(self, entry: Entry) -> TaskStatus:
        status = super().status_of(entry)
        return replace(status, attempts=min(1, status.attempts)) if status.state is TaskState.PROCESSING else status


class PatternsForIds(PlainQueue):
    """Chokes on an id that looks like a pattern."""

    breaks = "Q69"

    async def get_status(self, task_id: str) -> TaskStatus:
        """Look for a pattern."""
        if "*" in task_id:
            raise KeyError(task_id)
        return await super().get_status(task_id)


class SharedResults(PlainQueue):
    """Hands out its own copy of a result."""

    breaks = "Q70"

    def settle(self, entry: Entry, update: StatusUpdate) -> None:
        super().settle(entry, update)
        entry.cache = None if update.data is None else json.loads(update.data)

    def status_of(self, entry: Entry) -> TaskStatus:
        return replace(super().status_of(entry), result=entry.cache)


class NoIdeaOfFailure(PlainQueue):
    """Has no end to show for a cancelled task."""

    breaks = "Q71"

    def status_of(self, entry: Entry) -> TaskStatus:
        status = super().status_of(entry)
        return replace(status, finished_at=None) if status.state is TaskState.CANCELLED else status
