"""A server that answers with the bytes it is told, whatever they are; imported by the lean client's tests."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["Exchange", "ScriptedServer"]

Exchange = Callable[["Conversation"], None]

_SECONDS = 10


class Conversation:
    """One connection, from the server's side.

    Attributes:
        socket: The connected socket.
        requests: All requests on all connections so far, whole and as they were on the wire.
    """

    def __init__(self, connected: socket.socket, requests: list[bytes]) -> None:
        self.socket = connected
        self.requests = requests

    def read_head(self) -> bytes:
        """Read a request's head, byte by byte, so that nothing behind it is taken."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.socket.recv(1)
            if not byte:
                raise ConnectionError("the client has gone")
            head += byte
        return head

    def read(self) -> bytes:
        """Read a whole request, and keep it."""
        head = self.read_head()
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        body = b""
        while len(body) < length and (block := self.socket.recv(length - len(body))):
            body += block
        self.requests.append(head + body)
        return head + body

    def answer(self, *parts: bytes) -> None:
        """Read a request, and send these bytes."""
        self.read()
        for part in parts:
            self.socket.sendall(part)

    def reset(self) -> None:
        """End the connection the hard way."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class ScriptedServer:
    """Works through its exchanges, one a connection; further connections get the last one again.

    Attributes:
        requests: What arrived.
        connections: How many connections there were.
    """

    def __init__(self, *exchanges: Exchange, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._exchanges = exchanges
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._connected: list[socket.socket] = []
        self._ended = threading.Event()
        self.endpoint = f"http{'s' if context else ''}://localhost:{self._listening.getsockname()[1]}"

    @contextmanager
    def running(self) -> Iterator[ScriptedServer]:
        """Serve within the block."""
        accepting = threading.Thread(target=self._accept)
        accepting.start()
        try:
            yield self
        finally:
            self._ended.set()
            with suppress(OSError):  # wakes the thread that accepts
                socket.create_connection(self._listening.getsockname(), _SECONDS).close()
            accepting.join()
            self._listening.close()
            for connected in self._connected:  # which a client may keep open for its next request
                with suppress(OSError):
                    socket.socket.shutdown(connected, socket.SHUT_RDWR)  # also of TLS, whose own is not for two threads
            for thread in self._threads:
                thread.join()

    def _accept(self) -> None:
        while True:
            connected, _ = self._listening.accept()
            if self._ended.is_set():
                connected.close()
                return
            exchange = self._exchanges[min(self.connections, len(self._exchanges) - 1)]
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(connected, exchange)))
            self._threads[-1].start()

    def _serve(self, connected: socket.socket, exchange: Exchange) -> None:
        connected.settimeout(_SECONDS)
        with suppress(OSError, ConnectionError):
            if self._context is not None:
                connected = self._context.wrap_socket(connected, server_side=True)
            self._connected.append(connected)
            exchange(Conversation(connected, self.requests))
        connected.close()
