"""Signed links, on a server that checks the signature."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest

from indiaai_storage_s3 import S3StorageService

pytestmark = pytest.mark.anyio


@pytest.fixture
def service(rclone: str, make_service: Callable[[str], S3StorageService]) -> S3StorageService:
    """A service on an empty bucket."""
    return make_service(rclone)


async def ask(method: str, url: str, *, content_type: str = "", body: bytes = b"") -> tuple[int, bytes, str]:
    """Send a request as anyone would; return status, body and content type."""

    def send() -> tuple[int, bytes, str]:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=10)
        try:
            headers = {"Content-Type": content_type} if content_type else {}
            connection.request(method, f"{parts.path}?{parts.query}", body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheader("Content-Type", "")
        finally:
            connection.close()

    return await anyio.to_thread.run_sync(send)


async def test_anyone_may_get_a_link_and_nobody_may_change_it(service: S3StorageService) -> None:
    """The link answers with the object; for another key, another method or without its signature it answers 403."""
    await service.upload("linked/हिन्दी 100%.txt", b"content", "text/plain")
    await service.upload("linked/secret", b"secret")
    url = await service.get_url("linked/हिन्दी 100%.txt")
    secret = await service.get_url("linked/secret")

    assert await ask("GET", url) == (200, b"content", "text/plain")
    refused = [
        await ask("GET", f"{urlsplit(url)._replace(path=urlsplit(secret).path).geturl()}"),
        await ask("PUT", url, body=b"changed"),
        await ask("DELETE", url),
        await ask("GET", url[:-2] + ("00" if url[-2:] != "00" else "11")),
    ]

    assert [status for status, _, _ in refused] == [403] * 4
    assert await service.download("linked/हिन्दी 100%.txt") == b"content"


async def test_a_link_expires(service: S3StorageService) -> None:
    """After its seconds are over, the link is refused."""
    await service.upload("linked", b"content")
    url = await service.get_url("linked", 1)

    for _ in range(100):
        status, body, _ = await ask("GET", url)
        if status // 100 == 4:
            break
        await anyio.sleep(0.1)

    assert status // 100 == 4  # S3 says 403, rclone 400
    assert b"content" not in body


async def test_a_client_puts_an_object_of_the_signed_content_type_and_no_other(service: S3StorageService) -> None:
    """The content type is under the signature of the link to PUT to."""
    url = await service.get_upload_url("put", content_type="text/plain")

    refused = await ask("PUT", url, content_type="text/html", body=b"<script>")
    stored = await ask("PUT", url, content_type="text/plain", body=b"from a client")

    assert (refused[0], stored[0]) == (403, 200)
    assert await service.download("put") == b"from a client"


async def test_a_link_says_how_its_answer_is_to_be_shown(service: S3StorageService) -> None:
    """What a link's answer is to say is part of what is signed, in the form that S3 documents."""
    url = await service.get_url("bill", cache_control="no-store", content_disposition='attachment; filename="बिल.pdf"')

    query = urlsplit(url).query

    assert "response-cache-control=no-store" in query
    assert "response-content-disposition=attachment%3B%20filename" in query
    assert "filename%2A%3DUTF-8%27%27%25E0" in query
