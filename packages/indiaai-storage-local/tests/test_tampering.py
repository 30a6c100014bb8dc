"""A link opens what it was made for, and nothing else; and what answers it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

import anyio.lowlevel
import pytest
from pydantic import SecretStr

from indiaai_core.testing import Fetch
from indiaai_storage_local import LocalSettings, LocalStorageService

pytestmark = pytest.mark.anyio

SECRET = SecretStr("a secret for several hosts")
PREFIX = "/_indiaai/storage/default/"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize("made_for", ["GET", "PUT"])
@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": ""}])
async def test_a_link_is_of_one_method(
    service: LocalStorageService, http: Fetch, method: str, made_for: str, headers: dict[str, str]
) -> None:
    """A link to read does not write, whatever type comes with it, and one to write does not read, not even the head."""
    await service.upload("key", b"old", "text/plain")
    reading, writing = await service.get_url("key"), await service.get_upload_url("key", content_type="text/plain")

    answer = await http(method, reading if made_for == "GET" else writing, headers=headers, body=b"new")

    is_writing = method == "PUT" and made_for == "PUT" and headers == {"Content-Type": "text/plain"}
    is_reading = method in ("GET", "HEAD") and made_for == "GET"
    assert answer.status == (405 if method in ("DELETE", "POST") else 200 if is_writing or is_reading else 403)
    assert (answer.body == b"old") == (is_reading and method == "GET")
    assert await service.download("key") == (b"new" if is_writing else b"old")


@pytest.mark.parametrize(
    "path", ["a/key", "a%2Fkey", "%61/k%65y", "a/key%2f", "a//key", "a/./key", "b/../a/key", "/a/key", "a/KEY"]
)
async def test_a_path_written_otherwise_names_the_same_object_or_none(
    service: LocalStorageService, http: Fetch, path: str
) -> None:
    """What is the same path once it is unquoted opens the link's object; what is another one opens nothing."""
    await service.upload("a/key", b"x")
    await service.upload("a/KEY", b"another")
    query = urlsplit(await service.get_url("a/key")).query

    answer = await http("GET", f"{PREFIX}{path}?{query}")

    assert (answer.status == 200) == (unquote(path) == "a/key")
    assert answer.status in (200, 400, 403)


async def test_both_forms_of_a_key_have_one_link(service: LocalStorageService, http: Fetch) -> None:
    """A client that decomposes what it is given finds the object all the same."""
    await service.upload("ç", b"x")
    query = urlsplit(await service.get_url("c\u0327")).query

    answers = [await http("GET", f"{PREFIX}{quote(key)}?{query}") for key in ("ç", "c\u0327", "c")]

    assert [answer.status for answer in answers] == [200, 200, 403]


@pytest.mark.parametrize(
    "expires", ["{0}.0", "{0}e9", "+{0}", " {0}", "{0} ", "0{0}", "-{0}", "-1", "0", "9" * 5000, "٣", "1_0", "inf"]
)
async def test_an_expiry_in_another_form_is_403(service: LocalStorageService, http: Fetch, expires: str) -> None:
    """Not even the same number, written otherwise, is what was signed; and none is too long to be refused."""
    await service.upload("key", b"x")
    parts = urlsplit(await service.get_url("key"))
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}

    answer = await http("GET", f"{parts.path}?{urlencode(query | {'expires': expires.format(query['expires'])})}")

    assert answer.status == 403


@pytest.mark.parametrize("added", ["expires=1", "expires=99999999999", "signature=x", "cache_control=no-store"])
async def test_a_field_that_is_there_twice_gains_nothing(service: LocalStorageService, http: Fetch, added: str) -> None:
    """Behind the signed one it makes the link void, and before it is not looked at."""
    await service.upload("key", b"x")
    url = await service.get_url("key", cache_control="max-age=5")

    before, behind = await http("GET", url.replace("?", f"?{added}&")), await http("GET", f"{url}&{added}")

    assert (before.status, behind.status) == (200, 403)
    assert before.headers["cache-control"] == "max-age=5"


async def test_what_a_link_says_cannot_be_said_by_another_header(service: LocalStorageService, http: Fetch) -> None:
    """The name of the header is signed with its value."""
    await service.upload("key", b"x")
    url = await service.get_url("key", cache_control="inline")

    answer = await http("GET", url.replace("cache_control=", "content_disposition="))

    assert answer.status == 403


async def test_nothing_moves_from_one_signed_text_into_the_next(service: LocalStorageService, http: Fetch) -> None:
    """A content type that begins with digits lends none to the expiry before it."""
    url = await service.get_upload_url("key", content_type="9/x")
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    longer = f"{parts.path}?{urlencode(query | {'expires': query['expires'] + '9'})}"

    answers = [await http("PUT", link, headers={"Content-Type": kind}) for link, kind in ((longer, "/x"), (url, "9/x"))]

    assert [answer.status for answer in answers] == [403, 200]


@pytest.mark.parametrize(
    "kind", ["Text/plain", "text/plain;", "text/plain ; charset=utf-8", "text/plain;charset=utf-8", "*/*", ""]
)
async def test_a_content_type_in_another_form_is_403(service: LocalStorageService, http: Fetch, kind: str) -> None:
    """It is compared letter for letter, as an object store does: a client sends what it was told."""
    url = await service.get_upload_url("key", content_type="text/plain; charset=utf-8")

    answer = await http("PUT", url, headers={"Content-Type": kind}, body=b"x")

    assert answer.status == 403
    assert not await service.exists("key")


