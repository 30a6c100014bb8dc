"""Answers the links that the service signed: a small ASGI application; imported by the service when somebody serves it.

Conditions and ranges are RFC 9110's: sections 13.1.2 (If-None-Match), 13.1.5 (If-Range) and 14 (ranges).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from indiaai_core.errors import BackendUnavailable, ObjectNotFound, StorageError
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


class _ClientGone(Exception):
    pass


@dataclass
class _Request:
    method: str
    headers: Headers
    receive: Receive
    send: Send
    is_answered: bool = False

    async def answer(self, message: MutableMapping[str, Any]) -> None:
        self.is_answered = True
        await self.send(message)


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
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        request = _Request(scope["method"], headers, receive, send)
        handle = {"GET": self._get, "HEAD": self._get, "PUT": self._put}.get(request.method)
        if handle is None:
            await _refuse(send, 405, "Use GET, HEAD or PUT, as the link was made for.", {"allow": "GET, HEAD, PUT"})
            return
        try:
            key = normalize_key(path.removeprefix("/"))
            await handle(key, request, await self._signed_headers(key, request, scope["query_string"].decode("latin-1")))
        except _Refusal as refusal:
            await _refuse(send, refusal.status, str(refusal), refusal.headers)
        except (_ClientGone, OSError):  # nobody is left to answer
            return
        except (StorageError, BackendUnavailable) as error:
            if request.is_answered:
                raise
            await _refuse(send, *_answer_to(error))

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
            if _matches(headers.get("if-none-match"), known["etag"]):
                await _start(request.answer, 304, known)
                await request.answer({"type": "http.response.body"})
                return
            start, stop = 0, file.size
            status = 200
            if request.method == "GET" and headers.get("if-range", known["etag"]) == known["etag"]:
                status, start, stop = _chosen_range(headers.get("range", ""), file.size)
            if status == 206:
                known["content-range"] = f"bytes {start}-{stop - 1}/{file.size}"
            await _start(request.answer, status, {**known, "content-length": str(stop - start)})
            if request.method == "GET":
                await self._send_body(file, request, start=start, stop=stop)
            await request.answer({"type": "http.response.body"})
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
                    await request.answer({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            gone.cancel()

    async def _put(self, key: str, request: _Request, _: Headers) -> None:
        limit, announced = self._service.settings.max_upload_bytes, request.headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(limit)
        await self._service.upload(key, _body(request.receive, limit), request.headers["content-type"])
        await _start(request.answer, 200, {"content-length": "0"})
        await request.answer({"type": "http.response.body"})


class _Refusal(Exception):
    def __init__(self, status: int, message: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


def _answer_to(error: StorageError | BackendUnavailable) -> tuple[int, str, Headers]:
    if isinstance(error, ObjectNotFound):
        return 404, "There is no such object.", {}
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


def _matches(condition: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (condition or "").split(",")]
    return etag in tags or tags == ["*"]


def _chosen_range(header: str, size: int) -> tuple[int, int, int]:
    """Return the status and the bytes `[start, stop)`; a header that is not one range of bytes counts for nothing."""
    found = _RANGE.fullmatch(header.strip().lower())
    if not found or not any(found.groups()):
        return 200, 0, size
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < start:
        return 200, 0, size
    if start >= size or start >= stop:
        raise _Refusal(416, f"The object has {size} bytes.", {"content-range": f"bytes */{size}"})
    return 206, start, stop


async def _start(send: Send, status: int, headers: Headers) -> None:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": fields})


async def _refuse(send: Send, status: int, message: str, headers: Headers | None = None) -> None:
    body = f"{message}\n".encode()
    known = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body)), "cache-control": "no-store"}
    await _start(send, status, {**known, "x-content-type-options": "nosniff", **(headers or {})})
    await send({"type": "http.response.body", "body": body})
