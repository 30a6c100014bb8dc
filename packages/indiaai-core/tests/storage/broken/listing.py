"""Backends that break what is promised about `list`, `delete`, `copy` and `if_absent`."""

# ruff: noqa: D102 - what a method breaks is said at its class

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from indiaai_core.errors import BackendUnavailable, ObjectExists, ObjectNotFound, StorageError
from indiaai_core.storage import FileData, ObjectInfo, normalize_key
from storage.broken.registry import breaks
from storage.reference import MemoryStorageService, composed


@breaks("S41")
class Utf16Order(MemoryStorageService):
    """Sorts as JavaScript and Java do."""

    def sorted(self, keys: Iterable[str]) -> Sequence[str]:
        return sorted(keys, key=lambda key: key.encode("utf-16-be"))


@breaks("S42")
class PrefixWithoutCase(MemoryStorageService):
    """Compares prefixes as a case-insensitive file system does."""

    def matches(self, key: str, prefix: str) -> bool:
        return key.lower().startswith(prefix.lower())


@breaks("S43")
class ZeroIsAll(MemoryStorageService):
    """Takes a limit of 0 for none."""

    def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        return super().list(prefix, limit=limit or None)


@breaks("S44")
class ListsNames(MemoryStorageService):
    """Lists keys and makes up the rest."""

    async def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        async for info in super().list(prefix, limit=limit):
            yield replace(info, size=0)


@breaks("S45")
class AnyPrefix(MemoryStorageService):
    """Looks for a prefix that no key can have."""

    def checked_prefix(self, prefix: str) -> str:
        return composed(prefix)


@breaks("S46")
class PagesByNumber(MemoryStorageService):
    """Goes on at the number of what it gave, though what comes before may have changed."""

    async def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        given = 0
        if len(self.store.objects) < 100:
            async for info in super().list(prefix, limit=limit):
                yield info
            return
        while page := [info async for info in super().list(prefix, limit=limit)][given:]:
            yield page[0]
            given += 1


@breaks("S47")
class PrefixAsGiven(MemoryStorageService):
    """Compares a prefix in the form that it is given in."""

    def checked_prefix(self, prefix: str) -> str:
        super().checked_prefix(prefix)
        return prefix


@breaks("S48")
class AlwaysDeleted(MemoryStorageService):
    """Says True whatever was there, as S3 answers."""

    async def delete(self, file_key: str) -> bool:
        await super().delete(file_key)
        return True


@breaks("S49")
class ServesTheDeleted(MemoryStorageService):
    """Goes on serving from a cache what was deleted."""

    async def delete(self, file_key: str) -> bool:
        self.deleted = getattr(self, "deleted", {})
        self.deleted[normalize_key(file_key)] = self.store.objects.get(normalize_key(file_key))
        return await super().delete(file_key)

    async def download(self, file_key: str) -> bytes:
        key = normalize_key(file_key)
        stored = self.store.objects.get(key) or getattr(self, "deleted", {}).get(key)
        return stored[0] if stored else await super().download(file_key)


@breaks("S50")
class DeletesFolders(MemoryStorageService):
    """Deletes what lies below the key, too."""

    async def delete(self, file_key: str) -> bool:
        for key in [key for key in self.store.objects if key.startswith(f"{normalize_key(file_key)}/")]:
            del self.store.objects[key]
        return await super().delete(file_key)


@breaks("S51")
class CopiesBytes(MemoryStorageService):
    """Copies the content without its type."""

    async def copy(self, source_key: str, target_key: str) -> str:
        address = await super().copy(source_key, target_key)
        content, info = self.found(normalize_key(target_key))
        self.store.objects[info.key] = (content, replace(info, content_type="application/octet-stream"))
        return address


@breaks("S52")
class ClearsTheTarget(MemoryStorageService):
    """Removes the target before it looks for the source."""

    async def copy(self, source_key: str, target_key: str) -> str:
        if normalize_key(source_key) not in self.store.objects:
            self.store.objects.pop(normalize_key(target_key), None)
        return await super().copy(source_key, target_key)


