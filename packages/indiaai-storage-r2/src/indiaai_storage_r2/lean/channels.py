"""Kept-alive connections to one host, and the sockets under them; imported by the lean client."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from indiaai_storage_r2.lean.failures import ConnectionCut, Unanswered

__all__ = ["Channel", "Host", "Pool"]

_RECEIVED_BYTES = 64 * 1024
_LAST_WORDS_SECONDS = 1.0
_POLLIN, _POLLOUT = (getattr(select, name, default) for name, default in (("POLLIN", 1), ("POLLOUT", 4)))
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Host(NamedTuple):
    """Where connections go, and how patient they are."""

    name: str
    port: int
    connect_seconds: float
    read_seconds: float
    make_context: Callable[[], ssl.SSLContext] | None


class Channel:
    """One connection. Used by one thread at a time; what fails on it is `Unanswered`, and it is of no more use.

    Attributes:
        socket: The socket, which waits for so long as the store may be silent.
        is_used: Whether an answer has come on it, so that the other side may have closed it since.
        is_begun: Whether anything of the request at hand has gone out.
        seconds: How long the store may be silent.
        received: What has arrived and was not taken yet.
    """

    def __init__(self, connected: socket.socket) -> None:
        """Take over a connected socket."""
        self.socket = connected
        self.seconds = connected.gettimeout() or 0.0
        self.is_used = False
        self.is_begun = False
        self.received = b""

    def is_quiet(self) -> bool:
        """Tell whether nothing came after the last answer: neither an end nor an answer that nobody asked for."""
        return not self.received and not _wait(self.socket, seconds=0)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        try:
            sent = self.socket.send(data)
            self.is_begun = True
            if sent < len(data):
                self.socket.sendall(memoryview(data)[sent:])
        except OSError as error:
            raise _unanswered(error) from error

    def send_at_once(self, data: bytes) -> bytes:
        """Send what goes out without waiting, on a socket on which nothing waits, and return the rest.

        TLS may have begun a record with the rest, which has to be sent next and as it is.
        """
        try:
            sent = self.socket.send(data)
        except _NOT_NOW:
            sent = 0
        except OSError as error:
            raise _unanswered(error) from error
        self.is_begun = True
        return data[sent:]

    def wait_for_nothing(self) -> None:
        """Wait for nothing from now on, until `wait_patiently`."""
        self.socket.settimeout(0)

    def wait_patiently(self) -> None:
        """Wait from now on for so long as the store may be silent."""
        self.socket.settimeout(self.seconds)

    def send_until_answered(self, data: bytes | memoryview) -> bool:
        """Send all of it, but no more once something arrives; tell whether all went out."""
        view = memoryview(data)
        try:
            while view:
                if _wait(self.socket, or_writable=True, seconds=self.seconds) and self._has_more():
                    return False
                view = view[self.socket.send(view) :]
        except OSError as error:
            # A store that refuses closes the connection: what it said before that has arrived, or is about to.
            if not self._has_last_words():
                raise _unanswered(error) from error
            return False
        return True

    def receive(self) -> None:
        """Wait for more to arrive, and add it to `received`."""
        try:
            data = self.socket.recv(_RECEIVED_BYTES)
        except OSError as error:
            raise _unanswered(error) from error
        if not data:
            raise ConnectionCut("the connection was closed")
        self.received = self.received + data if self.received else data

    def receive_into(self, view: memoryview) -> None:
        """Fill the view with what arrives past what was `received`."""
        while view:
            try:
                arrived = self.socket.recv_into(view)
            except OSError as error:
                raise _unanswered(error) from error
            if not arrived:
                raise ConnectionCut("the connection was closed in the middle of an answer")
            view = view[arrived:]

    def take(self, max_bytes: int) -> bytes:
        """Return the first bytes of `received`, and forget them."""
        data = self.received
        if len(data) <= max_bytes:
            self.received = b""
            return data
        self.received = data[max_bytes:]
        return data[:max_bytes]

    def close(self) -> None:
        """Close the connection. Calling it again does nothing."""
        with suppress(OSError):
            self.socket.close()

    def has_more(self) -> bool:
        """Add to `received` what is there, on a socket on which nothing waits; tell whether anything was.

        Raises:
            OSError: The connection broke.
        """
        # Over TLS what arrived may be a ticket of the session, which only a read tells from an answer.
        try:
            data = self.socket.recv(_RECEIVED_BYTES)
        except _NOT_NOW:
            return False
        if not data:
            raise ConnectionResetError("the connection was closed before its answer")
        self.received = self.received + data if self.received else data
        return True

    def _has_more(self) -> bool:
        self.socket.settimeout(0)
        try:
            return self.has_more()
        finally:
            self.wait_patiently()

    def _has_last_words(self) -> bool:
        try:
            return _wait(self.socket, seconds=_LAST_WORDS_SECONDS) and self._has_more()
        except OSError:
            return False


class Pool:
    """The connections to one host that wait for the next request. Threads may share it."""

    def __init__(self, host: Host, *, max_idle: int) -> None:
        """Hold the address; nothing is connected yet."""
        self._host = host
        self._max_idle = max_idle
        self._idle: list[Channel] = []
        self._making = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._session: ssl.SSLSession | None = None
        self._is_closed = False

    def take(self) -> Channel:
        """Return the connection that was used last, or a new one where none is alive."""
        return self.take_idle() or self.connect()

    def has_idle(self) -> bool:
        """Tell whether a connection waits, alive or not."""
        return bool(self._idle)

    def has_room(self, count: int) -> bool:
        """Tell whether one more connection is kept where so many wait."""
        return not self._is_closed and count < self._max_idle

    def take_idle(self) -> Channel | None:
        """Return the connection that was used last; None where none is alive."""
        while True:
            try:
                channel = self._idle.pop()
            except IndexError:
                return None
            if channel.is_quiet():
                return channel
            channel.close()

    def give(self, channel: Channel) -> None:
        """Take back a connection whose last answer was read to its end."""
        channel.is_used = True
        channel.is_begun = False
        if isinstance(channel.socket, ssl.SSLSocket) and self._session is None:
            self._session = channel.socket.session  # has its tickets by now, which save the next handshake its half
        if channel.received or not self.has_room(len(self._idle)):
            channel.close()
        else:
            self._idle.append(channel)

    def connect(self) -> Channel:
        """Open a connection.

        Raises:
            Unanswered: Nobody answers there, or nobody who can be trusted.
        """
        try:
            return Channel(self._open())
        except TimeoutError as error:
            raise Unanswered(f"ConnectTimeout: no connection within {self._host.connect_seconds:g} s") from error
        except (OSError, UnicodeError) as error:  # a name that no host can have
            raise _unanswered(error) from error

    def close(self) -> None:
        """Close what waits; a connection that is given back later is closed then."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _open(self) -> socket.socket:
        raw = socket.create_connection((self._host.name, self._host.port), self._host.connect_seconds)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._host.make_context is not None:
                raw = self._wrap(raw, self._host.make_context)
            raw.settimeout(self._host.read_seconds)
        except BaseException:
            raw.close()
            raise
        return raw

    def _wrap(self, raw: socket.socket, make_context: Callable[[], ssl.SSLContext]) -> ssl.SSLSocket:
        with self._making:  # a session is of use with the very context that it was made in
            self._context = self._context or make_context()
        return self._context.wrap_socket(raw, server_hostname=self._host.name, session=self._session)


def _unanswered(error: Exception) -> Unanswered:
    """Return what a fault of a socket means."""
    if isinstance(error, TimeoutError):
        return Unanswered("ReadTimeout: nothing came for the time that the store may be silent")
    is_cut = isinstance(error, (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError))
    return (ConnectionCut if is_cut else Unanswered)(f"{type(error).__name__}: {error}")


def _wait(connected: socket.socket, *, or_writable: bool = False, seconds: float | None) -> bool:
    """Wait until something arrives, or else can be sent; tell whether something has arrived.

    Raises:
        TimeoutError: It was asked for both, and neither has come.
    """
    if isinstance(connected, ssl.SSLSocket) and connected.pending():
        return True
    if not hasattr(select, "poll"):  # Windows
        received, sendable, _ = select.select([connected], [connected] if or_writable else [], [], seconds)
        events = (_POLLIN if received else 0) | (_POLLOUT if sendable else 0)
    else:
        poller = select.poll()
        poller.register(connected, _POLLIN | (_POLLOUT if or_writable else 0))
        events = next((found for _, found in poller.poll(None if seconds is None else seconds * 1000)), 0)
    if or_writable and not events:
        raise TimeoutError
    return bool(events & ~_POLLOUT)
