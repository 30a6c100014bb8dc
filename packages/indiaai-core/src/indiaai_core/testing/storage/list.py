"""Promises about `list`; part of `StorageConformance`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

import anyio
import pytest

from indiaai_core.errors import InvalidKey, InvalidRequest
from indiaai_core.storage import ObjectInfo, StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import listed

__all__ = ["ListPromises"]

# Sorted by UTF-8 bytes: '/' comes between '-' and '0', capitals before small letters, and U+FFxx before what UTF-16 writes
# as a pair of surrogates.
ORDERED_KEYS = ("A", "B", "a", "a-b", "a/A", "a/b", "a/b/c", "a/bc", "a0", "b", "z", "é", "क", "ﾮ", "😀")


class ListPromises:
    """A listing gives every object once, in one order everywhere."""

    @promise("S41", "`list` gives every object once, in the order of the keys' UTF-8 bytes.", needs="list")
    async def test_list_is_in_byte_order(self, service: StorageService) -> None:
        empty = await listed(service)
        for key in reversed(ORDERED_KEYS):
            await service.upload(key, key.encode())

        found = await listed(service)

        assert empty == []
        assert found == sorted(ORDERED_KEYS, key=str.encode) == list(ORDERED_KEYS)

    @promise("S42", "A prefix is the beginning of a string, not a folder; one that no key has matches nothing.", needs="list")
    async def test_a_prefix_is_the_beginning_of_a_string(self, service: StorageService) -> None:
        assert await listed(service, "a") == []
        for key in ORDERED_KEYS:
            await service.upload(key, b"x")

        found = {prefix: await listed(service, prefix) for prefix in ("a", "a/", "a/b", "a/b/", "é")}
        nothing = {prefix: await listed(service, prefix) for prefix in ("/", "a//", "../", "ab", "a/b/c/")}

        assert found == {
            "a": ["a", "a-b", "a/A", "a/b", "a/b/c", "a/bc", "a0"],
            "a/": ["a/A", "a/b", "a/b/c", "a/bc"],
            "a/b": ["a/b", "a/b/c", "a/bc"],
            "a/b/": ["a/b/c"],
            "é": ["é"],
        }
        assert not any(nothing.values())

    @promise("S43", "`limit` is the most objects to give, the first ones; a negative one is InvalidRequest.", needs="list")
    async def test_limit_gives_the_first_ones(self, service: StorageService) -> None:
        assert await listed(service, limit=5) == []
        for key in ("c", "a", "b"):
            await service.upload(key, b"x")

        assert await listed(service, limit=0) == []
        assert await listed(service, limit=2) == ["a", "b"]
        assert await listed(service, limit=3) == ["a", "b", "c"]
        assert await listed(service, limit=1_000_000) == ["a", "b", "c"]
        with pytest.raises(InvalidRequest):
            await listed(service, limit=-1)

    @promise("S44", "What `list` tells of an object is what is known of it.", needs="list")
    async def test_list_tells_what_is_known(self, service: StorageService) -> None:
        found = [info async for info in service.list()]
        await service.upload("known/one", b"12345", "text/plain")

        found = [info async for info in service.list("known/")]

        assert [(info.key, info.size) for info in found] == [("known/one", 5)]
        assert found[0].content_type in ("", "text/plain")
        if "stat" in service.capabilities:
            info = await service.stat("known/one")
            assert (found[0].etag, found[0].last_modified.replace(microsecond=0)) == (
                info.etag,
                info.last_modified.replace(microsecond=0),
            )

    @promise("S45", "A prefix that holds what no key can hold is refused with InvalidKey.", needs="list")
    async def test_an_impossible_prefix_is_refused(self, service: StorageService) -> None:
        await listed(service)

        for prefix in ("a\\", "a\0", "k" * 1025, "\ud800"):
            with pytest.raises(InvalidKey):
                await listed(service, prefix)

    @promise("S46", "An object that is there all the while is given exactly once, whatever comes and goes.", needs="list")
    async def test_list_is_whole_while_others_come_and_go(self, service: StorageService) -> None:
        await listed(service)
        staying = [f"stay/{number:03}" for number in range(60)]
        for number, key in enumerate(staying):
            await service.upload(key, key.encode())
            await service.upload(f"go/{number:03}", b"%d" % number)

        found = []
        async for info in service.list():
            found.append(info.key)
            if len(found) <= 60:
                await service.delete(f"go/{len(found) - 1:03}")
                await service.upload(f"zz/{len(found):03}", b"x")
                await service.upload(staying[len(found) - 1], b"replaced")

        assert [key for key in found if key.startswith("stay/")] == staying
        assert len(found) == len(set(found))

    @promise("S47", "A prefix may be given in a composed or a decomposed form, and keys are given in NFC.", needs="list")
    async def test_list_knows_one_form(self, service: StorageService) -> None:
        await listed(service)
        await service.upload("re\u0301sume\u0301/a", b"x")

        assert await listed(service, "re\u0301su") == ["r\u00e9sum\u00e9/a"]
        assert await listed(service, "r\u00e9su") == ["r\u00e9sum\u00e9/a"]

    @promise("S95", "A listing goes on over any number of pages.", needs="list")
    async def test_a_listing_has_many_pages(self, service: StorageService) -> None:
        await listed(service)
        keys = [f"page/{number:04}" for number in range(1_003)]

        async def store(mine: Sequence[str]) -> None:
            for key in mine:
                await service.upload(key, b"x")

        async with anyio.create_task_group() as group:
            for first in range(16):
                group.start_soon(store, keys[first::16])

        assert await listed(service, "page/") == keys
        assert await listed(service, limit=1_002) == keys[:1_002]

    @promise("S96", "A listing that is left early takes nothing from the calls after it.", needs="list")
    async def test_a_listing_may_be_left_early(self, service: StorageService) -> None:
        await listed(service)
        for number in range(10):
            await service.upload(f"left/{number}", b"x")

        for _ in range(40):
            async with aclosing(cast("AsyncGenerator[ObjectInfo]", service.list())) as listing:
                await anext(listing)

        with anyio.fail_after(30):
            assert len(await listed(service)) == 10
