"""The operations on a bucket: list its objects, delete many; imported by the R2 rule server."""

from __future__ import annotations

import base64
import unicodedata
from urllib.parse import quote
from xml.etree import ElementTree as ET

from r2.messages import Answer, Refused, Request, element, text, xml_answer
from r2.store import Store, StoredObject

__all__ = ["delete_objects", "list_objects"]

MAX_KEYS = 1000

_KNOWN = {"list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type", "fetch-owner"}
_KNOWN |= {"marker", "x-id"}


def list_objects(store: Store, request: Request) -> Answer:
    """List keys in the order of their UTF-8 bytes, a page at a time, as they were last spelled."""
    query = request.query
    unknown = {name for name in query if not name.startswith("X-Amz-")} - _KNOWN
    if unknown:
        raise Refused(501, "NotImplemented", f"ListObjects search parameter {', '.join(sorted(unknown))} not implemented")
    most = min(int(query.get("max-keys") or MAX_KEYS), MAX_KEYS) if query.get("max-keys") != "0" else 0
    entries = _entries(store, request, behind=_position(request))
    shown, is_cut = entries[:most], len(entries) > most
    body = [text("Name", request.bucket), text("KeyCount", len(shown)), text("IsTruncated", str(is_cut).lower())]
    if is_cut and shown:
        token = base64.b64encode(f"{request.bucket}:{shown[-1][0]}".encode()).decode()
        body.append(text("NextMarker", _spelled(shown[-1][0], query)))
        body.append(text("NextContinuationToken", token))
    if query.get("encoding-type"):
        body.append(text("EncodingType", "url"))
    for name, stored in shown:
        spelled = _spelled(name, query)
        body.append(_content(spelled, stored) if stored else element("CommonPrefixes", text("Prefix", spelled)))
    return xml_answer(element("ListBucketResult", *body))


def _position(request: Request) -> str:
    token = request.query.get("continuation-token")
    if token is None:
        return request.query.get("start-after") or request.query.get("marker") or ""
    try:
        return base64.b64decode(token, validate=True).decode().partition(":")[2]
    except ValueError:
        raise Refused(400, "InvalidArgument", "The continuation token provided is incorrect") from None


def _entries(store: Store, request: Request, *, behind: str) -> list[tuple[str, StoredObject | None]]:
    start, prefix = len(request.bucket) + 2, request.query.get("prefix", "")
    delimiter = request.query.get("delimiter", "")
    entries: dict[str, StoredObject | None] = {}
    for place, stored in store.objects.items():
        key = (stored.name or place)[start:]
        if not place.startswith(f"/{request.bucket}/") or not key.startswith(prefix):
            continue
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        name, value = (prefix + head + found, None) if found else (key, stored)
        if name.encode() > behind.encode():
            entries[name] = value
    return sorted(entries.items(), key=lambda entry: entry[0].encode())


def _content(key: str, stored: StoredObject) -> str:
    return element(
        "Contents",
        text("Key", key),
        text("Size", len(stored.content)),
        text("ETag", f'"{stored.etag}"'),
        text("LastModified", f"{stored.modified:%Y-%m-%dT%H:%M:%S}.{stored.modified.microsecond // 1000:03}Z"),
        text("StorageClass", "STANDARD"),
    )


def _spelled(key: str, query: dict[str, str]) -> str:
    return quote(key, safe="/") if query.get("encoding-type") == "url" else key


def delete_objects(store: Store, request: Request) -> Answer:
    """Delete up to a thousand objects whose list came with its digest."""
    if "content-md5" not in request.headers:
        raise Refused(400, "MissingContentMD5", "Missing required header for this request: Content-MD5")
    try:
        root = ET.fromstring(request.body)  # noqa: S314 - what the client under test wrote
    except ET.ParseError:
        raise Refused(400, "MalformedXML", "The XML you provided was not well-formed.") from None
    keys = [child.text or "" for child in root.iter() if child.tag.rpartition("}")[2] == "Key"]
    if not 1 <= len(keys) <= MAX_KEYS:
        raise Refused(400, "MalformedXML", "The XML you provided did not validate against our published schema.")
    for key in keys:
        store.objects.pop(unicodedata.normalize("NFC", f"/{request.bucket}/{key}"), None)
    is_quiet = any(child.tag.rpartition("}")[2] == "Quiet" and child.text == "true" for child in root)
    return xml_answer(element("DeleteResult", *([] if is_quiet else [element("Deleted", text("Key", key)) for key in keys])))
