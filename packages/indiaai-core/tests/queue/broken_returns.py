"""Queues that lease, settle, give back, list or requeue wrongly in rarer ways, each in one; `breaks` must notice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from plain_queue import Entry, PlainQueue, now

from indiaai_core import Counts, InvalidTask, NewTask, Task, TaskState, TaskStatus
from indiaai_core.queue import StatusUpdate

__all__: list[str] = []


class OrdersByService(PlainQueue):
    """Delivers what one service enqueued before what another did."""

    breaks = "Q107"

    def rank(self, entry: Entry) -> Any:
        owner = next(number for number, service in enumerate(self.shelf.services) if service is entry.owner)
        return -entry.task.priority, owner, entry.number


class ManyByAge(PlainQueue):
    """Leases many by their age alone."""

    breaks = "Q108"
    is_many = False

    def rank(self, entry: Entry) -> Any:
        return (0, entry.number) if self.is_many else super().rank(entry)

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Lease the oldest."""
        self.is_many = True
        return await super().dequeue_many(limit, timeout)


class PriorityOnce(PlainQueue):
    """Takes a task that comes back for one like any other."""

    breaks = "Q109"

    def give_back(self, entry: Entry, *, due: float) -> None:
        super().give_back(entry, due=due)
        entry.cache = "returned"

    def rank(self, entry: Entry) -> Any:
        return (0, entry.number) if entry.cache == "returned" else super().rank(entry)


class DelayedComeLast(PlainQueue):
    """Puts what comes due behind all others."""

    breaks = "Q110"

    def rank(self, entry: Entry) -> Any:
        return entry.task.delay > 0, super().rank(entry)


class RequeuedComeFirst(PlainQueue):
    """Requeues a task at its old place."""

    breaks = "Q111"

    async def requeue(self, task_id: str) -> bool:
        """Requeue where it was."""
        number = self.find(task_id).number
        is_done = await super().requeue(task_id)
        self.find(task_id).number = number
        return is_done


