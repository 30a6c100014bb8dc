"""Promises about `get_url`; part of `StorageConformance`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from indiaai_core.errors import InvalidRequest
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.fetching import Fetch
from indiaai_core.testing.storage.samples import ODD_KEYS

__all__ = ["UrlPromises", "wait_until_refused"]

PATIENCE_SECONDS = 10
"""How long a URL that expired may go on working before it counts as one that does not expire."""

IMPOSSIBLE_EXPIRIES = (0, -1, 604_801, 1.5, True, "60")


class UrlPromises:
    """A URL lets anyone GET one object until it expires."""

    @promise("S27", "`get_url` gives an http address or a path of the application, also for an object that is not there.")
    async def test_a_url_is_an_address(self, service: StorageService) -> None:
        await service.upload("linked", b"content")

        for key in ("linked", "missing"):
            url = await service.get_url(key)
            assert url.startswith(("http://", "https://", "/"))
            assert url.isascii()
            assert " " not in url

    @promise("S28", "A lifetime that is no whole number of seconds from 1 to 604,800 is refused with InvalidRequest.")
    @pytest.mark.parametrize("expires_in", IMPOSSIBLE_EXPIRIES)
    async def test_an_impossible_lifetime_is_refused(self, service: StorageService, expires_in: Any) -> None:
        assert await service.get_url("linked", 1)
        assert await service.get_url("linked", 604_800)

        with pytest.raises(InvalidRequest):
            await service.get_url("linked", expires_in)

    @promise("S29", "Anyone may GET the URL: it answers with the object and its content type.", where="presign")
    async def test_anyone_may_get_it(self, service: StorageService, http: Fetch | None) -> None:
        await service.upload("linked.txt", b"content", "text/plain")
        url = await service.get_url("linked.txt")
        if http is None:
            return

        answer = await http("GET", url)

        assert (answer.status, answer.body) == (200, b"content")
        assert answer.headers["content-type"] == "text/plain"

    @promise("S30", "Nobody may GET the URL after it has expired.", where="presign")
    async def test_nobody_may_get_it_after(self, service: StorageService, http: Fetch | None) -> None:
        await service.upload("linked", b"content")
        url = await service.get_url("linked", 1)
        if http is None:
            return

        answer_body = await wait_until_refused(http, url, method="GET")

        assert b"content" not in answer_body

    @promise("S31", "A URL that was changed, or is used for another key, is refused.", where="presign")
    async def test_a_changed_url_is_refused(self, service: StorageService, http: Fetch | None) -> None:
        await service.upload("linked/one", b"content")
        await service.upload("linked/two", b"secret")
        url = await service.get_url("linked/one")
        if http is None:
            return

        bare = await http("GET", url.partition("?")[0])
        cut = await http("GET", url[:-2] + ("00" if url[-2:] != "00" else "11"))
        other = await http("GET", url.replace("linked/one", "linked/two"))

        assert [answer.status // 100 for answer in (bare, cut, other)] == [4, 4, 4]

    @promise("S32", "The URL of an object that is not there answers 404.", where="presign")
    async def test_a_url_of_nothing_answers_404(self, service: StorageService, http: Fetch | None) -> None:
        url = await service.get_url("missing")
        if http is None:
            return

        answer = await http("GET", url)

        assert answer.status == 404

    @promise("S33", "A URL to GET an object neither writes nor deletes it.", where="presign")
    async def test_a_url_only_reads(self, service: StorageService, http: Fetch | None) -> None:
        await service.upload("linked", b"content")
        url = await service.get_url("linked")
        if http is None:
            return

        answers = [await http("PUT", url, body=b"changed"), await http("DELETE", url)]

        assert [answer.status // 100 for answer in answers] == [4, 4]
        assert await service.download("linked") == b"content"

    @promise("S34", "The URL answers a request for a range with 206 and those bytes.", where="presign")
    async def test_a_url_answers_ranges(self, service: StorageService, http: Fetch | None) -> None:
        await service.upload("linked", b"0123456789")
        url = await service.get_url("linked")
        if http is None:
            return

        answer = await http("GET", url, headers={"range": "bytes=2-4"})

        assert (answer.status, answer.body) == (206, b"234")
        assert answer.headers["content-range"] == "bytes 2-4/10"

    @promise("S35", "The URL of any key finds its object, whatever has to be quoted in it.")
    async def test_urls_of_odd_keys_work(self, service: StorageService, http: Fetch | None) -> None:
        urls = {key: await service.get_url(key) for key in ODD_KEYS}
        assert len(set(urls.values())) == len(ODD_KEYS)
        if http is None or "presign" not in service.capabilities:
            return

        for key, url in urls.items():
            await service.upload(key, key.encode())
            assert (await http("GET", url)).body == key.encode()


async def wait_until_refused(http: Fetch, url: str, *, method: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Ask until the answer is a refusal, for `PATIENCE_SECONDS` at most, and return its body."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while True:
            answer = await http(method, url, headers=headers)
            if answer.status // 100 == 4:
                return answer.body
            await anyio.sleep(0.05)
