"""The application answers its links as HTTP asks it to, and no others."""

from __future__ import annotations

import os
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import anyio
import pytest

from indiaai_core.errors import BackendUnavailable, StorageError
from indiaai_core.testing import Fetch
from indiaai_storage_local import LocalSettings, LocalStorageService

pytestmark = pytest.mark.anyio

CONTENT = b"0123456789" * 100


@pytest.fixture
async def url(service: LocalStorageService) -> str:
    """A link to an object of 1,000 bytes."""
    await service.upload("notes/my file.txt", CONTENT, "text/plain; charset=utf-8")
    return await service.get_url("notes/my file.txt")


async def test_an_object_is_served_with_all_that_is_known_of_it(service: LocalStorageService, http: Fetch, url: str) -> None:
    """Type, length, etag, time, and the name to save it under."""
    info = await service.stat("notes/my file.txt")

    answer = await http("GET", url)

    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers == {
        "content-type": "text/plain; charset=utf-8",
        "content-length": "1000",
        "etag": f'"{info.etag}"',
        "last-modified": info.last_modified.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-disposition": "inline; filename*=UTF-8''my%20file.txt",
        "content-security-policy": "default-src 'none'; sandbox",
    }


async def test_head_answers_as_get_without_the_body(http: Fetch, url: str) -> None:
    """A link to GET may be asked for its header fields; a range is of a GET only."""
    got = await http("GET", url)

    answer = await http("HEAD", url, headers={"Range": "bytes=0-1"})

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers == got.headers


