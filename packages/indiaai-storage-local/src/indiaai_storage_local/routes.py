"""Answers the links that the service signed: a small ASGI application; imported by the service when somebody serves it.

Conditions and ranges are RFC 9110's: sections 13 (conditions, in the order of 13.2.2) and 14 (ranges).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from indiaai_core.errors import BackendUnavailable, ObjectExists, ObjectNotFound, StorageError
from indiaai_core.storage import DEFAULT_CHUNK_SIZE, ObjectInfo, normalize_key
from indiaai_storage_local.files import ObjectFile
from indiaai_storage_local.signatures import signed_headers

if TYPE_CHECKING:
    from indiaai_storage_local.service import LocalStorageService

__all__ = ["LinkRoutes"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = dict[str, str]

_INLINE = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "application/pdf", "text/plain"})
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_UNHEEDED = frozenset({"content-range", "if-match", "if-unmodified-since"})
"""What a PUT may not ask for: to be done all the same could destroy what the client meant to keep."""


class _ClientGone(Exception):
    pass


@dataclass
class _Request:
    method: str
    headers: Headers
    receive: Receive
    send: Send
    is_answered: bool = False

    async def start(self, status: int, headers: Headers) -> None:
        self.is_answered = True
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": fields})

    async def finish(self, body: bytes = b"") -> None:
        await self.send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})


class LinkRoutes:
    """The ASGI application of one service; it keeps nothing between requests."""

    def __init__(self, service: LocalStorageService) -> None:
        """Serve this service's links."""
        self._service = service

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request; its path, less the mount's, is the object's key.

        Raises:
            StorageError, BackendUnavailable: The object turned out to be damaged, or the disk failed, when a part of it was
                sent: the server then cuts the connection, and the client has less than was announced.
        """
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        request = _Request(scope["method"], _joined(scope["headers"]), receive, send)
        handle = {"GET": self._get, "HEAD": self._get, "PUT": self._put}.get(request.method)
        if handle is None:
            await _refuse(request, 405, "Use GET, HEAD or PUT, as the link was made for.", {"allow": "GET, HEAD, PUT"})
            return
        try:
            key = normalize_key(path.removeprefix("/"))
            await handle(key, request, await self._signed_headers(key, request, scope["query_string"].decode("latin-1")))
        except _Refusal as refusal:
            await _refuse(request, refusal.status, str(refusal), refusal.headers)
        except (_ClientGone, OSError):  # nobody is left to answer
            return
        except (StorageError, BackendUnavailable) as error:
            if request.is_answered:
                raise
            await _refuse(request, *_answer_to(error))

    async def _signed_headers(self, key: str, request: _Request, query: str) -> Headers:
        is_put = request.method == "PUT"
        found = signed_headers(
            await self._service.secret(),
            f"{'PUT' if is_put else 'GET'} {self._service.path_of(key)}",
            query=query,
            content_type=request.headers.get("content-type", "") if is_put else "",
        )
        if found is None:
            raise _Refusal(403, "The link has expired or is not valid for this request.")
        return found

    async def _get(self, key: str, request: _Request, chosen: Headers) -> None:
        file, headers = await self._service.open(key), request.headers
        try:
            known = _describe(file.info, chosen)
            if _is_known(headers, file.info):
                await request.start(304, known)
                await request.finish()
                return
            start, stop = 0, file.size
            status = 200
            if request.method == "GET" and headers.get("if-range", known["etag"]) == known["etag"]:
                status, start, stop = _chosen_range(headers.get("range", ""), file.size)
            if status == 206:
                known["content-range"] = f"bytes {start}-{stop - 1}/{file.size}"
            await request.start(status, {**known, "content-length": str(stop - start)})
            if request.method == "GET":
                await self._send_body(file, request, start=start, stop=stop)
            await request.finish()
        finally:
            await self._service.close(file)

    async def _send_body(self, file: ObjectFile, request: _Request, *, start: int, stop: int) -> None:
        gone = asyncio.ensure_future(_wait_until_gone(request.receive))
        reading = self._service.read(file, start=start, stop=stop, chunk_size=DEFAULT_CHUNK_SIZE)
        try:
            async with aclosing(reading) as chunks:
                async for chunk in chunks:
                    if gone.done():
                        raise _ClientGone
                    await request.send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            gone.cancel()

    async def _put(self, key: str, request: _Request, _: Headers) -> None:
        headers, limit = request.headers, self._service.settings.max_upload_bytes
        if not _UNHEEDED.isdisjoint(headers) or headers.get("if-none-match", "*") != "*":
            raise _Refusal(400, "A PUT stores the whole object, under no condition but If-None-Match: *.")
        announced = headers.get("content-length", "")
        if announced.isdecimal() and _number(announced) > limit:
            raise _too_large(limit)
        body, is_new = _body(request.receive, limit), "if-none-match" in headers
        await self._service.upload(key, body, headers["content-type"], if_absent=is_new)
        await request.start(200, {"content-length": "0"})
        await request.finish()


class _Refusal(Exception):
    def __init__(self, status: int, message: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


def _answer_to(error: StorageError | BackendUnavailable) -> tuple[int, str, Headers]:
    if isinstance(error, ObjectNotFound):
        return 404, "There is no such object.", {}
    if isinstance(error, ObjectExists):
        return 412, "There is an object already.", {}
    if isinstance(error, BackendUnavailable):
        return 503, "The storage does not answer for now; try again.", {"retry-after": "5"}
    return 400 if isinstance(error, ValueError) else 500, "The storage cannot serve this object.", {}


def _too_large(limit: int) -> _Refusal:
    return _Refusal(413, f"The object may have at most {limit} bytes.")


async def _body(receive: Receive, limit: int) -> AsyncIterator[bytes]:
    received, has_more = 0, True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(limit)
        yield message.get("body", b"")
        has_more = message.get("more_body", False)


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _describe(info: ObjectInfo, chosen: Headers) -> Headers:
    kind = info.content_type.partition(";")[0].strip().lower()
    shown = "inline" if kind in _INLINE else "attachment"
    named = f"{shown}; filename*=UTF-8''{quote(info.key.rpartition('/')[2], safe='')}"
    headers = {
        "content-type": info.content_type,
        "etag": f'"{info.etag}"',
        "last-modified": format_datetime(info.last_modified, usegmt=True),
        "accept-ranges": "bytes",
        "cache-control": chosen.get("cache_control") or info.cache_control or "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-disposition": chosen.get("content_disposition") or info.content_disposition or named,
    }
    if not headers["content-disposition"].lower().startswith("attachment"):
        # What a stranger uploaded shares the application's origin: it may show itself there and do nothing else.
        headers["content-security-policy"] = "default-src 'none'; sandbox"
    return headers


def _joined(fields: Iterable[tuple[bytes, bytes]]) -> Headers:
    # A list may come in several lines; of anything else two are no value that means something, as RFC 9110 (5.3) has it.
    headers: Headers = {}
    for name, value in fields:
        known = headers.get(name.decode("latin-1"))
        text = value.decode("latin-1")
        headers[name.decode("latin-1")] = text if known is None else f"{known}, {text}"
    return headers


def _is_known(headers: Headers, info: ObjectInfo) -> bool:
    """Return whether the client has this version already; raise _Refusal where it asks for another one."""
    modified = info.last_modified.replace(microsecond=0)  # as the client was told
    tags, etag = _tags(headers.get("if-match")), f'"{info.etag}"'
    limit = None if tags else _date(headers.get("if-unmodified-since"))
    if (tags and not {etag, "*"} & tags) or (limit and modified > limit):
        raise _Refusal(412, "The object is another one.")
    if tags := _tags(headers.get("if-none-match")):
        return not {etag, f"W/{etag}", "*"}.isdisjoint(tags)
    limit = _date(headers.get("if-modified-since"))
    return limit is not None and modified <= limit


def _tags(condition: str | None) -> set[str]:
    return set() if condition is None else {tag.strip() for tag in condition.split(",")}


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):  # what is no date is no condition
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _number(digits: str) -> int:
    # Python reads no number of more than 4,300 digits; and none of 18 or more is the place of a byte.
    return int(digits.lstrip("0")[:18] or "0")


def _chosen_range(header: str, size: int) -> tuple[int, int, int]:
    """Return the status and the bytes `[start, stop)`; a header that is not one range of bytes counts for nothing."""
    found = _RANGE.fullmatch(header.strip().lower())
    if not found or not any(found.groups()):
        return 200, 0, size
    first, last = found.groups()
    start = _number(first) if first else max(0, size - _number(last))
    stop = min(size, _number(last) + 1) if first and last else size
    if first and last and _number(last) < start:
        return 200, 0, size
    if start >= size or start >= stop:
        raise _Refusal(416, f"The object has {size} bytes.", {"content-range": f"bytes */{size}"})
    return 206, start, stop


async def _refuse(request: _Request, status: int, message: str, headers: Headers | None = None) -> None:
    body = f"{message}\n".encode()
    known = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body)), "cache-control": "no-store"}
    await request.start(status, {**known, "x-content-type-options": "nosniff", **(headers or {})})
    await request.finish(body)