@breaks("S53")
class CopiesByName(MemoryStorageService):
    """Makes a copy a second name of its source."""

    async def copy(self, source_key: str, target_key: str) -> str:
        self.names = getattr(self, "names", {})
        self.names[normalize_key(source_key)] = normalize_key(target_key)
        return await super().copy(source_key, target_key)

    def put(self, key: str, content: bytes, content_type: str, *, metadata: Mapping[str, str], **headers: str) -> None:
        super().put(key, content, content_type, metadata=metadata, **headers)
        if key in getattr(self, "names", {}):
            super().put(self.names[key], content, content_type, metadata=metadata, **headers)


@breaks("S54")
class EmptiesItself(MemoryStorageService):
    """Truncates the target of a copy before it reads the source."""

    async def copy(self, source_key: str, target_key: str) -> str:
        if normalize_key(source_key) == normalize_key(target_key):
            self.put(normalize_key(target_key), b"", "text/plain", metadata={})
        return await super().copy(source_key, target_key)


@breaks("S55")
class CopiesNoMetadata(MemoryStorageService):
    """Copies everything but the metadata."""

    async def copy(self, source_key: str, target_key: str) -> str:
        content, info = self.found(normalize_key(source_key))
        self.put(normalize_key(target_key), content, info.content_type, metadata={}, **self.kept_headers(info))
        return self.address(normalize_key(target_key))


@breaks("S56")
class RemembersForEver(MemoryStorageService):
    """Takes a key for taken once it ever was."""

    async def require_absent(self, key: str, file_data: FileData) -> None:
        self.seen: set[str] = getattr(self, "seen", set())
        if key in self.seen:
            raise ObjectExists(key)
        await super().require_absent(key, file_data)
        self.seen.add(key)


@breaks("S57")
class StreamsReplace(MemoryStorageService):
    """Forgets the condition where it uploads a stream."""

    async def require_absent(self, key: str, file_data: FileData) -> None:
        if not isinstance(file_data, AsyncIterable):
            await super().require_absent(key, file_data)


@breaks("S58")
class LooksFirst(MemoryStorageService):
    """Looks whether there is an object, and stores a moment later."""

    async def require_absent(self, key: str, file_data: FileData) -> None:
        await super().require_absent(key, file_data)
        await asyncio.sleep(0)


@breaks("S95")
class OnePage(MemoryStorageService):
    """Lists the first page and leaves it at that."""

    async def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        async for info in super().list(prefix, limit=limit if limit is not None and limit < 1000 else 1000):
            yield info


@breaks("S96")
class LeaksListings(MemoryStorageService):
    """Gives a connection back at the end of a listing only."""

    free = 32

    async def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        if not self.free:
            raise BackendUnavailable("All connections are taken.")
        self.free -= 1
        is_left = True
        try:
            async for info in super().list(prefix, limit=limit):
                yield info
            is_left = False
        except StorageError:
            is_left = False
            raise
        finally:
            self.free += not is_left


@breaks("S97")
class LooksBeforeItDeletes(MemoryStorageService):
    """Looks for the object, and deletes it a moment later."""

    async def delete(self, file_key: str) -> bool:
        key = normalize_key(file_key)
        if key != "wanted" or key not in self.store.objects:
            return await super().delete(file_key)
        await asyncio.sleep(0)
        if key not in self.store.objects:
            raise ObjectNotFound(key)
        return await super().delete(file_key)


@breaks("S98")
class CopiesInParts(MemoryStorageService):
    """Copies a long object part by part, of whatever is there by then."""

    async def copy(self, source_key: str, target_key: str) -> str:
        beginning = self.found(normalize_key(source_key))[0][: 5 * 1024 * 1024]
        await asyncio.sleep(0)
        address = await super().copy(source_key, target_key)
        content, info = self.found(normalize_key(target_key))
        self.store.objects[info.key] = (beginning + content[len(beginning) :], info)
        return address


@breaks("S99")
class LocksForEver(MemoryStorageService):
    """Locks a key while it uploads with a condition, and unlocks it at the end if all goes well."""

    async def upload(self, file_key: str, file_data: FileData, *arguments: Any, **options: Any) -> str:
        self.store.__dict__.setdefault("locked", set())
        locked: set[str] = self.store.__dict__["locked"]
        if not options.get("if_absent"):
            return await super().upload(file_key, file_data, *arguments, **options)
        if file_key in locked:
            raise ObjectExists(file_key)
        locked.add(file_key)
        try:
            address = await super().upload(file_key, file_data, *arguments, **options)
        except StorageError:
            locked.discard(file_key)
            raise
        locked.discard(file_key)
        return address
