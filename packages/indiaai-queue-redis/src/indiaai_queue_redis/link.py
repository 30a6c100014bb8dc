"""The way of one event loop to the servers: its channels, and scripts run over them; imported by the set of all links."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from indiaai_core.errors import BackendUnavailable
from indiaai_queue_redis.address import Place
from indiaai_queue_redis.batch import Batcher, Receiver
from indiaai_queue_redis.rounds import Rounds
from indiaai_queue_redis.servers import Servers, ended
from indiaai_queue_redis.settings import RedisSettings
from indiaai_queue_redis.trouble import Refusal

if TYPE_CHECKING:
    from indiaai_queue_redis.channel import Channel

__all__ = ["MAX_BLOCK_SECONDS", "Link"]

MAX_BLOCK_SECONDS = 5.0
"""How long a connection waits to be woken before it looks by itself: what a lost wake-up costs at most."""

SHORTEST_BLOCK_SECONDS = 0.01
"""How long a connection waits at least: Redis before 7.0.8 takes 0.001 for 0, and waits for ever."""

ROOM_SECONDS = 1.0
"""How long who waits for room waits to be told of some before it tries again."""

CURT = ("enqueue", "check")
"""Scripts that need no more than the prelude in front."""

MOVED_ON = ("READONLY", "MOVED ", "ASK ", "MASTERDOWN", "CLUSTERDOWN")
"""What a server says that no longer has the queue: the connections to it are of no more use."""


@cache
def _script(name: str) -> tuple[str, str]:
    """Return a script's text, with what it is to begin with, and the digest under which a server that saw it runs it."""
    folder = files("indiaai_queue_redis") / "lua"
    parts = ("prelude", name) if name in CURT else ("prelude", "words", name)
    text = "".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in parts)
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Link:
    """The connections of one event loop to the servers; they are closed with the loop, at the latest."""

    def __init__(self, links: dict[asyncio.AbstractEventLoop, Link], settings: RedisSettings) -> None:
        """Take the place of the running loop's link; nothing is connected yet."""
        from indiaai_queue_redis.channel import Channel, pack

        self.servers = Servers(settings)
        self.batchers: dict[tuple[str, int], Batcher] = {}
        self.rounds: Rounds[Any] | None = None
        self._settings = settings
        self._open, self._pack = Channel.open, pack
        self._channels: dict[str, Channel] = {}
        self._openings: dict[Place | None, asyncio.Task[Channel]] = {}
        self._apart: set[asyncio.Task[Channel]] = set()
        self._idle: dict[str, list[Channel]] = {}
        self._room_waits: dict[int, asyncio.Task[Any]] = {}
        self._waiting: set[Channel] = set()
        self._calls: set[asyncio.Task[Any]] = set()
        self.is_closed = False
        # asyncio closes the asynchronous generators that were begun on a loop when it shuts the loop down.
        self.guard = self._close_with_loop(links)
        with suppress(StopIteration):
            self.guard.__anext__().send(None)

    @property
    def client(self) -> Any:
        """A client of the loop's own, which has connections of its own."""
        return self.servers.client

    def start(self, name: str, arguments: list[Any], *, partition: int, receive: Receiver) -> bool:
        """Run a script where that can be done without waiting for anything first; returns whether it can."""
        channel = self._channel(self.servers.partitions[partition]) if self.servers.partitions else None
        if channel is None or (name == "enqueue" and self._settings.wait_replicas > 0):
            return False
        base = self.servers.partitions[partition]
        channel.send(self._pack(("EVALSHA", _script(name)[1], 1, base, *arguments)), receive)
        return True

    async def evaluate(self, name: str, arguments: list[Any], *, partition: int, block_seconds: float | None) -> Any:
        """Run a script in one round trip, or two where the server has not seen it; first wait to be woken, if so asked."""
        if not self.servers.partitions:
            await self.servers.open()
        base = self.servers.partitions[partition]
        text, digest = _script(name)
        command = self._pack(("EVALSHA", digest, 1, base, *arguments))
        is_confirmed = name == "enqueue" and self._settings.wait_replicas > 0
        try:
            if is_confirmed:
                return await self._confirmed(base, command)
            if block_seconds is None:
                return await (self._channel(base) or await self._opened(base)).call(command)
            return await self._wait(base, "wake", block_seconds, command)
        except Refusal as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            command = self._pack(("EVAL", text, 1, base, *arguments))
            return await (self._confirmed(base, command) if is_confirmed else (await self._opened(base)).call(command))

    async def watch(self, partition: int) -> bool:
        """Wait until a worker may find something in a partition, for some seconds; returns whether it took the wake-up away."""
        if not self.servers.partitions:
            await self.servers.open()
        return await self._wait(self.servers.partitions[partition], "wake", MAX_BLOCK_SECONDS, b"") is not None

    async def wait_for_room(self, partition: int, seconds: float) -> None:
        """Wait until a partition that was full may have room; all who wait share one connection."""
        wait = self._room_waits.get(partition)
        if wait is None:
            base = self.servers.partitions[partition]
            wait = self._room_waits[partition] = asyncio.create_task(self._wait(base, "room", ROOM_SECONDS, b""))
            wait.add_done_callback(lambda done: self._end(partition, done))
        done, _ = await asyncio.wait([wait], timeout=seconds)
        for wait in done:
            self._refuse_if_ended(wait)
            wait.result()

    def _end(self, partition: int, wait: asyncio.Task[Any]) -> None:
        self._room_waits.pop(partition, None)
        if not wait.cancelled():
            wait.exception()  # is looked at, lest asyncio warns of one for which nobody waits any more

    def spawn(self, call: Coroutine[Any, Any, Any], receive: Receiver) -> None:
        """Run a call on the side, and give what it came to to `receive`."""

        def end(task: asyncio.Task[Any]) -> None:
            self._calls.discard(task)
            receive(asyncio.CancelledError() if task.cancelled() else task.exception() or task.result())

        task = asyncio.get_running_loop().create_task(call)
        self._calls.add(task)
        task.add_done_callback(end)

    async def renew(self, error: Exception) -> None:
        """Find out where the servers are now, after an error."""
        if any(word in str(error) for word in MOVED_ON):
            for channel in [*self._channels.values(), *(one for idle in self._idle.values() for one in idle)]:
                channel.abort(error)
        await self.servers.refresh(error)

    async def _confirmed(self, base: str, command: bytes) -> Any:
        """Run a script, and wait until as many replicas as are asked for have what it wrote.

        On a connection to itself: the server answers nothing else on it meanwhile. A replica that falls behind is no reason to
        send the tasks again, for they are where they belong.
        """
        wanted, seconds = self._settings.wait_replicas, self._settings.timeout_seconds
        channel = await self._unshared(base)
        try:
            both = channel.call(command), channel.call(self._pack(("WAIT", wanted, round(seconds * 1000))))
            outcomes: list[Any] = [*await asyncio.gather(*both, return_exceptions=True)]
        except BaseException:
            channel.abort()
            raise
        finally:
            self._waiting.discard(channel)
        self._idle[base].append(channel)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        reply, confirmed = outcomes
        if confirmed < wanted:
            said = f"{confirmed} of {wanted} replicas have what was enqueued {seconds:g} s ago; it is queued, and may be lost"
            setting = self._settings.variables("REDIS_WAIT_REPLICAS")
            remedy = f"See to the replicas or lower {setting}, and enqueue again under a dedupe_key"
            raise BackendUnavailable(f"At {self._settings.server} {said} if the primary fails. {remedy}.")
        return reply

    def _channel(self, base: str) -> Channel | None:
        channel = self._channels.get(base)
        return channel if channel is not None and channel.is_open else None

    async def _opened(self, base: str) -> Channel:
        """Return the channel to where a partition is, which all calls share; who comes while it is opened waits for that."""
        if channel := self._channel(base):
            return channel
        await self.servers.open()
        place = self.servers.place_of(base)
        opening = self._openings.get(place)
        if opening is None or (opening.done() and not _is_of_use(opening)):
            opening = self._openings[place] = asyncio.create_task(self._connect(base))
            opening.add_done_callback(_is_of_use)  # looks at its error, lest asyncio warns that nobody did
        try:
            channel = self._channels[base] = await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._refuse_if_ended(opening)
            raise
        return channel

    async def _connect(self, base: str, *, more_seconds: float = 0) -> Channel:
        wire = await self.servers.wire(base)
        channel = await self._open(wire, timeout_seconds=self._settings.timeout_seconds + more_seconds)
        if self.is_closed:  # meanwhile, and nobody would close this one
            await channel.aclose()
            raise ended()
        return channel

    def _refuse_if_ended(self, shared: asyncio.Task[Any]) -> None:
        """Tell those who wait for what all share that its end was the link's, and not their own cancellation."""
        if self.is_closed and shared.cancelled():
            raise ended()

    async def _wait(self, base: str, key: str, seconds: float, behind: bytes) -> Any:
        """Wait until there is something in a list, and run what is sent behind.

        Both go out together, and the server runs the second as soon as the first is through. So there is no moment at which
        the wake-up is taken and only this process, which may be dying, knows that somebody has to look. Who waits has a
        connection to itself meanwhile: the server answers nothing else on it.
        """
        channel = await self._unshared(base)
        try:
            block = self._pack(("BLPOP", f"{base}{key}", f"{max(seconds, SHORTEST_BLOCK_SECONDS):.3f}"))
            reply = await channel.call(block + behind, is_second=bool(behind))
        except BaseException:
            channel.abort()  # it is still waiting, and must not take what the next is to have
            raise
        finally:
            self._waiting.discard(channel)
        self._idle[base].append(channel)
        return reply

    async def _unshared(self, base: str) -> Channel:
        """Return a channel that nobody else sends over meanwhile."""
        idle = self._idle.setdefault(base, [])
        while idle and not idle[-1].is_open:
            idle.pop()
        channel = idle.pop() if idle else await self._opened_apart(base)
        self._waiting.add(channel)
        return channel

    async def _opened_apart(self, base: str) -> Channel:
        opening = asyncio.create_task(self._connect(base, more_seconds=MAX_BLOCK_SECONDS))
        self._apart.add(opening)
        opening.add_done_callback(self._apart.discard)
        try:
            return await opening
        except asyncio.CancelledError:
            self._refuse_if_ended(opening)
            raise

    async def _close_with_loop(self, links: dict[asyncio.AbstractEventLoop, Link]) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        links[loop] = self
        try:
            yield
        finally:
            links.pop(loop, None)
            self.is_closed = True
            if self.rounds is not None:
                await self.rounds.aclose()
            for task in [*self._openings.values(), *self._apart, *self._room_waits.values()]:
                task.cancel()
                await asyncio.wait([task])
            idle = [channel for channels in self._idle.values() for channel in channels]
            for channel in [*self._channels.values(), *idle, *self._waiting]:
                await channel.aclose()
            await self.servers.aclose()


def _is_of_use(opening: asyncio.Task[Channel]) -> bool:
    return not opening.cancelled() and not opening.exception() and opening.result().is_open