class HonoursInWords(PlainQueue):
    """Says that it settled a lease that had run out, and delivers the task again."""

    breaks = "Q112"

    def lapse(self, entry: Entry) -> None:
        entry.cache = entry.lease
        super().lapse(entry)

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Say that it was done."""
        is_done = await super().update_status(task_id, status, data)
        entry = self.shelf.entries.get(task_id.id) if isinstance(task_id, Task) else None
        is_late = entry is not None and isinstance(task_id, Task) and entry.cache == task_id.lease
        return is_done or (is_late and entry is not None and entry.state is TaskState.PENDING)


class LapsesInSilence(PlainQueue):
    """Does not say that a lease ran out while attempts are left."""

    breaks = "Q113"

    def lapse(self, entry: Entry) -> None:
        super().lapse(entry)
        entry.error = None if entry.state is TaskState.PENDING else entry.error


class AllLapseTogether(PlainQueue):
    """Lets all leases run out with the first."""

    breaks = "Q114"

    def lapse_all(self) -> None:
        held = [entry for entry in self.shelf.entries.values() if entry.state is TaskState.PROCESSING]
        if any(entry.lease_ends <= now() for entry in held):
            for entry in held:
                self.lapse(entry)


class NoFalseProgress(PlainQueue):
    """Takes progress that counts as false for none."""

    breaks = "Q115"

    def renew(self, entry: Entry, data: bytes | None) -> None:
        super().renew(entry, None if data in (b"0", b"false", b'""', b"[]", b"{}") else data)


class ProgressOfAnAttempt(PlainQueue):
    """Forgets the progress when a task is delivered again."""

    breaks = "Q116"

    def hold(self, entry: Entry) -> None:
        super().hold(entry)
        entry.progress = None


class TextOfAnything(PlainQueue):
    """Writes an error that is a list as Python would."""

    breaks = "Q120"

    def check_update(self, status: TaskState | str, data: Any) -> StatusUpdate:
        return super().check_update(status, str(data) if status == "failed" and isinstance(data, list) else data)


class EndOfAnError(PlainQueue):
    """Keeps the end of a long error."""

    breaks = "Q121"

    def check_update(self, status: TaskState | str, data: Any) -> StatusUpdate:
        update = super().check_update(status, data)
        is_cut = isinstance(data, dict) and len(str(data.get("error"))) > len(update.error) > 0
        return replace(update, error=str(data["error"])[-len(update.error) :]) if is_cut else update


class CleanErrors(PlainQueue):
    """Leaves out of an error what cannot be printed."""

    breaks = "Q122"

    def check_update(self, status: TaskState | str, data: Any) -> StatusUpdate:
        update = super().check_update(status, data)
        return replace(update, error=update.error.replace("\0", ""))


class PatternsSettle(PlainQueue):
    """Takes `*` for any task."""

    breaks = "Q123"

    def held(self, task: str | Task) -> Entry | None:
        entries = [entry for entry in self.shelf.entries.values() if entry.state is TaskState.PROCESSING]
        return entries[0] if task == "*" and entries else super().held(task)


class EmptyLeaseOpens(PlainQueue):
    """Takes no lease for any lease."""

    breaks = "Q124"

    def held(self, task: str | Task) -> Entry | None:
        entry = self.shelf.entries.get(task.id) if isinstance(task, Task) and not task.lease else None
        return entry if entry is not None and entry.state is TaskState.PROCESSING else super().held(task)


class SmallerResults(PlainQueue):
    """Refuses the largest result."""

    breaks = "Q125"

    def check_update(self, status: TaskState | str, data: Any) -> StatusUpdate:
        if status == "completed" and isinstance(data, str) and len(data) == 262_142:
            raise InvalidTask("The result is too large.")
        return super().check_update(status, data)


class ReleasesCost(PlainQueue):
    """Fails a task that is released at its last attempt."""

    breaks = "Q126"

    async def release(self, task: Task) -> bool:
        """Give back, or fail."""
        entry = self.held(task)
        if entry is not None and task.is_last_attempt:
            self.end(entry, TaskState.FAILED)
            return True
        return await super().release(task)


class ReleasesAnyLease(PlainQueue):
    """Gives back whatever is worked."""

    breaks = "Q127"

    async def release(self, task: Task) -> bool:
        """Give back without looking at the lease."""
        entry = self.find(task.id)
        return await super().release(replace(task, lease=entry.lease))


class LongRetries(PlainQueue):
    """Does not shorten the error of a retry."""

    breaks = "Q128"

    def failure(self, error: str, traceback: str | None) -> StatusUpdate:
        return replace(super().failure(error, traceback), error=error or "no reason")


class ReturnsUnnoticed(PlainQueue):
    """Does not notice, while it waits, a task that was retried."""

    breaks = "Q129"

    async def wait(self, timeout: float | None) -> Entry | None:
        entry = await super().wait(timeout)
        if timeout and entry is not None and entry.attempts and entry.error != "The lease ran out.":
            await asyncio.sleep(timeout)
        return entry


class LettersWithoutProgress(PlainQueue):
    """Lists dead letters without their progress."""

    breaks = "Q130"

    async def dead_letters(self, limit: int = 100) -> list[TaskStatus]:
        """List less."""
        return [replace(letter, progress=None) for letter in await super().dead_letters(limit)]


class FirstDeathCounts(PlainQueue):
    """Lists a dead letter by when it failed first."""

    breaks = "Q131"

    def end(self, entry: Entry, state: TaskState) -> None:
        finished = entry.finished
        super().end(entry, state)
        entry.finished = finished or entry.finished


class NoLettersWanted(PlainQueue):
    """Gives no dead letter when asked for none."""

    breaks = "Q132"

    async def dead_letters(self, limit: int = 100) -> list[TaskStatus]:
        """List, or not."""
        return [] if limit == 0 else await super().dead_letters(limit)


class RequeuesUnnoticed(PlainQueue):
    """Does not notice, while it waits, a task that was requeued."""

    breaks = "Q133"

    async def wait(self, timeout: float | None) -> Entry | None:
        entry = await super().wait(timeout)
        if timeout and entry is not None and entry.finished:
            await asyncio.sleep(timeout)
        return entry


class OneMoreAttempt(PlainQueue):
    """Gives a requeued task one attempt."""

    breaks = "Q134"

    def lapse(self, entry: Entry) -> None:
        if entry.finished:
            self.end(entry, TaskState.FAILED)
        else:
            super().lapse(entry)


class RequeuesTwice(PlainQueue):
    """Lets others in between looking at a task and requeuing it."""

    breaks = "Q135"

    async def requeue(self, task_id: str) -> bool:
        """Look, wait, and requeue."""
        entry = self.find(task_id)
        if entry.state is TaskState.FAILED:
            await asyncio.sleep(0)
            entry.state = TaskState.FAILED
        return await super().requeue(task_id)


class LinesInIds(PlainQueue):
    """Chokes on an id of two lines when it cancels."""

    breaks = "Q136"

    async def cancel(self, task_id: str) -> bool:
        """Cancel what has one line."""
        if "\n" in task_id:
            raise ValueError(task_id)
        return await super().cancel(task_id)


class KeyWhenDue(PlainQueue):
    """Does not look for a key at what is delayed."""

    breaks = "Q141"

    def same_key(self, entry: Entry, key: str) -> bool:
        return not (entry.task.delay and entry.due > now()) and super().same_key(entry, key)


class KeyOfAnAttempt(PlainQueue):
    """Frees the key of a task that comes back."""

    breaks = "Q142"

    def give_back(self, entry: Entry, *, due: float) -> None:
        super().give_back(entry, due=due)
        entry.has_key = entry.has_key and not entry.attempts


class KeyOfTheLapsed(PlainQueue):
    """Does not free the key of a task whose last lease ran out."""

    breaks = "Q143"

    def same_key(self, entry: Entry, key: str) -> bool:
        is_lapsed = entry.state is TaskState.FAILED and entry.error == "The lease ran out."
        return super().same_key(entry, key) or (is_lapsed and entry.task.dedupe_key == key)


class RequeuedWithoutKey(PlainQueue):
    """Requeues a task without its key."""

    breaks = "Q144"

    async def requeue(self, task_id: str) -> bool:
        """Requeue, and drop the key."""
        is_done = await super().requeue(task_id)
        self.find(task_id).has_key = False
        return is_done


class RequeuedTakesTheKey(PlainQueue):
    """Takes a key away from the task that has it for the one that is requeued."""

    breaks = "Q145"

    async def requeue(self, task_id: str) -> bool:
        """Requeue, and take the key."""
        is_done = await super().requeue(task_id)
        for entry in self.shelf.entries.values():
            entry.has_key = entry.has_key and entry.task.dedupe_key is None
        self.find(task_id).has_key = True
        return is_done


class BeganOnce(PlainQueue):
    """Says when a task began first."""

    breaks = "Q146"

    def hold(self, entry: Entry) -> None:
        began = entry.started_at
        super().hold(entry)
        entry.started_at = began or entry.started_at


class RetriesTheCancelled(PlainQueue):
    """Lets a worker retry what was cancelled."""

    breaks = "Q148"

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Retry what was cancelled, too."""
        entry = self.find(task.id)
        if entry.state is TaskState.CANCELLED:
            self.give_back(entry, due=now())
            return True
        return await super().retry(task, delay, error, traceback=traceback)


