"""Backends that break what is promised about `get_url` and `get_upload_url`."""

# ruff: noqa: D102 - what a method breaks is said at its class

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

from indiaai_core.errors import InvalidRequest
from indiaai_core.testing import Answer
from storage.broken.registry import breaks
from storage.reference import MemoryStorageService


@breaks("S27")
class OwnScheme(MemoryStorageService):
    """Gives an address that no browser knows."""

    def link_address(self, key: str) -> str:
        return super().link_address(key).replace("https:", "memory:")


@breaks("S28")
class AnyLifetime(MemoryStorageService):
    """Signs for as long as it is asked to."""

    async def get_url(self, file_key: str, expires_in: int = 3600, **options: Any) -> str:
        try:
            return await super().get_url(file_key, expires_in, **options)
        except InvalidRequest:
            return await super().get_url(file_key, 3600, **options)


@breaks("S29")
class ForgetsTheType(MemoryStorageService):
    """Answers a GET without the content type."""

    def answer_get(self, key: str, headers: Mapping[str, str]) -> Answer:
        answer = super().answer_get(key, headers)
        return Answer(answer.status, {**answer.headers, "content-type": "application/octet-stream"}, answer.body)


@breaks("S30")
class NeverExpires(MemoryStorageService):
    """Signs the lifetime of a GET and never looks at it."""

    def allows(self, method: str, key: str, query: Mapping[str, str], content_type: str) -> bool:
        expected = self.signature(method, self.bound(key, query), query.get("expires", ""), "")
        return (method == "GET" and query.get("signature") == expected) or super().allows(method, key, query, content_type)


class Unbound(MemoryStorageService):
    """The root of those whose signature leaves something out."""

    ignored = "GET"

    def signature(self, method: str, key: str, expires: str, content_type: str) -> str:
        rest = key.partition("\n")[2]
        return super().signature(method, rest if method == self.ignored else key, expires, content_type)


@breaks("S31")
class AnyKeyToGet(Unbound):
    """Signs a GET without the key."""


@breaks("S32")
class ForbiddenWhenMissing(MemoryStorageService):
    """Answers 403 where there is no object, as a store does that may not list."""

    def answer_get(self, key: str, headers: Mapping[str, str]) -> Answer:
        return super().answer_get(key, headers) if key in self.store.objects else Answer(403)


@breaks("S33")
class AnyMethod(MemoryStorageService):
    """Lets a link to GET delete."""

    def allows(self, method: str, key: str, query: Mapping[str, str], content_type: str) -> bool:
        return super().allows("GET" if method == "DELETE" else method, key, query, content_type)


@breaks("S34")
class NoRanges(MemoryStorageService):
    """Answers a request for a range with all."""

    def answer_get(self, key: str, headers: Mapping[str, str]) -> Answer:
        return super().answer_get(key, {})


@breaks("S35")
class PlusForSpace(MemoryStorageService):
    """Quotes a path as if it were a query."""

    def link_address(self, key: str) -> str:
        return f"https://memory.test/{quote_plus(key, safe='/')}"


@breaks("S36")
class PutWithoutType(MemoryStorageService):
    """Forgets the content type of a PUT."""

    def put_type(self, headers: Mapping[str, str]) -> str:
        return "application/octet-stream"


@breaks("S37")
class AnyTypeToPut(MemoryStorageService):
    """Signs a PUT without its content type."""

    def signature(self, method: str, key: str, expires: str, content_type: str) -> str:
        return super().signature(method, key, expires, "")


@breaks("S38")
class AnyUploadLifetime(MemoryStorageService):
    """Signs a PUT for as long as it is asked to."""

    async def get_upload_url(
        self, file_key: str, expires_in: int = 3600, *, content_type: str = "application/octet-stream"
    ) -> str:
        return await super().get_upload_url(file_key, min(max(int(expires_in), 1), 604_800), content_type=content_type)


@breaks("S39")
class AnyKeyToPut(Unbound):
    """Signs a PUT without the key."""

    ignored = "PUT"


@breaks("S40")
class PutReads(MemoryStorageService):
    """Lets a link to PUT read."""

    def allows(self, method: str, key: str, query: Mapping[str, str], content_type: str) -> bool:
        may_put = method == "GET" and bool(content_type) and super().allows("PUT", key, query, content_type)
        return may_put or super().allows(method, key, query, content_type)
