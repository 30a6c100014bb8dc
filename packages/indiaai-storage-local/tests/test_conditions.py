"""A client that asks under a condition, or for what would destroy something, gets that or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping
from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from indiaai_core.testing import Fetch
from indiaai_storage_local import LocalStorageService

pytestmark = pytest.mark.anyio

OLD = b"0123456789" * 100
PUT = {"Content-Type": "text/plain"}


@pytest.fixture
async def url(service: LocalStorageService) -> str:
    """A link to an object of 1,000 bytes."""
    await service.upload("object", OLD, "text/plain")
    return await service.get_url("object")


@pytest.fixture
async def upload_url(service: LocalStorageService) -> str:
    """A link to PUT the same object to."""
    return await service.get_upload_url("object", content_type="text/plain")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("condition", "status"),
    [("{etag}", 206), ("*", 206), ('"other", {etag}', 206), ('"other"', 412), ("W/{etag}", 412), ("", 412)],
)
async def test_a_client_that_goes_on_with_one_version_gets_no_other(
    http: Fetch, url: str, method: str, condition: str, status: int
) -> None:
    """`If-Match` keeps a download that goes on where it was cut from mixing two versions; a weak etag is no version."""
    etag = (await http("GET", url)).headers["etag"]

    answer = await http(method, url, headers={"If-Match": condition.format(etag=etag), "Range": "bytes=5-6"})

    assert answer.status == (200 if (method, status) == ("HEAD", 206) else status)
    assert (answer.body == b"56") == ((method, status) == ("GET", 206))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("seconds", "changed", "unchanged"), [(-1, 412, 200), (0, 200, 304), (1, 200, 304)])
async def test_times_are_conditions_where_no_etag_is(
    service: LocalStorageService, http: Fetch, url: str, method: str, seconds: int, changed: int, unchanged: int
) -> None:
    """A time is compared by the second, as it was told; a condition of etags is put before it."""
    then = (await service.stat("object")).last_modified.replace(microsecond=0) + timedelta(seconds=seconds)
    told = format_datetime(then, usegmt=True)
    etag = (await http("GET", url)).headers["etag"]
    asked = [
        ({"If-Unmodified-Since": told}, changed),
        ({"If-Unmodified-Since": told, "If-Match": etag}, 200),
        ({"If-Modified-Since": told}, unchanged),
        ({"If-Modified-Since": told, "If-None-Match": '"other"'}, 200),
    ]

    answers = [(await http(method, url, headers=headers)).status for headers, _ in asked]

    assert answers == [status for _, status in asked]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "0",
        "Mon, 99 Foo 2026 00:00:00 GMT",
        f"Mon, 01 Jan {'9' * 30} 00:00:00 GMT",
        f"Mon, 01 Jan {'9' * 5000} 00:00:00 GMT",
        "Mon, 01 Jan 2026 00:00:00 +9999",
    ],
)
async def test_what_is_no_date_is_no_condition(http: Fetch, url: str, text: str) -> None:
    """A field that is malformed counts for nothing, and makes nothing fail."""
    answers = [await http("GET", url, headers={name: text}) for name in ("If-Modified-Since", "If-Unmodified-Since")]

    assert [(answer.status, answer.body) for answer in answers] == [(200, OLD)] * 2


@pytest.mark.parametrize("text", ["Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359"])
async def test_the_ends_of_time_are_dates(http: Fetch, url: str, text: str) -> None:
    """An instant that no calendar has in UTC is compared all the same."""
    answer = await http("GET", url, headers={"If-Modified-Since": text})

    assert answer.status == (304 if "9999" in text else 200)


@pytest.mark.parametrize("condition", ['W/"other"', '"other"', "W/{etag}", "Thu, 01 Jan 2099 00:00:00 GMT", ""])
async def test_a_range_of_what_may_be_another_version_is_answered_with_the_whole(http: Fetch, url: str, condition: str) -> None:
    """`If-Range` is held by this etag alone, and not by a weak one."""
    etag = (await http("GET", url)).headers["etag"]

    answer = await http("GET", url, headers={"Range": "bytes=0-1", "If-Range": condition.format(etag=etag)})

    assert (answer.status, answer.body) == (200, OLD)


MANY = "9" * 5000


@pytest.mark.parametrize(
    ("asked", "status", "size"),
    [
        (f"bytes=0-{MANY}", 206, 1000),
        (f"bytes=-{MANY}", 206, 1000),
        (f"bytes={MANY}-", 416, 0),
        (f"bytes={MANY}-{MANY}", 416, 0),
        (f"bytes={MANY}-0", 200, 1000),
        (f"bytes={'0' * 5000}-1", 206, 2),
        (f"bytes=-{'0' * 5000}", 416, 0),
        ("bytes=999-999", 206, 1),
        ("bytes=0-999999999999999999", 206, 1000),
        ("bytes=1000-1000", 416, 0),
        ("bytes=0-1,", 200, 1000),
        ("bytes=,0-1", 200, 1000),
        ("bytes= 0-1", 200, 1000),
        ("bytes=0 -1", 200, 1000),
        ("bytes=+0-1", 200, 1000),
        ("bytes=0x0-1", 200, 1000),
        ("bytes=1_0-11", 200, 1000),
        ("bytes=0-1-2", 200, 1000),
        ("bytes=--1", 200, 1000),
        ("bytes=0-1\nX-Header: 1", 200, 1000),
        ("bytes", 200, 1000),
        ("", 200, 1000),
    ],
)
async def test_a_range_of_any_form_is_answered(http: Fetch, url: str, asked: str, status: int, size: int) -> None:
    """However long its numbers are, a range is that of the object; what is none counts for nothing."""
    answer = await http("GET", url, headers={"Range": asked})

    assert answer.status == status
    assert status == 416 or len(answer.body) == size == int(answer.headers["content-length"])


async def test_fields_in_several_lines_are_one_list(service: LocalStorageService, http: Fetch, url: str) -> None:
    """Etags may come in several lines; of two ranges, and of two content types, neither is meant."""
    etag = (await http("GET", url)).headers["etag"].encode()
    put = await service.get_upload_url("object", content_type="text/plain")

    statuses = [
        await status_of(service, "GET", url, [(b"if-none-match", etag), (b"if-none-match", b'"other"')]),
        await status_of(service, "GET", url, [(b"if-match", etag), (b"if-match", b'"other"')]),
        await status_of(service, "GET", url, [(b"range", b"bytes=0-1"), (b"range", b"bytes=2-3")]),
        await status_of(service, "PUT", put, [(b"content-type", b"text/html"), (b"content-type", b"text/plain")]),
    ]

    assert statuses == [304, 200, 200, 403]
    assert await service.download("object") == OLD


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 0-2/1000"},
        {"If-Match": "*"},
        {"If-Unmodified-Since": "Thu, 01 Jan 2099 00:00:00 GMT"},
        {"If-None-Match": '"other"'},
        {"If-None-Match": ""},
    ],
    ids="-".join,
)
async def test_a_put_that_asks_for_more_than_to_store_a_whole_object_is_400(
    service: LocalStorageService, http: Fetch, url: str, upload_url: str, headers: dict[str, str]
) -> None:
    """A part is not taken for the whole, and a condition that cannot be kept is not passed over: the old object stays."""
    answer = await http("PUT", upload_url, headers=PUT | headers, body=b"new")

    assert answer.status == 400
    assert b"whole object" in answer.body
    assert await service.download("object") == OLD


async def test_a_put_may_be_of_a_new_object_only(service: LocalStorageService, http: Fetch, url: str, upload_url: str) -> None:
    """`If-None-Match: *` stores where there is no object, and leaves the one that is there."""
    refused = await http("PUT", upload_url, headers=PUT | {"If-None-Match": "*"}, body=b"new")
    kept = await service.download("object")
    await service.delete("object")

    stored = await http("PUT", upload_url, headers=PUT | {"If-None-Match": "*"}, body=b"new")

    assert (refused.status, kept) == (412, OLD)
    assert (stored.status, await service.download("object")) == (200, b"new")


@pytest.mark.parametrize("announced", [MANY, f"{'0' * 5000}5", "²", "-1", "x", "3, 3"])
async def test_a_length_of_any_form_is_answered(
    service: LocalStorageService, http: Fetch, upload_url: str, announced: str
) -> None:
    """What a client says of its length is compared with the limit, or counts for nothing; what it sends is counted."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", announced.encode("latin-1"))]

    status = await status_of(service, "PUT", upload_url, headers, body=b"new")

    assert status == (413 if announced == MANY else 200)
    assert await service.exists("object") == (status == 200)


async def test_a_refusal_of_head_has_no_body(http: Fetch, url: str) -> None:
    """What a HEAD is refused for is said by its status alone, whatever the server in front does."""
    answers = [
        await http("HEAD", link) for link in (url.partition("?")[0], f"/_indiaai/storage/default//?{urlsplit(url).query}")
    ]

    assert [(answer.status, answer.body) for answer in answers] == [(403, b""), (400, b"")]


async def status_of(
    service: LocalStorageService, method: str, url: str, headers: list[tuple[bytes, bytes]], *, body: bytes = b""
) -> int:
    """Send header fields as they are, line by line, and return the status."""
    parts = urlsplit(url)
    sent: list[MutableMapping[str, Any]] = []

    async def messages() -> AsyncIterator[MutableMapping[str, Any]]:
        yield {"type": "http.request", "body": body, "more_body": False}
        await anyio.sleep_forever()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": parts.path, "root_path": "/_indiaai/storage/default"}
    await service.http_app(scope | {"query_string": parts.query.encode(), "headers": headers}, messages().__anext__, send)
    return int(sent[0]["status"])
