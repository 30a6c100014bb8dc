"""Queues that delay, dedupe, cancel, count, batch, share or close wrongly, each in one way; `breaks` must notice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from plain_queue import Entry, PlainQueue, now

from indiaai_core import Counts, InvalidTask, NewTask, Task, TaskNotFound, TaskState, TaskStatus
from indiaai_core.queue import check_limit

__all__: list[str] = []


class HalfTheDelay(PlainQueue):
    """Waits half as long for a delay of about a second."""

    breaks = "Q53"

    def new_task(self, name: str, data: Any, **options: Any) -> NewTask:
        delay = options["delay"]
        return super().new_task(name, data, **{**options, "delay": 0.5 if delay == 1.1 else delay})


class DelayUnnoticed(PlainQueue):
    """Does not look for what has come due while it waits."""

    breaks = "Q54"

    async def wait(self, timeout: float | None) -> Entry | None:
        began = now()
        entry = await super().wait(timeout)
        if timeout and entry is not None and entry.task.delay and entry.due > began:
            await asyncio.sleep(timeout)
        return entry


class DelayedBlocksAll(PlainQueue):
    """Waits for the task at its head, whatever is behind it."""

    breaks = "Q55"

    def pick(self) -> Entry | None:
        entries = [entry for entry in self.shelf.entries.values() if entry.state is TaskState.PENDING]
        return None if entries and 300 < entries[0].due - now() < 4000 and not entries[0].attempts else super().pick()


class CoarseDelays(PlainQueue):
    """Rounds a delay up."""

    breaks = "Q56"

    def new_task(self, name: str, data: Any, **options: Any) -> NewTask:
        delay = options["delay"]
        return super().new_task(name, data, **{**options, "delay": 0.95 if delay == 0.4 else delay})


class DelayedIsProcessing(PlainQueue):
    """Has a state of its own for what is delayed."""

    breaks = "Q57"

    def status_of(self, entry: Entry) -> TaskStatus:
        status = super().status_of(entry)
        is_delayed = entry.state is TaskState.PENDING and 0 < entry.due - now() < 4000 and not entry.attempts
        return replace(status, state=TaskState.PROCESSING) if is_delayed else status


class NegativeDelay(PlainQueue):
    """Takes a delay in the past for now."""

    breaks = "Q58"

    def new_task(self, name: str, data: Any, **options: Any) -> NewTask:
        delay = options["delay"]
        return super().new_task(name, data, **{**options, "delay": 0 if delay == -0.1 else delay})


class LaterDataWins(PlainQueue):
    """Keeps the data of the later task with a key."""

    breaks = "Q59"

    def put(self, task: NewTask, text: bytes) -> str:
        task_id = super().put(task, text)
        self.shelf.entries[task_id].text = text
        return task_id


class KeyOfTheWaiting(PlainQueue):
    """Does not look for a key at what is worked, where there is one task only."""

    breaks = "Q60"

    def same_key(self, entry: Entry, key: str) -> bool:
        is_worked = entry.state is TaskState.PROCESSING and len(self.shelf.entries) == 1
        return not is_worked and super().same_key(entry, key)


class KeyForEver(PlainQueue):
    """Never frees the key of the first task, once it is completed."""

    breaks = "Q61"

    def same_key(self, entry: Entry, key: str) -> bool:
        is_first = entry.task.dedupe_key == key and entry.state is TaskState.COMPLETED and len(self.shelf.entries) == 1
        return super().same_key(entry, key) or is_first


class KeysWithoutCase(PlainQueue):
    """Takes `K` for `k`."""

    breaks = "Q62"

    def same_key(self, entry: Entry, key: str) -> bool:
        return super().same_key(entry, key) or super().same_key(entry, key.lower())


class BatchWithoutKeys(PlainQueue):
    """Looks for keys before the batch only."""

    breaks = "Q63"

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Put all in, without the keys that nobody has."""
        return await super().enqueue_many(
            [task if self.key_holder(task.dedupe_key) else replace(task, dedupe_key=None) for task in tasks]
        )


class EmptyKey(PlainQueue):
    """Takes an empty key for none."""

    breaks = "Q64"

    def new_task(self, name: str, data: Any, **options: Any) -> NewTask:
        return super().new_task(name, data, **{**options, "dedupe_key": options["dedupe_key"] or None})


