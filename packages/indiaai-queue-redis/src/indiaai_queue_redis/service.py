"""The queue backend `redis`; what the entry point names and applications make."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, ClassVar

from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault, InvalidTask, QueueFull, TaskNotFound
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
from indiaai_queue_redis.batch import BATCH, Batcher, Receiver
from indiaai_queue_redis.completion import complete_all, encode_completion
from indiaai_queue_redis.fault import full
from indiaai_queue_redis.link import MAX_BLOCK_SECONDS
from indiaai_queue_redis.linkset import LinkSet
from indiaai_queue_redis.partition import mint_many, partition_of_id, partition_of_key
from indiaai_queue_redis.record import decode_status, decode_tasks, encode_call, encode_failure, encode_task, encode_token
from indiaai_queue_redis.rounds import Rounds
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
        {"retry", "cancel", "dead_letters", "counts", "purge", "complete_many", "delay", "priority", "dedupe"}
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
        data = {} if task_data is None else task_data
        entry = encode_call(
            task_name,
            data,
            delay=delay,
            priority=priority,
            max_attempts=max_attempts,
            dedupe_key=dedupe_key,
            max_bytes=self._settings.max_task_bytes,
        )
        where = 0 if self._links.count == 1 else await self._place_of(dedupe_key)
        batcher = self._batcher("enqueue", where, self._queue_each)
        if not self._settings.full_wait_seconds:
            return str(await batcher.join(entry, size=len(entry)))
        join = partial(batcher.join, entry, size=len(entry))
        return str(await self._when_there_is_room(where, join))

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Put many tasks into the queue, in one round trip for each 1,000: each thousand is queued whole or not at all."""
        batch = list(tasks)
        entries = [encode_task(task, max_bytes=self._settings.max_task_bytes) for task in batch]
        places: dict[int, list[int]] = {}
        if await self._links.partitions() == 1:
            places[0] = list(range(len(entries)))
        else:
            for position, task in enumerate(batch):
                places.setdefault(await self._place_of(task.dedupe_key), []).append(position)
        ids = [""] * len(entries)
        for where, positions in places.items():
            for first in range(0, len(positions), BATCH):
                some = positions[first : first + BATCH]
                send = partial(self._queue_all, where, [entries[position] for position in some])
                for position, task_id in zip(some, await self._when_there_is_room(where, send), strict=True):
                    ids[position] = task_id
        return ids

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Lease the task that is next; waits without polling."""
        return next(iter(await self.dequeue_many(1, timeout)), None)

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Lease up to `limit` tasks, at most 1,000, in one round trip; waits for the first as `dequeue` does."""
        check_limit(limit)
        is_waiting = timeout is not None and not self._links.is_closed
        try:
            return await self._take_by(limit, timeout or 0)
        except BackendUnavailable:
            if is_waiting and self._links.is_closed:  # while we waited: there is nothing more to come
                return []
            raise

    async def _take_by(self, limit: int, timeout: float) -> list[Task]:
        clock = asyncio.get_running_loop().time
        end = clock() + timeout
        tasks, ahead = await self._take(min(limit, BATCH))
        while not tasks and (left := end - clock()) > 0:
            # Never longer than a lease: what others leased meanwhile is then found soon after they died.
            seconds = min(left, ahead, MAX_BLOCK_SECONDS, self.lease_seconds)
            tasks, ahead = await self._take(min(limit, BATCH), block_seconds=seconds)
        return tasks

    async def get_status(self, task_id: str) -> TaskStatus:
        """Return what the queue knows about a task."""
        where = await self._home_of(task_id)
        found = await self._batcher("inspect", where, self._inspect_each).join(encode_token(task_id))
        if found is None:
            raise TaskNotFound(task_id)
        return decode_status(found)

    async def update_status(self, task_id: str | Task, status: TaskState | str, data: Any = None) -> bool:
        """Settle or renew a task under its lease, in one round trip."""
        limit = self._settings.max_task_bytes
        if status == TaskState.COMPLETED:
            return await self._settle(task_id, encode_completion(data, max_bytes=limit))
        update = StatusUpdate.of(status, data, max_bytes=limit)
        if update.state is TaskState.FAILED:
            return await self._settle(task_id, b"fail\n" + encode_failure(update))
        return await self._settle(task_id, b"renew\n" + (update.data or b""), is_end=False)

    async def complete_many(self, results: Sequence[tuple[Task, Any]]) -> list[bool | InvalidTask]:
        """Settle many deliveries as completed, in one round trip for each 1,000."""
        outcomes = await complete_all(self._links, results, max_bytes=self._settings.max_task_bytes)
        for task, _ in results:
            if self._leases.get(task.id) == task.lease:
                del self._leases[task.id]
        return outcomes

    async def retry(self, task: Task, delay: float = 0, error: str = "", *, traceback: str | None = None) -> bool:
        """Give a task back after a failed attempt, or make it a dead letter if that was its last."""
        check_delay(delay)
        failure = encode_failure(StatusUpdate.failure(error, traceback=traceback))
        if task.is_last_attempt:
            return await self._settle(task, b"fail\n" + failure)
        return await self._settle(task, b"retry\n%b\n%d" % (failure, math.ceil(delay * 1000)))

    async def release(self, task: Task) -> bool:
        """Give a task back untouched, to the front; the attempt does not count."""
        return await self._settle(task, b"release")

    async def cancel(self, task_id: str) -> bool:
        """Stop a task from being worked."""
        where = await self._home_of(task_id)
        return _is_done(task_id, await self._links.run("cancel", encode_token(task_id), partition=where))

    async def dead_letters(self, limit: int = 100) -> list[TaskStatus]:
        """Return failed tasks, the latest first; `REDIS_MAX_DEAD_LETTERS` says how many are kept."""
        check_limit(limit)
        letters = list(chain.from_iterable(await self._run_everywhere("dead", limit)))
        letters.sort(key=lambda letter: int(letter[2]), reverse=True)
        return [decode_status(letter) for letter in letters[:limit]]

    async def requeue(self, task_id: str) -> bool:
        """Put a failed or cancelled task back into the queue, with its attempts counted from 0 again."""
        where = await self._home_of(task_id)
        return _is_done(task_id, await self._links.run("requeue", encode_token(task_id), partition=where))

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
                raise self._settings.renamed(ConfigurationError(f"The server is too old. {fault}.", faults=[fault]))
            if policy.startswith("allkeys") and bound != "0" and not self._has_warned:
                self._has_warned = True
                said = "Redis at %s drops tasks when it is full: its maxmemory-policy is %s. Set it to noeviction."
                logger.warning(said, self._settings.server, policy)

    async def caveats(self) -> Sequence[Fault]:
        """Tell of a server that forgets tasks when it restarts or drops them when it is full, where it lets its user ask."""
        told = {name: await self._configured(name) for name in ("save", "appendonly", "maxmemory", "maxmemory-policy")}
        change = 'redis-cli -u "$REDIS_URL" config set'
        found: list[Fault] = []
        if (told["save"], told["appendonly"]) == ("", "no"):
            forgets = (
                f"{self._settings.server} forgets all tasks when it restarts: it keeps neither a file of them nor snapshots"
            )
            found.append(Fault("REDIS_URL", forgets, "a server with an append-only file", f"{change} appendonly yes"))
        if (told["maxmemory-policy"] or "").startswith("allkeys") and told["maxmemory"] != "0":
            drops = f"{self._settings.server} drops tasks when it is full: its maxmemory-policy is {told['maxmemory-policy']}"
            found.append(Fault("REDIS_URL", drops, "one that drops nothing", f"{change} maxmemory-policy noeviction"))
        return found

    async def _configured(self, name: str) -> str | None:
        from redis.exceptions import RedisError

        try:
            told = await self.client.config_get(name)
        except (RedisError, OSError):  # a user may lack the right to ask, and some providers answer nobody
            return None
        value = told.get(name, told.get(name.encode())) if isinstance(told, Mapping) else None
        return value.decode() if isinstance(value, bytes) else value

    async def aclose(self) -> None:
        """Close the connections of all event loops of this process."""
        await self._links.aclose()

    async def _home_of(self, task_id: str) -> int:
        count = self._links.count or await self._links.partitions()
        return 0 if count == 1 else partition_of_id(task_id, count)

    async def _place_of(self, dedupe_key: str | None) -> int:
        count = self._links.count or await self._links.partitions()
        if count == 1:
            return 0
        return ANY if dedupe_key is None else partition_of_key(dedupe_key, count)

    def _rounds(self, count: int) -> Rounds[Task]:
        link = self._links.current
        if link.rounds is None:
            link.rounds = Rounds(count, claim=self._claim, watch=self._links.watch)
        return link.rounds

    def _batcher(self, kind: str, where: int, begin: Callable[[int, Sequence[Any], Receiver], None]) -> Batcher:
        batchers = self._links.current.batchers
        batcher = batchers.get((kind, where))
        if batcher is None:
            batcher = batchers[kind, where] = Batcher(partial(begin, where))
        return batcher

    async def _run_everywhere(self, name: str, *arguments: Any) -> list[Any]:
        count = await self._links.partitions()
        return await asyncio.gather(*(self._links.run(name, *arguments, partition=where) for where in range(count)))

    def _queue_each(self, where: int, entries: Sequence[bytes], receive: Receiver) -> None:
        partition, ids, arguments = self._prepared("each", where, entries)

        def read(reply: Any) -> None:
            receive(reply if isinstance(reply, BaseException) else self._admitted(ids, reply))

        self._links.dispatch("enqueue", *arguments, partition=partition, receive=read)

    async def _queue_all(self, where: int, entries: Sequence[bytes]) -> list[Any]:
        partition, ids, arguments = self._prepared("all", where, entries)
        return self._admitted(ids, await self._links.run("enqueue", *arguments, partition=partition))

    def _prepared(self, how: str, where: int, entries: Sequence[bytes]) -> tuple[int, list[str], Iterable[Any]]:
        """Return the partition for tasks, an id for each, and what the script is told."""
        count = self._links.count
        partition = (self._rounds(count).next() if count > 1 else 0) if where == ANY else where
        ids = mint_many(len(entries), partition=partition, count=count)
        fields = chain.from_iterable(zip(ids, entries, strict=True))
        return partition, ids, (how, round(self._settings.full_wait_seconds * 1000), *fields)

    def _admitted(self, ids: list[str], reply: Sequence[Any]) -> list[Any]:
        """Return the id of each task: its own, or that of the one which stands in; of one that was refused, the error."""
        outcomes: list[Any] = ids
        for position, holder in zip(reply[::2], reply[1::2], strict=True):
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

    def _inspect_each(self, where: int, ids: Sequence[bytes], receive: Receiver) -> None:
        self._links.dispatch("inspect", *ids, partition=where, receive=receive)

    async def _take(self, limit: int, *, block_seconds: float | None = None) -> tuple[list[Task], float]:
        count = await self._links.partitions()
        if count == 1:
            return await self._claim(0, limit, block_seconds=block_seconds)
        rounds = self._rounds(count)
        if block_seconds is not None:
            await rounds.wait(block_seconds)
        return await rounds.take(limit)

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
                    await self._links.run("settle", task_id, f"{token}.{number}", b"fail\n" + failure, partition=where)
        return tasks, math.inf if ahead < 0 else ahead / 1000

    async def _settle(self, task: str | Task, order: bytes, *, is_end: bool = True) -> bool:
        name, lease = (task.id, task.lease) if isinstance(task, Task) else (task, self._leases.get(task, ""))
        where = 0 if self._links.count == 1 else await self._home_of(name)
        batcher = self._batcher("settle", where, self._settle_each)
        done = await batcher.join((encode_token(name), encode_token(lease), order), size=len(order))
        if is_end and self._leases.get(name) == lease:
            del self._leases[name]
        return bool(done)

    def _settle_each(self, where: int, loads: Sequence[tuple[bytes, bytes, bytes]], receive: Receiver) -> None:
        self._links.dispatch("settle", *chain.from_iterable(loads), partition=where, receive=receive)


def _is_done(task_id: str, outcome: int) -> bool:
    if outcome < 0:
        raise TaskNotFound(task_id)
    return outcome > 0
