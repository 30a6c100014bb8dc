"""Promises about `get_upload_url`; part of `StorageConformance`."""

from __future__ import annotations

import pytest

from indiaai_core.errors import InvalidRequest
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.fetching import Fetch
from indiaai_core.testing.storage.urls import IMPOSSIBLE_EXPIRIES, wait_until_refused

__all__ = ["UploadUrlPromises"]


class UploadUrlPromises:
    """A URL lets a client PUT one object of one content type until it expires."""

    @promise("S36", "A client PUTs an object to the URL, and it is stored with its content type.", needs="presign_upload")
    async def test_a_client_puts_an_object(self, service: StorageService, http: Fetch | None) -> None:
        url = await service.get_upload_url("put/a b.txt", content_type="text/plain")
        if http is None:
            return

        answer = await http("PUT", url, headers={"content-type": "text/plain"}, body=b"from a client")

        assert answer.status // 100 == 2
        assert await service.download("put/a b.txt") == b"from a client"
        if "stat" in service.capabilities:
            assert (await service.stat("put/a b.txt")).content_type == "text/plain"

    @promise("S37", "A PUT with another content type is refused, and nothing is stored.", needs="presign_upload")
    async def test_another_content_type_is_refused(self, service: StorageService, http: Fetch | None) -> None:
        url = await service.get_upload_url("put", content_type="text/plain")
        if http is None:
            return

        answer = await http("PUT", url, headers={"content-type": "text/html"}, body=b"<script>")

        assert answer.status // 100 == 4
        assert not await service.exists("put")

    @promise("S38", "An impossible lifetime or content type is refused with InvalidRequest.", needs="presign_upload")
    async def test_impossible_arguments_are_refused(self, service: StorageService) -> None:
        for expires_in in IMPOSSIBLE_EXPIRIES:
            with pytest.raises(InvalidRequest):
                await service.get_upload_url("put", expires_in)  # type: ignore[arg-type] # what is tested is a wrong type

        with pytest.raises(InvalidRequest):
            await service.get_upload_url("put", content_type="text/\nplain")

    @promise("S39", "A PUT after the URL expired, or to another key, is refused.", needs="presign_upload")
    async def test_an_expired_or_moved_url_is_refused(self, service: StorageService, http: Fetch | None) -> None:
        url = await service.get_upload_url("put/expired", 1, content_type="text/plain")
        lasting = await service.get_upload_url("put/one", content_type="text/plain")
        headers = {"content-type": "text/plain"}
        if http is None:
            return

        moved = await http("PUT", lasting.replace("put/one", "put/two"), headers=headers, body=b"elsewhere")
        await wait_until_refused(http, url, method="PUT", headers=headers)

        assert moved.status // 100 == 4
        assert not await service.exists("put/two")

    @promise("S40", "A URL to PUT an object does not read it.", needs="presign_upload")
    async def test_an_upload_url_does_not_read(self, service: StorageService, http: Fetch | None) -> None:
        url = await service.get_upload_url("put", content_type="text/plain")
        await service.upload("put", b"private", "text/plain")
        if http is None:
            return

        answer = await http("GET", url, headers={"content-type": "text/plain"})

        assert answer.status // 100 == 4
        assert b"private" not in answer.body