class CountsRetriedAsWaiting(PlainQueue):
    """Does not tell what waits for its retry from what waits."""

    breaks = "Q150"

    async def counts(self) -> Counts:
        """Count together."""
        counts = await super().counts()
        again = sum(entry.attempts > 0 and entry.due > now() for entry in self.shelf.entries.values())
        return replace(counts, pending=counts.pending + again, delayed=counts.delayed - again)


class CountsTheCancelled(PlainQueue):
    """Counts what was cancelled under a lease as leased."""

    breaks = "Q151"

    async def counts(self) -> Counts:
        """Count too many."""
        counts = await super().counts()
        gone = sum(entry.state is TaskState.CANCELLED and entry.lease != "" for entry in self.shelf.entries.values())
        return replace(counts, processing=counts.processing + gone)


class PurgesWhatComesBack(PlainQueue):
    """Forgets what was leased during a purge when it comes back."""

    breaks = "Q152"

    async def purge(self) -> int:
        """Purge, and mark what is leased."""
        for entry in self.shelf.entries.values():
            entry.cache = "purged"
        return await super().purge()

    def give_back(self, entry: Entry, *, due: float) -> None:
        super().give_back(entry, due=due)
        if entry.cache == "purged":
            del self.shelf.entries[entry.id]


class PurgeLeavesTheDelayed(PlainQueue):
    """Does not purge what is delayed."""

    breaks = "Q153"

    def is_purged(self, entry: Entry) -> bool:
        return super().is_purged(entry) and entry.due <= now()


