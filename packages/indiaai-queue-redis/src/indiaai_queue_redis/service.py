"""The queue backend `redis`; what the entry point names and applications make."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, ClassVar

from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault, QueueFull, TaskNotFound
from indiaai_core.queue import (
    DEFAULT_MAX_ATTEMPTS,
    Counts,
    NewTask,
    QueueService,
    StatusUpdate,
    Task,
    TaskState,
    TaskStatus,
    check_delay,
    check_limit,
)
from indiaai_queue_redis.batch import BATCH, Batcher
from indiaai_queue_redis.fault import full
from indiaai_queue_redis.link import MAX_BLOCK_SECONDS, LinkSet
from indiaai_queue_redis.partition import mint_many, partition_of_id, partition_of_key
from indiaai_queue_redis.record import Entry, decode_status, decode_tasks, encode_failure, encode_task
from indiaai_queue_redis.settings import RedisSettings

__all__ = ["RedisQueueService"]

MAX_REMEMBERED = 10_000
"""Leases that are remembered for who settles by a task's id alone."""

ANY = -1
"""In the place of a partition's number: the one whose turn it is."""

logger = logging.getLogger("indiaai.queue.redis")


class RedisQueueService(QueueService):
    """A queue in Redis 6.2 or newer, or Valkey, shared by any number of processes and machines.

    It connects at first use, and may be used from several event loops and after a fork: each has connections of its own.
    Calls that tasks of one loop make at the same time go out together, and each has its own outcome.
    What the server has acknowledged survives the death of every client, and the server's own as far as its settings
    (append-only file, replicas) promise.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"retry", "cancel", "dead_letters", "counts", "purge", "delay", "priority", "dedupe"}
    )
    contract_version: ClassVar[int] = 1
    settings_class = RedisSettings

    def __init__(self, settings: RedisSettings | None = None) -> None:
        """Hold the settings; None reads the variables with the prefix `REDIS_`. Nothing is connected yet."""
        self._settings = settings or RedisSettings()  # type: ignore[call-arg]  # the environment gives the rest
        self.lease_seconds = self._settings.lease_seconds
        self._links = LinkSet(self._settings)
        self._leases: OrderedDict[str, str] = OrderedDict()
        self._lost_tokens: dict[int, deque[str]] = {}
        self._turn = int.from_bytes(os.urandom(2), "big")  # many that start together begin with different partitions
        self._has_warned = False

    @property
    def client(self) -> Any:
        """The `redis.asyncio` client of the running event loop; this service closes it."""
        return self._links.current.client

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
        """Put a task into the queue, in one round trip; when it returns, the server has it.

        Where `REDIS_FULL_WAIT_SECONDS` is set, a full queue is waited for so long.
        """
        task = NewTask(task_name, {} if task_data is None else task_data, delay, priority, max_attempts, dedupe_key)
        entry = encode_task(task, max_bytes=self._settings.max_task_bytes)
        where = await self._place_of(entry)
        batcher = self._batcher("enqueue", where, self._queue)
        outcome = await self._when_there_is_room(where, partial(batcher.join, entry, size=len(entry.record)))
        return str(outcome)

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Put many tasks into the queue, in one round trip for each 1,000: each thousand is queued whole or not at all."""
        entries = [encode_task(task, max_bytes=self._settings.max_task_bytes) for task in tasks]
        places: dict[int, list[int]] = {}
        if await self._links.partitions() == 1:
            places[0] = list(range(len(entries)))
        else:
            for position, entry in enumerate(entries):
                places.setdefault(await self._place_of(entry), []).append(position)
        ids = [""] * len(entries)
        for where, positions in places.items():
            for first in range(0, len(positions), BATCH):
                batch = positions[first : first + BATCH]
                send = partial(self._queue, where, [entries[position] for position in batch], is_whole=True)
                for position, task_id in zip(batch, await self._when_there_is_room(where, send), strict=True):
                    ids[position] = task_id
        return ids

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Lease the task that is next; waits without polling."""
        return next(iter(await self.dequeue_many(1, timeout)), None)

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Lease up to `limit` tasks, at most 1,000, in one round trip; waits for the first as `dequeue` does."""
        check_limit(limit)
        clock = asyncio.get_running_loop().time
        end = clock() + (timeout or 0)
        tasks, ahead = await self._claim(0, min(limit, BATCH))
        while not tasks and (left := end - clock()) > 0:
            # Never longer than a lease: what others leased meanwhile is then found soon after they died.
            seconds = min(left, ahead, MAX_BLOCK_SECONDS, self.lease_seconds)
            try:
                tasks, ahead = await self._claim(0, min(limit, BATCH), block_seconds=seconds)
            except BackendUnavailable:
                if self._links.is_closed:  # while we waited: there is nothing more to come
                    return []
                raise
        return tasks

    async def get_status(self, task_id: str) -> TaskStatus:
        """Return what the queue knows about a task."""
        where = await self._home_of(task_id)
        found = await self._batcher("inspect", where, self._inspect).join(_encoded(task_id))
        if found is None:
            raise TaskNotFound(task_id)
        return decode_status(found)

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Settle or renew a task under its lease, in one round trip."""
        update = StatusUpdate.of(status, data, max_bytes=self._settings.max_task_bytes)
        if update.state is TaskState.FAILED:
            return await self._settle(task_id, "fail", *encode_failure(update))
        if update.state is TaskState.COMPLETED:
            return await self._settle(task_id, "complete", update.data or b"null")
        return await self._settle(task_id, "renew", update.data or b"")

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Give a task back after a failed attempt, or make it a dead letter if that was its last."""
        check_delay(delay)
        failure = encode_failure(StatusUpdate.failure(error, traceback=traceback))
        if task.is_last_attempt:
            return await self._settle(task, "fail", *failure)
        return await self._settle(task, "retry", *failure, math.ceil(delay * 1000))

    async def release(self, task: Task) -> bool:
        """Give a task back untouched, to the front; the attempt does not count."""
        return await self._settle(task, "release")

    async def cancel(self, task_id: str) -> bool:
        """Stop a task from being worked."""
        where = await self._home_of(task_id)
        return _is_done(task_id, await self._links.run("cancel", _encoded(task_id), partition=where))

    async def dead_letters(self, limit: int = 100) -> list[TaskStatus]:
        """Return failed tasks, the latest first; `REDIS_MAX_DEAD_LETTERS` says how many are kept."""
        check_limit(limit)
        letters = list(chain.from_iterable(await self._run_everywhere("dead", limit)))
        letters.sort(key=lambda letter: int(letter[2]), reverse=True)
        return [decode_status(letter) for letter in letters[:limit]]

    async def requeue(self, task_id: str) -> bool:
        """Put a failed or cancelled task back into the queue, with its attempts counted from 0 again."""
        where = await self._home_of(task_id)
        return _is_done(task_id, await self._links.run("requeue", _encoded(task_id), partition=where))

    async def counts(self) -> Counts:
        """Return how many tasks the queue holds."""
        return Counts(*map(sum, zip(*await self._run_everywhere("counts"), strict=True)))

    async def purge(self) -> int:
        """Forget every task that is pending or a dead letter, 1,000 at a time."""
        total = 0
        while count := sum(await self._run_everywhere("purge", BATCH)):
            total += count
        return total

    async def check(self) -> None:
        """Prove that the servers take writes, and warn once if one is set up to drop tasks."""
        await self._links.partitions(patience_seconds=0)
        for told in await self._run_everywhere("check"):
            version, bound, policy = (text.decode() for text in told)
            if version and [int(part) for part in version.split(".")[:2]] < [6, 2]:
                fault = Fault("REDIS_URL", f"{self._settings.server} is Redis {version}", "6.2 or newer")
                raise ConfigurationError(f"The server is too old. {fault}.", faults=[fault])
            if policy.startswith("allkeys") and bound != "0" and not self._has_warned:
                self._has_warned = True
                said = "Redis at %s drops tasks when it is full: its maxmemory-policy is %s. Set it to noeviction."
                logger.warning(said, self._settings.server, policy)

    async def aclose(self) -> None:
        """Close the connections of all event loops of this process."""
        await self._links.aclose()

    async def _home_of(self, task_id: str) -> int:
        count = await self._links.partitions()
        return 0 if count == 1 else partition_of_id(task_id, count)

    async def _place_of(self, entry: Entry) -> int:
        count = await self._links.partitions()
        if count == 1:
            return 0
        return partition_of_key(entry.dedupe_key, count) if entry.dedupe_key else ANY

    def _next_turn(self, count: int) -> int:
        self._turn += 1
        return self._turn % count

    def _batcher(self, kind: str, where: int, carry: Callable[..., Coroutine[Any, Any, Any]]) -> Batcher:
        batchers = self._links.current.batchers
        if (kind, where) not in batchers:
            batchers[kind, where] = Batcher(partial(carry, where))
        return batchers[kind, where]

    async def _run_everywhere(self, name: str, *arguments: Any) -> list[Any]:
        count = await self._links.partitions()
        return await asyncio.gather(*(self._links.run(name, *arguments, partition=where) for where in range(count)))

    async def _queue(self, where: int, entries: Sequence[Entry], *, is_whole: bool = False) -> list[Any]:
        """Send tasks to one partition; returns the ids, and of each that was refused the error. If `is_whole`, all or none."""
        count = await self._links.partitions()
        partition = self._next_turn(count) if where == ANY else where
        outcomes: list[Any] = mint_many(len(entries), partition=partition, count=count)
        fields = chain.from_iterable((task_id, *entry) for task_id, entry in zip(outcomes, entries, strict=True))
        options = "all" if is_whole else "each", round(self._settings.full_wait_seconds * 1000)
        stand_ins = await self._links.run("enqueue", *options, *fields, partition=partition)
        for position, holder in zip(stand_ins[::2], stand_ins[1::2], strict=True):
            outcomes[position] = holder.decode() if holder else full(self._settings)
        return outcomes

    async def _when_there_is_room(self, where: int, ask: Callable[[], Awaitable[Any]]) -> Any:
        end = asyncio.get_running_loop().time() + self._settings.full_wait_seconds
        while True:
            try:
                return await ask()
            except QueueFull:
                left = end - asyncio.get_running_loop().time()
                if left <= 0:
                    raise
                await self._links.wait_for_room(max(where, 0), left)

    async def _inspect(self, where: int, ids: Sequence[bytes]) -> Any:
        return await self._links.run("inspect", *ids, partition=where)

    async def _claim(self, where: int, limit: int, *, block_seconds: float | None = None) -> tuple[list[Task], float]:
        """Lease tasks of a partition; returns them, and in how many seconds there may be more."""
        lost_tokens = self._lost_tokens.setdefault(where, deque(maxlen=100))
        token, lost = os.urandom(11).hex(), list(lost_tokens) if limit else []
        if limit:
            lost_tokens.clear()
        try:
            arguments = (limit, token, DEFAULT_MAX_ATTEMPTS, *lost)
            reply = await self._links.run("claim", *arguments, partition=where, block_seconds=block_seconds)
        except BaseException:
            # Cancelled or cut off: what it leased, if anything, goes to the next claim, and need not wait for its lease's end.
            lost_tokens.extend([*lost, token])
            raise
        now, ahead, ids, attempts, records = reply
        if len(ids) == limit:
            lost_tokens.extend(lost)  # there may be more of them
        expires = now + round(self.lease_seconds * 1000)
        found = decode_tasks(zip(ids, attempts, records, strict=True), token=token, expires=expires)
        tasks = [task for task in found if isinstance(task, Task)]
        self._leases |= {task.id: task.lease for task in tasks}
        while len(self._leases) > MAX_REMEMBERED:
            self._leases.popitem(last=False)
        if len(tasks) < len(found):
            # A stranger wrote it. Were it left, it would come back with every lease and stop whoever claims it.
            for number, (task_id, task) in enumerate(zip(ids, found, strict=True), 1):
                if not isinstance(task, Task):
                    failure = encode_failure(StatusUpdate.failure(f"the record is not readable: {task}"))
                    await self._links.run("settle", task_id, f"{token}.{number}", "fail", *failure, "", partition=where)
        return tasks, math.inf if ahead < 0 else ahead / 1000

    async def _settle(self, task: str | Task, verb: str, *values: Any) -> bool:
        name, lease = (task.id, task.lease) if isinstance(task, Task) else (task, self._leases.get(task, ""))
        where = await self._home_of(name)
        load = (_encoded(name), lease, verb, *values, *[b""] * (3 - len(values)))
        batcher = self._batcher("settle", where, self._settle_all)
        done = await batcher.join(load, size=len(values[0]) if values else 0)
        if verb != "renew" and self._leases.get(name) == lease:
            del self._leases[name]
        return bool(done)

    async def _settle_all(self, where: int, loads: Sequence[tuple[Any, ...]]) -> Any:
        return await self._links.run("settle", *chain.from_iterable(loads), partition=where)


def _encoded(task_id: str) -> bytes:
    """Return an id as it goes to the server; one that has no form in UTF-8 is one that no task has."""
    return task_id.encode("utf-8", "surrogatepass")


def _is_done(task_id: str, outcome: int) -> bool:
    if outcome < 0:
        raise TaskNotFound(task_id)
    return outcome > 0
