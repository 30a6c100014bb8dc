"""What a client of S3 is to the benchmark, and what several of them need; imported by the contenders and their worker."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import ClassVar

from indiaai_storage_r2.digests import PartsDigest, require_etag

__all__ = ["CONNECTIONS", "MIB", "PARALLEL_PARTS", "PART_BYTES", "THREADS"]
__all__ += ["Bucket", "ComparedBucket", "Pipe", "Target", "asynchronous"]

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

    def pieces(self, key: str) -> AsyncIterator[bytes]:
        """Read an object from end to end, in one stream."""
        raise NotImplementedError

    async def drain(self, key: str) -> int:
        """Read an object from end to end, keeping nothing, and return its length."""
        return sum([len(piece) async for piece in self.pieces(key)])

    async def close(self) -> None:
        """Close the client."""
        return


class ComparedBucket(Bucket):
    """A client of which no byte goes unseen: what an application has to write for the promise that ours makes.

    The bytes go through the MD5s that the ETag is made of, and that is compared with the store's. `rclone serve s3` tells
    another one later, so that what comes down has nothing to be compared with, for ours neither, and is left out.
    """

    async def etag(self, key: str) -> str:
        """Ask for the ETag, without quotes."""
        raise NotImplementedError

    async def put_file(self, key: str, path: str) -> None:
        """Digest the file in a thread while it is sent."""
        digest = PartsDigest(PART_BYTES)
        await asyncio.gather(super().put_file(key, path), asyncio.to_thread(_digest_file, digest, path))
        await self._compare(key, digest)

    async def put_chunks(self, key: str, chunks: Callable[[], Iterator[bytes]]) -> None:
        """Digest each chunk before it is sent."""
        digest = PartsDigest(PART_BYTES)

        def digested() -> Iterator[bytes]:
            for chunk in chunks():
                digest.update(chunk)
                yield chunk

        await super().put_chunks(key, digested)
        await self._compare(key, digest)

    async def drain(self, key: str) -> int:
        """Digest each piece in a thread."""
        if "-" not in await self.etag(key):
            raise NotImplementedError
        digest, size = PartsDigest(PART_BYTES), 0
        async for piece in self.pieces(key):
            await asyncio.to_thread(digest.update, piece)
            size += len(piece)
        await self._compare(key, digest)
        return size

    async def _compare(self, key: str, digest: PartsDigest) -> None:
        require_etag(await self.etag(key), expected=digest.hexdigest())


def _digest_file(digest: PartsDigest, path: str) -> None:
    with Path(path).open("rb", buffering=0) as file:
        while piece := file.read(MIB):
            digest.update(piece)


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
