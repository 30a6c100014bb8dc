"""The way to the servers: channels of each event loop, and calls that try again by themselves; imported by the service."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from indiaai_core.errors import BackendUnavailable, Fault, InvalidSettings
from indiaai_queue_redis.batch import Batcher
from indiaai_queue_redis.fault import translate
from indiaai_queue_redis.servers import Servers
from indiaai_queue_redis.settings import RedisSettings

if TYPE_CHECKING:
    from indiaai_queue_redis.channel import Channel

__all__ = ["MAX_BLOCK_SECONDS", "LinkSet"]

MAX_BLOCK_SECONDS = 5.0
"""How long a connection waits to be woken before it looks by itself: what a lost wake-up costs at most."""

ROOM_SECONDS = 1.0
"""How long who waits for room waits to be told of some before it tries again."""

MOVED_ON = ("READONLY", "MOVED ", "ASK ", "MASTERDOWN", "CLUSTERDOWN")
"""What a server says that no longer has the queue: the connections to it are of no more use."""

logger = logging.getLogger("indiaai.queue.redis")


@cache
def _script(name: str) -> tuple[str, str]:
    """Return a script's text, with the prelude in front, and the digest under which a server that saw it runs it."""
    folder = files("indiaai_queue_redis") / "lua"
    text = "".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("prelude", name))
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Link:
    """The connections of one event loop to the servers; they are closed with the loop, at the latest."""

    def __init__(self, links: dict[asyncio.AbstractEventLoop, Link], settings: RedisSettings) -> None:
        """Take the place of the running loop's link; nothing is connected yet."""
        from indiaai_queue_redis.channel import Channel, pack

        self.servers = Servers(settings)
        self.batchers: dict[tuple[str, int], Batcher] = {}
        self._settings = settings
        self._open, self._pack = Channel.open, pack
        self._channels: dict[str, Channel] = {}
        self._openings: dict[str, asyncio.Task[Channel]] = {}
        self._idle: dict[str, list[Channel]] = {}
        self._room_waits: dict[int, asyncio.Task[Any]] = {}
        self._waiting: set[Channel] = set()
        self._pool: Any = None
        # asyncio closes the asynchronous generators that were begun on a loop when it shuts the loop down.
        self.guard = self._close_with_loop(links)
        with suppress(StopIteration):
            self.guard.__anext__().send(None)

    @property
    def client(self) -> Any:
        """A client of the loop's own, which has connections of its own."""
        from redis.asyncio import BlockingConnectionPool, Redis

        if self._pool is None:
            patience = self._settings.timeout_seconds
            options = {"max_connections": self._settings.max_connections, "timeout": patience, "socket_timeout": patience}
            self._pool = _pool(BlockingConnectionPool, self._settings, options)
        return Redis(connection_pool=self._pool)

    async def evaluate(self, name: str, partition: int, arguments: list[Any], *, block_seconds: float | None) -> Any:
        """Run a script in one round trip, or two where the server has not seen it; first wait to be woken, if so asked."""
        from redis.exceptions import ResponseError

        if not self.servers.partitions:
            await self.servers.open()
        base = self.servers.partitions[partition]
        text, digest = _script(name)
        command = self._pack(("EVALSHA", digest, 1, base, *arguments))
        try:
            if block_seconds is None:
                return await (self._channel(base) or await self._opened(base)).call(command)
            return await self._wait(base, "wake", block_seconds, command)
        except ResponseError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            return await (await self._opened(base)).call(self._pack(("EVAL", text, 1, base, *arguments)))

    async def wait_for_room(self, partition: int, seconds: float) -> None:
        """Wait until a partition that was full may have room; all who wait share one connection."""
        wait = self._room_waits.get(partition)
        if wait is None:
            base = self.servers.partitions[partition]
            wait = self._room_waits[partition] = asyncio.create_task(self._wait(base, "room", ROOM_SECONDS, b""))
            wait.add_done_callback(lambda done: self._end(partition, done))
        done, _ = await asyncio.wait([wait], timeout=seconds)
        for wait in done:
            wait.result()

    def _end(self, partition: int, wait: asyncio.Task[Any]) -> None:
        self._room_waits.pop(partition, None)
        if not wait.cancelled():
            wait.exception()  # is looked at, lest asyncio warns of one for which nobody waits any more

    async def renew(self, error: Exception) -> None:
        """Find out where the servers are now, after an error."""
        if any(word in str(error) for word in MOVED_ON):
            for channel in [*self._channels.values(), *(one for idle in self._idle.values() for one in idle)]:
                channel.abort(error)
        await self.servers.refresh(error)

    def _channel(self, base: str) -> Channel | None:
        channel = self._channels.get(base)
        return channel if channel is not None and channel.is_open else None

    async def _opened(self, base: str) -> Channel:
        """Return the channel of a partition, which all calls share; whoever comes while it is opened waits for that."""
        if channel := self._channel(base):
            return channel
        opening = self._openings.get(base)
        if opening is None:
            opening = self._openings[base] = asyncio.create_task(self._connect(base))
            opening.add_done_callback(lambda done: self._take_note(base, done))
        return await asyncio.shield(opening)

    def _take_note(self, base: str, opening: asyncio.Task[Channel]) -> None:
        self._openings.pop(base, None)
        if not opening.cancelled() and not opening.exception():
            self._channels[base] = opening.result()

    async def _connect(self, base: str, *, more_seconds: float = 0) -> Channel:
        connection = await self.servers.connection(base)
        return await self._open(connection, timeout_seconds=self._settings.timeout_seconds + more_seconds)

    async def _wait(self, base: str, key: str, seconds: float, behind: bytes) -> Any:
        """Wait until there is something in a list, and run what is sent behind.

        Both go out together, and the server runs the second as soon as the first is through. So there is no moment at which
        the wake-up is taken and only this process, which may be dying, knows that somebody has to look. Who waits has a
        connection to itself meanwhile: the server answers nothing else on it.
        """
        idle = self._idle.setdefault(base, [])
        while idle and not idle[-1].is_open:
            idle.pop()
        channel = idle.pop() if idle else await self._connect(base, more_seconds=MAX_BLOCK_SECONDS)
        self._waiting.add(channel)
        try:
            block = self._pack(("BLPOP", f"{base}{key}", f"{max(seconds, 0.001):.3f}"))
            reply = await channel.call(block + behind, is_second=bool(behind))
        except BaseException:
            channel.abort()  # it is still waiting, and must not take what the next is to have
            raise
        finally:
            self._waiting.discard(channel)
        idle.append(channel)
        return reply

    async def _close_with_loop(self, links: dict[asyncio.AbstractEventLoop, Link]) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        links[loop] = self
        try:
            yield
        finally:
            links.pop(loop, None)
            for task in [*self._openings.values(), *self._room_waits.values()]:
                task.cancel()
                await asyncio.wait([task])
            idle = [channel for channels in self._idle.values() for channel in channels]
            for channel in [*self._channels.values(), *idle, *self._waiting]:
                await channel.aclose()
            if self._pool is not None:
                await self._pool.disconnect(inuse_connections=True)


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
            raise BackendUnavailable("The queue service is closed. Make another, or close it later.")
        if self._process != os.getpid():
            # Sockets and loops are the parent's: they are left open and referred to, for closing them would disturb it.
            self._left_behind.append(self._links)
            self._links, self._process = {}, os.getpid()
        return self._links.get(asyncio.get_running_loop()) or Link(self._links, self._settings)

    async def partitions(self, *, patience_seconds: float | None = None) -> int:
        """Return the number of partitions; asks the servers at the first call of a loop, and raises what `run` does."""
        if "indiaai_queue_redis.channel" in sys.modules and (known := self.current.servers.partitions):
            return len(known)
        patience = self._settings.retry_seconds if patience_seconds is None else patience_seconds
        await self._persist(lambda link, _: link.servers.open(), patience)
        return len(self.current.servers.partitions)

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

        def evaluate(link: Link, attempt: int) -> Awaitable[Any]:
            block = None if attempt else block_seconds
            return link.evaluate(name, partition, self._arguments(link, attempt, *arguments), block_seconds=block)

        patience = 0 if name == "check" else self._settings.retry_seconds  # who asks for its health wants to know now
        return await self._persist(evaluate, (block_seconds or 0) + patience)

    async def aclose(self) -> None:
        """Close the links of all loops; a loop that does not run closes its own when it is shut down."""
        self.is_closed = True
        here = asyncio.get_running_loop()
        for loop, link in list(self._links.items() if self._process == os.getpid() else ()):
            if loop is here:
                await link.guard.aclose()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(link.guard.aclose(), loop))

    def _arguments(self, link: Link, attempt: int, *own: Any) -> list[Any]:
        """Return what a script is told: which sending this is, the settings, and its own."""
        count = len(link.servers.partitions) or 1  # which share the bounds
        bounds = (-(-bound // count) for bound in (self._settings.max_dead_letters, self._settings.max_tasks))
        return [attempt, *self._times, *bounds, *own]

    async def _persist(self, action: Callable[[Link, int], Awaitable[Any]], patience_seconds: float) -> Any:
        if "indiaai_queue_redis.channel" not in sys.modules:
            for module in ("redis.asyncio", "indiaai_queue_redis.channel"):
                await asyncio.to_thread(import_module, module)  # 0.2 s that the event loop need not stand still
        from redis.exceptions import RedisError

        end, attempt = time.monotonic() + patience_seconds, 0
        while True:
            link, began = self.current, time.monotonic()
            try:
                reply = await action(link, attempt)
            except (RedisError, OSError) as error:
                if not self.is_closed:
                    await self._pause_or_raise(error, attempt, began=began, end=end)
                    with suppress(RedisError, OSError):  # the next try says what is wrong
                        await link.renew(error)
                attempt += 1
            else:
                self._answered_at = time.monotonic()
                if self._silent_since:
                    silence, self._silent_since = self._answered_at - self._silent_since, 0.0
                    logger.warning("Redis at %s serves again after %.1f s.", self._settings.server, silence)
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
        if time.monotonic() + pause > end:
            raise fault from error
        await asyncio.sleep(pause)


def _pool(kind: Any, settings: RedisSettings, options: dict[str, Any]) -> Any:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    # A blind second try could queue a task twice or lose a delivery: `LinkSet.run` tells the script that it is one.
    options |= {"retry": Retry(NoBackoff(), 0), "socket_connect_timeout": settings.timeout_seconds}
    try:
        # An id that has no form in UTF-8 is one that no task has, and is to be looked for in vain like others.
        pool = kind.from_url(settings.url.get_secret_value(), protocol=2, encoding_errors="surrogatepass", **options)
        pool.make_connection()  # finds out whether it knows the address's options; opens nothing
    except (ValueError, TypeError) as error:
        fault = Fault("REDIS_URL", f"the client refuses one of its options ({error})", "options that redis-py documents")
        raise InvalidSettings([fault]) from error
    return pool
