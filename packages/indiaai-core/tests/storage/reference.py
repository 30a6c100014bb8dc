"""Two backends that keep every promise: one has every capability, one is the least that a backend can be."""

from __future__ import annotations

import asyncio
import hmac
import time
import unicodedata
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import BinaryIO, ClassVar, cast
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from indiaai_core.errors import BackendUnavailable, InvalidRequest, ObjectExists, ObjectNotFound, Unsupported
from indiaai_core.storage import (
    DEFAULT_CHUNK_SIZE,
    FileData,
    ObjectInfo,
    StorageService,
    check_cache_control,
    check_content_disposition,
    check_content_type,
    check_expiry,
    check_metadata,
    check_range,
    normalize_key,
    normalize_prefix,
    read_all,
)
from indiaai_core.testing import Answer


@dataclass
class Store:
    """What several services share: the objects, and a clock in which a second takes 20 ms, so that tests need not wait."""

    objects: dict[str, tuple[bytes, ObjectInfo]] = field(default_factory=dict)

    def now(self) -> float:
        """Return the time in seconds."""
        return time.monotonic() * 50


class MemoryStorageService(StorageService):
    """Every capability, in a dict; its steps are methods of their own, for the broken ones to break."""

    capabilities: ClassVar[frozenset[str]] = frozenset(
        {
            "stat",
            "list",
            "copy",
            "presign",
            "presign_upload",
            "if_absent",
            "metadata",
            "cache_control",
            "content_disposition",
        }
    )

    def __init__(self, store: Store | None = None) -> None:
        """Serve a store."""
        self.store = store or Store()

    async def upload(
        self,
        file_key: str,
        file_data: FileData,
        content_type: str = "application/octet-stream",
        *,
        if_absent: bool = False,
        metadata: Mapping[str, str] | None = None,
        cache_control: str | None = None,
        content_disposition: str | None = None,
    ) -> str:
        """Store an object."""
        key = normalize_key(file_key)
        kind, pairs = self.checked_type(content_type), self.checked_metadata(metadata)
        headers = self.checked_headers(cache_control, content_disposition)
        content = await self.gather(key, file_data)
        if if_absent:
            await self.require_absent(key, file_data)
        self.put(key, content, kind, metadata=pairs, **headers)
        return self.address(key)

    def checked_headers(self, cache_control: str | None, content_disposition: str | None) -> dict[str, str]:
        """Check the two headers."""
        return {
            "cache_control": check_cache_control(cache_control),
            "content_disposition": check_content_disposition(content_disposition),
        }

    def checked_type(self, content_type: str) -> str:
        """Check a content type."""
        return check_content_type(content_type)

    def checked_metadata(self, metadata: Mapping[str, str] | None) -> dict[str, str]:
        """Check metadata."""
        return check_metadata(metadata)

    async def gather(self, key: str, file_data: FileData) -> bytes:
        """Read all that is to be stored."""
        if isinstance(file_data, AsyncIterable):
            return await self.gather_stream(key, file_data)
        if hasattr(file_data, "read"):
            return await self.gather_file(cast(BinaryIO, file_data))
        return self.gather_buffer(self.checked_bytes(file_data))

    async def gather_file(self, file: BinaryIO) -> bytes:
        """Read the rest of a file."""
        return bytes(self.checked_bytes(file.read()))

    def checked_bytes(self, given: object) -> bytes | bytearray | memoryview:
        """Refuse what is no bytes."""
        if not isinstance(given, bytes | bytearray | memoryview):
            raise InvalidRequest(f"file_data gives {type(given).__name__}: expected bytes.")
        return given

    async def gather_stream(self, key: str, stream: AsyncIterable[bytes]) -> bytes:
        """Read all of a stream."""
        return b"".join([self.checked_bytes(chunk) async for chunk in stream])

    def gather_buffer(self, buffer: bytes | bytearray | memoryview) -> bytes:
        """Copy a buffer."""
        return bytes(buffer)

    async def require_absent(self, key: str, file_data: FileData) -> None:
        """Refuse to replace an object."""
        if key in self.store.objects:
            raise ObjectExists(key)

    def put(self, key: str, content: bytes, content_type: str, *, metadata: Mapping[str, str], **headers: str) -> None:
        """Make an object visible."""
        now = datetime.now(UTC)
        info = ObjectInfo(key, len(content), content_type, self.etag(content), now, dict(metadata), **headers)
        self.store.objects[key] = (content, info)

    def etag(self, content: bytes) -> str:
        """Name a content."""
        return f"{zlib.crc32(content):08x}"

    def address(self, key: str) -> str:
        """Return an object's lasting address."""
        return f"https://memory.test/{quote(key)}"

    def found(self, key: str) -> tuple[bytes, ObjectInfo]:
        """Return an object."""
        if key not in self.store.objects:
            raise ObjectNotFound(key)
        return self.store.objects[key]

    async def download(self, file_key: str) -> bytes:
        """Return an object's content."""
        return self.found(normalize_key(file_key))[0]

    async def stream(
        self, file_key: str, *, start: int = 0, end: int | None = None, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> AsyncIterator[bytes]:
        """Give an object's content in chunks."""
        check_range(start, end, chunk_size)
        content = self.found(normalize_key(file_key))[0][start:end]
        for offset in range(0, len(content), chunk_size):
            yield content[offset : offset + chunk_size]

    async def exists(self, file_key: str) -> bool:
        """Return whether there is an object."""
        return normalize_key(file_key) in self.store.objects

    async def stat(self, file_key: str) -> ObjectInfo:
        """Return what is known of an object."""
        return self.found(normalize_key(file_key))[1]

    async def list(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        """Give the objects under a prefix."""
        if limit is not None and limit < 0:
            raise InvalidRequest(f"limit={limit}")
        wanted = self.checked_prefix(prefix)
        for key in self.sorted(key for key in self.store.objects if self.matches(key, wanted))[:limit]:
            if key in self.store.objects:
                yield self.store.objects[key][1]

    def checked_prefix(self, prefix: str) -> str:
        """Check a prefix."""
        return normalize_prefix(prefix)

    def matches(self, key: str, prefix: str) -> bool:
        """Return whether a key has the prefix."""
        return key.startswith(prefix)

    def sorted(self, keys: Iterable[str]) -> Sequence[str]:
        """Sort keys."""
        return sorted(keys, key=str.encode)

    async def copy(self, source_key: str, target_key: str) -> str:
        """Copy an object."""
        source, target = normalize_key(source_key), normalize_key(target_key)
        content, info = self.found(source)
        self.put(target, content, info.content_type, metadata=info.metadata, **self.kept_headers(info))
        return self.address(target)

    def kept_headers(self, info: ObjectInfo) -> dict[str, str]:
        """Return what a copy keeps of its source's headers."""
        return {"cache_control": info.cache_control, "content_disposition": info.content_disposition}

    async def delete(self, file_key: str) -> bool:
        """Remove an object."""
        return self.store.objects.pop(normalize_key(file_key), None) is not None

    async def get_url(
        self,
        file_key: str,
        expires_in: int = 3600,
        *,
        cache_control: str | None = None,
        content_disposition: str | None = None,
    ) -> str:
        """Return a link to GET."""
        key, headers = normalize_key(file_key), self.checked_headers(cache_control, content_disposition)
        said = {name: value for name, value in headers.items() if value}
        return f"{self.link_address(key)}?{self.signed('GET', key, check_expiry(expires_in), said=said)}"

    def link_address(self, key: str) -> str:
        """Return what a link starts with."""
        return self.address(key)

    async def get_upload_url(
        self, file_key: str, expires_in: int = 3600, *, content_type: str = "application/octet-stream"
    ) -> str:
        """Return a link to PUT."""
        key, seconds, kind = normalize_key(file_key), check_expiry(expires_in), self.checked_type(content_type)
        return f"{self.address(key)}?{self.signed('PUT', key, seconds, content_type=kind)}"

    def signed(
        self, method: str, key: str, seconds: int, *, content_type: str = "", said: Mapping[str, str] | None = None
    ) -> str:
        """Sign a link."""
        expires, query = self.store.now() + seconds, dict(said or {})
        signature = self.signature(method, self.bound(key, query), str(expires), content_type)
        return urlencode({**query, "expires": expires, "signature": signature})

    def bound(self, key: str, query: Mapping[str, str]) -> str:
        """Return what a signature is bound to beside the method, the time and the type."""
        return "\n".join((key, query.get("cache_control", ""), query.get("content_disposition", "")))

    def signature(self, method: str, key: str, expires: str, content_type: str) -> str:
        """Compute a signature."""
        return hmac.new(b"secret", "\n".join((method, key, expires, content_type)).encode(), "sha256").hexdigest()

    async def answer(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """Answer an HTTP request: the fixture `http`."""
        parts, fields = urlsplit(url), headers or {}
        key = unquote(parts.path[1:])
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if not self.allows(method, key, query, fields.get("content-type", "")):
            return Answer(403)
        if method == "PUT":
            self.put(key, body, self.put_type(fields), metadata={})
            return Answer(200)
        if method == "DELETE":
            del self.store.objects[key]
            return Answer(204)
        answer = self.answer_get(key, fields)
        return replace(answer, headers={**answer.headers, **self.said(key, query)}) if answer.status // 100 == 2 else answer

    def said(self, key: str, query: Mapping[str, str]) -> dict[str, str]:
        """Return the headers that an answer has from the link, or else from the object."""
        headers = {**self.kept_headers(self.found(key)[1]), **query}
        return {name.replace("_", "-"): headers[name] for name in ("cache_control", "content_disposition") if headers[name]}

    def allows(self, method: str, key: str, query: Mapping[str, str], content_type: str) -> bool:
        """Return whether a request is signed."""
        kind = {"PUT": content_type}.get(method, "")
        expected = self.signature(method, self.bound(key, query), query.get("expires", ""), kind)
        return query.get("signature") == expected and self.store.now() < float(query["expires"])

    def put_type(self, headers: Mapping[str, str]) -> str:
        """Return the content type to store."""
        return headers["content-type"]

    def answer_get(self, key: str, headers: Mapping[str, str]) -> Answer:
        """Answer a GET."""
        try:
            content, info = self.found(key)
        except ObjectNotFound:
            return Answer(404)
        if "range" not in headers:
            return Answer(200, {"content-type": info.content_type}, content)
        first, last = (int(number) for number in headers["range"].removeprefix("bytes=").split("-"))
        return Answer(206, {"content-range": f"bytes {first}-{last}/{len(content)}"}, content[first : last + 1])


class InterruptingStorageService(MemoryStorageService):
    """Differs where the contract lets it: it knows nothing but the bytes, and a stream ends when its object is replaced."""

    capabilities: ClassVar[frozenset[str]] = MemoryStorageService.capabilities - {"stat"}

    async def stat(self, file_key: str) -> ObjectInfo:
        """Refuse to tell."""
        raise Unsupported(type(self).__name__, "stat")

    async def stream(
        self, file_key: str, *, start: int = 0, end: int | None = None, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> AsyncIterator[bytes]:
        """Give an object's content in chunks as long as it is the same object."""
        known = self.store.objects.get(normalize_key(file_key))
        async for chunk in super().stream(file_key, start=start, end=end, chunk_size=chunk_size):
            yield chunk
            await asyncio.sleep(0)
            if self.store.objects.get(normalize_key(file_key)) is not known:
                raise BackendUnavailable("The object was replaced while it was read.")


class MinimalStorageService(StorageService):
    """The four methods and nothing else: the rest is the interface's own."""

    capabilities: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        """Serve a dict."""
        self.objects = {} if objects is None else objects

    async def upload(  # type: ignore[override] # what it cannot do, the interface refuses for it
        self, file_key: str, file_data: FileData, content_type: str = "application/octet-stream"
    ) -> str:
        """Store an object."""
        key = normalize_key(file_key)
        check_content_type(content_type)
        self.objects[key] = await read_all(file_data)
        return f"minimal:{key}"

    async def download(self, file_key: str) -> bytes:
        """Return an object's content."""
        key = normalize_key(file_key)
        if key not in self.objects:
            raise ObjectNotFound(key)
        return self.objects[key]

    async def get_url(  # type: ignore[override] # what it cannot do, the interface refuses for it
        self, file_key: str, expires_in: int = 3600
    ) -> str:
        """Return an address that nobody answers."""
        check_expiry(expires_in)
        return f"/{quote(normalize_key(file_key))}"

    async def delete(self, file_key: str) -> bool:
        """Remove an object."""
        return self.objects.pop(normalize_key(file_key), None) is not None


def composed(text: str) -> str:
    """Return a text in NFC, valid or not."""
    return unicodedata.normalize("NFC", text)


def with_info(stored: tuple[bytes, ObjectInfo], **changes: object) -> tuple[bytes, ObjectInfo]:
    """Return a stored object of which something else is known."""
    return stored[0], replace(stored[1], **changes)  # type: ignore[arg-type] # the names are the caller's
