"""Backends that break what is promised about `upload`."""

# ruff: noqa: D102 - what a method breaks is said at its class

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Mapping
from dataclasses import replace
from typing import Any, BinaryIO, cast

from indiaai_core.errors import BackendUnavailable, StorageError
from indiaai_core.storage import FileData, normalize_key
from storage.broken.registry import breaks
from storage.reference import MemoryStorageService


@breaks("S01")
class TextMode(MemoryStorageService):
    """Writes small objects in text mode."""

    def gather_buffer(self, buffer: bytes | bytearray | memoryview) -> bytes:
        content = bytes(buffer)
        return content.replace(b"\n", b"\r\n") if len(content) < 1000 else content


@breaks("S02")
class WholeBuffer(MemoryStorageService):
    """Takes the buffer behind a memoryview for the view."""

    def gather_buffer(self, buffer: bytes | bytearray | memoryview) -> bytes:
        return bytes(buffer.obj if isinstance(buffer, memoryview) else buffer)


@breaks("S03")
class RewindingUpload(MemoryStorageService):
    """Rewinds the file it is given."""

    async def gather(self, key: str, file_data: FileData) -> bytes:
        if hasattr(file_data, "seek") and cast(BinaryIO, file_data).seekable():
            cast(BinaryIO, file_data).seek(0)
        return await super().gather(key, file_data)


@breaks("S04")
class StopsAtNothing(MemoryStorageService):
    """Takes an empty chunk for the end of a stream."""

    async def gather_stream(self, key: str, stream: AsyncIterable[bytes]) -> bytes:
        content = b""
        async for chunk in stream:
            if not chunk and content:
                break
            content += self.checked_bytes(chunk)
        return content


@breaks("S05")
class NoEmptyStreams(MemoryStorageService):
    """Finds nothing to do in a stream without chunks."""

    async def gather_stream(self, key: str, stream: AsyncIterable[bytes]) -> bytes:
        content = await super().gather_stream(key, stream)
        if not content:
            raise StorageError("Nothing to store.")
        return content


@breaks("S06")
class WritesInPlace(MemoryStorageService):
    """Writes a short object over the beginning of a long one."""

    def put(self, key: str, content: bytes, content_type: str, *, metadata: Mapping[str, str], **headers: str) -> None:
        old = self.store.objects.get(key, (b"",))[0]
        rest = old[len(content) :] if 100_000 > len(old) > 100 * len(content) else b""
        super().put(key, content + rest, content_type, metadata=metadata, **headers)


@breaks("S07")
class KeepsHalf(MemoryStorageService):
    """Leaves what came before the source failed in the place of the old object."""

    failures: tuple[type[BaseException], ...] = (LookupError,)

    async def gather_stream(self, key: str, stream: AsyncIterable[bytes]) -> bytes:
        chunks = []
        try:
            async for chunk in stream:
                chunks.append(self.checked_bytes(chunk))  # noqa: PERF401 - what came is needed when the stream fails
        except self.failures:
            if key in self.store.objects:
                self.put(key, b"".join(chunks), "text/plain", metadata={})
            raise
        return b"".join(chunks)


@breaks("S08")
class KeepsHalfWhenCancelled(KeepsHalf):
    """Leaves what came before the cancellation in the place of the old object."""

    failures = (asyncio.CancelledError,)


@breaks("S09")
class SignedAddress(MemoryStorageService):
    """Puts a signature into the address, as a link has one."""

    async def upload(self, file_key: str, file_data: FileData, *arguments: Any, **options: Any) -> str:
        return f"{await super().upload(file_key, file_data, *arguments, **options)}?signature=0"

    async def copy(self, source_key: str, target_key: str) -> str:
        return f"{await super().copy(source_key, target_key)}?signature=0"


@breaks("S10")
class AnyContentType(MemoryStorageService):
    """Stores a content type without looking."""

    async def upload(
        self, file_key: str, file_data: FileData, content_type: str = "application/octet-stream", **options: Any
    ) -> str:
        await super().upload(file_key, file_data, **options)
        key = normalize_key(file_key)
        content, info = self.store.objects[key]
        self.store.objects[key] = (content, replace(info, content_type=content_type))
        return self.address(key)


@breaks("S11")
class LosesTheLastPart(MemoryStorageService):
    """Drops what is left over when a long stream is not a whole number of parts."""

    async def gather_stream(self, key: str, stream: AsyncIterable[bytes]) -> bytes:
        content = await super().gather_stream(key, stream)
        part = 8 * 1024 * 1024
        return content[: len(content) // part * part] if len(content) > part else content


@breaks("S12")
class StripsText(MemoryStorageService):
    """Takes ASCII at the end of a stream for padding."""

    async def gather_stream(self, key: str, stream: AsyncIterable[bytes]) -> bytes:
        content = await super().gather_stream(key, stream)
        return content.rstrip(bytes(range(128))) if key.startswith("property/") else content


@breaks("S79")
class EmptyLastPart(MemoryStorageService):
    """Takes a full part for one that more will follow, and so loses it where none does."""

    async def gather_stream(self, key: str, stream: AsyncIterable[bytes]) -> bytes:
        content = await super().gather_stream(key, stream)
        part = 5 * 1024 * 1024
        return content if len(content) % part else content[:-part]


@breaks("S80")
class ReadsOnce(MemoryStorageService):
    """Takes what one read gives for all there is."""

    async def gather_file(self, file: BinaryIO) -> bytes:
        return bytes(self.checked_bytes(file.read(32 * 1024 * 1024)))


@breaks("S81")
class BlamesTheStore(MemoryStorageService):
    """Takes an OSError of the file for one of its own."""

    async def gather_file(self, file: BinaryIO) -> bytes:
        try:
            return await super().gather_file(file)
        except OSError as error:
            raise BackendUnavailable("The disk failed.") from error


@breaks("S82")
class EncodesText(MemoryStorageService):
    """Stores text as UTF-8."""

    def checked_bytes(self, given: object) -> bytes | bytearray | memoryview:
        return super().checked_bytes(given.encode() if isinstance(given, str) else given)


@breaks("S83")
class StoresInAThread(MemoryStorageService):
    """Hands an upload to a thread that goes on when nobody waits for it any more."""

    async def upload(self, file_key: str, file_data: FileData, *arguments: Any, **options: Any) -> str:
        task = asyncio.ensure_future(self.store_slowly(file_key, file_data, *arguments, **options))
        return await asyncio.shield(task) if file_key == "cut" else await task

    async def store_slowly(self, file_key: str, file_data: FileData, *arguments: Any, **options: Any) -> str:
        """Store an object, not at once."""
        for _ in range(3 if isinstance(file_data, bytes) and len(file_data) > 1_000_000 else 0):
            await asyncio.sleep(0)
        return await super().upload(file_key, file_data, *arguments, **options)
