"""Promises about `download`, `exists` and `stat`; part of `StorageConformance`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from indiaai_core.errors import ObjectNotFound
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise

__all__ = ["ReadPromises"]


class ReadPromises:
    """An object is found as it was stored, and what is not there is said not to be."""

    @promise("S13", "A download of a key without an object raises ObjectNotFound, which names the key in NFC.")
    async def test_download_of_a_missing_object_raises(self, service: StorageService) -> None:
        with pytest.raises(ObjectNotFound) as raised:
            await service.download("missing/cafe\u0301")

        assert raised.value.key == "missing/caf\u00e9"

    @promise("S14", "`exists` says whether there is an object.")
    async def test_exists_says_whether_there_is_one(self, service: StorageService) -> None:
        before = await service.exists("thing")

        await service.upload("thing", b"x")

        assert (before, await service.exists("thing"), await service.exists("thin")) == (False, True, False)

    @promise("S15", "`stat` tells the key in NFC, the size, an unquoted etag and the time of writing in UTC.", needs="stat")
    async def test_stat_tells_what_is_known(self, service: StorageService) -> None:
        tolerance = timedelta(minutes=5)  # the store's clock is not ours
        before = datetime.now(UTC) - tolerance
        await service.upload("cafe\u0301.txt", b"12345")

        info = await service.stat("cafe\u0301.txt")

        assert (info.key, info.size) == ("caf\u00e9.txt", 5)
        assert info.etag
        assert '"' not in info.etag
        assert info.last_modified.utcoffset() == timedelta(0)
        assert before <= info.last_modified <= datetime.now(UTC) + tolerance

    @promise("S16", "`stat` of a key without an object raises ObjectNotFound.", needs="stat")
    async def test_stat_of_a_missing_object_raises(self, service: StorageService) -> None:
        with pytest.raises(ObjectNotFound) as raised:
            await service.stat("missing")

        assert raised.value.key == "missing"

    @promise("S17", "The etag changes when the content does, and not by itself.", needs="stat")
    async def test_the_etag_follows_the_content(self, service: StorageService) -> None:
        await service.upload("etag", b"one")
        first, again = await service.stat("etag"), await service.stat("etag")

        await service.upload("etag", b"two")

        assert first.etag == again.etag
        assert (await service.stat("etag")).etag != first.etag

    @promise("S18", "The content type is kept with the object and replaced with it.", needs="stat")
    async def test_the_content_type_is_kept(self, service: StorageService) -> None:
        await service.upload("typed", b"x", "text/plain; charset=utf-8")
        first = await service.stat("typed")

        await service.upload("typed", b"x")

        assert first.content_type == "text/plain; charset=utf-8"
        assert (await service.stat("typed")).content_type == "application/octet-stream"

    @promise("S84", "A part of a key is no object, nor is what lies below one: there are no folders.")
    async def test_a_part_of_a_key_is_no_object(self, service: StorageService) -> None:
        await service.upload("there/is/one", b"x")

        for key in ("there", "there/is", "there/is/one/more"):
            assert not await service.exists(key)
            with pytest.raises(ObjectNotFound):
                await service.download(key)
            if "stat" in service.capabilities:
                with pytest.raises(ObjectNotFound):
                    await service.stat(key)

        assert await service.download("there/is/one") == b"x"
