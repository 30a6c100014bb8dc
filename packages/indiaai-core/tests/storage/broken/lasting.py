"""Backends that break what is promised about calls at once, errors, any calls and the end."""

# ruff: noqa: D102 - what a method breaks is said at its class

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import cast

from indiaai_core.errors import BackendUnavailable, ObjectNotFound, StorageError
from indiaai_core.storage import ObjectInfo, normalize_key
from storage.broken.registry import breaks
from storage.reference import MemoryStorageService


@breaks("S69")
class OneTemporaryFile(MemoryStorageService):
    """Names the temporary file of an upload after the key."""

    async def gather_stream(self, key: str, stream: AsyncIterable[bytes]) -> bytes:
        self.temporary = getattr(self, "temporary", {})
        self.temporary[key] = b""
        async for chunk in stream:
            self.temporary[key] += self.checked_bytes(chunk)
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

    def put(self, key: str, content: bytes, content_type: str, *, metadata: Mapping[str, str], **headers: str) -> None:
        getattr(self, "cache", {}).pop(key, None)
        super().put(key, content, content_type, metadata=metadata, **headers)

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
class DeletesAlike(MemoryStorageService):
    """Deletes by a question that names too little: whatever has the object's content type."""

    async def delete(self, file_key: str) -> bool:
        key = normalize_key(file_key)
        deleted = self.store.objects.pop(key, None)
        if deleted and key.startswith("property/"):
            kind = deleted[1].content_type
            for other in [other for other, (_, info) in self.store.objects.items() if info.content_type == kind]:
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
        self.store.objects.pop("kept", None)


@breaks("S101")
class CachesWhatIsKnown(MemoryStorageService):
    """Keeps what it knows of an object, and does not hear of what others write."""

    async def stat(self, file_key: str) -> ObjectInfo:
        self.known = getattr(self, "known", {})
        key = normalize_key(file_key)
        if key not in self.known:
            self.known[key] = await super().stat(file_key)
        return cast(ObjectInfo, self.known[key])

    def put(self, key: str, content: bytes, content_type: str, *, metadata: Mapping[str, str], **headers: str) -> None:
        getattr(self, "known", {}).pop(key, None)
        super().put(key, content, content_type, metadata=metadata, **headers)

    async def delete(self, file_key: str) -> bool:
        getattr(self, "known", {}).pop(normalize_key(file_key), None)
        return await super().delete(file_key)


@breaks("S102")
class OneListing(MemoryStorageService):
    """Keeps the page of a listing with the service."""

    page: list[ObjectInfo]

    async def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        self.page = [info async for info in super().list(prefix, limit=limit)]
        while self.page:
            info = self.page.pop(0)
            yield info


@breaks("S103")
class LooksBeforeItReads(MemoryStorageService):
    """Looks for the object, and reads it a moment later."""

    async def download(self, file_key: str) -> bytes:
        await super().download(file_key)
        await asyncio.sleep(0)
        return self.store.objects[normalize_key(file_key)][0]


@breaks("S104")
class ClosedClient(MemoryStorageService):
    """Lets its client's own error out once that is closed."""

    is_open = True

    async def aclose(self) -> None:
        self.is_open = False

    async def download(self, file_key: str) -> bytes:
        if not self.is_open:
            raise RuntimeError("Cannot use a closed client.")
        return await super().download(file_key)


@breaks("S105")
class ClosedUnderWay(MemoryStorageService):
    """Lets its client's own error out of a call during which that is closed."""

    is_open = True

    async def aclose(self) -> None:
        self.is_open = False

    async def download(self, file_key: str) -> bytes:
        was_open = self.is_open
        for _ in range(100 if file_key == "read" else 0):
            await asyncio.sleep(0.0001)
        if was_open and not self.is_open:
            raise RuntimeError("The client was closed.")
        return await super().download(file_key)


@breaks("S106")
class ProbesByWriting(MemoryStorageService):
    """Leaves the object behind that its probe wrote."""

    async def probe(self) -> None:
        self.put("probe", b"", "text/plain", metadata={})
