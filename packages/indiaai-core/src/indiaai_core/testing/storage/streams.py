"""Promises about `stream` as a whole; part of `StorageConformance`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

import pytest

from indiaai_core.errors import BackendUnavailable, ObjectNotFound
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import collect, pattern

__all__ = ["StreamPromises"]


class StreamPromises:
    """A stream is one version of the object, piece by piece."""

    @promise("S23", "The chunks of a stream make up the object; none is empty or longer than was asked for.")
    async def test_chunks_make_up_the_object(self, service: StorageService) -> None:
        content = pattern(700_001)
        await service.upload("chunks", content)

        by_default = [chunk async for chunk in service.stream("chunks")]
        small = [chunk async for chunk in service.stream("chunks", chunk_size=100_000)]

        assert b"".join(by_default) == content
        assert b"".join(small) == content
        assert all(0 < len(chunk) <= 100_000 for chunk in small)

    @promise("S24", "A stream of a key without an object raises ObjectNotFound before the first chunk.")
    async def test_a_stream_of_a_missing_object_raises(self, service: StorageService) -> None:
        with pytest.raises(ObjectNotFound) as raised:
            await anext(service.stream("missing"))

        assert raised.value.key == "missing"

    @promise("S25", "A stream whose object is replaced goes on with the old one or raises BackendUnavailable.")
    async def test_a_stream_never_mixes_two_versions(self, service: StorageService) -> None:
        old, new = pattern(3_000_000), pattern(3_000_000, salt=1)
        await service.upload("replaced", old)

        async with _closing(service.stream("replaced", chunk_size=65_536)) as stream:
            found = await anext(stream)
            await service.upload("replaced", new)
            try:
                found += await collect(stream)
            except BackendUnavailable:
                found = old

        is_old = found == old  # a difference of this size is nothing to look at
        assert is_old

    @promise("S26", "A stream that is left early takes nothing from the calls after it.")
    async def test_a_stream_may_be_left_early(self, service: StorageService) -> None:
        await service.upload("left", pattern(1_000_000))

        for _ in range(40):
            async with _closing(service.stream("left", chunk_size=1000)) as stream:
                await anext(stream)

        is_same = await service.download("left") == pattern(1_000_000)
        assert is_same
        assert await service.delete("left")


def _closing(stream: AsyncIterator[bytes]) -> aclosing[AsyncGenerator[bytes]]:
    """Close a stream when it is left: what `stream` gives is an asynchronous generator, if its type does not say so."""
    return aclosing(cast("AsyncGenerator[bytes]", stream))
