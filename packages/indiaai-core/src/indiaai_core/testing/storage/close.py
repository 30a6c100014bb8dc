"""Promises about `check` and `aclose`; part of `StorageConformance`."""

from __future__ import annotations

from contextlib import suppress

import anyio

from indiaai_core.errors import IndiaAIError
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import collect, difference, listed, pattern
from indiaai_core.testing.storage.sources import chunks_of

__all__ = ["ClosePromises"]


class ClosePromises:
    """A service is checked, closed, and outlived by what it stored."""

    @promise("S76", "`check` passes on a service that can serve, again and again, and leaves nothing behind.")
    async def test_check_passes_and_leaves_nothing(self, service: StorageService) -> None:
        for _ in range(3):
            await service.check()

        assert not await service.exists("check")
        if "list" in service.capabilities:
            assert await listed(service) == []

    @promise("S77", "`aclose` may be called twice, before the first call too.")
    async def test_a_service_may_be_closed_twice(self, service: StorageService) -> None:
        await service.aclose()
        await service.aclose()

    @promise("S78", "What was stored outlives the service that stored it.")
    async def test_objects_outlive_the_service(self, service: StorageService, second_service: StorageService) -> None:
        await service.upload("kept", b"content")
        if second_service is service:
            return

        await service.aclose()

        assert await second_service.download("kept") == b"content"

    @promise("S104", "After `aclose` a call works, or raises an error of ours; it never hangs.")
    async def test_a_closed_service_says_so(self, service: StorageService) -> None:
        await service.upload("kept", b"content")

        await service.aclose()

        with anyio.fail_after(30):
            with suppress(IndiaAIError):
                assert await service.download("kept") == b"content"
            with suppress(IndiaAIError):
                await service.upload("more", chunks_of(b"content", 3))
            with suppress(IndiaAIError):
                assert await collect(service.stream("kept")) == b"content"
            with suppress(IndiaAIError):
                await service.exists("kept")

    @promise("S105", "`aclose` while calls are under way ends each of them with its result or an error of ours.")
    async def test_a_service_may_be_closed_under_way(self, service: StorageService, second_service: StorageService) -> None:
        content, done = pattern(3_000_000), set[str]()
        await service.upload("read", content)

        async def read(_: str) -> None:
            with suppress(IndiaAIError):
                wrong = difference(await service.download("read"), content)
                assert not wrong

        async def write(key: str) -> None:
            with suppress(IndiaAIError):
                await service.upload(key, chunks_of(content, 100_000))
                done.add(key)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for number in range(4):
                    group.start_soon(read, "read")
                    group.start_soon(write, f"written/{number}")
                await anyio.sleep(0.002)
                await service.aclose()

        if second_service is not service:
            for number in range(4):
                key = f"written/{number}"
                is_there = await second_service.exists(key)
                wrong = difference(await second_service.download(key), content) if is_there else ""
                assert not wrong
                assert is_there or key not in done, f"{key!r} was acknowledged, and is lost"

    @promise("S106", "`probe` passes on a service that can serve, and leaves nothing behind.")
    async def test_probe_passes_and_leaves_nothing(self, service: StorageService) -> None:
        await service.check()
        before = await listed(service) if "list" in service.capabilities else []

        for _ in range(2):
            await service.probe()

        assert not await service.exists("probe")
        if "list" in service.capabilities:
            assert await listed(service) == before
