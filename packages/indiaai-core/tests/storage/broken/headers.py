"""Backends that break what is promised about `cache_control` and `content_disposition`."""

# ruff: noqa: D102 - what a method breaks is said at its class

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from indiaai_core.storage import ObjectInfo, normalize_key
from storage.broken.registry import breaks
from storage.reference import MemoryStorageService


class KeepsTheOld(MemoryStorageService):
    """The root of those that keep a header of the object before."""

    kept = ""

    def put(self, key: str, content: bytes, content_type: str, *, metadata: Mapping[str, str], **headers: str) -> None:
        if key in self.store.objects and not headers.get(self.kept):
            headers[self.kept] = getattr(self.store.objects[key][1], self.kept)
        super().put(key, content, content_type, metadata=metadata, **headers)


@breaks("S89")
class KeepsCacheControl(KeepsTheOld):
    """Keeps cache control until another one is given."""

    kept = "cache_control"


@breaks("S90")
class KeepsContentDisposition(KeepsTheOld):
    """Keeps a content disposition until another one is given."""

    kept = "content_disposition"


@breaks("S91")
class AnyHeader(MemoryStorageService):
    """Stores a header without looking."""

    async def upload(self, file_key: str, *arguments: Any, **options: Any) -> str:
        if "\r\n" in (options.get("cache_control") or ""):
            options["cache_control"] = "injected"
        return await super().upload(file_key, *arguments, **options)


@breaks("S92")
class CopiesNoHeaders(MemoryStorageService):
    """Leaves a copy's cache control as the target had it."""

    async def copy(self, source_key: str, target_key: str) -> str:
        known = self.store.objects.get(normalize_key(target_key))
        self.old = known[1].cache_control if known and source_key != target_key else ""
        try:
            return await super().copy(source_key, target_key)
        finally:
            self.old = ""

    old = ""

    def kept_headers(self, info: ObjectInfo) -> dict[str, str]:
        kept = super().kept_headers(info)
        return {**kept, "cache_control": self.old or kept["cache_control"]}


@breaks("S93")
class SaysItsOwn(MemoryStorageService):
    """Answers with the object's headers, whatever the link was made with."""

    def said(self, key: str, query: Mapping[str, str]) -> dict[str, str]:
        return super().said(key, {})


@breaks("S94")
class UnsignedHeaders(MemoryStorageService):
    """Takes from a link what its signature does not cover."""

    def bound(self, key: str, query: Mapping[str, str]) -> str:
        return super().bound(key, {})
