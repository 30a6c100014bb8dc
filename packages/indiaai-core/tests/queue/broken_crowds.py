"""Queues that are wrong where calls meet, where a service ends, or at a limit, each in one way; `breaks` must notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from plain_queue import Entry, PlainQueue, now

from indiaai_core import Counts, InvalidTask, NewTask, Task, TaskNotFound, TaskState, TaskStatus
from indiaai_core.queue import FINAL_STATES, StatusUpdate

__all__: list[str] = []


class Crowded(PlainQueue):
    """Counts the calls that are under way at a service."""

    under_way = 0
    latest: Any = None

    async def meet(self, *, latest: Any = None) -> int:
        """Let others come in, and return how many there were at the most."""
        self.under_way += 1
        self.latest = latest
        try:
            await asyncio.sleep(0)
            return self.under_way
        finally:
            asyncio.get_running_loop().call_soon(self.leave)

    def leave(self) -> None:
        """Count down when all that were under way had their turn."""
        self.under_way -= 1


class TakesTheLowestForHigh(PlainQueue):
    """Takes the priority -2 for 2, which no other promise uses."""

    breaks = "Q00"

    def rank(self, entry: Entry) -> Any:
        priority = entry.task.priority
        return -abs(priority) if priority == -2 else -priority, entry.number


class MixesData(Crowded):
    """Queues, of very many tasks side by side, the latest one's data for all."""

    breaks = "Q100"

    async def enqueue(self, task_name: str, task_data: Any = None, **options: Any) -> str:
        """Queue somebody's data."""
        crowd = await self.meet(latest=task_data)
        return await super().enqueue(task_name, self.latest if crowd > 50 else task_data, **options)


class RefusesTogether(Crowded):
    """Refuses all that are enqueued side by side with a bad one."""

    breaks = "Q101"
    is_poisoned = False

    async def enqueue(self, task_name: str, task_data: Any = None, **options: Any) -> str:
        """Queue, unless a neighbour was bad."""
        crowd = await self.meet()
        if crowd > 1 and self.is_poisoned:
            raise InvalidTask("A neighbour was bad.")
        try:
            return await super().enqueue(task_name, task_data, **options)
        except InvalidTask:
            self.is_poisoned = True
            raise


class DropsNeighbours(PlainQueue):
    """Drops all tasks that were put in side by side when the call for one is cancelled."""

    breaks = "Q102"

    async def enqueue(self, task_name: str, task_data: Any = None, **options: Any) -> str:
        """Put in, and drop all when cancelled."""
        task_id = await super().enqueue(task_name, task_data, **options)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.shelf.entries.clear()
            raise
        return task_id


class DropsTheEmpty(PlainQueue):
    """Drops of an object what says nothing."""

    breaks = "Q103"

    def write(self, task: NewTask) -> bytes:
        kept = {key: value for key, value in task.data.items() if value is not None and value != "" and value is not False}
        return super().write(replace(task, data=kept))


class CutsNames(PlainQueue):
    """Has room for names of 199 characters."""

    breaks = "Q104"

    def status_of(self, entry: Entry) -> TaskStatus:
        status = super().status_of(entry)
        return replace(status, name=status.name[:199])


class OneByteLess(PlainQueue):
    """Refuses the largest data."""

    breaks = "Q105"

    def write(self, task: NewTask) -> bytes:
        return task.encoded(262_143)


class LessDeep(PlainQueue):
    """Refuses the deepest data."""

    breaks = "Q106"

    def write(self, task: NewTask) -> bytes:
        text = super().write(task)
        if text.count(b"{") == 100:
            raise InvalidTask("That is too deep.")
        return text


class MixesResults(Crowded):
    """Keeps, of very many results side by side, the latest one for all."""

    breaks = "Q117"

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Keep somebody's result."""
        crowd = await self.meet(latest=data)
        return await super().update_status(task_id, status, self.latest if crowd > 30 else data)


class SettlesTwice(PlainQueue):
    """Lets others in between looking at a lease and settling, where the result is a number."""

    breaks = "Q118"

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Look, wait, and settle."""
        entry = self.held(task_id) if status == "completed" and type(data) is int else None
        if entry is None:
            return await super().update_status(task_id, status, data)
        await asyncio.sleep(0)
        self.settle(entry, self.check_update(status, data))
        return True


class UndoesNeighbours(PlainQueue):
    """Takes back the settlements that were made side by side with one that is cancelled."""

    breaks = "Q119"

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Settle, and take all back when cancelled."""
        is_done = await super().update_status(task_id, status, data)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            for entry in self.shelf.entries.values():
                self.give_back(entry, due=now())
            raise
        return is_done


class ShorterDelays(PlainQueue):
    """Refuses the longest delay."""

    breaks = "Q137"

    def new_task(self, name: str, data: Any, **options: Any) -> NewTask:
        if options["delay"] == 366 * 24 * 3600:
            raise InvalidTask("That is too long.")
        return super().new_task(name, data, **options)


