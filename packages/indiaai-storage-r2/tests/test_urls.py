"""Signed URLs, against rclone, which checks every signature and ignores conditions."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPConnection
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from indiaai_storage_r2 import R2StorageService
from making import ServiceMaker

pytestmark = pytest.mark.anyio

ODD_KEYS = ["two words", "100%25", "a+b&c=d?e#f", "quotes'\"(!*)", "हिन्दी/दस्तावेज़.pdf", "emoji/🙏🏽", "~tilde@$;:,"]


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    content_type: str | None


async def ask(method: str, url: str, *, body: bytes | None = None, content_type: str = "") -> Answer:
    """Send one HTTP request, as any client would."""
    headers = {"content-type": content_type} if content_type else {}
    return await anyio.to_thread.run_sync(lambda: _ask(method, url, body=body, headers=headers))


def _ask(method: str, url: str, *, body: bytes | None, headers: Mapping[str, str]) -> Answer:
    address = urlsplit(url)
    connection = HTTPConnection(address.netloc, timeout=10)
    try:
        connection.request(method, f"{address.path}?{address.query}", body=body, headers=dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), answer.getheader("content-type"))
    finally:
        connection.close()


@pytest.fixture
async def storage(rclone_bucket: tuple[str, str], make_service: ServiceMaker) -> R2StorageService:
    """A service on an empty bucket."""
    endpoint, bucket = rclone_bucket
    return make_service(endpoint, bucket=bucket)


async def test_anyone_may_get_a_signed_url(storage: R2StorageService) -> None:
    """A signed URL of any key gives the object with its content type, and nobody needs credentials for it."""
    for key in ODD_KEYS:
        await storage.upload(key, key.encode(), "text/plain")

    answers = {key: await ask("GET", await storage.get_url(key)) for key in ODD_KEYS}

    assert answers == {key: Answer(200, key.encode(), "text/plain") for key in ODD_KEYS}


async def test_a_changed_url_is_refused(storage: R2StorageService) -> None:
    """Without its signature, with another one, or for another key, it is worth nothing."""
    await storage.upload("folder/one", b"one")
    await storage.upload("folder/two", b"two")
    url = await storage.get_url("folder/one")

    bare = await ask("GET", url.partition("?")[0])
    cut = await ask("GET", url[:-1] + ("0" if url[-1] != "0" else "1"))
    moved = await ask("GET", url.replace("/one", "/two"))
    written = await ask("PUT", url, body=b"changed")

    assert [answer.status // 100 for answer in (bare, cut, moved, written)] == [4] * 4
    assert await storage.download("folder/one") == b"one"


async def test_an_expired_url_is_refused(storage: R2StorageService) -> None:
    """After its seconds are over, nobody may use it."""
    await storage.upload("key", b"content")
    url = await storage.get_url("key", 1)

    with anyio.fail_after(10):
        while (answer := await ask("GET", url)).status == 200:  # noqa: ASYNC110 - time itself is waited for
            await anyio.sleep(0.1)

    assert answer.status // 100 == 4
    assert b"content" not in answer.body


async def test_a_client_puts_with_the_content_type_that_was_signed(storage: R2StorageService) -> None:
    """A PUT with the signed content type stores the object; with another one it is refused."""
    url = await storage.get_upload_url("from a client.txt", content_type="text/plain")

    other = await ask("PUT", url, body=b"<script>", content_type="text/html")
    signed = await ask("PUT", url, body=b"content", content_type="text/plain")

    assert (other.status, signed.status) == (403, 200)
    assert await storage.download("from a client.txt") == b"content"
    assert (await storage.stat("from a client.txt")).content_type == "text/plain"


async def test_urls_are_signed_for_the_s3_host_only(make_service: ServiceMaker) -> None:
    """With a custom domain the lasting address is there, and signed URLs are still the account's: there they would not hold."""
    service = make_service("", account_id="0a1b", jurisdiction="eu", public_url="https://files.example.in/", session_token="t")

    url = urlsplit(await service.get_url("a b", 604_800))
    upload_url = urlsplit(await service.get_upload_url("a b", 1, content_type="image/png"))

    assert url.netloc == upload_url.netloc == "0a1b.eu.r2.cloudflarestorage.com"
    assert url.path == "/bucket/a%20b"
    query, upload_query = parse_qs(url.query), parse_qs(upload_url.query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["604800"]
    assert query["X-Amz-Security-Token"] == ["t"]
    assert upload_query["X-Amz-SignedHeaders"] == ["content-type;host"]
    assert not [name for name in {**query, **upload_query} if "checksum" in name.lower()]


async def test_the_lasting_address_is_of_the_custom_domain(rclone_bucket: tuple[str, str], make_service: ServiceMaker) -> None:
    """`upload` and `copy` return the custom domain's address where there is one, and the store's own where there is none."""
    endpoint, bucket = rclone_bucket
    public = make_service(endpoint, bucket=bucket, public_url="https://files.example.in/docs/")
    private = make_service(endpoint, bucket=bucket)

    addresses = [
        await public.upload("a/b c.txt", b""),
        await private.upload("a/b c.txt", b""),
        await public.copy("a/b c.txt", "d"),
    ]

    assert addresses == [
        "https://files.example.in/docs/a/b%20c.txt",
        f"{endpoint}/{bucket}/a/b%20c.txt",
        "https://files.example.in/docs/d",
    ]


async def test_streams_and_parts_work_on_a_lax_store(storage: R2StorageService) -> None:
    """A store whose ETags are not R2's, and which ignores conditions, gives back what it got."""
    content = bytes(range(256)) * 48 * 1024

    await storage.upload("parts", content)

    assert await storage.download("parts") == content
    assert b"".join([chunk async for chunk in storage.stream("parts", start=9, end=6_000_000)]) == content[9:6_000_000]
