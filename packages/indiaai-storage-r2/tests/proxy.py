"""A proxy between a service and a store that spoils what passes through it; imported by the tests of a bad network.

It understands as much of HTTP as it takes to know where a message ends, and passes the bytes on as they are, so that
signatures hold: the client signs for the address it asks, which is the proxy's.
"""

from __future__ import annotations

import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

__all__ = ["MISHAPS", "Dice", "Exchange", "FaultProxy", "Mishap"]

SILENCE_SECONDS = 15.0
PIECE_BYTES = 65_536
BYTEWISE_BYTES = 2_000

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)


@dataclass
class Exchange:
    """One request on its way, and its answer on its way back.

    Attributes:
        client: The connection to whoever asks.
        store: The connection to the store.
        head: The request's head.
        length: How long its body is.
        is_delivered: Whether the client got an answer of the store's.
        is_done: Whether the store got all of the request.
    """

    client: socket.socket
    store: socket.socket
    head: bytes
    length: int
    is_delivered: bool = False
    is_done: bool = False

    @property
    def line(self) -> str:
        """The request's first line."""
        return self.head.partition(b"\r\n")[0].decode("latin-1")

    def send_up(self, *, most: int | None = None, change: Callable[[bytes, int], bytes] = lambda piece, _: piece) -> None:
        """Pass the request on, or so many bytes of its body; `change` gets each piece and where it begins."""
        self.store.sendall(self.head)
        wanted = self.length if most is None else most
        for place, piece in _pieces(self.client, wanted):
            self.store.sendall(change(piece, place))
        self.is_done = wanted == self.length

    def take(self) -> None:
        """Read the request's body and keep it from the store."""
        for _ in _pieces(self.client, self.length):
            pass

    def read_answer(self) -> tuple[bytes, bytes]:
        """Return the head and the body of the store's answer."""
        head = _read_head(self.store)
        if head.startswith(b"HTTP/1.1 100"):
            head = _read_head(self.store)
        is_empty = self.head.startswith(b"HEAD ") or head[9:12] in (b"204", b"304")
        return head, b"" if is_empty else b"".join(piece for _, piece in _pieces(self.store, _length(head)))

    def send_down(self, head: bytes, body: bytes) -> None:
        """Give the client what it asked for."""
        self.client.sendall(head + body)
        self.is_delivered = True

    def reset(self) -> None:
        """End the client's connection with a reset, and the store's too."""
        for connection in (self.client, self.store):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def wait_for_the_end(self) -> None:
        """Say nothing until the client goes away, or for 15 seconds."""
        self.client.settimeout(SILENCE_SECONDS)
        with suppress(OSError):
            while self.client.recv(PIECE_BYTES):
                pass


Mishap = Callable[[Exchange], bool]
"""Handles an exchange, and returns whether the connection is kept."""


