"""Multipart uploads as R2 takes them: parts of one length, checked when they are put together; imported by the server."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from r2.conditions import require
from r2.messages import Answer, Refused, Request, element, text, xml_answer
from r2.objects import copy_source, described, md5, read_range
from r2.store import OpenUpload, Store, StoredObject

__all__ = ["MAX_PARTS", "MIN_PART_BYTES", "abort", "complete", "create", "list_parts", "list_uploads", "upload_part"]

MIN_PART_BYTES = 5 * 1024 * 1024
MAX_PARTS = 10_000


def create(store: Store, request: Request) -> Answer:
    """Begin an upload; its id has what ids of R2 may have, and what has to be quoted in a query."""
    upload_id = f"upload/{next(store.numbers)}+="
    store.uploads[upload_id] = OpenUpload(request.path, described(request.headers, b""))
    names = text("Bucket", request.bucket) + text("Key", request.key) + text("UploadId", upload_id)
    return xml_answer(element("InitiateMultipartUploadResult", names))


def upload_part(store: Store, request: Request) -> Answer:
    """Keep one part, in place of one of the same number."""
    upload, number = _open_upload(store, request), request.query.get("partNumber", "")
    if not number.isdecimal() or not 1 <= int(number) <= MAX_PARTS:
        raise Refused(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive.")
    if "x-amz-copy-source" not in request.headers:
        upload.parts[int(number)] = request.body
        return Answer(200, {"ETag": f'"{md5(request.body)}"'})
    if any(name.startswith("x-amz-copy-source-if-") for name in request.headers):
        raise Refused(501, "NotImplemented", "Conditions of UploadPartCopy are not implemented")
    source = copy_source(store, request)
    wanted = read_range(request.headers.get("x-amz-copy-source-range"), len(source.content))
    start, end = wanted or (0, len(source.content))
    upload.parts[int(number)] = part = source.content[start:end]
    said = text("ETag", f'"{md5(part)}"') + text("LastModified", f"{source.modified:%Y-%m-%dT%H:%M:%S.000Z}")
    return xml_answer(element("CopyPartResult", said))


def forget_part(store: Store, request: Request) -> None:
    """Lose the part of this number: R2 does, when the one that was to replace it does not arrive."""
    upload, number = store.uploads.get(request.query.get("uploadId", "")), request.query.get("partNumber", "")
    if upload is not None and number.isdecimal():
        upload.parts.pop(int(number), None)


def complete(store: Store, request: Request) -> Answer:
    """Put the parts together; if a condition does not hold, the upload is gone too."""
    upload = _open_upload(store, request)
    parts = _chosen(upload, request.body)
    store.may_write(request)
    try:
        require(request.headers, store.objects.get(request.place))
    except Refused:
        del store.uploads[request.query["uploadId"]]
        raise
    etag = f"{md5(b''.join(bytes.fromhex(md5(part)) for part in parts))}-{len(parts)}"
    store.write(request, StoredObject(b"".join(parts), upload.headers, etag))
    del store.uploads[request.query["uploadId"]]
    names = text("Bucket", request.bucket) + text("Key", request.key) + text("ETag", f'"{etag}"')
    return xml_answer(element("CompleteMultipartUploadResult", names))


def abort(store: Store, request: Request) -> Answer:
    """Drop an upload and its parts."""
    _open_upload(store, request)
    del store.uploads[request.query["uploadId"]]
    return Answer(204)


def list_parts(store: Store, request: Request) -> Answer:
    """List the parts of an upload by number, a page at a time."""
    upload = _open_upload(store, request)
    behind, most = int(request.query.get("part-number-marker") or 0), int(request.query.get("max-parts") or 1000)
    numbers = sorted(number for number in upload.parts if number > behind)
    shown = [
        element("Part", text("PartNumber", number), text("Size", len(part)), text("ETag", f'"{md5(part)}"'))
        for number in numbers[:most]
        for part in [upload.parts[number]]
    ]
    is_cut = len(numbers) > most
    marker = [text("NextPartNumberMarker", numbers[most - 1])] if is_cut else []
    return xml_answer(element("ListPartsResult", text("IsTruncated", str(is_cut).lower()), *marker, *shown))


def list_uploads(store: Store, request: Request) -> Answer:
    """List the uploads of a bucket that were begun and not ended."""
    prefix = f"/{request.bucket}/{request.query.get('prefix', '')}"
    shown = [
        element("Upload", text("Key", upload.name[len(request.bucket) + 2 :]), text("UploadId", upload_id), _begun(upload))
        for upload_id, upload in sorted(store.uploads.items(), key=lambda item: item[1].name)
        if upload.name.startswith(prefix)
    ]
    return xml_answer(element("ListMultipartUploadsResult", text("IsTruncated", "false"), *shown))


def _begun(upload: OpenUpload) -> str:
    return text("Initiated", f"{upload.begun:%Y-%m-%dT%H:%M:%S.000Z}")


def _open_upload(store: Store, request: Request) -> OpenUpload:
    upload = store.uploads.get(request.query["uploadId"])
    if upload is None or upload.name != request.path:
        raise Refused(404, "NoSuchUpload", "The specified multipart upload does not exist.")
    return upload


def _chosen(upload: OpenUpload, document: bytes) -> list[bytes]:
    numbers, tags = _listed(document)
    if not numbers:
        raise Refused(400, "MalformedXML", "You must specify at least one part")
    if numbers != sorted(set(numbers)):
        raise Refused(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
    if any(number not in upload.parts or md5(upload.parts[number]) != tag for number, tag in zip(numbers, tags, strict=True)):
        raise Refused(400, "InvalidPart", "One or more of the specified parts could not be found.")
    parts = [upload.parts[number] for number in numbers]
    if any(len(part) < MIN_PART_BYTES for part in parts[:-1]):
        raise Refused(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size.")
    if len({len(part) for part in parts[:-1]}) > 1 or len(parts[-1]) > len(parts[0]):
        raise Refused(400, "InvalidPart", "All non-trailing parts must have the same length.")
    return parts


def _listed(document: bytes) -> tuple[list[int], list[str]]:
    try:
        root = ET.fromstring(document)  # noqa: S314 - what the client under test wrote
        parts = [{child.tag.rpartition("}")[2]: child.text or "" for child in part} for part in root]
        return [int(part["PartNumber"]) for part in parts], [part["ETag"].strip('"') for part in parts]
    except (ET.ParseError, KeyError, ValueError):
        raise Refused(400, "MalformedXML", "The XML you provided was not well-formed.") from None
