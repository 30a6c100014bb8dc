"""The operations on one object: put, copy, get, head, delete; imported by the R2 rule server."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import Header, decode_header, make_header
from email.utils import format_datetime
from urllib.parse import unquote

from r2.conditions import is_modified, require, require_unchanged
from r2.limits import MAX_METADATA_BYTES
from r2.messages import Answer, Refused, Request, element, text, xml_answer
from r2.store import Store, StoredObject

__all__ = ["copy_object", "copy_source", "delete_object", "described", "get_object", "md5", "put_object", "read_range"]

_SYSTEM = {"content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires"}
_META = "x-amz-meta-"
_SNIFFED = {b"<html": "text/html", b"<!DOC": "text/html", b"%PDF-": "application/pdf", b"\x89PNG\r": "image/png"}


def put_object(store: Store, request: Request) -> Answer:
    """Store the body."""
    store.may_write(request)
    require(request.headers, store.objects.get(request.place))
    etag = md5(request.body)
    store.write(request, StoredObject(request.body, described(request.headers, request.body), etag))
    return Answer(200, {"ETag": f'"{etag}"'})


def described(headers: Mapping[str, str], content: bytes) -> dict[str, str]:
    """Return what is kept of a request's headers: decoded metadata, and a type, sniffed where none was sent.

    Raises:
        Refused: The metadata are too large.
    """
    kept = {name: value for name, value in headers.items() if name in _SYSTEM}
    kept.setdefault("content-type", _SNIFFED.get(content[:5], "application/octet-stream"))
    metadata = {name: _decoded(value) for name, value in headers.items() if name.startswith(_META)}
    if sum(len(name) - len(_META) + len(value.encode()) for name, value in metadata.items()) > MAX_METADATA_BYTES:
        raise Refused(400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size.")
    return kept | metadata


def copy_source(store: Store, request: Request) -> StoredObject:
    """Return the object that `x-amz-copy-source` names."""
    path = unquote("/" + request.headers["x-amz-copy-source"].lstrip("/"))
    return store.find(unicodedata.normalize("NFC", path))


def copy_object(store: Store, request: Request) -> Answer:
    """Copy an object within the store."""
    store.may_write(request)
    source = copy_source(store, request)
    require(request.headers, source, prefix="x-amz-copy-source-")
    require(request.headers, store.objects.get(request.place), prefix="cf-copy-destination-")
    directive = request.headers.get("x-amz-metadata-directive", "COPY")
    if directive == "COPY" and source is store.objects.get(request.place):
        raise Refused(400, "InvalidRequest", "This copy request is illegal because it copies an object to itself.")
    if directive not in ("COPY", "REPLACE", "MERGE"):
        raise Refused(400, "InvalidArgument", "x-amz-metadata-directive")
    headers = dict(source.headers) if directive != "REPLACE" else {}
    if directive != "COPY":
        headers |= {
            name: value for name, value in described(request.headers, source.content).items() if name in request.headers
        }
        headers.setdefault("content-type", "application/octet-stream")
    copy = StoredObject(source.content, headers, source.etag)
    store.write(request, copy)
    result = text("ETag", f'"{copy.etag}"') + text("LastModified", f"{copy.modified:%Y-%m-%dT%H:%M:%S.000Z}")
    return xml_answer(element("CopyObjectResult", result))


def get_object(store: Store, request: Request) -> Answer:
    """Return an object, or a range of it, if its conditions hold; HEAD is the same without the body."""
    found = store.find(request.place)
    headers = {
        **{name: _encoded(value) if name.startswith(_META) else value for name, value in _shown(found).items()},
        "ETag": f'"{found.etag}"',
        "Last-Modified": format_datetime(found.modified.replace(microsecond=0), usegmt=True),
        "Accept-Ranges": "bytes",
    }
    if not store.ignores_conditions:
        require_unchanged(request.headers, found)
        if not is_modified(request.headers, found):
            return Answer(304, headers)
    for name, value in request.query.items():
        if name.startswith("response-"):
            headers.pop(name.removeprefix("response-"), None)
            headers[name.removeprefix("response-").title()] = value
    wanted = read_range(request.headers.get("range"), len(found.content))
    if wanted is None:
        return Answer(200, headers, found.content)
    start, end = wanted
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(found.content)}"
    return Answer(206, headers, found.content[start:end])


def delete_object(store: Store, request: Request) -> Answer:
    """Remove an object, whether there is one or not."""
    if request.place in store.objects and request.place.startswith(store.locked_prefixes):
        raise Refused(403, "ObjectLockedByBucketPolicy", "The object is locked by the bucket policy.")
    store.objects.pop(request.place, None)
    return Answer(204)


def read_range(header: str | None, length: int) -> tuple[int, int] | None:
    """Return which bytes `[start, end)` are asked for; None where the header is none or not understood.

    Raises:
        Refused: The range begins behind the end.
    """
    first, dash, last = (header or "").removeprefix("bytes=").partition("-")
    if not dash or not (first + last).isdecimal():
        return None
    start = int(first) if first else max(0, length - int(last))
    end = min(int(last) + 1, length) if first and last else length
    if start >= length or (first and last and int(last) < start):
        raise Refused(416, "InvalidRange", "The requested range is not satisfiable.")
    return start, end


def md5(content: bytes) -> str:
    """Return the digest that ETags are made of."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _shown(stored: StoredObject) -> dict[str, str]:
    names = {name: value for name, value in stored.headers.items() if name.startswith(_META) or name in _SYSTEM}
    dropped = [name for name in names if not name.isascii()]
    shown = {name: value for name, value in names.items() if name.isascii()}
    return shown | ({"x-amz-missing-meta": str(len(dropped))} if dropped else {})


def _decoded(value: str) -> str:
    # R2 takes what looks like an encoded word of RFC 2047 for one, whether it was meant or not.
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return value


def _encoded(value: str) -> str:
    return value if value.isascii() else Header(value, "utf-8", maxlinelen=1_000_000).encode()
