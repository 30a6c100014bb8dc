"""One connection to a server, shared by all calls of an event loop that run at the same time; imported by the link.

A client's streams, locks and timers, one of each for a call, cost more than the server's work. So the channel takes the
socket over once the server has let us in: what is sent within one turn of the loop goes out together, and the replies, which
come in the same order, go to whoever waits for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import hiredis

from indiaai_queue_redis.trouble import Breakdown, Refusal, Silence
from indiaai_queue_redis.wire import Wire

__all__ = ["Channel", "Receiver", "pack"]

Receiver = Callable[[Any], None]
"""Is called once, with the reply, or with an exception: what the server answered, or what became of the connection."""

pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
"""Return a command, a tuple of `bytes`, `str`, `int` and `float`, as it goes over the line."""

PATIENCE_STEPS = 4
"""Into so many steps is the time to wait for an answer cut: a silence is noticed at most one step late."""


LINGER_SECONDS = 0.0001
"""How long the loop is kept turning for the answer to a lone call: to fall asleep and be woken takes half as long."""

LINGER_MISSES = 8
"""After so many lone calls that were not answered as soon as that, the server is taken to be further away."""

LINGER_AGAIN = 256
"""Of a server that is further away, one lone call in so many finds out whether it still is."""


class Channel(asyncio.Protocol):
    """A connection that any number of tasks of one event loop may send over, each at any time.

    It is not mended: once it is broken everything under way fails, and another is opened. A command's bytes are written once or
    not at all.
    """

    def __init__(self, writer: asyncio.StreamWriter, *, timeout_seconds: float) -> None:
        """Take over a connection; `open` is the way to one."""
        self._loop = asyncio.get_running_loop()
        # The answer to all that was sent has been read, so nothing is on its way to the streams. The writer is kept while the
        # socket is open: it would close it when it is forgotten.
        self._writer = writer
        self._transport = self._writer.transport
        self._reader = hiredis.Reader(replyError=Refusal)
        self._receivers: deque[Receiver] = deque()
        self._outgoing: list[bytes] = []
        self._is_held = self._is_paused = False
        self._error: Exception | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._step_seconds = timeout_seconds / PATIENCE_STEPS
        self._sent = self._lone = self._misses = 0
        self._linger_until = 0.0
        self._marks: deque[int] = deque(maxlen=PATIENCE_STEPS)
        self._watch: asyncio.TimerHandle | None = None
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, wire: Wire, *, timeout_seconds: float) -> Self:
        """Connect and take over.

        Args:
            wire: The connection that is to be.
            timeout_seconds: How long an answer may take; a connection that is silent for longer, while one is due, is given up.

        Raises:
            Trouble: The server is not there, or does not let us in.
        """
        _, writer = await wire.connect()
        return cls(writer, timeout_seconds=timeout_seconds)

    @property
    def is_open(self) -> bool:
        """Whether something may be sent."""
        return self._error is None

    def send(self, commands: bytes, *receivers: Receiver) -> None:
        """Send commands: at once if nothing is under way, else at the end of this turn of the loop.

        Args:
            commands: One or several, packed; the server runs them one after the other.
            receivers: One for each command. They are called in the loop, and must not raise.

        Raises:
            Breakdown: The channel is broken; nothing was sent.
        """
        if self._error is not None:
            raise Breakdown(str(self._error)) from self._error
        is_lone = not self._receivers
        self._receivers.extend(receivers)
        self._sent += len(receivers)
        if is_lone and not self._is_held:
            self._transport.write(commands)  # waits for nothing, and costs no turn of the loop but the reply's
            self._linger()
        else:
            self._outgoing.append(commands)  # with others of the same turn: one write is one call of the system
            if not self._is_held:
                self._is_held = True
                self._loop.call_soon(self._release)
        if self._watch is None:
            self._watch = self._loop.call_later(self._step_seconds, self._look)

    def call(self, commands: bytes, *, is_second: bool = False) -> asyncio.Future[Any]:
        """Send one command, or two of which the second's reply is wanted.

        Returns:
            What will have the reply, or the exception. Whoever waits may be cancelled.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        self.send(commands, *[partial(_fail, future)] * is_second, partial(_settle, future))
        return future

    def abort(self, error: Exception | None = None) -> None:
        """Close the socket at once; what is under way fails."""
        self._error = self._error or error or Breakdown("the connection was closed")
        self._transport.abort()

    async def aclose(self) -> None:
        """Close the socket, and return when it is closed."""
        self.abort()
        await asyncio.shield(self._lost)

    def data_received(self, data: bytes) -> None:
        """Give each reply to the one who is next."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._receivers.popleft()(reply)
        except (hiredis.HiredisError, IndexError) as error:  # no Redis, or an answer that nobody asked for
            self.abort(Breakdown(f"what came is not an answer of Redis ({error})"))

    def pause_writing(self) -> None:
        """Hold back what is sent: the server, or the line, does not keep up."""
        self._is_held = self._is_paused = True

    def resume_writing(self) -> None:
        """Send what was held back."""
        self._is_paused = False
        self._release()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is under way; the server may have run it or not."""
        self._error = self._error or Breakdown(f"the connection was lost ({exc or 'closed by the server'})")
        if self._watch is not None:
            self._watch.cancel()
        self._outgoing.clear()
        while self._receivers:
            self._receivers.popleft()(type(self._error)(str(self._error)))
        if not self._lost.done():
            self._lost.set_result(None)

    def _linger(self) -> None:
        self._lone += 1
        if self._misses < LINGER_MISSES or not self._lone % LINGER_AGAIN:
            self._linger_until = self._loop.time() + LINGER_SECONDS
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        if not self._receivers:
            self._misses = 0
        elif self._loop.time() < self._linger_until:
            self._loop.call_soon(self._turn)  # others have their turns meanwhile
        else:
            self._misses += 1

    def _release(self) -> None:
        if self._is_paused:
            return
        self._is_held = False
        if self._outgoing and self._error is None:
            joined = b"".join(self._outgoing)
            self._outgoing.clear()
            self._transport.write(joined)

    def _look(self) -> None:
        """Give up if the oldest call under way is older than the patience; one timer does for all calls."""
        self._watch = None
        answered = self._sent - len(self._receivers)
        if not self._receivers or self._error is not None:
            self._marks.clear()
            return
        if len(self._marks) == PATIENCE_STEPS and answered < self._marks[0]:
            seconds = self._step_seconds * PATIENCE_STEPS
            self.abort(Silence(f"Timeout: no answer within {seconds:g} s"))
            return
        self._marks.append(self._sent)
        self._watch = self._loop.call_later(self._step_seconds, self._look)


def _settle(future: asyncio.Future[Any], reply: Any) -> None:
    if not future.done():
        (future.set_exception if isinstance(reply, Exception) else future.set_result)(reply)


def _fail(future: asyncio.Future[Any], reply: Any) -> None:
    """Receive what says nothing, whether a wake-up came or the time ran out, unless it is a refusal."""
    if isinstance(reply, Exception):
        _settle(future, reply)
