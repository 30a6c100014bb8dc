"""Backends that break what is promised about `download`, `stat` and `stream`."""

# ruff: noqa: D102 - what a method breaks is said at its class

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from indiaai_core.errors import BackendUnavailable, ObjectNotFound, StorageError
from indiaai_core.storage import DEFAULT_CHUNK_SIZE, ObjectInfo, check_range, normalize_key
from storage.broken.registry import breaks
from storage.reference import MemoryStorageService


@breaks("S13")
class NamesTheKeyAsGiven(MemoryStorageService):
    """Names the key as it was given, which is not the object's."""

    async def download(self, file_key: str) -> bytes:
        try:
            return await super().download(file_key)
        except ObjectNotFound:
            raise ObjectNotFound(file_key) from None


@breaks("S14")
class ExistsByPrefix(MemoryStorageService):
    """Lists by the key as a prefix to see whether it is there."""

    async def exists(self, file_key: str) -> bool:
        wanted = normalize_key(file_key)
        return any(key.startswith(wanted) and "/" not in key[len(wanted) :] for key in self.store.objects)


@breaks("S15")
class QuotedEtag(MemoryStorageService):
    """Hands out the etag as the header has it."""

    def etag(self, content: bytes) -> str:
        return f'"{super().etag(content)}"'


@breaks("S16")
class StatOfNothing(MemoryStorageService):
    """Makes up what is known of an object that is not there."""

    async def stat(self, file_key: str) -> ObjectInfo:
        key = normalize_key(file_key)
        if key not in self.store.objects and key == "missing":
            self_made = MemoryStorageService()
            self_made.put(key, b"", "", metadata={})
            return self_made.found(key)[1]
        return await super().stat(file_key)


@breaks("S17")
class EtagBySize(MemoryStorageService):
    """Takes the size for the etag."""

    def etag(self, content: bytes) -> str:
        return str(len(content))


@breaks("S18")
class FirstContentType(MemoryStorageService):
    """Keeps the first content type of a key for ever."""

    def put(self, key: str, content: bytes, content_type: str, *, metadata: Mapping[str, str], **headers: str) -> None:
        if key in self.store.objects:
            content_type = self.store.objects[key][1].content_type
        super().put(key, content, content_type, metadata=metadata, **headers)


