"""The queue backend `memory`; loaded through the entry point `indiaai.queue: memory`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from indiaai_core import (
    BackendUnavailable,
    Counts,
    Fault,
    InvalidTask,
    NewTask,
    QueueFull,
    QueueService,
    Task,
    TaskState,
    TaskStatus,
)
from indiaai_core.queue import StatusUpdate, check_delay, check_limit
from indiaai_queue_memory.record import Lease, Record
from indiaai_queue_memory.settings import MemorySettings
from indiaai_queue_memory.shared import SharedStore, StoreOfProcess
from indiaai_queue_memory.store import Store
from indiaai_queue_memory.waiters import Waiter

__all__ = ["InMemoryQueueService", "MemoryQueueService"]

T = TypeVar("T")

SLICE = 200
"""How many tasks of a batch are written to JSON, or read, before other tasks of the event loop get their turn."""

MOST = 1000
"""How many tasks one call leases at most."""


class InMemoryQueueService(QueueService):
    """A whole queue in the memory of this process: it is gone when the process ends.

    One instance may be shared by any number of tasks, event loops and threads. A process that is forked off starts with an
    empty queue of its own. Nothing polls: calls that wait are woken by what they wait for.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"retry", "cancel", "dead_letters", "counts", "purge", "complete_many", "delay", "priority", "dedupe", "in_process"}
    )
    contract_version: ClassVar[int] = 1
    settings_class: ClassVar[type[MemorySettings]] = MemorySettings

    def __init__(self, settings: MemorySettings | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with an empty queue.

        Args:
            settings: What is not given is read from the environment.
            clock: Gives seconds that never go back, for delays and leases; calls that wait sleep by their event loop's own.
        """
        self.settings = settings if settings is not None else MemorySettings()
        self.lease_seconds = self.settings.lease_seconds
        self._stores = StoreOfProcess(self.settings, clock=clock)
        self._clock = clock
        self._is_closed = False

    def share(self) -> InMemoryQueueService:
        """Return another service object on the same queue, as two workers on one server would have."""
        other = InMemoryQueueService(self.settings, clock=self._clock)
        other._stores = self._stores
        return other

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
        data = {} if task_data is None else task_data
        record = self._record(NewTask(task_name, data, delay, priority, max_attempts, dedupe_key))
        return (await self._admit(Store.add, [record]))[0]

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Put many tasks into the queue: all of them, or none if there is no room for all.

        Others get their turn in between, so a call that is cancelled may leave the first part of a large batch queued.
        """
        records: list[Record] = []
        for task in tasks:
            records.append(self._record(task))
            if len(records) % SLICE == 0:
                await asyncio.sleep(0)
        if len(records) <= SLICE:
            return await self._admit(Store.add, records)
        shared = self._open()
        room = await self._admit(Store.reserve, records)
        return await self._put(shared, records, room=room)

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Lease the task that is next."""
        leases = await self._lease(1, timeout)
        return leases[0].as_task() if leases else None

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Lease up to `limit` tasks, at most 1,000; others get their turn in between, and a call that is cancelled has none."""
        check_limit(limit)
        limit = min(limit, MOST)
        tasks = [lease.as_task() for lease in await self._lease(min(limit, SLICE), timeout)]
        try:
            while len(tasks) % SLICE == 0 and 0 < len(tasks) < limit:
                await asyncio.sleep(0)
                found = [] if self._is_closed else await self._lease(min(limit - len(tasks), SLICE), None)
                if not found:
                    break
                tasks += [lease.as_task() for lease in found]
        except BaseException:
            with (shared := self._stores.get()):
                for task in reversed(tasks):
                    shared.store.release(task)
            raise
        return tasks

    async def get_status(self, task_id: str) -> TaskStatus:
        """Return what the queue knows about a task."""
        async with self._open() as store:
            record = store.status(task_id)
        return record.as_status()

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Settle or renew a task under its lease."""
        update = StatusUpdate.of(status, data, max_bytes=self.settings.max_task_bytes)
        async with self._open() as store:
            return store.update(task_id, update, holder=self)

    async def complete_many(self, results: Sequence[tuple[Task, Any]]) -> list[bool | InvalidTask]:
        """Settle many deliveries as completed, one after the other."""
        answers: list[bool | InvalidTask] = []
        for task, result in results:
            if len(answers) % SLICE == SLICE - 1:
                await asyncio.sleep(0)  # others have their turn
            answers.append(await self._complete(task, result))
        return answers

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Give a task back after a failed attempt, or make it a dead letter if that was its last."""
        check_delay(delay)
        failure = StatusUpdate.failure(error, traceback=traceback)
        async with self._open() as store:
            return store.retry(task, delay=delay, failure=failure)

    async def release(self, task: Task) -> bool:
        """Give a task back untouched, at its old place."""
        async with self._open() as store:
            return store.release(task)

    async def cancel(self, task_id: str) -> bool:
        """Stop a task from being worked."""
        async with self._open() as store:
            return store.cancel(task_id)

    async def dead_letters(self, limit: int = 100) -> list[TaskStatus]:
        """Return failed tasks whose record is kept, the latest first."""
        check_limit(limit)
        async with self._open() as store:
            records = store.dead_letters(limit)
        return [record.as_status() for record in records]

    async def requeue(self, task_id: str) -> bool:
        """Put a failed or cancelled task back into the queue."""
        async with self._open() as store:
            return store.requeue(task_id)

    async def counts(self) -> Counts:
        """Return how many tasks the queue holds."""
        async with self._open() as store:
            return store.counts()

    async def purge(self) -> int:
        """Forget every task that is pending or a dead letter when it is called."""
        async with self._open() as store:
            records = store.forgettable()
        forgotten = 0
        for start in range(0, len(records), SLICE):
            async with self._open() as store:
                forgotten += store.forget(records[start : start + SLICE])
            await asyncio.sleep(0)
        return forgotten

    async def check(self) -> None:
        """Prove that the service is open."""
        self._open()

    async def caveats(self) -> Sequence[Fault]:
        """Tell of a server that is set up for several processes (`WEB_CONCURRENCY`): each would have a queue of its own."""
        processes = os.environ.get("WEB_CONCURRENCY", "").strip()
        if not processes.isdecimal() or int(processes) < 2:
            return []
        found = f"'memory' is a queue of one process: in each of {processes} (WEB_CONCURRENCY) there would be another one"
        return [
            Fault("QUEUE_TYPE", found, "a queue that they share", "set QUEUE_TYPE=redis and REDIS_URL, or WEB_CONCURRENCY=1")
        ]

    async def aclose(self) -> None:
        """End every call that waits, and let go of the queue: it is gone unless another service object shares it."""
        self._is_closed = True
        shared, self._stores = self._stores.get(), StoreOfProcess(self.settings, clock=self._clock)
        loop = asyncio.get_running_loop()
        # Woken calls leave at their next turn, with their timers; those of other loops do so when those run.
        while any(waiter.loop is loop for waiter in self._wake_own(shared)):  # noqa: ASYNC110 - it waits a turn or two, not for an event
            await asyncio.sleep(0)

    async def _complete(self, task: Task, result: Any) -> bool | InvalidTask:
        try:
            return await self.update_status(task, TaskState.COMPLETED, result)
        except InvalidTask as error:
            return error

    def _record(self, task: NewTask) -> Record:
        return Record.of(task, task.encoded(self.settings.max_task_bytes))

    async def _put(self, shared: SharedStore, records: Sequence[Record], *, room: int) -> list[str]:
        ids: list[str] = []
        try:
            for start in range(0, len(records), SLICE):
                async with shared as store:
                    ids += store.add_reserved(records[start : start + SLICE])
                await asyncio.sleep(0)
        finally:
            with shared:
                shared.store.unreserve(room)
        return ids

    async def _admit(self, put: Callable[[Store, Sequence[Record]], T], records: Sequence[Record]) -> T:
        """Put records in as soon as there is room for them, or raise `QueueFull` when that takes too long."""
        try:
            async with self._open() as store:
                return put(store, records)
        except QueueFull:
            if not 0 < len(records) <= self.settings.max_tasks or not self.settings.full_wait_seconds:
                raise
        return await self._wait_for_room(put, records)

    async def _wait_for_room(self, put: Callable[[Store, Sequence[Record]], T], records: Sequence[Record]) -> T:
        waiter, shared = Waiter(self, need=len(records)), self._open()
        deadline = waiter.loop.time() + self.settings.full_wait_seconds
        try:
            while True:
                async with self._open() as store:
                    waiter.need = store.count_new(records)
                    seconds = deadline - waiter.loop.time()
                    if waiter.need <= store.room or seconds <= 0:
                        return put(store, records)
                    shared.producers.lie_down(waiter, next_due=store.next_due())
                    # What makes room may also be a lease that runs out, of which nobody else may take notice.
                    seconds = min(seconds, max(0.001, store.next_due() - self._clock()))
                await waiter.sleep(seconds)
        finally:
            with shared:
                shared.producers.leave(waiter)

    def _open(self) -> SharedStore:
        if self._is_closed:
            raise BackendUnavailable("This queue service is closed: take one from a platform that is open, or make a new one.")
        return self._stores.get()

    async def _lease(self, limit: int, timeout: float | None) -> list[Lease]:
        shared = self._open()
        async with shared as store:
            leases = store.lease(limit, holder=self)
        if leases or timeout is None or timeout <= 0:
            return leases
        return await self._wait_for_leases(shared, limit, timeout)

    async def _wait_for_leases(self, shared: SharedStore, limit: int, timeout: float) -> list[Lease]:
        waiter = Waiter(self)
        deadline = waiter.loop.time() + timeout
        try:
            while True:
                async with shared as store:
                    seconds = deadline - waiter.loop.time()
                    leases = [] if self._is_closed else store.lease(limit, holder=self)
                    if leases or self._is_closed or seconds <= 0:
                        return leases
                    if shared.waiters.lie_down(waiter, next_due=store.next_due()):
                        seconds = min(seconds, store.next_due() - self._clock())
                await waiter.sleep(seconds)
        finally:
            # Nothing is awaited between a lease and the return, so a cancelled call has leased nothing. If it was woken and
            # cancelled at once, leaving passes the wake-up on to the next who waits.
            with shared:
                shared.waiters.leave(waiter)

    def _wake_own(self, shared: SharedStore) -> list[Waiter]:
        with shared:
            return shared.waiters.wake_all(self) + shared.producers.wake_all(self)


MemoryQueueService = InMemoryQueueService
"""The same class by the name that the naming rule gives it."""
