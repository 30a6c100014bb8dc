"""HTTP/1.1 answers, read from a connection and trusted in nothing; imported by the lean client."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import NamedTuple, TypeVar

from indiaai_storage_r2.lean.channels import Channel
from indiaai_storage_r2.lean.failures import Unanswered

__all__ = ["Body", "ChunkedBody", "Head", "SizedBody", "open_body", "parse_head", "read_head"]

T = TypeVar("T")

_MAX_HEAD_BYTES = 64 * 1024
_MAX_LINE_BYTES = 4 * 1024
_MAX_TRAILERS = 64
_MAX_INTERIM = 16
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-5]\d\d)(?: |$)")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"[0-9]{1,18}")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")


class Head(NamedTuple):
    """Status and headers, whose names are in lower case."""

    status: int
    headers: Mapping[str, str]
    is_kept_alive: bool


def read_head(channel: Channel, *, seconds: float) -> Head:
    """Read the head of the final answer; interim ones (1xx) are passed over.

    Args:
        channel: The connection that the request went out on.
        seconds: How long all of it may take.

    Raises:
        Unanswered: The connection broke, the time is over, or it is not HTTP.
    """
    deadline = time.monotonic() + seconds
    for _ in range(_MAX_INTERIM):
        while (end := channel.received.find(b"\r\n\r\n")) < 0:
            if len(channel.received) > _MAX_HEAD_BYTES or time.monotonic() > deadline:
                raise Unanswered("the head of the answer has no end")
            channel.receive()
        head = parse_head(channel.take(end + 4)[:-4])
        if head.status >= 200:
            return head
        if head.status == 101:
            break
    raise Unanswered("the answer is another protocol's")


def parse_head(text: bytes) -> Head:
    """Read a status line and headers.

    Raises:
        Unanswered: It is not HTTP.
    """
    first, *lines = text.decode("latin-1").split("\r\n")
    status = _STATUS.match(first)
    if status is None:
        raise Unanswered(f"the answer is not HTTP: {first[:40]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        written, colon, value = line.partition(":")
        name, value = _header_name(written), value.strip(" \t")
        if not colon or not name:
            raise Unanswered(f"the answer has no header in {line[:40]!r}")
        if name in headers and (name != "content-length" or headers[name] != value):
            value = f"{headers[name]}, {value}"
        headers[name] = value
    connection = headers.get("connection", "").lower()
    return Head(int(status[2]), headers, "close" not in connection and (status[1] == "1" or "keep-alive" in connection))


@lru_cache(maxsize=128)  # a store sends the same dozen names with every answer
def _header_name(written: str) -> str:
    return written.lower() if _NAME.fullmatch(written) else ""


class Body:
    """The bytes of one answer, as boto3's `StreamingBody`. Used by one thread at a time.

    Read to its end, it gives its connection back; closed before that, it closes the connection.
    """

    def __init__(self, channel: Channel, release: Callable[[Channel], object]) -> None:
        """Begin with nothing read.

        Args:
            channel: The connection, whose answer's head was read.
            release: Called with the connection once all bytes were read.
        """
        self._channel: Channel | None = channel
        self._release = release

    def read(self, amt: int | None = None) -> bytes:
        """Return so many bytes, or those that are left; none at the end or once closed.

        Raises:
            Unanswered: The connection broke before the end.
        """
        return b"" if self._channel is None else self._do(partial(self._read, self._channel, amt))

    def readinto(self, view: memoryview) -> int:
        """Fill the view, or the begin of it with the bytes that are left; return how many these were. As `read`."""
        return 0 if self._channel is None else self._do(partial(self._read_into, self._channel, view))

    def _do(self, read: Callable[[], T]) -> T:
        try:
            found = read()
        except BaseException:
            self.close()
            raise
        if self._is_complete() and self._channel is not None:
            channel, self._channel = self._channel, None
            self._release(channel)
        return found

    def close(self) -> None:
        """Give up what was not read, and the connection with it."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _read(self, channel: Channel, max_bytes: int | None) -> bytes:
        raise NotImplementedError

    def _read_into(self, channel: Channel, view: memoryview) -> int:
        block = self._read(channel, len(view))
        view[: len(block)] = block
        return len(block)

    def _is_complete(self) -> bool:
        raise NotImplementedError


