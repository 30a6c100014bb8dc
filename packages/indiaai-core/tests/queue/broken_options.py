"""Queues that delay, dedupe, cancel, count, batch, share or close wrongly, each in one way; `breaks` must notice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from plain_queue import Entry, PlainQueue, now

from indiaai_core import Counts, NewTask, Task, TaskNotFound, TaskState, TaskStatus

__all__: list[str] = []


class HalfTheDelay(PlainQueue):
    """Waits half as long where the delay has a fraction that binary has none for."""

    breaks = "Q53"

    def new_task(self, name: str, data: Any, **options: Any) -> NewTask:
        delay = options["delay"]
        return super().new_task(name, data, **{**options, "delay": 0.15 if delay == 0.3 else delay})


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
        return None if entries and entries[0].due > now() + 300 and not entries[0].attempts else super().pick()


class CoarseDelays(PlainQueue):
    """Knows delays by the half second."""

    breaks = "Q56"

    def new_task(self, name: str, data: Any, **options: Any) -> NewTask:
        delay = options["delay"]
        return super().new_task(name, data, **{**options, "delay": 0.5 if type(delay) is float and 0 < delay < 0.5 else delay})


class DelayedIsProcessing(PlainQueue):
    """Has a state of its own for what is delayed."""

    breaks = "Q57"

    def status_of(self, entry: Entry) -> TaskStatus:
        status = super().status_of(entry)
        is_delayed = entry.state is TaskState.PENDING and entry.due > now() and not entry.attempts
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
    """Frees a key at delivery."""

    breaks = "Q60"

    def hold(self, entry: Entry) -> None:
        super().hold(entry)
        entry.has_key = False


class KeyForEver(PlainQueue):
    """Never frees the key of a task that was worked."""

    breaks = "Q61"

    def same_key(self, entry: Entry, key: str) -> bool:
        return super().same_key(entry, key) or (entry.task.dedupe_key == key and entry.attempts > 0)


class KeysWithoutCase(PlainQueue):
    """Takes `K` for `k`."""

    breaks = "Q62"

    def same_key(self, entry: Entry, key: str) -> bool:
        return super().same_key(entry, key) or super().same_key(entry, key.lower())


class BatchWithoutKeys(PlainQueue):
    """Looks for keys before the batch only."""

    breaks = "Q63"

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Put all in, without their keys."""
        return await super().enqueue_many([replace(task, dedupe_key=None) for task in tasks])


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
        return self.find(task_id).due > now() or await super().cancel(task_id)


class CancelsTheEnded(PlainQueue):
    """Says that it cancelled what had ended."""

    breaks = "Q74"

    async def cancel(self, task_id: str) -> bool:
        """Cancel, and say so."""
        await super().cancel(task_id)
        return True


class CancelsTheUnknown(PlainQueue):
    """Says False for a task that is not there."""

    breaks = "Q75"

    async def cancel(self, task_id: str) -> bool:
        """Cancel what is there."""
        try:
            return await super().cancel(task_id)
        except TaskNotFound:
            return False


class CancelledForEver(PlainQueue):
    """Does not requeue what was cancelled."""

    breaks = "Q76"

    async def requeue(self, task_id: str) -> bool:
        """Requeue what failed."""
        return self.find(task_id).state is not TaskState.CANCELLED and await super().requeue(task_id)


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
    """Does not tell what is delayed from what waits."""

    breaks = "Q79"

    async def counts(self) -> Counts:
        """Count together."""
        counts = await super().counts()
        return replace(counts, pending=counts.pending + counts.delayed, delayed=0)


class PurgeLeavesTheDead(PlainQueue):
    """Purges what waits only."""

    breaks = "Q80"

    def is_purged(self, entry: Entry) -> bool:
        return entry.state is TaskState.PENDING


class PurgesTheLeased(PlainQueue):
    """Purges everything."""

    breaks = "Q81"

    def is_purged(self, entry: Entry) -> bool:
        return super().is_purged(entry) or entry.state is TaskState.PROCESSING


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
    """Queues a batch from its end."""

    breaks = "Q83"

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Queue the last first."""
        return await super().enqueue_many(list(tasks)[::-1])


class HalfABatch(PlainQueue):
    """Queues a batch up to the first bad task."""

    breaks = "Q84"

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Queue one by one."""
        return [self.put(task, self.write(task)) for task in tasks]


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
        return await super().dequeue_many(limit or 1, timeout)


class OwnResultsOnly(PlainQueue):
    """Knows the results that were settled through it."""

    breaks = "Q90"

    def status_of(self, entry: Entry) -> TaskStatus:
        status = super().status_of(entry)
        return status if entry.holder is self else replace(status, result=None)


class LooksBeforeItTakes(PlainQueue):
    """Lets others in between looking for a task and taking it, while there are many."""

    breaks = "Q91"

    async def wait(self, timeout: float | None) -> Entry | None:
        entry = await super().wait(timeout)
        if len(self.shelf.entries) >= 40:
            await asyncio.sleep(0)
        return entry


class WokenByItselfOnly(PlainQueue):
    """Does not hear, while it waits, of what others enqueue."""

    breaks = "Q92"

    async def wait(self, timeout: float | None) -> Entry | None:
        began = now()
        entry = await super().wait(timeout)
        if timeout and entry is not None and entry.owner is not self and now() > began:
            await asyncio.sleep(timeout)
        return entry


class SettlesAnyLeaseById(PlainQueue):
    """Takes a plain id for whatever lease there is."""

    breaks = "Q93"

    def held(self, task: str | Task) -> Entry | None:
        entry = self.shelf.entries.get(task) if isinstance(task, str) else None
        return entry if entry is not None and entry.state is TaskState.PROCESSING else super().held(task)


class KeysOfItsOwn(PlainQueue):
    """Knows the keys that were taken through it."""

    breaks = "Q94"

    def same_key(self, entry: Entry, key: str) -> bool:
        return entry.owner is self and super().same_key(entry, key)


class TakesItsTasksAlong(PlainQueue):
    """Drops at the end what it had enqueued."""

    breaks = "Q95"

    async def aclose(self) -> None:
        """Close, and drop."""
        await super().aclose()
        for entry in list(self.shelf.entries.values()):
            if entry.owner is self and entry.state is TaskState.PENDING:
                del self.shelf.entries[entry.id]


class EndsItsLeases(PlainQueue):
    """Takes for done, at the end, what it had leased."""

    breaks = "Q96"

    async def aclose(self) -> None:
        """Close, and settle."""
        await super().aclose()
        for entry in self.shelf.entries.values():
            if entry.holder is self and entry.state is TaskState.PROCESSING:
                self.end(entry, TaskState.COMPLETED)


class LeavesProbes(PlainQueue):
    """Checks itself with a task that it leaves behind."""

    breaks = "Q97"

    async def check(self) -> None:
        """Enqueue a probe."""
        await super().check()
        await self.enqueue("probe")


class WaitsOn(PlainQueue):
    """Does not end the calls that wait when it is closed."""

    breaks = "Q98"

    async def wait(self, timeout: float | None) -> Entry | None:
        entry = await super().wait(timeout)
        if self.is_closed and timeout:
            await asyncio.sleep(timeout)
        return entry


class WorksOn(PlainQueue):
    """Tells of its tasks after the end."""

    breaks = "Q99"

    async def get_status(self, task_id: str) -> TaskStatus:
        """Answer always."""
        return self.status_of(self.find(task_id))
