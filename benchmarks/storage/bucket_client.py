"""What a client of S3 is to the benchmark, and what several of them need; imported by the contenders and their worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from io import RawIOBase
from typing import ClassVar

__all__ = ["CONNECTIONS", "MIB", "PARALLEL_PARTS", "PART_BYTES", "THREADS", "Bucket", "Pipe", "Target", "asynchronous"]

MIB = 1024 * 1024
PART_BYTES = 16 * MIB
PARALLEL_PARTS = 4
CONNECTIONS = 64
THREADS = 16


@dataclass(frozen=True)
class Target:
    """The bucket of a test server. Whoever reaches it over TLS finds the authority that signed it in `ca_file`."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    ca_file: str = ""
    region: str = "auto"


class Bucket(ABC):
    """One client of S3. A transfer that a client does not offer raises NotImplementedError, and is left out."""

    modules: ClassVar[tuple[str, ...]] = ()
    needed_anyway: ClassVar[tuple[str, ...]] = ()  # what an application has loaded before it comes to this client

    @abstractmethod
    async def open(self, target: Target) -> None:
        """Make the client."""

    @abstractmethod
    async def put(self, key: str, content: bytes) -> object:
        """Store a small object."""

    @abstractmethod
    async def get(self, key: str) -> bytes:
        """Return a small object."""

    @abstractmethod
    async def sign(self, key: str) -> str:
        """Return a URL to GET the object from."""

    async def put_file(self, key: str, path: str) -> object:
        """Store a file's content."""
        raise NotImplementedError

    async def put_chunks(self, key: str, chunks: Callable[[], Iterator[bytes]]) -> object:
        """Store what an iterator gives, whose length nobody knows."""
        raise NotImplementedError

    async def drain(self, key: str) -> int:
        """Read an object from end to end, keeping nothing, and return its length."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the client."""
        return


class Pipe(RawIOBase):
    """An iterator as a file, for clients that only read files; no more is held than one read asks for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        """Hold the iterator."""
        self._chunks = chunks
        self._left = b""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return so many bytes, or fewer at the end."""
        pieces, length = [self._left], len(self._left)
        while (size < 0 or length < size) and (chunk := next(self._chunks, b"")):
            pieces.append(chunk)
            length += len(chunk)
        joined = b"".join(pieces)
        found, self._left = (joined, b"") if size < 0 else (joined[:size], joined[size:])
        return found


async def asynchronous(chunks: Callable[[], Iterator[bytes]]) -> AsyncIterator[bytes]:
    """Give what an iterator gives to whoever iterates asynchronously."""
    for chunk in chunks():
        yield chunk
