"""Small requests that are sent and awaited on the event loop, without a thread; imported by the lean client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from indiaai_storage_r2.lean.answers import Head, parse_head
from indiaai_storage_r2.lean.channels import Channel
from indiaai_storage_r2.lean.failures import Unanswered
from indiaai_storage_r2.lean.lines import Lines

__all__ = ["MAX_WHOLE_BYTES", "Exchange", "Turns"]

MAX_WHOLE_BYTES = 32 * 1024
"""The longest body that is digested on the event loop, which takes 70 µs; what is longer is a thread's."""

_A_FEW = 8
_MAX_HEAD_BYTES = 16 * 1024

Finish = Callable[[Channel, bytes, Head | None], dict[str, Any]]
Conclude = Callable[[Head, bytes], dict[str, Any]]


class Turns:
    """Who may ask on one event loop, and in what order answers are looked at: a few in each of the loop's rounds.

    64 answers that came together would otherwise be worked on, and 64 requests made, before a timer has its turn: for 15 ms.

    Attributes:
        slots: What each request holds while it is under way.
        lines: The connections that the loop watches, once there is a client that has some.
    """

    def __init__(self, count: int) -> None:
        """Let so many ask at once."""
        self.slots = asyncio.Semaphore(count)
        self.lines: Lines | None = None
        self._ready: deque[asyncio.Future[bool]] = deque()
        self._is_waking = False

    def wake(self, waiting: asyncio.Future[bool]) -> None:
        """Let a future come true when its turn comes."""
        self._ready.append(waiting)
        if not self._is_waking:
            self._is_waking = True
            waiting.get_loop().call_soon(self._wake_a_few)

    def _wake_a_few(self) -> None:
        for _ in range(min(_A_FEW, len(self._ready))):
            waiting = self._ready.popleft()
            if not waiting.done():
                waiting.set_result(True)
        self._is_waking = bool(self._ready)
        if self._is_waking:
            self._ready[0].get_loop().call_soon(self._wake_a_few)


class Exchange:
    """One request that has gone out on a kept connection. Used by one task, once.

    Everything but the plain case is left to a thread, which goes on where this stands and waits as it always does: an
    answer that is long, odd or cut, and a request that did not go out whole.
    """

    def __init__(
        self, channel: Channel, lines: Lines, *, method: str, rest: bytes, conclude: Conclude, proceed: Finish
    ) -> None:
        """Take the connection, on which nothing waits any more.

        Args:
            channel: The connection.
            lines: Those of the running event loop, which watch it.
            method: The request's method, which tells whether the answer has a body.
            rest: What could not be sent at once.
            conclude: Returns what an answer says, of which head and body are here.
            proceed: Sends the rest, awaits the answer and returns it; it is given the head, if that has come.
        """
        self._channel = channel
        self._lines = lines
        self._method = method
        self._rest = rest
        self._conclude = conclude
        self._proceed = proceed
        self._head: Head | None = None
        self._size = 0
        self._is_here = self._is_watched = self._is_finished = False

    async def arrive(self, turns: Turns) -> bool:
        """Wait for the answer; tell whether `finish` now returns without waiting. Otherwise it is to be called in a thread.

        Args:
            turns: Those of the running event loop.

        Raises:
            Unanswered: Nothing came for the time that the store may be silent.
        """
        is_whole = False
        try:
            if not self._rest:
                self._turns = turns
                self._waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
                self._lines.watch(self._channel, arrived=self._look, silent=self._give_up)
                is_whole = await self._waiting
            return is_whole
        finally:
            if not is_whole:
                self._lines.leave(self._channel)
            self._is_watched = is_whole

    def finish(self) -> dict[str, Any]:
        """Return the answer; blocks, unless `arrive` has said otherwise. Raises what the client's other requests raise."""
        self._is_finished = True
        if not self._is_watched or self._head is None:
            return self._proceed(self._channel, self._rest, self._head)
        content = self._channel.take(self._size)
        self._lines.give(self._channel, is_kept_alive=self._head.is_kept_alive)
        return self._conclude(self._head, content)

    def close(self) -> None:
        """Give up the answer, and the connection with it, unless `finish` was called."""
        if not self._is_finished:
            self._lines.drop(self._channel)

    def _look(self) -> None:
        if self._waiting.done() or self._is_here:
            return
        try:
            while not self._is_here and self._channel.has_more():
                self._is_here = self._is_whole()
        except (OSError, Unanswered):  # the thread meets it again, and knows what it means
            self._waiting.set_result(False)
        if self._is_here:
            self._turns.wake(self._waiting)

    def _is_whole(self) -> bool:
        received = self._channel.received
        if self._head is None:
            end = received.find(b"\r\n\r\n")
            if end < 0 and len(received) < _MAX_HEAD_BYTES:
                return False
            head = parse_head(received[:end])
            self._size = _body_size(head, self._method)
            received = self._channel.received = received[end + 4 :]
            self._head = head
        return len(received) >= self._size

    def _give_up(self) -> None:
        if self._waiting.done():
            return
        if self._channel.received or self._head:  # not silent: the thread waits for each piece so long
            self._waiting.set_result(False)
        else:
            self._waiting.set_exception(Unanswered("ReadTimeout: nothing came for the time that the store may be silent"))


def _body_size(head: Head, method: str) -> int:
    if method == "HEAD" or head.status in (204, 304):
        return 0
    length = head.headers.get("content-length", "")
    if head.status < 200 or "transfer-encoding" in head.headers or not length.isdecimal() or int(length) > MAX_WHOLE_BYTES:
        raise Unanswered("not for the event loop")
    return int(length)
