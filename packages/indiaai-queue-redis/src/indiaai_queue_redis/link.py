"""The way to the server: a client for each process and event loop, that tries again by itself; imported by the service."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

from indiaai_core.errors import BackendUnavailable, Fault, InvalidSettings
from indiaai_queue_redis.fault import translate
from indiaai_queue_redis.settings import RedisSettings

__all__ = ["MAX_BLOCK_SECONDS", "LinkSet"]

MAX_BLOCK_SECONDS = 5.0
"""How long a connection waits to be woken before it looks by itself: what a lost wake-up costs at most."""

logger = logging.getLogger("indiaai.queue.redis")


@cache
def _script(name: str) -> tuple[str, str]:
    """Return a script's text, with the prelude in front, and the digest under which a server that saw it runs it."""
    folder = files("indiaai_queue_redis") / "lua"
    text = "".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("prelude", name))
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class _Link:
    """The connections of one event loop to the server; they are closed with the loop, at the latest."""

    def __init__(self, links: dict[asyncio.AbstractEventLoop, _Link], settings: RedisSettings) -> None:
        """Set up the pools, and take the place of the running loop's link; nothing is connected yet."""
        from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis

        patience = settings.timeout_seconds
        calling = {"max_connections": settings.max_connections, "timeout": patience, "socket_timeout": patience}
        # Who waits keeps a connection all the time: it must not take one away from those who work.
        waiting = {"max_connections": 1_000_000, "socket_timeout": patience + MAX_BLOCK_SECONDS}
        self._pools = [_pool(BlockingConnectionPool, settings, calling), _pool(ConnectionPool, settings, waiting)]
        self.client: Any = Redis(connection_pool=self._pools[0])
        self._waiting = Redis(connection_pool=self._pools[1])
        self._base = settings.base
        # asyncio closes the asynchronous generators that were begun on a loop when it shuts the loop down.
        self.guard = self._close_with_loop(links)
        with suppress(StopIteration):
            self.guard.__anext__().send(None)

    async def evaluate(self, name: str, arguments: list[Any], *, block_seconds: float | None) -> Any:
        """Run a script in one round trip, or two where the server has not seen it; first wait to be woken, if so asked."""
        from redis.exceptions import NoScriptError

        text, digest = _script(name)
        try:
            if block_seconds is None:
                return await self.client.execute_command("EVALSHA", digest, 1, self._base, *arguments)
            # Both go out together, and the server runs the second as soon as the first is through. So there is no moment
            # at which the wake-up is taken and only this process, which may be dying, knows that somebody has to look.
            async with self._waiting.pipeline(transaction=False) as pipeline:
                pipeline.execute_command("BLPOP", f"{self._base}wake", f"{max(block_seconds, 0.001):.3f}")
                pipeline.execute_command("EVALSHA", digest, 1, self._base, *arguments)
                return (await pipeline.execute())[1]
        except NoScriptError:
            return await self.client.execute_command("EVAL", text, 1, self._base, *arguments)

    async def drop_idle(self) -> None:
        """Close the connections that nobody uses now: they lead to a server that stepped down."""
        for pool in self._pools:
            await pool.disconnect(inuse_connections=False)

    async def _close_with_loop(self, links: dict[asyncio.AbstractEventLoop, _Link]) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        links[loop] = self
        try:
            yield
        finally:
            links.pop(loop, None)
            for pool in self._pools:
                await pool.disconnect(inuse_connections=True)


class LinkSet:
    """The links of a service: one for each event loop that used it in this process."""

    def __init__(self, settings: RedisSettings) -> None:
        """Hold what links are made from."""
        self._settings, self.is_closed = settings, False
        self._links: dict[asyncio.AbstractEventLoop, _Link] = {}
        self._left_behind: list[object] = []
        self._process = os.getpid()
        self._silent_since = self._answered_at = 0.0
        times = (round(seconds * 1000) for seconds in (settings.lease_seconds, settings.keep_finished_seconds))
        self._constants = [*times, settings.max_dead_letters, settings.max_tasks]

    @property
    def current(self) -> _Link:
        """The running loop's link, made at its first use."""
        if self.is_closed:
            raise BackendUnavailable("The queue service is closed. Make another, or close it later.")
        if self._process != os.getpid():
            # Sockets and loops are the parent's: they are left open and referred to, for closing them would disturb it.
            self._left_behind.append(self._links)
            self._links, self._process = {}, os.getpid()
        return self._links.get(asyncio.get_running_loop()) or _Link(self._links, self._settings)

    async def run(self, name: str, *arguments: Any, block_seconds: float | None = None) -> Any:
        """Run a script, and again for `retry_seconds` while the server does not serve; first wait to be woken, if so asked.

        Raises:
            BackendUnavailable: The server did not serve in time, or the service was closed.
            ConfigurationError: The server does not let us in, or what it holds is not for us.
            QueueError: It refused.
        """
        if "redis.asyncio" not in sys.modules:
            await asyncio.to_thread(import_module, "redis.asyncio")  # 0.2 s that the event loop need not stand still
        from redis.exceptions import ReadOnlyError, RedisError

        patience = 0 if name == "check" else self._settings.retry_seconds  # who asks for its health wants to know now
        end, attempt = time.monotonic() + (block_seconds or 0) + patience, 0
        while True:
            link, began = self.current, time.monotonic()
            try:
                reply = await link.evaluate(name, [attempt, *self._constants, *arguments], block_seconds=block_seconds)
            except (RedisError, OSError) as error:
                if not self.is_closed:
                    await self._pause_or_raise(error, attempt, began=began, end=end)
                    if isinstance(error, ReadOnlyError) or "READONLY" in str(error):
                        await link.drop_idle()
                attempt, block_seconds = attempt + 1, None
            else:
                self._answered_at = time.monotonic()
                if self._silent_since:
                    silence, self._silent_since = self._answered_at - self._silent_since, 0.0
                    logger.warning("Redis at %s serves again after %.1f s.", self._settings.server, silence)
                return reply

    async def aclose(self) -> None:
        """Close the links of all loops; a loop that does not run closes its own when it is shut down."""
        self.is_closed = True
        here = asyncio.get_running_loop()
        for loop, link in list(self._links.items() if self._process == os.getpid() else ()):
            if loop is here:
                await link.guard.aclose()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(link.guard.aclose(), loop))

    async def _pause_or_raise(self, error: Exception, attempt: int, *, began: float, end: float) -> None:
        fault = translate(error, self._settings)
        if not isinstance(fault, BackendUnavailable):
            raise fault from error
        if not self._silent_since and began > self._answered_at:  # else it is news of an outage that is over
            self._silent_since = began
            logger.warning("%s Trying again.", fault)
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
