"""Turns over the partitions of a queue: none is left waiting, one that is down holds up no other; imported by the service."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

from indiaai_core.errors import BackendUnavailable

__all__ = ["Claim", "Rounds", "Watch"]

Item = TypeVar("Item")

Claim = Callable[[int, int], Awaitable[tuple[list[Item], float]]]
"""Leases up to so many tasks of a partition; returns them, and in how many seconds there may be more. Of 0, it only looks."""

Watch = Callable[[int], Awaitable[bool]]
"""Waits at a partition for some seconds; returns whether it took the wake-up away, so that somebody has to look now."""


RETRY_SECONDS = 0.1
"""How long a partition that is down is left alone before it is asked again."""


class Rounds(Generic[Item]):
    """The turns of one event loop's calls over the partitions of one queue.

    Who waits, waits at all partitions. A cluster cannot be asked for the first of several keys that lie in different slots, so
    one watch stands at each while anybody waits, for all who wait in this loop. It takes a wake-up away and leases nothing, so
    that no more is leased than was asked for. Who is woken leases; if nobody waits any more, the wake-up is put back. Should
    this process die in between, the others find the task when their own watch ends, a few seconds later.
    """

    def __init__(self, count: int, *, claim: Claim[Item], watch: Watch) -> None:
        """Hold what asks a partition; nothing is asked yet."""
        self._count, self._claim, self._watch = count, claim, watch
        self._turn = random.randrange(count)  # noqa: S311 - lets processes begin at different ones, guards nothing
        self._down: set[int] = set()
        self._error: BackendUnavailable | None = None
        self._ready: deque[int] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._watches: dict[int, asyncio.Task[None]] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def next(self) -> int:
        """Return the partition whose turn it is; one that is down is left out while another is not."""
        for _ in range(self._count):
            self._turn = (self._turn + 1) % self._count
            if self._turn not in self._down:
                break
        return self._turn

    def fail(self, partition: int) -> None:
        """Leave a partition out until it serves again, which is asked on the side."""
        if partition not in self._down:
            self._down.add(partition)
            self._run(self._mend(partition))

    async def take(self, limit: int) -> tuple[list[Item], float]:
        """Lease up to `limit` tasks, from as many partitions as that takes.

        One round trip if the first partition has enough; else the others are looked at together, and those that have something
        are asked one after the other.

        Returns:
            The tasks, and in how many seconds there may be more.

        Raises:
            BackendUnavailable: No partition serves.
        """
        first = self._ready.popleft() if self._ready else self.next()
        items, ahead = await self._ask(first, limit)
        if len(items) >= limit:
            return items, 0
        others = [(first + n) % self._count for n in range(1, self._count)]
        others = [partition for partition in others if partition not in self._down]
        looks = await asyncio.gather(*(self._ask(partition, 0) for partition in others))
        ahead = min(ahead, *(soon for _, soon in looks)) if looks else ahead
        for partition, (_, soon) in zip(others, looks, strict=True):
            if soon <= 0 and len(items) < limit:
                items += (await self._ask(partition, limit - len(items)))[0]
        if len(self._down) == self._count and not items:
            raise self._error or BackendUnavailable("no partition of the queue serves now")
        return items, ahead

    async def wait(self, seconds: float) -> None:
        """Wait until a partition may have something for the caller, but no longer than so."""
        if self._ready or self._is_closed:
            return
        for partition in set(range(self._count)) - self._down - set(self._watches):
            self._watches[partition] = asyncio.create_task(self._stand(partition))
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake()  # it was this one's to look
            raise
        finally:
            with suppress(ValueError):
                self._waiters.remove(waiter)

    async def aclose(self) -> None:
        """End what runs on the side, and let those who wait find out."""
        self._is_closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        running = [*self._watches.values(), *self._errands]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _ask(self, partition: int, limit: int) -> tuple[list[Item], float]:
        try:
            reply = await self._claim(partition, limit)
        except BackendUnavailable as error:
            self._error = error
            self.fail(partition)
            return [], RETRY_SECONDS
        except asyncio.CancelledError:
            if limit:  # it may have been woken for this
                self._run(self._put_back(partition))
            raise
        self._down.discard(partition)
        return reply

    async def _stand(self, partition: int) -> None:
        """Watch a partition for as long as anybody waits."""
        try:
            while any(not waiter.done() for waiter in self._waiters):
                if await self._watch(partition):
                    self._ready.append(partition)
                    self._wake()
        except BackendUnavailable:
            self.fail(partition)
        finally:
            del self._watches[partition]

    def _wake(self) -> None:
        """Let the one who has waited longest look, or put back what woke him when nobody waits."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        while self._ready:
            self._run(self._put_back(self._ready.popleft()))

    async def _put_back(self, partition: int) -> None:
        with suppress(BackendUnavailable):
            await self._claim(partition, 0)

    async def _mend(self, partition: int) -> None:
        while partition in self._down:
            try:
                await self._claim(partition, 0)
            except BackendUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._down.discard(partition)
        self._wake()

    def _run(self, errand: Coroutine[Any, Any, None]) -> None:
        if self._is_closed:
            errand.close()
            return
        task = asyncio.get_running_loop().create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
