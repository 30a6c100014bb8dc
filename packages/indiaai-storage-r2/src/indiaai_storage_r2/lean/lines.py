"""The kept connections that one event loop watches, between requests and under them; imported by the lean client.

To watch a connection anew for each request, and to set a timer for it, takes as long as the request itself.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import NamedTuple

from indiaai_storage_r2.lean.channels import Channel, Pool

__all__ = ["Lines"]


class _Watch(NamedTuple):
    """A request that waits for its answer."""

    arrived: Callable[[], None]
    silent: Callable[[], None]
    deadline: float


class Lines:
    """One event loop's connections. Only its own thread calls the methods, once the loop is closed any.

    A connection comes from the pool, which threads share, and goes back there when a thread has to go on with it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, pool: Pool, seconds: float) -> None:
        """Begin with none.

        Args:
            loop: The event loop, which may be closed and go whenever it likes.
            pool: The client's.
            seconds: How long the store may be silent.
        """
        self._loop = weakref.ref(loop)
        self._pool = pool
        self._seconds = seconds
        self._idle: list[Channel] = []
        self._watches: dict[Channel, _Watch] = {}  # the one that has waited longest comes first
        self._watched: set[Channel] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def is_over(self) -> bool:
        """Whether the event loop was closed."""
        loop = self._loop()
        return loop is None or loop.is_closed()

    def take(self) -> Channel | None:
        """Return a connection that is alive, on which nothing waits from now on; None where there is none."""
        while self._idle:
            channel = self._idle.pop()
            if channel.is_quiet():
                return channel
            self.drop(channel)
        return self._adopt()

    def has_idle(self) -> bool:
        """Tell whether a connection waits for a request, as far as is known."""
        return bool(self._idle) or self._pool.has_idle()

    def watch(self, channel: Channel, *, arrived: Callable[[], None], silent: Callable[[], None]) -> None:
        """Call a function whenever something arrives, until the connection is given back, or one if nothing does."""
        loop = asyncio.get_running_loop()
        self._watches[channel] = _Watch(arrived, silent, loop.time() + self._seconds)
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look_for_silence)

    def give(self, channel: Channel, *, is_kept_alive: bool) -> None:
        """Take back a connection whose answer was read to its end."""
        self._watches.pop(channel, None)
        if self._is_closed or channel.received or not is_kept_alive or not self._pool.has_room(len(self._idle)):
            self.drop(channel)
            return
        channel.is_used, channel.is_begun = True, False
        self._idle.append(channel)

    def leave(self, channel: Channel) -> None:
        """Watch a connection no more, which waits patiently again: it is a thread's now."""
        self._watches.pop(channel, None)
        if channel not in self._watched:
            return
        self._watched.remove(channel)
        loop = self._loop()
        if loop is not None and not loop.is_closed():
            loop.remove_reader(channel.socket.fileno())
        channel.wait_patiently()

    def drop(self, channel: Channel) -> None:
        """Close a connection."""
        self.leave(channel)
        channel.close()

    def lend(self) -> None:
        """Give the pool a connection where it has none: for a thread, which would open one more."""
        if self._idle and not self._pool.has_idle():
            self.release_one()

    def release_one(self) -> bool:
        """Give one connection that waits back to the pool; False where none does."""
        if not self._idle:
            return False
        channel = self._idle.pop()
        self.leave(channel)
        self._pool.give(channel)
        return True

    def close(self) -> None:
        """Close the connections; one that is in use is closed when it is done."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._idle:
            self.drop(self._idle.pop())

    def close_soon(self) -> None:
        """Close them, from any thread."""
        loop = self._loop()
        if loop is None or loop.is_closed():
            self.close()
        else:
            loop.call_soon_threadsafe(self.close)

    def _adopt(self) -> Channel | None:
        channel = self._pool.take_idle()
        if channel is None:
            return None
        try:
            asyncio.get_running_loop().add_reader(channel.socket.fileno(), self._look, channel)
        except NotImplementedError:  # Windows' own loop
            self._pool.give(channel)
            return None
        self._watched.add(channel)
        channel.wait_for_nothing()
        return channel

    def _look(self, channel: Channel) -> None:
        watch = self._watches.get(channel)
        if watch is not None:
            watch.arrived()
        elif channel in self._idle and not self._is_only_talk(channel):
            self._idle.remove(channel)
            self.drop(channel)

    def _is_only_talk(self, channel: Channel) -> bool:
        # Over TLS what arrives may be a ticket of the session; an end, or an answer that nobody asked for, is no talk.
        try:
            return not channel.has_more()
        except OSError:
            return False

    def _look_for_silence(self) -> None:
        loop, self._timer = asyncio.get_running_loop(), None
        for watch in list(self._watches.values()):
            if watch.deadline > loop.time():
                self._timer = loop.call_at(watch.deadline, self._look_for_silence)
                return
            watch.silent()
