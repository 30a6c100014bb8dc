"""The links of a service to its servers, and calls that try again by themselves; imported by the service."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from indiaai_core.errors import BackendUnavailable, ConfigurationError
from indiaai_queue_redis.batch import Receiver
from indiaai_queue_redis.fault import translate
from indiaai_queue_redis.link import MAX_BLOCK_SECONDS, Link
from indiaai_queue_redis.settings import RedisSettings
from indiaai_queue_redis.trouble import Trouble

__all__ = ["LinkSet"]

CLOSED = "The queue service is closed. Make another, or close it later."

logger = logging.getLogger("indiaai.queue.redis")


class LinkSet:
    """The links of a service: one for each event loop that used it in this process."""

    def __init__(self, settings: RedisSettings) -> None:
        """Hold what links are made from."""
        self._settings, self.is_closed = settings, False
        self._links: dict[asyncio.AbstractEventLoop, Link] = {}
        self._left_behind: list[object] = []
        self._process = os.getpid()
        self._silent_since = self._answered_at = 0.0
        self._times = [round(seconds * 1000) for seconds in (settings.lease_seconds, settings.keep_finished_seconds)]

    @property
    def current(self) -> Link:
        """The running loop's link, made at its first use."""
        if self.is_closed:
            raise BackendUnavailable(CLOSED)
        # A child of a fork has loops of its own, and comes by here: asyncio runs none in two processes.
        return self._links.get(asyncio.get_running_loop()) or self._make_link()

    def _make_link(self) -> Link:
        if self._process != os.getpid():
            # Sockets and loops are the parent's: they are left open and referred to, for closing them would disturb it.
            self._left_behind.append(self._links)
            self._links, self._process = {}, os.getpid()
        return Link(self._links, self._settings)

    @property
    def count(self) -> int:
        """The number of partitions, or 0 while the running loop has not asked."""
        link = self._links.get(asyncio.get_running_loop())
        return len(link.servers.partitions) if link is not None else 0

    async def partitions(self, *, patience_seconds: float | None = None) -> int:
        """Return the number of partitions; asks the servers at the first call of a loop, and raises what `run` does."""
        if known := self.count:
            return known
        patience = self._settings.retry_seconds if patience_seconds is None else patience_seconds
        await self._persist(lambda link, _: link.servers.open(), patience)
        return len(self.current.servers.partitions)

    async def watch(self, partition: int) -> bool:
        """Wait until a worker may find something in a partition, as `Link.watch` does; raises what `run` does."""
        patience = MAX_BLOCK_SECONDS + self._settings.retry_seconds
        return bool(await self._persist(lambda link, _: link.watch(partition), patience))

    async def wait_for_room(self, partition: int, seconds: float) -> None:
        """Wait until a partition that was full may have room; raises what `run` does."""
        await self._persist(lambda link, _: link.wait_for_room(partition, seconds), seconds + self._settings.retry_seconds)

    async def run(self, name: str, *arguments: Any, partition: int = 0, block_seconds: float | None = None) -> Any:
        """Run a script, and again for `retry_seconds` while the server does not serve; first wait to be woken, if so asked.

        Raises:
            BackendUnavailable: The server did not serve in time, or the service was closed.
            ConfigurationError: The server does not let us in, or what it holds is not for us.
            QueueError: It refused.
        """
        return await self._carry_on(name, arguments, partition, None, block_seconds=block_seconds)

    def dispatch(self, name: str, *arguments: Any, partition: int, receive: Receiver) -> None:
        """Run a script as `run` does, and give its reply, or the error, to `receive`.

        A call that meets no trouble, as nearly all do, costs no task of the event loop and no turn of it but the reply's.
        """
        link = self.current

        def follow(reply: Any) -> None:
            if not isinstance(reply, Exception):
                self._take_note()
                receive(reply)
            elif link.is_closed:
                receive(BackendUnavailable(CLOSED))
            else:
                error = None if str(reply).startswith("NOSCRIPT") else reply
                link.spawn(self._carry_on(name, arguments, partition, error), receive)

        if not link.start(name, self._arguments(link, 0, *arguments), partition=partition, receive=follow):
            link.spawn(self._carry_on(name, arguments, partition, None), receive)

    async def aclose(self) -> None:
        """Close the links of all loops; a loop that does not run closes its own when it is shut down."""
        self.is_closed = True
        here = asyncio.get_running_loop()
        for loop, link in list(self._links.items() if self._process == os.getpid() else ()):
            if loop is here:
                await link.guard.aclose()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(link.guard.aclose(), loop))

    async def _carry_on(
        self,
        name: str,
        arguments: Sequence[Any],
        partition: int,
        error: Exception | None,
        *,
        block_seconds: float | None = None,
    ) -> Any:
        """Run a script; where the first sending came to an error already, that is it."""

        async def evaluate(link: Link, attempt: int) -> Any:
            if error is not None and attempt == 0:
                raise error
            block = None if attempt else block_seconds
            told = self._arguments(link, attempt, *arguments)
            return await link.evaluate(name, told, partition=partition, block_seconds=block)

        patience = 0 if name == "check" else self._settings.retry_seconds  # who asks for its health wants to know now
        return await self._persist(evaluate, (block_seconds or 0) + patience)

    def _take_note(self) -> None:
        self._answered_at = time.monotonic()
        if self._silent_since:
            silence, self._silent_since = self._answered_at - self._silent_since, 0.0
            logger.warning("Redis at %s serves again after %.1f s.", self._settings.server, silence)

    def _arguments(self, link: Link, attempt: int, *own: Any) -> list[Any]:
        """Return what a script is told: which sending this is, the settings, and its own."""
        count = len(link.servers.partitions) or 1  # which share the bounds
        bounds = (-(-bound // count) for bound in (self._settings.max_dead_letters, self._settings.max_tasks))
        return [attempt, *self._times, *bounds, *own]

    async def _persist(self, action: Callable[[Link, int], Awaitable[Any]], patience_seconds: float) -> Any:
        if "indiaai_queue_redis.channel" not in sys.modules:
            clients = () if self._settings.address.is_plain else ("redis.asyncio",)
            for module in (*clients, "indiaai_queue_redis.channel"):
                await asyncio.to_thread(import_module, module)  # 0.3 s that the event loop need not stand still
        end, attempt = time.monotonic() + patience_seconds, 0
        while True:
            link, began = self.current, time.monotonic()
            try:
                reply = await action(link, attempt)
            except ConfigurationError as error:
                self._settings.renamed(error)
                raise
            except (Trouble, OSError) as error:
                if not self.is_closed:
                    try:
                        await self._pause_or_raise(error, attempt, began=began, end=end)
                    except BackendUnavailable:
                        link.spawn(link.renew(error), _ignore)  # the next call is to know more
                        raise
                    with suppress(Trouble, OSError):  # the next try says what is wrong
                        await link.renew(error)
                attempt += 1
            else:
                self._take_note()
                return reply

    async def _pause_or_raise(self, error: Exception, attempt: int, *, began: float, end: float) -> None:
        fault = translate(error, self._settings)
        if not isinstance(fault, BackendUnavailable):
            raise fault from error
        if not self._silent_since and began > self._answered_at:  # else it is news of an outage that is over
            self._silent_since = began
            logger.warning("%s Trying again.", fault)
        for batcher in self.current.batchers.values():
            batcher.depart()  # those who wait for this call's end need not wait for its patience's end
        pause = min(0.05 * 2**attempt, 0.5) * random.uniform(0.5, 1)  # noqa: S311 - spreads the clients out, guards nothing
        if time.monotonic() + pause > end or "INDIAAIFORMAT" in str(error):  # in which the call, as it is, would go astray
            raise fault from error
        await asyncio.sleep(pause)


def _ignore(reply: Any) -> None:
    """Receive what nobody waits for."""