class SizedBody(Body):
    """The bytes of an answer that says how many they are."""

    def __init__(self, channel: Channel, release: Callable[[Channel], object], *, length: int) -> None:
        """Begin with nothing read; without any bytes, it is complete at once."""
        super().__init__(channel, release)
        self._left = length
        if not length:
            self.read()

    def _read(self, channel: Channel, max_bytes: int | None) -> bytes:
        block = _receive_exactly(channel, self._left if max_bytes is None else min(max_bytes, self._left))
        self._left -= len(block)
        return block

    def _read_into(self, channel: Channel, view: memoryview) -> int:
        view = view[: self._left]
        first = channel.take(len(view))
        view[: len(first)] = first
        channel.receive_into(view[len(first) :])
        self._left -= len(view)
        return len(view)

    def _is_complete(self) -> bool:
        return not self._left


class ChunkedBody(Body):
    """The bytes of an answer that comes in chunks."""

    def __init__(self, channel: Channel, release: Callable[[Channel], object]) -> None:
        """Begin with nothing read."""
        super().__init__(channel, release)
        self._left_in_chunk = 0
        self._is_last = False

    def _read(self, channel: Channel, max_bytes: int | None) -> bytes:
        blocks, size = [], sys.maxsize if max_bytes is None else max_bytes
        while size and not self._is_last:
            if not self._left_in_chunk:
                self._begin_chunk(channel)
                continue
            block = _receive_exactly(channel, min(size, self._left_in_chunk))
            blocks.append(block)
            size -= len(block)
            self._left_in_chunk -= len(block)
            if not self._left_in_chunk and _receive_line(channel):
                raise Unanswered("a chunk of the answer is longer than it says")
        return b"".join(blocks)

    def _begin_chunk(self, channel: Channel) -> None:
        size = _receive_line(channel).partition(b";")[0].strip()
        if not _SIZE.fullmatch(size):
            raise Unanswered(f"the answer has no chunk in {size[:40]!r}")
        self._left_in_chunk = int(size, 16)
        self._is_last = not self._left_in_chunk
        if self._is_last:
            for _ in range(_MAX_TRAILERS):
                if not _receive_line(channel):
                    return
            raise Unanswered("the trailers of the answer have no end")

    def _is_complete(self) -> bool:
        return self._is_last


def open_body(head: Head, channel: Channel, *, method: str, release: Callable[[Channel], object]) -> Body:
    """Return the body that belongs to a head; an answer that does not say where it ends has none.

    Raises:
        Unanswered: It is not told plainly how long the body is.
    """
    coding, length = head.headers.get("transfer-encoding"), head.headers.get("content-length", "0")
    if method == "HEAD" or head.status in (204, 304):
        return SizedBody(channel, release, length=0)
    if coding is not None:
        # A length beside it may be meant for somebody between us and the store, who reads the answer in another way.
        if coding.lower() != "chunked" or "content-length" in head.headers:
            raise Unanswered(f"the answer is encoded as {coding[:40]!r}")
        return ChunkedBody(channel, release)
    if not _LENGTH.fullmatch(length):
        raise Unanswered(f"the answer says that it has {length[:40]!r} bytes")
    return SizedBody(channel, release, length=int(length))


def _receive_exactly(channel: Channel, size: int) -> bytes:
    first = channel.take(size)
    if len(first) == size:
        return first
    block = bytearray(size)
    block[: len(first)] = first
    channel.receive_into(memoryview(block)[len(first) :])
    return bytes(block)


def _receive_line(channel: Channel) -> bytes:
    while (end := channel.received.find(b"\r\n")) < 0:
        if len(channel.received) > _MAX_LINE_BYTES:
            raise Unanswered("a line of the answer has no end")
        channel.receive()
    return channel.take(end + 2)[:-2]