class CancelledComesAgain(PlainQueue):
    """Delivers a task again that was cancelled while it was worked."""

    breaks = "Q72"

    def lapse_all(self) -> None:
        super().lapse_all()
        for entry in self.shelf.entries.values():
            if entry.state is TaskState.CANCELLED and entry.lease and entry.lease_ends <= now():
                self.give_back(entry, due=now())


class DelayedCannotBeCancelled(PlainQueue):
    """Finds no delayed task to cancel, and says that it did."""

    breaks = "Q73"

    async def cancel(self, task_id: str) -> bool:
        """Cancel what is not delayed."""
        return 0 < self.find(task_id).due - now() < 100 or await super().cancel(task_id)


class CancelsTheEnded(PlainQueue):
    """Says that it cancelled what had failed."""

    breaks = "Q74"

    async def cancel(self, task_id: str) -> bool:
        """Cancel, and say so."""
        return await super().cancel(task_id) or self.find(task_id).state is TaskState.FAILED


class CancelsTheUnknown(PlainQueue):
    """Says False for a task that is not there."""

    breaks = "Q75"

    async def cancel(self, task_id: str) -> bool:
        """Cancel what is there."""
        try:
            return await super().cancel(task_id)
        except TaskNotFound:
            if task_id == "no-such-task":
                return False
            raise


class CancelledForEver(PlainQueue):
    """Does not requeue the only task, if it was cancelled."""

    breaks = "Q76"

    async def requeue(self, task_id: str) -> bool:
        """Requeue what failed."""
        is_lonely = self.find(task_id).state is TaskState.CANCELLED and len(self.shelf.entries) == 1
        return not is_lonely and await super().requeue(task_id)


class KeyOfTheCancelled(PlainQueue):
    """Does not free the key of a cancelled task."""

    breaks = "Q77"

    def same_key(self, entry: Entry, key: str) -> bool:
        is_cancelled = entry.state is TaskState.CANCELLED and entry.task.dedupe_key == key
        return super().same_key(entry, key) or is_cancelled


class CountsLeasedAsWaiting(PlainQueue):
    """Counts what is leased as what waits, too."""

    breaks = "Q78"

    async def counts(self) -> Counts:
        """Count twice."""
        counts = await super().counts()
        return replace(counts, pending=counts.pending + counts.processing)


class CountsDelayedAsWaiting(PlainQueue):
    """Does not tell what is delayed from what waits, unless it was delivered before."""

    breaks = "Q79"

    async def counts(self) -> Counts:
        """Count together."""
        counts = await super().counts()
        waiting = [entry for entry in self.shelf.entries.values() if entry.state is TaskState.PENDING]
        fresh = sum(entry.due > now() and not entry.attempts for entry in waiting)
        return replace(counts, pending=counts.pending + fresh, delayed=counts.delayed - fresh)


class PurgeLeavesTheDead(PlainQueue):
    """Purges what waits only."""

    breaks = "Q80"

    def is_purged(self, entry: Entry) -> bool:
        return entry.state is TaskState.PENDING


class PurgesTheLeased(PlainQueue):
    """Counts what is leased as purged."""

    breaks = "Q81"

    async def purge(self) -> int:
        """Purge, and count too much."""
        return await super().purge() + (await self.counts()).processing


class PurgeKeepsKeys(PlainQueue):
    """Hides what is purged, and keeps its key."""

    breaks = "Q82"

    async def purge(self) -> int:
        """Purge, and remember the keys."""
        self.kept = {entry.task.dedupe_key: entry.id for entry in self.shelf.entries.values()}
        return await super().purge()

    def put(self, task: NewTask, text: bytes) -> str:
        kept = getattr(self, "kept", {})
        return kept[task.dedupe_key] if task.dedupe_key and task.dedupe_key in kept else super().put(task, text)


class BatchBackwards(PlainQueue):
    """Gives the ids of a batch from its end."""

    breaks = "Q83"

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Give the last first."""
        return (await super().enqueue_many(tasks))[::-1]


class HalfABatch(PlainQueue):
    """Queues a batch up to the first bad task."""

    breaks = "Q84"

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Queue what can be written before anything else is looked at."""
        batch = list(tasks)
        try:
            return await super().enqueue_many(batch)
        except InvalidTask:
            self.put(batch[0], self.write(batch[0]))
            raise


class EmptyBatchFails(PlainQueue):
    """Cannot do nothing."""

    breaks = "Q85"

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Look at the first."""
        batch = list(tasks)
        return await super().enqueue_many([batch[0], *batch[1:]])


class OneTooMany(PlainQueue):
    """Gives one more than asked for."""

    breaks = "Q86"

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Lease one more."""
        return await super().dequeue_many(limit + 1 if type(limit) is int and limit > 1 else limit, timeout)


