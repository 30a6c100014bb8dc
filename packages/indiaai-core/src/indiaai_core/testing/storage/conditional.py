"""Promises about `upload(…, if_absent=True)`; part of `StorageConformance`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import anyio
import pytest

from indiaai_core.errors import ObjectExists
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.sources import chunks_of, failing_stream

__all__ = ["ConditionalPromises"]


class ConditionalPromises:
    """The store decides who was first."""

    @promise("S56", "`if_absent` stores where there is no object, also where there was one.", needs="if_absent")
    async def test_if_absent_stores_where_there_is_none(self, service: StorageService) -> None:
        await service.upload("once", b"first", if_absent=True)
        await service.delete("once")

        await service.upload("once", chunks_of(b"second", 2), if_absent=True)

        assert await service.download("once") == b"second"

    @promise("S57", "`if_absent` raises ObjectExists where there is an object, and leaves it.", needs="if_absent")
    async def test_if_absent_leaves_what_is_there(self, service: StorageService) -> None:
        await service.upload("once", b"first", if_absent=True)

        with pytest.raises(ObjectExists) as raised:
            await service.upload("once", b"second", if_absent=True)
        with pytest.raises(ObjectExists):
            await service.upload("once", chunks_of(b"third", 2), if_absent=True)

        assert raised.value.key == "once"
        assert await service.download("once") == b"first"

    @promise("S58", "Of many uploads with `if_absent` at once, exactly one stores.", needs="if_absent")
    async def test_exactly_one_is_first(self, service: StorageService, second_service: StorageService) -> None:
        stored: list[bytes] = []

        async def store(contender: StorageService, content: bytes) -> None:
            try:
                await contender.upload("race", content, if_absent=True)
            except ObjectExists:
                return
            stored.append(content)

        await service.upload("capable", b"", if_absent=True)
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(store, service, b"one %d" % number)
                group.start_soon(store, second_service, b"two %d" % number)

        assert stored == [await service.download("race")]

    @promise("S99", "An upload with `if_absent` that fails or is cancelled leaves the key free.", needs="if_absent")
    async def test_a_failed_upload_leaves_the_key_free(self, service: StorageService, second_service: StorageService) -> None:
        error = LookupError("the source failed")
        waiting = anyio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"x" * 2_000_000
            waiting.set()
            await anyio.sleep_forever()

        with pytest.raises(LookupError):
            await service.upload("free", failing_stream(b"x" * 2_000_000, error), if_absent=True)
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(partial(service.upload, "free", endless(), if_absent=True))
                await waiting.wait()
                group.cancel_scope.cancel()

        await second_service.upload("free", b"content", if_absent=True)
        assert await service.download("free") == b"content"
