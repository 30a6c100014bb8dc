"""Promises about many calls at once; part of `StorageConformance`."""

from __future__ import annotations

import anyio
import anyio.lowlevel

from indiaai_core.errors import BackendUnavailable
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import chunks_of, collect, listed, pattern

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

        assert await service.download("raced") in contents

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

        assert all(content in versions for content in found)

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
