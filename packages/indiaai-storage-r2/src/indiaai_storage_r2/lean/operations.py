"""What boto3's parameters mean in HTTP, and what an answer is in boto3's words; imported by the lean client."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

from indiaai_storage_r2.lean.answers import Head
from indiaai_storage_r2.lean.failures import Refused, Unanswered

__all__ = ["Operation", "read_members", "read_operation", "read_refusal", "read_result"]

_OPERATIONS = {
    "get_object": ("GetObject", "GET"),
    "head_object": ("HeadObject", "HEAD"),
    "put_object": ("PutObject", "PUT"),
    "upload_part": ("UploadPart", "PUT"),
    "delete_object": ("DeleteObject", "DELETE"),
    "create_multipart_upload": ("CreateMultipartUpload", "POST"),
    "complete_multipart_upload": ("CompleteMultipartUpload", "POST"),
    "abort_multipart_upload": ("AbortMultipartUpload", "DELETE"),
}
_HEADERS = {
    "CacheControl": "cache-control",
    "ContentDisposition": "content-disposition",
    "ContentEncoding": "content-encoding",
    "ContentLanguage": "content-language",
    "ContentMD5": "content-md5",
    "ContentType": "content-type",
    "IfMatch": "if-match",
    "IfNoneMatch": "if-none-match",
    "Range": "range",
}
_QUERY = {
    "PartNumber": "partNumber",
    "ResponseCacheControl": "response-cache-control",
    "ResponseContentDisposition": "response-content-disposition",
    "UploadId": "uploadId",
}
_MEMBERS = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-range": "ContentRange",
    "content-type": "ContentType",
    "etag": "ETag",
}
_META = "x-amz-meta-"
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_DATE = re.compile(r"\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII)
_CODE = re.compile(r"<Code>([^<]{1,200})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,2000})</Message>")
_TOLD = re.compile(r"<(UploadId|ETag)>([^<]{1,2000})</\1>")
_RESULT = re.compile(r"\s*(?:<\?[^>]*>\s*)?<(\w+)[ >].*</\1>\s*", re.DOTALL)
_ENTITY = re.compile(r"&(?:(lt|gt|quot|apos|amp)|#([0-9]{1,3})|#x([0-9A-Fa-f]{1,2}));")
_ENTITIES = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "amp": "&"}


class Operation(NamedTuple):
    """One request as HTTP has it: the path is percent-encoded, the query is not, header names are in lower case."""

    name: str
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any


def read_operation(name: str, parameters: Mapping[str, Any], *, base: str) -> Operation:
    """Return what a method of boto3's client, called with these parameters, asks for.

    Args:
        name: The method's name, such as `get_object`.
        parameters: Its arguments.
        base: The path of the endpoint's URL.

    Raises:
        TypeError: A parameter is none of those that are used here.
    """
    label, method = _OPERATIONS[name]
    headers: dict[str, str] = {}
    query: list[tuple[str, str]] = [("uploads", "")] if name == "create_multipart_upload" else []
    body = parameters.get("Body", b"")
    for parameter, value in parameters.items():
        if parameter in _HEADERS:
            headers[_HEADERS[parameter]] = value
        elif parameter in _QUERY:
            query.append((_QUERY[parameter], str(value)))
        elif parameter == "Metadata":
            headers.update({_META + key.lower(): text for key, text in value.items()})
        elif parameter == "MultipartUpload":
            body = _list_parts(value["Parts"])
        elif parameter not in ("Bucket", "Key", "Body"):
            raise TypeError(f"The lean client's {name}() takes no {parameter}.")
    path = f"{base}/{parameters['Bucket']}/{quote(parameters['Key'], safe='/~')}"
    return Operation(label, method, path, query, headers, body)


def _list_parts(parts: Sequence[Mapping[str, Any]]) -> bytes:
    listed = (f"<PartNumber>{part['PartNumber']}</PartNumber><ETag>{_escape(part['ETag'])}</ETag>" for part in parts)
    text = "</Part><Part>".join(listed)
    return f'<CompleteMultipartUpload xmlns="{_NAMESPACE}"><Part>{text}</Part></CompleteMultipartUpload>'.encode()


def read_members(head: Head) -> dict[str, Any]:
    """Return the answer's headers under the names that boto3 gives them; one that is absent has none."""
    headers = head.headers
    answer: dict[str, Any] = {member: headers[name] for name, member in _MEMBERS.items() if name in headers}
    answer["Metadata"] = {name[len(_META) :]: value for name, value in headers.items() if name.startswith(_META)}
    answer["ResponseMetadata"] = {"HTTPStatusCode": head.status, "HTTPHeaders": headers}
    if headers.get("content-length", "").isdecimal():
        answer["ContentLength"] = int(headers["content-length"])
    instant = _instant(headers.get("last-modified", ""))
    if instant is not None:
        answer["LastModified"] = instant
    return answer


def read_refusal(operation: str, head: Head, *, content: bytes) -> Refused:
    """Return the error that an answer tells of; where it has no words of S3's, the status is all there is."""
    text = content.decode("utf-8", "replace")
    code, message = _CODE.search(text), _MESSAGE.search(text)
    error = {"Code": _unescape(code[1]) if code else str(head.status), "Message": _unescape(message[1]) if message else ""}
    return Refused(
        {"Error": error, "ResponseMetadata": {"HTTPStatusCode": head.status, "HTTPHeaders": dict(head.headers)}}, operation
    )


def read_result(operation: str, head: Head, *, content: bytes) -> dict[str, str]:
    """Return what a document tells, under boto3's names: a new upload's id, or the ETag of an object put together.

    Raises:
        Refused: The store had promised success before it met an error. The status is then 500, as boto3 has it.
        Unanswered: The document is not whole.
    """
    text = content.decode("utf-8", "replace")
    result = _RESULT.fullmatch(text)
    if result is None:
        raise Unanswered("the document of the answer was cut, or is none")
    if result[1] == "Error":
        raise read_refusal(operation, head._replace(status=500), content=content)
    return {name: _unescape(value) for name, value in _TOLD.findall(text)}


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unescape(text: str) -> str:
    # Some stores write the quotes around an ETag as numbers.
    return _ENTITY.sub(_sign, text)


def _sign(found: re.Match[str]) -> str:
    name, decimal, hexadecimal = found.groups()
    return _ENTITIES[name] if name else chr(int(decimal) if decimal else int(hexadecimal, 16))


@lru_cache(maxsize=256)  # what was stored together was changed in the same second
def _instant(text: str) -> datetime | None:
    date = _DATE.fullmatch(text)
    with suppress(ValueError):  # no such month, or a 31st of February
        if date is not None:
            day, month, year, hour, minute, second = date.groups()
            return datetime(int(year), 1 + _MONTHS.index(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    return None