class DelayOfTheFirst(PlainQueue):
    """Gives a whole batch the delay of its first task."""

    breaks = "Q138"

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Delay all."""
        batch = list(tasks)
        return await super().enqueue_many([replace(task, delay=batch[0].delay) for task in batch])


class DelaysEndWithTheService(PlainQueue):
    """Ends the delays that were asked for when it ends."""

    breaks = "Q139"

    async def aclose(self) -> None:
        """Close, and let nothing wait."""
        await super().aclose()
        for entry in self.shelf.entries.values():
            entry.due = min(entry.due, now())


class KeysInACrowd(Crowded):
    """Does not look for keys among very many tasks that are enqueued side by side."""

    breaks = "Q140"

    async def enqueue(self, task_name: str, task_data: Any = None, **options: Any) -> str:
        """Queue without looking."""
        crowd = await self.meet()
        key = options.get("dedupe_key") if crowd <= 12 else None
        return await super().enqueue(task_name, task_data, **{**options, "dedupe_key": key})


class MixesStatuses(Crowded):
    """Tells, of very many statuses that are asked for side by side, the latest for all."""

    breaks = "Q147"

    async def get_status(self, task_id: str) -> TaskStatus:
        """Tell somebody's status."""
        crowd = await self.meet(latest=task_id)
        return await super().get_status(self.latest if crowd > 10 else task_id)


class CancelsTooLate(PlainQueue):
    """Lets others in between looking at a task and cancelling it, and says that it did."""

    breaks = "Q149"

    async def cancel(self, task_id: str) -> bool:
        """Look, wait, and cancel."""
        is_live = self.find(task_id).state not in FINAL_STATES
        await asyncio.sleep(0)
        await super().cancel(task_id)
        return is_live


class FirstThousand(PlainQueue):
    """Queues the first thousand of a batch, and gives ids for all."""

    breaks = "Q157"

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Queue a thousand."""
        batch = list(tasks)
        return [*await super().enqueue_many(batch[:1000]), *[f"lost-{n}" for n in range(1000, len(batch))]]


class ManyTakenBeforeTheAnswer(PlainQueue):
    """Takes many tasks for done before it has answered."""

    breaks = "Q158"

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Lose the tasks when cancelled between the two."""
        tasks = await super().dequeue_many(limit, timeout)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            for task in tasks:
                self.end(self.shelf.entries[task.id], TaskState.COMPLETED)
            raise
        return tasks


class ForgetsInACrowd(PlainQueue):
    """Forgets leases where two services have enqueued a lot."""

    breaks = "Q159"

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Settle, or not."""
        owners = {entry.owner for entry in self.shelf.entries.values()}
        if len(owners) > 1 and len(self.shelf.entries) > 30:
            return False
        return await super().update_status(task_id, status, data)


class EachSettles(PlainQueue):
    """Says that it settled what another service had settled the moment before."""

    breaks = "Q160"

    def settle(self, entry: Entry, update: StatusUpdate) -> None:
        super().settle(entry, update)
        entry.cache = self

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Settle what another settled, too."""
        is_done = await super().update_status(task_id, status, data)
        entry = self.shelf.entries.get(task_id.id) if isinstance(task_id, Task) else None
        return is_done or (entry is not None and entry.cache not in (None, self))


class KeysAtTwoServices(Crowded):
    """Does not look for long keys that others took while several are enqueued side by side."""

    breaks = "Q161"

    async def enqueue(self, task_name: str, task_data: Any = None, **options: Any) -> str:
        """Queue, and look at its own only."""
        self.crowd = await self.meet()
        return await super().enqueue(task_name, task_data, **options)

    def same_key(self, entry: Entry, key: str) -> bool:
        is_seen = entry.owner is self or getattr(self, "crowd", 0) < 3
        return is_seen and super().same_key(entry, key)


class LosesOneOfMany(PlainQueue):
    """Takes one for done, at the end, of many that it had leased."""

    breaks = "Q162"

    async def aclose(self) -> None:
        """Close, and settle one."""
        await super().aclose()
        held = [entry for entry in self.shelf.entries.values() if entry.state is TaskState.PROCESSING]
        if len(held) > 5:
            self.end(held[0], TaskState.COMPLETED)


class DeathUnnoticed(PlainQueue):
    """Does not notice, while it waits, that another's lease ran out."""

    breaks = "Q163"

    def lapse(self, entry: Entry) -> None:
        entry.cache = entry.holder
        super().lapse(entry)

    async def wait(self, timeout: float | None) -> Entry | None:
        entry = await super().wait(timeout)
        if timeout and entry is not None and isinstance(entry.cache, PlainQueue) and entry.cache is not self:
            await asyncio.sleep(timeout)
        return entry