class FaultProxy:
    """Listens on a port of its own and passes on to a store what `choose` does not spoil.

    Attributes:
        store: Host and port of the store; another one is for the connections to come.
    """

    def __init__(self, store: str) -> None:
        self.store = store
        self.choose: Callable[[str], Mishap | None] = lambda _: None
        self.lines: list[str] = []
        self.lost_creations = 0  # of uploads whose ids the client will never know
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    @property
    def endpoint(self) -> str:
        """Where to ask."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @contextmanager
    def running(self) -> Iterator[FaultProxy]:
        """Pass on within the block."""
        self._start()
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Refuse connections, and cut those that are open."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def restart(self) -> None:
        """Take connections again, on the same port."""
        self._listener = self._listen(self.port)
        self._start()

    def _listen(self, port: int) -> socket.socket:
        return socket.create_server(("127.0.0.1", port), backlog=128)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._accept, args=[self._listener], name="fault-proxy", daemon=True)
        self._thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._connections.add(client)
            threading.Thread(target=self._serve, args=[client], name="fault-proxy-connection", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        host, _, port = self.store.rpartition(":")
        with suppress(OSError, EOFError), socket.create_connection((host, int(port)), 20) as store:
            for connection in (client, store):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while head := _read_head(client):
                exchange = Exchange(client, store, head, _length(head))
                try:
                    is_kept = self._choice(exchange.line)(exchange)
                finally:
                    self._note(exchange)
                if not is_kept:
                    break
        client.close()
        self._connections.discard(client)

    def _choice(self, line: str) -> Mishap:
        with self._lock:
            self.lines.append(line)
            return self.choose(line) or pass_on

    def _note(self, exchange: Exchange) -> None:
        if exchange.is_done and not exchange.is_delivered and re.match(r"POST [^ ]*\?uploads", exchange.line):
            self.lost_creations += 1


def pass_on(exchange: Exchange) -> bool:
    """Spoil nothing."""
    exchange.send_up()
    exchange.send_down(*exchange.read_answer())
    return True


def reset_at_once(exchange: Exchange) -> bool:
    """Reset the connection before a byte of the body has come."""
    exchange.reset()
    return False


def reset_going_up(exchange: Exchange) -> bool:
    """Reset it when half of the body is with the store."""
    exchange.send_up(most=exchange.length // 2)
    exchange.reset()
    return False


def reset_coming_down(exchange: Exchange) -> bool:
    """Reset it when half of the answer is with the client."""
    exchange.send_up()
    head, body = exchange.read_answer()
    exchange.client.sendall(head + body[: len(body) // 2] if body else head[: len(head) // 2])
    exchange.reset()
    return False


def end_coming_down(exchange: Exchange) -> bool:
    """End the connection in good order when half of the answer is with the client."""
    exchange.send_up()
    head, body = exchange.read_answer()
    exchange.client.sendall(head + body[: len(body) // 2] if body else head[: len(head) // 2])
    return False


def lose_the_answer(exchange: Exchange) -> bool:
    """Let the store do it, and reset the connection before the answer."""
    exchange.send_up()
    exchange.read_answer()
    exchange.reset()
    return False


def half_close(exchange: Exchange) -> bool:
    """Let the store do it, close the way down without an answer, and leave the way up open."""
    exchange.send_up()
    exchange.read_answer()
    exchange.client.shutdown(socket.SHUT_WR)
    exchange.wait_for_the_end()
    return False


def say_nothing(exchange: Exchange) -> bool:
    """Take the request, keep it, and never answer."""
    exchange.take()
    exchange.wait_for_the_end()
    return False


def answer(status: str, **headers: str) -> Mishap:
    """Return what answers in place of the store, which hears of nothing."""

    def say(exchange: Exchange) -> bool:
        exchange.take()
        lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        exchange.client.sendall("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode())
        return True

    return say


def fail_after_it_was_done(exchange: Exchange) -> bool:
    """Let the store do it, and answer that it failed."""
    exchange.send_up()
    exchange.read_answer()
    exchange.client.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
    return True


def trickle(exchange: Exchange) -> bool:
    """Pass on byte by byte where messages begin, in both directions."""
    head, exchange.head = exchange.head, b""
    for place in range(len(head)):
        exchange.store.sendall(head[place : place + 1])
    exchange.send_up()
    exchange.head = head
    message = b"".join(exchange.read_answer())
    for place in range(min(BYTEWISE_BYTES, len(message))):
        exchange.client.sendall(message[place : place + 1])
    exchange.send_down(b"", message[BYTEWISE_BYTES:])
    return True


def flip_going_up(exchange: Exchange) -> bool:
    """Change one bit in the middle of the body."""
    middle = exchange.length // 2

    def flip(piece: bytes, place: int) -> bytes:
        return _flipped(piece, middle - place) if place <= middle < place + len(piece) else piece

    exchange.send_up(change=flip)
    exchange.send_down(*exchange.read_answer())
    return True


def flip_coming_down(exchange: Exchange) -> bool:
    """Change one bit in the middle of the answer's body."""
    exchange.send_up()
    head, body = exchange.read_answer()
    exchange.client.sendall(head + (_flipped(body, len(body) // 2) if body else body))
    return True


def go_stale(exchange: Exchange) -> bool:
    """Answer as if the connection were kept, and end it."""
    pass_on(exchange)
    return False


MISHAPS: dict[str, Mishap] = {
    "reset at once": reset_at_once,
    "reset going up": reset_going_up,
    "reset coming down": reset_coming_down,
    "end coming down": end_coming_down,
    "answer lost": lose_the_answer,
    "half closed": half_close,
    "silent": say_nothing,
    "500": answer("500 Internal Server Error"),
    "429": answer("429 Too Many Requests"),
    "503 with Retry-After": answer("503 Service Unavailable", Retry_After="1"),
    "500 after it was done": fail_after_it_was_done,
    "trickling": trickle,
    "bit flipped going up": flip_going_up,
    "bit flipped coming down": flip_coming_down,
    "stale": go_stale,
}


@dataclass
class Dice:
    """Chooses mishaps at random; the seed tells a round again.

    Attributes:
        seed: What the choices follow from.
        share: The share of requests that are spoiled.
        kinds: What may happen.
    """

    seed: int
    share: float
    kinds: list[str]
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin."""
        self._random = random.Random(self.seed)  # noqa: S311 - chooses, and keeps no secret

    def __call__(self, _: str) -> Mishap | None:
        """Choose for one request."""
        if self._random.random() >= self.share:
            return None
        kind = self._random.choice(self.kinds)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return MISHAPS[kind]


def _read_head(connection: socket.socket) -> bytes:
    # Looked at before it is taken, so that nothing of the body is.
    seen = b""
    while b"\r\n\r\n" not in seen:
        before = len(seen)
        seen = connection.recv(before + PIECE_BYTES, socket.MSG_PEEK)
        if not seen:
            return b""
        if len(seen) == before:
            time.sleep(0.001)  # the rest of the head is on its way
    return connection.recv(seen.index(b"\r\n\r\n") + 4)


def _length(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0


def _pieces(connection: socket.socket, count: int) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < count:
        piece = connection.recv(min(PIECE_BYTES, count - place))
        if not piece:
            raise EOFError
        yield place, piece
        place += len(piece)


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