class WaitsForAll(PlainQueue):
    """Waits until there are as many as asked for."""

    breaks = "Q87"

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Wait for the rest, unless it waited for the first."""
        was_empty = self.pick() is None
        tasks = await super().dequeue_many(limit, timeout)
        while timeout and not was_empty and len(tasks) < limit:
            await asyncio.sleep(timeout)
            tasks += await super().dequeue_many(limit - len(tasks))
        return tasks


class ManyDoNotWait(PlainQueue):
    """Does not wait when asked for many."""

    breaks = "Q88"

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Take what is there."""
        return await super().dequeue_many(limit)


class NoneIsOne(PlainQueue):
    """Gives one when asked for none."""

    breaks = "Q89"

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Lease at least one."""
        return await super().dequeue_many(limit or len(self.shelf.entries), timeout)


class OwnResultsOnly(PlainQueue):
    """Does not know the results of what it enqueued itself and others worked."""

    breaks = "Q90"

    def status_of(self, entry: Entry) -> TaskStatus:
        status = super().status_of(entry)
        return replace(status, result=None) if entry.owner is self and entry.holder is not self else status


class LooksBeforeItTakes(PlainQueue):
    """Lets others in between looking for a task and taking it, while there are many of one service."""

    breaks = "Q91"

    async def wait(self, timeout: float | None) -> Entry | None:
        entry = await super().wait(timeout)
        owners = {other.owner for other in self.shelf.entries.values()}
        if len(self.shelf.entries) >= 40 and len(owners) == 1:
            await asyncio.sleep(0)
        return entry


class WokenByItselfOnly(PlainQueue):
    """Does not hear, while it waits, of what others enqueue."""

    breaks = "Q92"

    async def wait(self, timeout: float | None) -> Entry | None:
        began = now()
        entry = await super().wait(timeout)
        is_new = entry is not None and entry.owner is not self and not entry.attempts
        if timeout and is_new and now() > began:
            await asyncio.sleep(timeout)
        return entry


class SettlesAnyLeaseById(PlainQueue):
    """Takes a plain id for whatever lease there is."""

    breaks = "Q93"

    def held(self, task: str | Task) -> Entry | None:
        entry = self.shelf.entries.get(task) if isinstance(task, str) else None
        return entry if entry is not None and entry.state is TaskState.PROCESSING else super().held(task)


class KeysOfItsOwn(PlainQueue):
    """Knows the short keys that were taken through it."""

    breaks = "Q94"

    def same_key(self, entry: Entry, key: str) -> bool:
        return (entry.owner is self or len(key) > 1) and super().same_key(entry, key)


class TakesItsTasksAlong(PlainQueue):
    """Drops at the end what it had enqueued, if it is one task."""

    breaks = "Q95"

    async def aclose(self) -> None:
        """Close, and drop."""
        await super().aclose()
        for entry in list(self.shelf.entries.values()):
            if len(self.shelf.entries) == 1 and entry.state is TaskState.PENDING and not entry.task.delay:
                del self.shelf.entries[entry.id]


class EndsItsLeases(PlainQueue):
    """Gives back, at the end, what it had leased."""

    breaks = "Q96"

    async def aclose(self) -> None:
        """Close, and give back."""
        await super().aclose()
        for entry in self.shelf.entries.values():
            if entry.holder is self and entry.state is TaskState.PROCESSING:
                self.give_back(entry, due=now())


class ProbesWithTasks(PlainQueue):
    """Checks itself by taking a task that waits, and giving it back."""

    breaks = "Q97"

    async def check(self) -> None:
        """Take a task."""
        await super().check()
        task = await self.dequeue()
        if task is not None:
            self.give_back(self.shelf.entries[task.id], due=now())


class WaitsOn(PlainQueue):
    """Does not end the calls that wait when it is closed."""

    breaks = "Q98"

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Wait on."""
        task = await super().dequeue(timeout)
        if self.is_closed and timeout:
            await asyncio.sleep(timeout)
        return task

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """End."""
        check_limit(limit)
        task = await super().dequeue(timeout)
        return [] if task is None else [task, *await super().dequeue_many(limit - 1)] if limit > 1 else [task]


class WorksOn(PlainQueue):
    """Tells of its tasks after the end."""

    breaks = "Q99"

    async def get_status(self, task_id: str) -> TaskStatus:
        """Answer always."""
        return self.status_of(self.find(task_id))