@pytest.mark.parametrize(
    ("content_type", "disposition", "policy"),
    [
        ("image/png", "inline", "default-src 'none'; sandbox"),
        ("Text/Plain; charset=utf-8", "inline", "default-src 'none'; sandbox"),
        ("application/pdf", "inline", "default-src 'none'; sandbox"),
        ("text/html", "attachment", None),
        ("image/svg+xml", "attachment", None),
        ("application/xhtml+xml", "attachment", None),
        ("application/octet-stream", "attachment", None),
        ("", "attachment", None),
    ],
)
async def test_only_what_cannot_run_is_shown(
    service: LocalStorageService, http: Fetch, content_type: str, disposition: str, policy: str | None
) -> None:
    """What a stranger uploaded is saved, not shown, where a browser could run it in the application's origin."""
    await service.upload("हिन्दी '\".x", b"x", content_type or "application/octet-stream")

    answer = await http("GET", await service.get_url("हिन्दी '\".x"))

    name = quote("हिन्दी '\".x", safe="")
    assert answer.headers["content-disposition"] == f"{disposition}; filename*=UTF-8''{name}"
    assert answer.headers.get("content-security-policy") == policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=990-", 990, 1000),
        ("bytes=-10", 990, 1000),
        ("bytes=-5000", 0, 1000),
        ("bytes=995-5000", 995, 1000),
        ("Bytes=5-5 ", 5, 6),
    ],
)
async def test_a_range_is_answered_with_its_bytes(http: Fetch, url: str, asked: str, start: int, stop: int) -> None:
    """One range of bytes, in each of its three forms."""
    answer = await http("GET", url, headers={"Range": asked})

    assert (answer.status, answer.body) == (206, CONTENT[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/1000"
    assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=0-1,5-6", "bytes=-", "lines=1-2", "bytes=a-b", "bytes=٣-٤", "nonsense"])
async def test_what_is_not_one_range_counts_for_nothing(http: Fetch, url: str, asked: str) -> None:
    """A field that is malformed or asks for several ranges is answered with the whole object."""
    answer = await http("GET", url, headers={"Range": asked.encode().decode("latin-1")})

    assert (answer.status, answer.body) == (200, CONTENT)


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
async def test_a_range_that_the_object_does_not_have_is_416(http: Fetch, url: str, asked: str) -> None:
    """The answer says how long the object is."""
    answer = await http("GET", url, headers={"Range": asked})

    assert answer.status == 416
    assert answer.headers["content-range"] == "bytes */1000"


async def test_a_range_of_an_empty_object_is_416(service: LocalStorageService, http: Fetch) -> None:
    """No byte can be asked for of an object without one; the object itself can."""
    await service.upload("empty", b"")
    url = await service.get_url("empty")

    assert (await http("GET", url)).status == 200
    assert (await http("GET", url, headers={"Range": "bytes=0-"})).status == 416
    assert (await http("GET", url, headers={"Range": "bytes=-1"})).status == 416


async def test_a_range_of_another_version_is_answered_with_the_whole(http: Fetch, url: str) -> None:
    """`If-Range` keeps a client from joining pieces of two versions."""
    etag = (await http("GET", url)).headers["etag"]

    same = await http("GET", url, headers={"Range": "bytes=0-1", "If-Range": etag})
    other = await http("GET", url, headers={"Range": "bytes=0-1", "If-Range": '"other"'})

    assert (same.status, same.body) == (206, b"01")
    assert (other.status, other.body) == (200, CONTENT)


@pytest.mark.parametrize("form", ["{etag}", "W/{etag}", '"other", {etag}', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_client_that_has_the_version_gets_304(http: Fetch, url: str, form: str, method: str) -> None:
    """`If-None-Match` is answered without the body, also when a range is asked for."""
    etag = (await http("GET", url)).headers["etag"]

    answer = await http(method, url, headers={"If-None-Match": form.format(etag=etag), "Range": "bytes=0-1"})

    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == etag
    assert "content-length" not in answer.headers


async def test_a_client_that_has_another_version_gets_the_object(http: Fetch, url: str) -> None:
    """An etag that does not match is no condition."""
    answer = await http("GET", url, headers={"If-None-Match": '"other"'})

    assert answer.status == 200


async def test_any_change_to_a_link_makes_it_void(http: Fetch, url: str) -> None:
    """Signature, expiry and key hang together; a fault of any kind is 403 in plain words, and tells nothing."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    later = str(int(query["expires"]) + 1)
    void = [
        parts.path,
        f"{parts.path}?expires={query['expires']}",
        f"{parts.path}?signature={query['signature']}",
        f"{parts.path}?{urlencode({**query, 'expires': later})}",
        f"{parts.path}?{urlencode({**query, 'expires': 'never'})}",
        f"{parts.path}?{urlencode({**query, 'expires': ''})}",
        f"{parts.path}?{urlencode({**query, 'signature': query['signature'][:-1]})}",
        f"{parts.path}?{urlencode({**query, 'signature': query['signature'].upper()})}",
        f"{parts.path}?{urlencode({**query, 'signature': 'ü€' * 20})}",
        f"{parts.path}?{parts.query}&signature=x",
        f"{parts.path.replace('my', 'My')}?{parts.query}",
        f"{parts.path}x?{parts.query}",
    ]

    answers = [await http("GET", link) for link in void]

    assert {(answer.status, answer.body) for answer in answers} == {
        (403, b"The link has expired or is not valid for this request.\n")
    }
    assert {answer.headers["content-type"] for answer in answers} == {"text/plain; charset=utf-8"}


async def test_a_link_ends_when_it_expires(service: LocalStorageService, http: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is good for at least the time that was asked for, and a second more at most."""
    await service.upload("object", b"x")
    now = [1_000_000.5]
    monkeypatch.setattr(time, "time", lambda: now[0])
    url = await service.get_url("object", 10)

    statuses = []
    for seconds in (0, 9.99, 10, 10.5, 10.51, 1000):
        now[0] = 1_000_000.5 + seconds
        statuses.append((await http("GET", url)).status)

    assert statuses == [200, 200, 200, 403, 403, 403]


async def test_a_link_is_of_one_service(tmp_path: Path, http: Fetch) -> None:
    """Two instances with one secret and one key do not take each other's links."""
    settings = LocalSettings(path=tmp_path, url_secret="one secret for two instances")  # type: ignore[arg-type] # pydantic reads it
    one, two = LocalStorageService(settings), LocalStorageService(settings)
    one.served_at, two.served_at = "/_indiaai/storage/default", "/_indiaai/storage/archive"

    links = {await service.get_url("key") for service in (one, two)}

    assert len({link.partition("signature=")[2] for link in links}) == 2
    for service in (one, two):
        await service.aclose()


async def test_an_object_is_served_as_its_owner_said(service: LocalStorageService, http: Fetch) -> None:
    """Cache control and disposition are the object's own; what is shown in place of being saved may run nothing."""
    await service.upload(
        "page", b"<script>", "text/html", cache_control="public, max-age=60", content_disposition='inline; filename="ç.html"'
    )

    answer = await http("GET", await service.get_url("page"))

    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["content-disposition"] == "inline; filename=\"_.html\"; filename*=UTF-8''%C3%A7.html"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_link_may_say_otherwise(service: LocalStorageService, http: Fetch, method: str) -> None:
    """What a link was made with is said by its answers only, those without the body among them."""
    await service.upload("bill", b"x", "text/plain", cache_control="no-store")
    chosen = await service.get_url("bill", cache_control="max-age=5", content_disposition='attachment; filename="बिल.txt"')

    answer, other = await http(method, chosen), await http(method, await service.get_url("bill"))
    unchanged = await http(method, chosen, headers={"If-None-Match": answer.headers["etag"]})

    assert answer.headers["cache-control"] == unchanged.headers["cache-control"] == "max-age=5"
    assert "filename*=UTF-8''%E0%A4%AC%E0%A4%BF%E0%A4%B2.txt" in answer.headers["content-disposition"]
    assert "content-security-policy" not in answer.headers
    assert other.headers["cache-control"] == "no-store"
    assert unchanged.status == 304


async def test_what_a_link_says_is_signed(service: LocalStorageService, http: Fetch) -> None:
    """It can be neither changed, added, left out nor moved from one header into another."""
    await service.upload("bill", b"x")
    plain = await service.get_url("bill")
    url = await service.get_url("bill", cache_control="max-age=5", content_disposition="attachment")
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    less = {name: value for name, value in query.items() if name != "cache_control"}
    joined = {**less, "cache_control": 'max-age=5", "content_disposition": "attachment'}
    broken = {**less, "cache_control": "max-age=5\ncontent_disposition: attachment"}
    del joined["content_disposition"], broken["content_disposition"]
    void = [
        f"{plain}&cache_control=max-age%3D5",
        f"{plain}&content_disposition=inline",
        f"{url}&content_disposition=inline",
        *(f"{parts.path}?{urlencode(changed)}" for changed in (less, joined, broken, {**query, "cache_control": "max-age=6"})),
    ]

    statuses = [(await http("GET", link)).status for link in [url, *void]]

    assert statuses == [200, *(403 for _ in void)]


async def test_a_damaged_object_is_cut_off(service: LocalStorageService, root: Path) -> None:
    """When it shows after the answer has begun, its end is not sent: a client has less than was announced."""
    await service.upload("large", b"x" * 1_000_000)
    path = root / "objects" / "large"
    path.write_bytes(b"y" + path.read_bytes()[1:])
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    with pytest.raises(StorageError, match="'large' is corrupt"):
        await service.http_app(scope_of("GET", await service.get_url("large")), anyio.sleep_forever, send)

    assert sent[0]["status"] == 200
    assert sum(len(message.get("body", b"")) for message in sent) < 1_000_000
    assert all(message.get("more_body") for message in sent[1:])


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_405(http: Fetch, url: str, method: str) -> None:
    """The answer says which there are."""
    answer = await http(method, url)

    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, PUT"


async def test_a_path_that_is_no_key_is_400(http: Fetch, url: str) -> None:
    """A path out of the store is refused before anything is looked at."""
    for path in ("/../secret", "/a/../../secret", "", "/", "//etc/passwd", "/a%00b", "/a%5Cb"):
        answer = await http("GET", f"/_indiaai/storage/default{path}?{urlsplit(url).query}")

        assert answer.status == 400
        assert answer.body == b"The storage cannot serve this object.\n"


async def test_a_put_stores_the_object_whole(service: LocalStorageService, http: Fetch) -> None:
    """The object has the content type that was signed."""
    url = await service.get_upload_url("put/a b.txt", content_type="text/plain")

    answer = await http("PUT", url, headers={"Content-Type": "text/plain", "Content-Length": "1000"}, body=CONTENT)

    assert (answer.status, answer.body) == (200, b"")
    assert await service.download("put/a b.txt") == CONTENT
    assert (await service.stat("put/a b.txt")).content_type == "text/plain"


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/html"}, {"Content-Type": "text/plain; charset=utf-8"}])
async def test_a_put_of_another_type_is_403(service: LocalStorageService, http: Fetch, headers: dict[str, str]) -> None:
    """The content type is part of what was signed; none at all is another one."""
    url = await service.get_upload_url("put", content_type="text/plain")

    answer = await http("PUT", url, headers=headers, body=b"x")

    assert answer.status == 403
    assert not await service.exists("put")


@pytest.mark.parametrize("announced", [True, False])
async def test_a_put_of_too_many_bytes_is_413(service: LocalStorageService, root: Path, http: Fetch, announced: bool) -> None:
    """It ends at the limit, whatever the client said before, and nothing is stored."""
    service.settings = LocalSettings(path=root, max_upload_bytes=999)
    url = await service.get_upload_url("put", content_type="text/plain")
    headers = {"Content-Type": "text/plain"} | ({"Content-Length": "1000"} if announced else {})

    answer = await http("PUT", url, headers=headers, body=CONTENT)

    assert (answer.status, answer.body) == (413, b"The object may have at most 999 bytes.\n")
    assert not await service.exists("put")
    assert "tmp" not in os.listdir(root) or os.listdir(root / "tmp") == []


async def test_a_put_that_is_cut_off_stores_nothing(service: LocalStorageService, root: Path) -> None:
    """A client that hangs up in the middle leaves the old object, and is not answered."""
    await service.upload("put", b"old")
    url = await service.get_upload_url("put", content_type="text/plain")
    messages: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": b"new" * 1000, "more_body": True},
        {"type": "http.disconnect"},
    ]

    sent = await answer_to(service, "PUT", url, messages)

    assert sent == []
    assert await service.download("put") == b"old"
    assert os.listdir(root / "tmp") == []


async def test_a_client_that_hangs_up_is_read_for_no_more(service: LocalStorageService) -> None:
    """The rest of an object is not read for nobody."""
    await service.upload("large", b"x" * 5_000_000)
    url = await service.get_url("large")
    messages: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": b"", "more_body": False},
        {"type": "http.disconnect"},
    ]

    sent = await answer_to(service, "GET", url, messages)

    assert sum(len(message.get("body", b"")) for message in sent) < 1_000_000


async def test_a_server_that_fails_to_send_ends_the_answer(service: LocalStorageService) -> None:
    """Where a server raises because the client is gone, so does nothing else."""
    await service.upload("object", b"x")

    sent = await answer_to(service, "GET", await service.get_url("object"), [], error=OSError("gone"))

    assert sent == []


async def test_a_store_that_is_not_there_is_503(
    service: LocalStorageService, http: Fetch, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may pass is said to be worth a retry; the words tell nothing of the disk."""

    def fail(key: str) -> None:
        raise BackendUnavailable(f"The directory with {key} is gone.")

    monkeypatch.setattr(service._tree, "load", fail)

    answer = await http("GET", url)

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.body == b"The storage does not answer for now; try again.\n"


async def test_a_corrupt_object_is_500(service: LocalStorageService, root: Path, http: Fetch, url: str) -> None:
    """It is not served, and the words tell nothing of the disk."""
    os.truncate(root / "objects" / "notes%" / "my file.txt", 10)

    answer = await http("GET", url)

    assert (answer.status, answer.body) == (500, b"The storage cannot serve this object.\n")


async def test_the_version_that_is_served_is_one(service: LocalStorageService, root: Path) -> None:
    """An object that is replaced while it is sent goes on as the old one, with the length that was announced."""
    old, new = b"o" * 2_000_000, b"n" * 3_000_000
    await service.upload("object", old)
    url = await service.get_url("object")
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        if len(sent) == 2:
            await service.upload("object", new)

    await service.http_app(scope_of("GET", url), anyio.sleep_forever, send)

    assert b"".join(message.get("body", b"") for message in sent) == old


async def test_the_application_answers_below_a_mount_and_at_the_root(service: LocalStorageService, url: str) -> None:
    """The prefix may be in the path and in `root_path`, as Starlette has it, or be cut off the path."""
    whole = scope_of("GET", url)
    cut = {**whole, "path": whole["path"].removeprefix(whole["root_path"]), "root_path": ""}
    statuses = []

    async def send(message: MutableMapping[str, Any]) -> None:
        if "status" in message:
            statuses.append(message["status"])

    for scope in (whole, cut):
        await service.http_app(scope, anyio.sleep_forever, send)

    assert statuses == [200, 200]


def scope_of(method: str, url: str) -> dict[str, Any]:
    """Return an ASGI scope as Starlette's mount makes it."""
    from urllib.parse import unquote

    parts = urlsplit(url)
    return {
        "type": "http",
        "method": method,
        "path": unquote(parts.path),
        "root_path": "/_indiaai/storage/default",
        "query_string": parts.query.encode(),
        "headers": [(b"content-type", b"text/plain")],
    }


async def answer_to(
    service: LocalStorageService,
    method: str,
    url: str,
    messages: list[MutableMapping[str, Any]],
    *,
    error: OSError | None = None,
) -> list[MutableMapping[str, Any]]:
    """Send the messages of a client, and return those that are sent to it."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        if not messages:
            await anyio.sleep_forever()
        return messages.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        if error:
            raise error
        sent.append(message)

    with anyio.fail_after(10):
        await service.http_app(scope_of(method, url), receive, send)
    return sent