class Sliced(MemoryStorageService):
    """The root of those that get a range wrong."""

    async def stream(
        self, file_key: str, *, start: int = 0, end: int | None = None, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> AsyncIterator[bytes]:
        size = len(self.found(normalize_key(file_key))[0])
        start, end = self.wrong(start, end, size)
        async for chunk in super().stream(file_key, start=start, end=end, chunk_size=chunk_size):
            yield chunk

    def wrong(self, start: int, end: int | None, size: int) -> tuple[int, int | None]:
        """Return another range than was asked for."""
        raise NotImplementedError


@breaks("S19")
class EndIncluded(Sliced):
    """Includes the end, as HTTP does."""

    def wrong(self, start: int, end: int | None, size: int) -> tuple[int, int | None]:
        return (start, end + 1) if end and start < end < size < 1000 else (start, end)


@breaks("S20")
class LastByteAtLeast(Sliced):
    """Gives the last byte where a range begins after it."""

    def wrong(self, start: int, end: int | None, size: int) -> tuple[int, int | None]:
        return (max(0, size - 1), None) if start > size and (end is None or start < end) else (start, end)


@breaks("S21")
class AnyRange(Sliced):
    """Makes something of every range."""

    def wrong(self, start: int, end: int | None, size: int) -> tuple[int, int | None]:
        return abs(start), end if end is None else max(abs(start), end)


@breaks("S22")
class GapBetweenChunks(MemoryStorageService):
    """Skips a byte between the chunks of a range that does not start at the beginning."""

    async def stream(
        self, file_key: str, *, start: int = 0, end: int | None = None, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> AsyncIterator[bytes]:
        number = 0
        async for chunk in super().stream(file_key, start=start, end=end, chunk_size=chunk_size):
            yield chunk[1:] if number and start and file_key.startswith("property/") else chunk
            number += 1


@breaks("S23")
class OneChunk(MemoryStorageService):
    """Gives all at once, whatever was asked for."""

    async def stream(
        self, file_key: str, *, start: int = 0, end: int | None = None, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> AsyncIterator[bytes]:
        async for chunk in super().stream(file_key, start=start, end=end, chunk_size=max(chunk_size, 0) and 10**9):
            yield chunk


@breaks("S24")
class StreamOfNothing(MemoryStorageService):
    """Ends the stream of an object that is not there without a word."""

    async def stream(self, file_key: str, **options: Any) -> AsyncIterator[bytes]:
        try:
            async for chunk in super().stream(file_key, **options):
                yield chunk
        except ObjectNotFound:
            return


@breaks("S25")
class AsksAgain(MemoryStorageService):
    """Asks for each chunk anew, and gets what is there by then."""

    async def stream(
        self, file_key: str, *, start: int = 0, end: int | None = None, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> AsyncIterator[bytes]:
        size = sum([len(chunk) async for chunk in super().stream(file_key, start=start, end=end, chunk_size=chunk_size)])
        for offset in range(start, start + size, chunk_size):
            yield self.found(normalize_key(file_key))[0][offset : min(offset + chunk_size, start + size)]


@breaks("S26")
class LeaksStreams(MemoryStorageService):
    """Gives a connection back at the end of a stream only."""

    free = 32

    async def stream(self, file_key: str, **options: Any) -> AsyncIterator[bytes]:
        if not self.free:
            raise BackendUnavailable("All connections are taken.")
        self.free -= 1
        is_left = True
        try:
            async for chunk in super().stream(file_key, **options):
                yield chunk
            is_left = False
        except StorageError:
            is_left = False
            raise
        finally:
            self.free += not is_left


@breaks("S84")
class HasFolders(MemoryStorageService):
    """Says of a folder that it is there."""

    async def exists(self, file_key: str) -> bool:
        key = normalize_key(file_key)
        is_folder = key == "there/is" and any(other.startswith(f"{key}/") for other in self.store.objects)
        return is_folder or await super().exists(file_key)


@breaks("S85")
class PartsOverlap(MemoryStorageService):
    """Begins a range in a later part at the part before."""

    async def stream(
        self, file_key: str, *, start: int = 0, end: int | None = None, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> AsyncIterator[bytes]:
        part = 8 * 1024 * 1024
        moved = 1 if start < part <= (end or 0) else 0
        async for chunk in super().stream(file_key, start=start, end=end and end - moved, chunk_size=chunk_size):
            yield chunk


@breaks("S86")
class LeaksWhenCancelled(MemoryStorageService):
    """Gives a connection back when a download succeeds or fails, and not when it is cancelled."""

    free = 4

    async def download(self, file_key: str) -> bytes:
        if not self.free:
            raise BackendUnavailable("All connections are taken.")
        self.free -= 1
        try:
            await asyncio.sleep(0)
            content = await super().download(file_key)
        except StorageError:
            self.free += 1
            raise
        self.free += 1
        return content


@breaks("S87")
class OneCursor(MemoryStorageService):
    """Keeps where a stream stands with the service."""

    cursor = 0

    async def stream(
        self, file_key: str, *, start: int = 0, end: int | None = None, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> AsyncIterator[bytes]:
        check_range(start, end, chunk_size)
        content = self.found(normalize_key(file_key))[0][:end]
        self.cursor = start
        while chunk := content[self.cursor : self.cursor + chunk_size]:
            self.cursor += len(chunk)
            yield chunk


@breaks("S88")
class EndsWithTheObject(MemoryStorageService):
    """Ends a stream without a word when its object is gone."""

    async def stream(self, file_key: str, **options: Any) -> AsyncIterator[bytes]:
        async for chunk in super().stream(file_key, **options):
            yield chunk
            if normalize_key(file_key) not in self.store.objects:
                return
