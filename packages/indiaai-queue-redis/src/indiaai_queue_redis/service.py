"""The queue backend `redis`; what the entry point names and applications make."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from indiaai_core.errors import BackendUnavailable, ConfigurationError, Fault, TaskNotFound
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
from indiaai_queue_redis.link import MAX_BLOCK_SECONDS, LinkSet
from indiaai_queue_redis.record import UNREADABLE, decode_status, decode_task, encode_failure, encode_task
from indiaai_queue_redis.settings import RedisSettings

__all__ = ["RedisQueueService"]

BATCH = 1000
"""The most tasks that one script handles: about 5 ms, in which the server serves nobody else."""

MAX_REMEMBERED = 10_000
"""Leases that are remembered for who settles by a task's id alone."""

logger = logging.getLogger("indiaai.queue.redis")


class RedisQueueService(QueueService):
    """A queue in Redis 6.2 or newer, or Valkey, shared by any number of processes and machines.

    It connects at first use, and may be used from several event loops and after a fork: each has connections of its own.
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
        self._lost_tokens: deque[str] = deque(maxlen=100)
        self._has_warned = False

    @property
    def client(self) -> Any:
        """The `redis.asyncio.Redis` of the running event loop; this service closes it."""
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
        """Put a task into the queue, in one round trip; when it returns, the server has it."""
        data = {} if task_data is None else task_data
        return (await self.enqueue_many([NewTask(task_name, data, delay, priority, max_attempts, dedupe_key)]))[0]

    async def enqueue_many(self, tasks: Iterable[NewTask]) -> list[str]:
        """Put many tasks into the queue, in one round trip for each 1,000: each thousand is queued whole or not at all."""
        ids: list[str] = []
        fields: list[Any] = []
        for task in tasks:
            ids.append(os.urandom(11).hex())
            record = encode_task(task, max_bytes=self._settings.max_task_bytes)
            fields += [ids[-1], math.ceil(task.delay * 1000), task.priority, task.dedupe_key or "", record]
        for first in range(0, len(ids), BATCH):
            stand_ins = await self._links.run("enqueue", *fields[5 * first : 5 * (first + BATCH)])
            for position, holder in zip(stand_ins[::2], stand_ins[1::2], strict=True):
                ids[first + position] = holder.decode()
        return ids

    async def dequeue(self, timeout: float | None = None) -> Task | None:
        """Lease the task that is next; waits without polling."""
        return next(iter(await self.dequeue_many(1, timeout)), None)

    async def dequeue_many(self, limit: int, timeout: float | None = None) -> list[Task]:
        """Lease up to `limit` tasks, at most 1,000, in one round trip; waits for the first as `dequeue` does."""
        check_limit(limit)
        clock = asyncio.get_running_loop().time
        end = clock() + (timeout or 0)
        tasks, ahead = await self._claim(min(limit, BATCH))
        while not tasks and (left := end - clock()) > 0:
            # Never longer than a lease: what others leased meanwhile is then found soon after they died.
            seconds = min(left, ahead, MAX_BLOCK_SECONDS, self.lease_seconds)
            try:
                tasks, ahead = await self._claim(min(limit, BATCH), block_seconds=seconds)
            except BackendUnavailable:
                if self._links.is_closed:  # while we waited: there is nothing more to come
                    return []
                raise
        return tasks

    async def get_status(self, task_id: str) -> TaskStatus:
        """Return what the queue knows about a task."""
        for found in await self._links.run("inspect", task_id):
            return decode_status(found)
        raise TaskNotFound(task_id)

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
        return _is_done(task_id, await self._links.run("cancel", task_id))

    async def dead_letters(self, limit: int = 100) -> list[TaskStatus]:
        """Return failed tasks, the latest first; `REDIS_MAX_DEAD_LETTERS` says how many are kept."""
        return [decode_status(found) for found in await self._links.run("dead", limit)]

    async def requeue(self, task_id: str) -> bool:
        """Put a failed or cancelled task back into the queue, with its attempts counted from 0 again."""
        return _is_done(task_id, await self._links.run("requeue", task_id))

    async def counts(self) -> Counts:
        """Return how many tasks the queue holds."""
        return Counts(*await self._links.run("counts"))

    async def purge(self) -> int:
        """Forget every task that is pending or a dead letter, 1,000 at a time."""
        total = 0
        while count := int(await self._links.run("purge", BATCH)):
            total += count
        return total

    async def check(self) -> None:
        """Prove that the server takes writes, and warn once if it is set up to drop tasks."""
        version, bound, policy = (text.decode() for text in await self._links.run("check"))
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

    async def _claim(self, limit: int, *, block_seconds: float | None = None) -> tuple[list[Task], float]:
        """Lease tasks; returns them, and in how many seconds there may be more."""
        token, lost = os.urandom(11).hex(), list(self._lost_tokens)
        self._lost_tokens.clear()
        try:
            arguments = (limit, token, DEFAULT_MAX_ATTEMPTS, *lost)
            now, ahead, *found = await self._links.run("claim", *arguments, block_seconds=block_seconds)
        except BaseException:
            # Cancelled or cut off: what it leased, if anything, goes to the next claim, and need not wait for its lease's end.
            self._lost_tokens.extend([*lost, token])
            raise
        if len(found) == limit:
            self._lost_tokens.extend(lost)  # there may be more of them
        tasks: list[Task] = []
        for delivery in found:
            try:
                tasks.append(decode_task(delivery, expires=now + round(self.lease_seconds * 1000)))
            except UNREADABLE as error:
                # A stranger wrote it. Were it left, it would come back with every lease and stop whoever claims it.
                self._leases[delivery[0].decode()] = delivery[3].decode()
                await self.update_status(delivery[0].decode(), "failed", f"the record is not readable: {error}")
        self._leases |= {task.id: task.lease for task in tasks}
        while len(self._leases) > MAX_REMEMBERED:
            self._leases.popitem(last=False)
        return tasks, math.inf if ahead < 0 else ahead / 1000

    async def _settle(self, task: str | Task, verb: str, *values: Any) -> bool:
        name, lease = (task.id, task.lease) if isinstance(task, Task) else (task, self._leases.get(task, ""))
        (done,) = await self._links.run("settle", name, lease, verb, *values, *[""] * (3 - len(values)))
        if verb != "renew" and self._leases.get(name) == lease:
            del self._leases[name]
        return bool(done)


def _is_done(task_id: str, outcome: int) -> bool:
    if outcome < 0:
        raise TaskNotFound(task_id)
    return outcome > 0