async def test_hosts_with_one_secret_answer_each_others_links(
    tmp_path: Path, client_of: Callable[[LocalStorageService], Fetch]
) -> None:
    """A link that one host made is good on another whose directory is elsewhere, and void where the secret is another."""
    one, two, other = (
        LocalStorageService(LocalSettings(path=tmp_path / name, url_secret=SecretStr(secret)))
        for name, secret in (("one", SECRET.get_secret_value()), ("two", SECRET.get_secret_value()), ("other", "x" * 16))
    )
    for service in (one, two, other):
        await service.upload("key", b"x")
    reading, writing = await one.get_url("key"), await one.get_upload_url("key", content_type="text/plain")

    statuses = [
        ((await http("GET", reading)).status, (await http("PUT", writing, headers={"Content-Type": "text/plain"})).status)
        for http in (client_of(service) for service in (two, other))
    ]

    assert statuses == [(200, 200), (403, 403)]
    for service in (one, two, other):
        await service.aclose()


async def test_links_end_with_the_secret_that_made_them(
    service: LocalStorageService, root: Path, client_of: Callable[[LocalStorageService], Fetch]
) -> None:
    """Where the file is removed and the application started again, what was signed before is void."""
    await service.upload("key", b"x")
    url = await service.get_url("key")
    (root / "secret").unlink()

    async with LocalStorageService(LocalSettings(path=root)) as restarted:
        http = client_of(restarted)
        answers = [(await http("GET", link)).status for link in (url, await restarted.get_url("key"))]

    assert answers == [403, 200]
    assert (await client_of(service)("GET", url)).status == 200  # as the page says: until it is started again


@pytest.mark.parametrize(
    "kind", ["text/xml", "text/css", "text/javascript", "image/svg+xml", "application/json", "video/mp4", "TEXT/HTML", "x"]
)
async def test_what_is_not_known_to_be_harmless_is_saved(service: LocalStorageService, http: Fetch, kind: str) -> None:
    """Only types on a short list are shown by a browser."""
    await service.upload("key", b"x", kind)

    answer = await http("GET", await service.get_url("key"))

    assert answer.headers["content-disposition"].startswith("attachment;")


@pytest.mark.parametrize("name", ['quo"te', "semi;colon", "per%cent", "a'b", "new\u2028line", "\u202egnp.exe", "🙏", "a,b=c*"])
async def test_a_name_cannot_leave_its_header(service: LocalStorageService, http: Fetch, name: str) -> None:
    """Whatever a key's last part holds, the name it is saved under is quoted to the last letter."""
    await service.upload(f"folder/{name}", b"x")

    answer = await http("GET", await service.get_url(f"folder/{name}"))

    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{quote(name, safe='')}"


@pytest.mark.parametrize(("method", "path"), [("GET", "key"), ("POST", "key"), ("GET", "")])
async def test_a_refusal_is_neither_kept_nor_taken_for_something_else(http: Fetch, method: str, path: str) -> None:
    """A cache must not answer the next, good link with it, nor a browser guess what it is."""
    answer = await http(method, f"{PREFIX}{path}")

    assert answer.status in (400, 403, 405)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_put_that_announces_too_much_is_not_read(service: LocalStorageService, root: Path) -> None:
    """It is refused by what it says, before a byte of it is taken."""
    service.settings = LocalSettings(path=root, max_upload_bytes=999)
    parts = urlsplit(await service.get_upload_url("key", content_type="text/plain"))
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        pytest.fail("the body was read")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", b"text/plain"), (b"content-length", b"1000")]
    scope = {"type": "http", "method": "PUT", "path": parts.path, "root_path": PREFIX.rstrip("/"), "headers": headers}
    await service.http_app(scope | {"query_string": parts.query.encode()}, receive, send)

    assert sent[0]["status"] == 413


async def test_a_put_of_just_the_limit_is_stored(service: LocalStorageService, root: Path, http: Fetch) -> None:
    """The limit is the most that may be stored, and not one more than that."""
    service.settings = LocalSettings(path=root, max_upload_bytes=999)
    url = await service.get_upload_url("key", content_type="text/plain")

    answer = await http("PUT", url, headers={"Content-Type": "text/plain", "Content-Length": "999"}, body=b"x" * 999)

    assert answer.status == 200
    assert len(await service.download("key")) == 999


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files cannot be counted here")
@pytest.mark.parametrize("headers", [{}, {"If-None-Match": "*"}, {"If-Match": '"x"'}, {"Range": "bytes=999999-"}])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_answer_leaves_nothing_open(
    service: LocalStorageService, http: Fetch, method: str, headers: dict[str, str]
) -> None:
    """Neither a file nor a task stays of it, however it ends."""
    await service.upload("large", b"x" * 300_000)
    url = await service.get_url("large")
    before = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())

    for _ in range(5):
        await http(method, url, headers=headers)
    await anyio.lowlevel.checkpoint()

    assert (len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())) == before
