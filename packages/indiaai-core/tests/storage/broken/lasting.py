"""Backends that break what is promised about calls at once, errors, any calls and the end."""

# ruff: noqa: D102 - what a method breaks is said at its class

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, Mapping

from indiaai_core.errors import BackendUnavailable, ObjectNotFound, StorageError
from indiaai_core.storage import normalize_key
from storage.broken.registry import breaks
from storage.reference import MemoryStorageService


@breaks("S69")
class OneTemporaryFile(MemoryStorageService):
    """Names the temporary file of an upload after the key."""

    async def gather_stream(self, key: str, stream: AsyncIterable[bytes]) -> bytes:
        self.temporary = getattr(self, "temporary", {})
        self.temporary[key] = b""
        async for chunk in stream:
            self.temporary[key] += chunk
            await asyncio.sleep(0)
        return bytes(self.temporary[key])


@breaks("S70")
class WritesTheIndexBack(MemoryStorageService):
    """Reads the index, removes a key, and writes the index back as it was by then."""

    async def delete(self, file_key: str) -> bool:
        index = dict(self.store.objects)
        await asyncio.sleep(0)
        was_there = index.pop(normalize_key(file_key), None) is not None
        self.store.objects = index
        return was_there


@breaks("S71")
class ReadsTwice(MemoryStorageService):
    """Reads the end of an object a moment after its beginning."""

    async def download(self, file_key: str) -> bytes:
        beginning = (await super().download(file_key))[:100_000]
        await asyncio.sleep(0)
        return beginning + (await super().download(file_key))[100_000:]


@breaks("S72")
class Caches(MemoryStorageService):
    """Keeps what it read, and does not hear of what others write."""

    async def download(self, file_key: str) -> bytes:
        self.cache = getattr(self, "cache", {})
        key = normalize_key(file_key)
        if key not in self.cache:
            self.cache[key] = await super().download(file_key)
        return bytes(self.cache[key])

    def put(self, key: str, content: bytes, content_type: str, *, metadata: Mapping[str, str]) -> None:
        getattr(self, "cache", {}).pop(key, None)
        super().put(key, content, content_type, metadata=metadata)

    async def delete(self, file_key: str) -> bool:
        getattr(self, "cache", {}).pop(normalize_key(file_key), None)
        return await super().delete(file_key)


@breaks("S73")
class LeaksFailures(MemoryStorageService):
    """Does not give a connection back when a call fails."""

    failed = 0

    async def download(self, file_key: str) -> bytes:
        if self.failed > 15:
            raise BackendUnavailable("All connections are taken.")
        try:
            return await super().download(file_key)
        except ObjectNotFound:
            self.failed += 1
            raise


@breaks("S74")
class CarriesTheClient(MemoryStorageService):
    """Hangs something onto an error that cannot leave the process."""

    async def download(self, file_key: str) -> bytes:
        try:
            return await super().download(file_key)
        except ObjectNotFound as error:
            error.__dict__["client"] = threading.Lock()
            raise


@breaks("S75")
class SharesContent(MemoryStorageService):
    """Keeps equal contents once, and forgets that another key has one that is deleted."""

    async def delete(self, file_key: str) -> bool:
        key = normalize_key(file_key)
        deleted = self.store.objects.get(key)
        for other in [other for other, stored in self.store.objects.items() if deleted and stored[0] == deleted[0]]:
            del self.store.objects[other]
        return deleted is not None


@breaks("S76")
class ChecksByWriting(MemoryStorageService):
    """Leaves the object behind that its check wrote."""

    async def check(self) -> None:
        self.put("check", b"", "text/plain", metadata={})


@breaks("S77")
class ClosesOnce(MemoryStorageService):
    """Cannot be closed again."""

    is_open = True

    async def aclose(self) -> None:
        if not self.is_open:
            raise StorageError("The service is closed.")
        self.is_open = False


@breaks("S78")
class LosesAtClose(MemoryStorageService):
    """Drops at its end what it had not written yet."""

    async def aclose(self) -> None:
        self.store.objects.clear()
