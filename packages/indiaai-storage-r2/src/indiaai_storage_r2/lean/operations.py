"""What boto3's parameters mean in HTTP, and what an answer is in boto3's words; imported by the lean client."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from indiaai_storage_r2.lean.answers import Head
from indiaai_storage_r2.lean.failures import Refused

__all__ = ["Operation", "read_members", "read_operation", "read_refusal"]

_OPERATIONS = {
    "get_object": ("GetObject", "GET"),
    "head_object": ("HeadObject", "HEAD"),
    "put_object": ("PutObject", "PUT"),
    "upload_part": ("UploadPart", "PUT"),
    "delete_object": ("DeleteObject", "DELETE"),
}
_HEADERS = {
    "CacheControl": "cache-control",
    "ContentDisposition": "content-disposition",
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
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
_DATE = re.compile(r"\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII)
_CODE = re.compile(r"<Code>([^<]{1,200})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,2000})</Message>")


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
    query: list[tuple[str, str]] = []
    for parameter, value in parameters.items():
        if parameter in _HEADERS:
            headers[_HEADERS[parameter]] = value
        elif parameter in _QUERY:
            query.append((_QUERY[parameter], str(value)))
        elif parameter == "Metadata":
            headers.update({_META + key.lower(): text for key, text in value.items()})
        elif parameter not in ("Bucket", "Key", "Body"):
            raise TypeError(f"The lean client's {name}() takes no {parameter}.")
    path = f"{base}/{parameters['Bucket']}/{quote(parameters['Key'], safe='/~')}"
    return Operation(label, method, path, query, headers, parameters.get("Body", b""))


def read_members(head: Head) -> dict[str, Any]:
    """Return the answer's headers under the names that boto3 gives them; one that is absent has none."""
    headers = head.headers
    answer: dict[str, Any] = {_MEMBERS[name]: value for name, value in headers.items() if name in _MEMBERS}
    answer["Metadata"] = {name[len(_META) :]: value for name, value in headers.items() if name.startswith(_META)}
    answer["ResponseMetadata"] = {"HTTPStatusCode": head.status, "HTTPHeaders": headers}
    if headers.get("content-length", "").isdecimal():
        answer["ContentLength"] = int(headers["content-length"])
    date = _DATE.fullmatch(headers.get("last-modified", ""))
    if date and date[2] in _MONTHS.split():
        answer["LastModified"] = _instant(date)
    return answer


def read_refusal(operation: str, head: Head, *, content: bytes) -> Refused:
    """Return the error that an answer tells of; where it has no words of S3's, the status is all there is."""
    text = content.decode("utf-8", "replace")
    code, message = _CODE.search(text), _MESSAGE.search(text)
    error = {"Code": _unescape(code[1]) if code else str(head.status), "Message": _unescape(message[1]) if message else ""}
    return Refused(
        {"Error": error, "ResponseMetadata": {"HTTPStatusCode": head.status, "HTTPHeaders": dict(head.headers)}}, operation
    )


def _unescape(text: str) -> str:
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        text = text.replace(entity, sign)
    return text


def _instant(date: re.Match[str]) -> datetime:
    day, month, year, hour, minute, second = date.groups()
    return datetime(int(year), 1 + _MONTHS.index(month) // 4, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
