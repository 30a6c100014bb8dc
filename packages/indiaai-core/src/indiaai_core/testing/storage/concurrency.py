"""Promises about many calls at once; part of `StorageConformance`."""

from __future__ import annotations

from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest

from indiaai_core.errors import BackendUnavailable, ObjectExists, ObjectNotFound
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import collect, difference, listed, pattern
from indiaai_core.testing.storage.sources import chunks_of

__all__ = ["ConcurrencyPromises"]


class ConcurrencyPromises:
    """Calls at the same time do not mix."""

    @promise("S69", "Of uploads to one key at once one stays, whole.")
    async def test_one_of_many_uploads_stays(self, service: StorageService, second_service: StorageService) -> None:
        contents = [pattern(100_000 + number, salt=number) for number in range(6)]

        async with anyio.create_task_group() as group:
            for content in contents:
                group.start_soon(service.upload, "raced", content)
                group.start_soon(second_service.upload, "raced", chunks_of(content, 9_999))

        wrong = difference(await service.download("raced"), *contents)
        assert not wrong

    @promise("S70", "Uploads to many keys at once are all stored, also below folders that come and go.")
    async def test_many_uploads_are_all_stored(self, service: StorageService) -> None:
        async def store(number: int) -> None:
            await service.upload(f"many/{number % 4}/passing", b"x")
            await service.delete(f"many/{number % 4}/passing")
            await service.upload(f"many/{number % 4}/{number}", b"%d" % number)

        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(store, number)

        found = [await service.download(f"many/{number % 4}/{number}") for number in range(40)]
        assert found == [b"%d" % number for number in range(40)]

    @promise("S71", "Whoever reads an object while it is replaced reads one version of it, whole.")
    async def test_readers_see_one_version(self, service: StorageService, second_service: StorageService) -> None:
        versions = [pattern(200_000, salt=0), pattern(150_000, salt=1)]
        found: list[bytes] = []

        async def read(reader: StorageService) -> None:
            for _ in range(10):
                found.append(await reader.download("shared"))
                try:
                    found.append(await collect(reader.stream("shared", chunk_size=50_000)))
                except BackendUnavailable:
                    continue

        await service.upload("shared", versions[0])
        async with anyio.create_task_group() as group:
            group.start_soon(read, service)
            group.start_soon(read, second_service)
            for number in range(20):
                await service.upload("shared", versions[number % 2])
                await anyio.lowlevel.checkpoint()

        wrong = [difference(content, *versions) for content in found]
        assert not any(wrong)

    @promise("S72", "What one service acknowledged, another on the same store sees at once.")
    async def test_another_service_sees_it_at_once(self, service: StorageService, second_service: StorageService) -> None:
        await second_service.exists("shared")

        await service.upload("shared", b"stored")
        seen = await second_service.download("shared")
        await service.upload("shared", b"replaced")
        seen_again = await second_service.download("shared")
        await service.delete("shared")

        assert (seen, seen_again) == (b"stored", b"replaced")
        assert not await second_service.exists("shared")
        if "list" in service.capabilities:
            assert await listed(second_service) == []

    @promise("S101", "What one service did, another on the same store sees at once, whichever method is asked.")
    async def test_every_method_sees_it(self, service: StorageService, second_service: StorageService) -> None:
        async def seen() -> bytes | None:
            is_there = await second_service.exists("seen")
            if "list" in service.capabilities:
                assert await listed(second_service, "seen") == ["seen"] * is_there
            if not is_there:
                return None
            content = await collect(second_service.stream("seen"))
            if "stat" in service.capabilities:
                assert (await second_service.stat("seen")).size == len(content)
            return content

        found = [await seen()]
        await service.upload("seen", b"one")
        found.append(await seen())
        await service.upload("other", b"longer")
        await service.copy("other", "seen")
        found.append(await seen())
        await second_service.delete("seen")

        assert found == [None, b"one", b"longer"]
        assert not await service.exists("seen")
        if "if_absent" in service.capabilities:
            await second_service.upload("seen", b"second", if_absent=True)
            with pytest.raises(ObjectExists):
                await service.upload("seen", b"first", if_absent=True)

    @promise("S102", "Listings side by side, while others write and delete, give what stays, once, in order.", needs="list")
    async def test_listings_do_not_mix(self, service: StorageService, second_service: StorageService) -> None:
        await listed(service)
        staying = [f"stay/{number:02}" for number in range(30)]
        for key in staying:
            await service.upload(key, key.encode())
        found: list[list[str]] = []

        async def read(reader: StorageService) -> None:
            for _ in range(3):
                keys: list[str] = []
                async for info in reader.list():
                    keys.append(info.key)
                    await anyio.lowlevel.checkpoint()
                found.append(keys)

        async def disturb(writer: StorageService, name: str) -> None:
            for number in range(15):
                await writer.upload(f"{name}/{number:02}", f"{name} {number}".encode())
                await writer.upload(staying[number], f"{staying[number]} by {name}".encode())
                await writer.delete(f"{name}/{number - 1:02}")

        async with anyio.create_task_group() as group:
            for number, one in enumerate((service, second_service, service)):
                group.start_soon(read, one)
                group.start_soon(disturb, one, f"passing{number}")

        assert len(found) == 9
        assert all([key for key in keys if key in staying] == staying for keys in found)
        assert all(keys == sorted(set(keys), key=str.encode) for keys in found)

    @promise("S103", "Whoever reads an object while it is deleted and stored again reads all of it, or finds none.")
    async def test_readers_see_all_or_nothing(self, service: StorageService, second_service: StorageService) -> None:
        content, is_over = pattern(200_000), False

        async def read(reader: StorageService) -> None:
            while not is_over:
                with suppress(ObjectNotFound):
                    wrong = difference(await reader.download("flickering"), content)
                    assert not wrong
                with suppress(ObjectNotFound):
                    await reader.copy("flickering", "copied")
                await reader.exists("flickering")
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            group.start_soon(read, service)
            group.start_soon(read, second_service)
            for _ in range(15):
                await service.upload("flickering", content)
                await anyio.lowlevel.checkpoint()
                await second_service.delete("flickering")
                await anyio.lowlevel.checkpoint()
            is_over = True