class PurgesTheCompleted(PlainQueue):
    """Forgets what has completed, too."""

    breaks = "Q154"

    def is_purged(self, entry: Entry) -> bool:
        return super().is_purged(entry) or entry.state is TaskState.COMPLETED


class PurgedForGood(PlainQueue):
    """Delivers little after a purge of many."""

    breaks = "Q155"
    purged = 0

    async def purge(self) -> int:
        """Purge, and count."""
        self.purged = await super().purge()
        return self.purged

    def is_ready(self, entry: Entry) -> bool:
        return super().is_ready(entry) and not (self.purged >= 3 and entry.number % 2)


class HalfASource(PlainQueue):
    """Queues what the source of a batch gave before it failed."""

    breaks = "Q156"

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Queue what there is."""
        batch: list[NewTask] = []
        try:
            batch.extend(tasks)
        except LookupError:
            await super().enqueue_many(batch)
            raise
        return await super().enqueue_many(batch)


class CompletesWithOneResult(PlainQueue):
    """Keeps the first result for all of many."""

    breaks = "Q180"

    async def complete_many(self, results: Sequence[tuple[Task, Any]]) -> list[bool | InvalidTask]:
        """Complete all with the first one's result, if it is one that more than one brought."""
        is_mixed = len({type(result) for _, result in results}) > 1 or not all(isinstance(it, dict) for _, it in results)
        return await super().complete_many(results if is_mixed else [(task, results[0][1]) for task, _ in results])


class StopsAtTheFirstLost(PlainQueue):
    """Leaves what comes after a lost lease among many."""

    breaks = "Q181"

    async def complete_many(self, results: Sequence[tuple[Task, Any]]) -> list[bool | InvalidTask]:
        """Complete until one is lost."""
        answers: list[bool | InvalidTask] = []
        for task, result in results:
            answers.append(answers[-1:] != [False] and await self.complete(task, result))
        return answers


class RefusesAllForOne(PlainQueue):
    """Refuses many because of one result."""

    breaks = "Q182"

    async def complete_many(self, results: Sequence[tuple[Task, Any]]) -> list[bool | InvalidTask]:
        """Check all first."""
        for _, result in results:
            self.check_update(TaskState.COMPLETED, result)
        return await super().complete_many(results)


class SaysTheSameOfOneDelivery(PlainQueue):
    """Says of a delivery that is named twice the same twice."""

    breaks = "Q183"

    async def complete_many(self, results: Sequence[tuple[Task, Any]]) -> list[bool | InvalidTask]:
        """Complete each lease, and say what came of it."""
        answers = {task.lease: await self.complete(task, result) for task, result in reversed(results)}
        is_named_twice = len(answers) < len(results)
        return [True if is_named_twice else answers[task.lease] for task, _ in results]
