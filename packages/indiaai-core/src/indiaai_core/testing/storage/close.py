"""Promises about `check` and `aclose`; part of `StorageConformance`."""

from __future__ import annotations

from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import listed

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