class TracebacksEndWithTheService(PlainQueue):
    """Forgets tracebacks at the end."""

    breaks = "Q164"

    async def aclose(self) -> None:
        """Close, and forget."""
        await super().aclose()
        for entry in self.shelf.entries.values():
            entry.traceback = None


class OwnDeadLetters(PlainQueue):
    """Lists the dead letters of its own workers."""

    breaks = "Q165"

    def is_dead(self, entry: Entry) -> bool:
        return super().is_dead(entry) and entry.holder is self


class AcknowledgesAtTheEnd(PlainQueue):
    """Acknowledges what is under way when it is closed, and does not do it."""

    breaks = "Q166"

    async def enqueue(self, task_name: str, task_data: Any = None, **options: Any) -> str:
        """Queue, or say so."""
        self.require_open()
        await asyncio.sleep(0)
        return "lost" if self.is_closed else await super().enqueue(task_name, task_data, **options)


class CountsAtTheEnd(PlainQueue):
    """Goes on counting after the end."""

    breaks = "Q167"

    async def counts(self) -> Counts:
        """Count always."""
        was_closed, self.is_closed = self.is_closed, False
        try:
            return await super().counts()
        finally:
            self.is_closed = was_closed


class ManyWaitOn(PlainQueue):
    """Does not end calls for many when it is closed."""

    breaks = "Q168"

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Wait on."""
        tasks = await super().dequeue_many(limit, timeout)
        if self.is_closed and timeout:
            await asyncio.sleep(timeout)
        return tasks


class EndsOthers(PlainQueue):
    """Ends, when it is closed, the calls that wait at others on its store."""

    breaks = "Q169"

    async def wait(self, timeout: float | None) -> Entry | None:
        before = sum(service.is_closed for service in self.shelf.services)
        entry = await super().wait(timeout)
        is_ended = timeout and sum(service.is_closed for service in self.shelf.services) > before
        return None if is_ended else entry


class LeavesProbes(PlainQueue):
    """Leaves behind the task that it probes itself with."""

    breaks = "Q170"

    async def probe(self) -> None:
        """Probe, and leave it."""
        await super().probe()
        await self.enqueue("probe", delay=3600)


class TiresOfErrors(PlainQueue):
    """Serves badly after many errors."""

    breaks = "Q171"
    errors = 0

    def new_task(self, name: str, data: Any, **options: Any) -> NewTask:
        self.errors += 1
        return super().new_task(name, {} if self.errors == 21 and data == {"n": 1} else data, **options)


class ErrorsThatStay(PlainQueue):
    """Raises an error that holds what cannot leave the process."""

    breaks = "Q172"

    def find(self, task_id: str) -> Entry:
        try:
            return super().find(task_id)
        except TaskNotFound as error:
            hint: Callable[[], None] = lambda: None  # noqa: E731 - what cannot be pickled
            vars(error)["hint"] = hint
            raise


class RoomOfTheWaiting(PlainQueue):
    """Does not count what is worked."""

    breaks = "Q173"

    def held_tasks(self) -> int:
        return sum(entry.state is TaskState.PENDING for entry in self.shelf.entries.values())


class RoomForEver(PlainQueue):
    """Counts what was completed."""

    breaks = "Q174"

    def held_tasks(self) -> int:
        return super().held_tasks() + sum(entry.state is TaskState.COMPLETED for entry in self.shelf.entries.values())


class FillsUpWithABatch(PlainQueue):
    """Queues of a batch what there is room for, and refuses the rest."""

    breaks = "Q175"

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Put in one by one."""
        batch = [(task, self.write(task)) for task in tasks]
        self.require_open()
        return [self.put(task, text) for task, text in batch]


class LooksForRoomTooEarly(PlainQueue):
    """Lets others in between looking for room and putting a task in."""

    breaks = "Q176"

    async def enqueue(self, task_name: str, task_data: Any = None, **options: Any) -> str:
        """Look, wait, and put in."""
        if options.get("dedupe_key") or self.shelf.room > 5:
            return await super().enqueue(task_name, task_data, **options)
        self.require_room(1)
        await asyncio.sleep(0)
        self.shelf.room += 100
        try:
            return await super().enqueue(task_name, task_data, **options)
        finally:
            self.shelf.room -= 100


class RoomForKeys(PlainQueue):
    """Looks for room before it looks for a key."""

    breaks = "Q177"

    def put(self, task: NewTask, text: bytes) -> str:
        self.require_room(1)
        return super().put(task, text)


class NoWayBack(PlainQueue):
    """Does not take back a task while it is full."""

    breaks = "Q178"

    async def release(self, task: Task) -> bool:
        """Look for room first."""
        self.require_room(1)
        return await super().release(task)


class RequeuesAnyway(PlainQueue):
    """Requeues without looking for room."""

    breaks = "Q179"

    async def requeue(self, task_id: str) -> bool:
        """Make room."""
        self.shelf.room += 100
        try:
            return await super().requeue(task_id)
        finally:
            self.shelf.room -= 100
