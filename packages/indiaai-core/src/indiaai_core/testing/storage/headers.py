"""Promises about `cache_control` and `content_disposition`; part of `StorageConformance`."""

from __future__ import annotations

import re

import pytest

from indiaai_core.errors import InvalidRequest
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.fetching import Fetch

__all__ = ["HeaderPromises"]

IN_HINDI = 'attachment; filename="बिल 7.pdf"'
AS_IT_TRAVELS = "attachment; filename=\"___ 7.pdf\"; filename*=UTF-8''%E0%A4%AC%E0%A4%BF%E0%A4%B2%207.pdf"

BOTH = ("cache_control", "content_disposition")


class HeaderPromises:
    """What an object says of its caching and its name stays with it, and a URL may say something else."""

    @promise("S89", "Cache control is kept with the object and replaced with it.", needs=("cache_control", "stat"))
    async def test_cache_control_is_kept(self, service: StorageService) -> None:
        await service.upload("cached", b"x", cache_control=" public, max-age=3600 ")
        first = await service.stat("cached")

        await service.upload("cached", b"x")

        assert first.cache_control == "public, max-age=3600"
        assert (await service.stat("cached")).cache_control == ""

    @promise(
        "S90",
        "Content disposition is kept with the object and replaced with it; a file name may be in any script, and what "
        "`stat` tells may be given again.",
        needs=("content_disposition", "stat"),
    )
    async def test_content_disposition_is_kept(self, service: StorageService) -> None:
        await service.upload("bill.pdf", b"x", content_disposition=IN_HINDI)
        first = await service.stat("bill.pdf")
        await service.upload("bill.pdf", b"x", content_disposition=first.content_disposition)
        again = await service.stat("bill.pdf")

        await service.upload("bill.pdf", b"x", content_disposition="")

        assert first.content_disposition == AS_IT_TRAVELS
        assert again.content_disposition == AS_IT_TRAVELS
        assert (await service.stat("bill.pdf")).content_disposition == ""

    @promise("S91", "A header that cannot travel is refused with InvalidRequest, and nothing is stored.", needs=BOTH)
    async def test_an_impossible_header_is_refused(self, service: StorageService) -> None:
        await service.upload("capable", b"x", cache_control="no-store")
        await service.upload("capable", b"x", content_disposition="inline")

        for value in ("a\r\nb: c", "no\0", "नहीं", "x" * 1025):
            with pytest.raises(InvalidRequest):
                await service.upload("refused", b"x", cache_control=value)
        for value in ("inline\nb: c", "बिल.pdf", 'inline; filename="\ud800"', f'inline; filename="{"क" * 200}"'):
            with pytest.raises(InvalidRequest):
                await service.upload("refused", b"x", content_disposition=value)

        assert not await service.exists("refused")

    @promise("S92", "A copy has its source's cache control and content disposition.", needs=(*BOTH, "stat"))
    async def test_a_copy_has_the_headers(self, service: StorageService) -> None:
        await service.upload("source", b"x", cache_control="no-store", content_disposition=IN_HINDI)
        await service.upload("target", b"x", cache_control="private")

        await service.copy("source", "target")

        info = await service.stat("target")
        assert (info.cache_control, info.content_disposition) == ("no-store", AS_IT_TRAVELS)

    @promise("S93", "A URL answers with its object's headers, or with those that it was made with.", needs=(*BOTH, "presign"))
    async def test_a_url_answers_with_headers(self, service: StorageService, http: Fetch | None) -> None:
        await service.upload("bill", b"x", cache_control="no-store", content_disposition=IN_HINDI)
        own = await service.get_url("bill")
        others = await service.get_url("bill", cache_control="max-age=60", content_disposition='inline; filename="चित्र.pdf"')
        if http is None:
            return

        answers = [await http("GET", url) for url in (own, others, own)]

        assert [answer.status for answer in answers] == [200, 200, 200]
        assert [answer.headers.get("cache-control") for answer in answers] == ["no-store", "max-age=60", "no-store"]
        found = [answer.headers.get("content-disposition", "") for answer in answers]
        assert (found[0], found[2]) == (AS_IT_TRAVELS, AS_IT_TRAVELS)
        assert found[1].startswith("inline;")
        assert found[1].endswith("filename*=UTF-8''%E0%A4%9A%E0%A4%BF%E0%A4%A4%E0%A5%8D%E0%A4%B0.pdf")

    @promise(
        "S94",
        "The headers that a URL was made with are part of its signature, and impossible ones are InvalidRequest.",
        needs=(*BOTH, "presign"),
    )
    async def test_headers_of_a_url_are_signed(self, service: StorageService, http: Fetch | None) -> None:
        await service.upload("page.txt", b"x", "text/plain")
        url = await service.get_url("page.txt", cache_control="max-age=61", content_disposition="attachment")
        for value in ("a\r\nb: c", "x" * 1025):
            with pytest.raises(InvalidRequest):
                await service.get_url("page.txt", cache_control=value)
            with pytest.raises(InvalidRequest):
                await service.get_url("page.txt", content_disposition=value)
        if http is None:
            return

        changed = [url.replace("attachment", "inline"), re.sub("max-age(=|%3D)61", r"max-age\g<1>62", url)]
        assert url not in changed
        answers = [await http("GET", other) for other in changed]

        assert [answer.status // 100 for answer in answers] == [4, 4]
