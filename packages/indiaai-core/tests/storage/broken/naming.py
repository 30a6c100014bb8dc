"""Backends that break what is promised about keys and metadata."""

# ruff: noqa: D102 - what a method breaks is said at its class

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from indiaai_core.errors import InvalidKey, ObjectNotFound, StorageError
from indiaai_core.storage import ObjectInfo, normalize_key
from storage.broken.registry import breaks
from storage.reference import MemoryStorageService


@breaks("S59")
class SignsAnyKey(MemoryStorageService):
    """Signs a link to a key that cannot be."""

    async def get_url(self, file_key: str, expires_in: int = 3600, **options: Any) -> str:
        try:
            return await super().get_url(file_key, expires_in, **options)
        except InvalidKey:
            return f"https://memory.test/{file_key}"


@breaks("S60")
class DeletesAsGiven(MemoryStorageService):
    """Looks for what to delete under the key as it was given."""

    async def delete(self, file_key: str) -> bool:
        normalize_key(file_key)
        return self.store.objects.pop(file_key, None) is not None


class OtherNames(MemoryStorageService):
    """The root of those under which two keys may be one."""

    def put(self, key: str, content: bytes, content_type: str, *, metadata: Mapping[str, str], **headers: str) -> None:
        super().put(self.named(key), content, content_type, metadata=metadata, **headers)

    def found(self, key: str) -> tuple[bytes, ObjectInfo]:
        if self.named(key) not in self.store.objects:
            raise ObjectNotFound(key)
        return self.store.objects[self.named(key)]

    def named(self, key: str) -> str:
        """Return the name under which a key's object is kept."""
        raise NotImplementedError


@breaks("S61")
class WithoutCase(OtherNames):
    """Keeps files on a case-insensitive file system."""

    def named(self, key: str) -> str:
        return key.lower() if key.lower().startswith("readme") else key


@breaks("S62")
class FoldersInTheWay(MemoryStorageService):
    """Cannot store an object where there is a folder."""

    def put(self, key: str, content: bytes, content_type: str, *, metadata: Mapping[str, str], **headers: str) -> None:
        if key.count("/") == 2 and any(other.startswith(f"{key}/") for other in self.store.objects):
            raise StorageError(f"{key} is a folder.")
        super().put(key, content, content_type, metadata=metadata, **headers)


@breaks("S63")
class ShortNames(MemoryStorageService):
    """Cannot store a key that is longer than a file's name."""

    def put(self, key: str, content: bytes, content_type: str, *, metadata: Mapping[str, str], **headers: str) -> None:
        if len(key.encode()) > 1000:
            raise StorageError("File name too long.")
        super().put(key, content, content_type, metadata=metadata, **headers)


@breaks("S64")
class Unquotes(OtherNames):
    """Unquotes keys that nobody quoted."""

    def named(self, key: str) -> str:
        return unquote(key) if key.startswith("100") else key


@breaks("S65")
class HidesLongNames(MemoryStorageService):
    """Leaves out of a listing what has a long name in it."""

    def matches(self, key: str, prefix: str) -> bool:
        return super().matches(key, prefix) and "x" * 200 not in key


@breaks("S66")
class TrimsMetadata(MemoryStorageService):
    """Keeps metadata as header fields, which lose the space around them."""

    def checked_metadata(self, metadata: Mapping[str, str] | None) -> dict[str, str]:
        return {name: value.strip() for name, value in super().checked_metadata(metadata).items()}


@breaks("S67")
class MergesMetadata(MemoryStorageService):
    """Adds new metadata to the old."""

    def put(self, key: str, content: bytes, content_type: str, *, metadata: Mapping[str, str], **headers: str) -> None:
        old = self.store.objects[key][1].metadata if key in self.store.objects else {}
        super().put(key, content, content_type, metadata={**old, **metadata}, **headers)


@breaks("S68")
class AnyMetadata(MemoryStorageService):
    """Stores metadata without looking."""

    def checked_metadata(self, metadata: Mapping[str, str] | None) -> dict[str, str]:
        return {name.lower(): value for name, value in (metadata or {}).items()}


@breaks("S100")
class TrimsKeys(MemoryStorageService):
    """Takes a key for there that has a space after it."""

    async def exists(self, file_key: str) -> bool:
        return await super().exists(file_key.rstrip(" ") if file_key.startswith("property/") else file_key)
