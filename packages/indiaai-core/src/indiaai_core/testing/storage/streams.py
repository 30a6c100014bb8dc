"""Promises about `stream` as a whole; part of `StorageConformance`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import cast

import anyio
import pytest

from indiaai_core.errors import BackendUnavailable, ObjectNotFound
from indiaai_core.storage import StorageService
from indiaai_core.testing.promises import promise
from indiaai_core.testing.storage.samples import collect, difference, pattern

__all__ = ["StreamPromises"]


class StreamPromises:
    """A stream is one version of the object, piece by piece."""

    @promise("S23", "The chunks of a stream make up the object; none is empty or longer than was asked for.")
    async def test_chunks_make_up_the_object(self, service: StorageService) -> None:
        content = pattern(700_001)
        await service.upload("chunks", content)

        by_default = [chunk async for chunk in service.stream("chunks")]
        small = [chunk async for chunk in service.stream("chunks", chunk_size=100_000)]

        wrong = [difference(b"".join(chunks), content) for chunks in (by_default, small)]
        assert not any(wrong)
        assert all(type(chunk) is bytes and 0 < len(chunk) <= 100_000 for chunk in small)

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

        wrong = difference(found, old)
        assert not wrong

    @promise("S26", "A stream that is left early takes nothing from the calls after it.")
    async def test_a_stream_may_be_left_early(self, service: StorageService) -> None:
        await service.upload("left", pattern(1_000_000))

        for _ in range(40):
            async with _closing(service.stream("left", chunk_size=1000)) as stream:
                await anext(stream)

        wrong = difference(await service.download("left"), pattern(1_000_000))
        assert not wrong
        assert await service.delete("left")

    @promise("S86", "A download or a stream that is cancelled takes nothing from the calls after it.")
    async def test_a_read_may_be_cancelled(self, service: StorageService) -> None:
        content = pattern(1_000_000)
        await service.upload("cancelled", content)

        for number in range(40):
            with anyio.move_on_after(number % 8 * 0.0005):
                await service.download("cancelled")
            with anyio.CancelScope() as scope:
                async with _closing(service.stream("cancelled", chunk_size=1000)) as stream:
                    async for _ in stream:
                        scope.cancel()

        with anyio.fail_after(30):
            wrong = difference(await service.download("cancelled"), content)
        assert not wrong
        assert await service.delete("cancelled")

    @promise("S87", "Streams that are read side by side do not mix.")
    async def test_streams_do_not_mix(self, service: StorageService) -> None:
        contents = {f"side/{number}": pattern(400_000 + number, salt=number) for number in range(3)}
        for key, content in contents.items():
            await service.upload(key, content)

        async with AsyncExitStack() as stack:
            streams = [
                (key, await stack.enter_async_context(_closing(service.stream(key, start=start, chunk_size=50_000))))
                for key in contents
                for start in (0, 99_999)
            ]
            rounds = [[await anext(stream, b"") for _, stream in streams] for _ in range(10)]

        found = [b"".join(chunks) for chunks in zip(*rounds, strict=True)]
        expected = [contents[key][start:] for key in contents for start in (0, 99_999)]
        wrong = [difference(*pair) for pair in zip(found, expected, strict=True)]
        assert not any(wrong)

    @promise("S88", "A stream whose object is deleted goes on to its end or raises; it does not end early.")
    async def test_a_stream_of_a_deleted_object_does_not_end_early(self, service: StorageService) -> None:
        content = pattern(3_000_000)
        await service.upload("deleted", content)

        async with _closing(service.stream("deleted", chunk_size=65_536)) as stream:
            found = await anext(stream)
            await service.delete("deleted")
            try:
                found += await collect(stream)
            except (BackendUnavailable, ObjectNotFound):
                found = content

        wrong = difference(found, content)
        assert not wrong


def _closing(stream: AsyncIterator[bytes]) -> aclosing[AsyncGenerator[bytes]]:
    """Close a stream when it is left: what `stream` gives is an asynchronous generator, if its type does not say so."""
    return aclosing(cast("AsyncGenerator[bytes]", stream))
