"""Uploads in parts: what they hold, and what they leave behind."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from indiaai_core import ObjectExists
from indiaai_storage_s3 import S3StorageService
from indiaai_storage_s3.parts import cut

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


@pytest.fixture
def service(moto: str, make_service: Callable[[str], S3StorageService]) -> S3StorageService:
    """A service on an empty bucket."""
    return make_service(moto)


async def mebibytes(count: int) -> AsyncIterator[bytes]:
    """Give so many mebibytes, no two alike."""
    for number in range(count):
        yield number.to_bytes(4, "big") * (MIB // 4)


async def unfinished(service: S3StorageService) -> list[Any]:
    """Return the uploads in parts that nobody has ended."""
    answer = await anyio.to_thread.run_sync(lambda: service.client.list_multipart_uploads(Bucket=service.settings.bucket_name))
    return list(answer.get("Uploads", []))


async def test_a_long_stream_goes_up_in_parts_and_comes_back(service: S3StorageService) -> None:
    """An object of several parts is one object, with what describes it."""
    await service.upload("long", mebibytes(35), "text/plain", metadata={"author": "कालिदास"}, cache_control="no-store")

    info = await service.stat("long")
    found = [chunk async for chunk in service.stream("long", chunk_size=MIB)]

    assert info.etag.endswith("-3")
    assert (info.size, info.content_type, info.cache_control) == (35 * MIB, "text/plain", "no-store")
    assert info.metadata == {"author": "कालिदास"}
    assert found == [chunk async for chunk in mebibytes(35)]


async def test_a_failing_source_leaves_no_parts_behind(service: S3StorageService) -> None:
    """What went up before the failure is taken back, and the failure is the source's own."""

    async def failing() -> AsyncIterator[bytes]:
        async for chunk in mebibytes(40):
            yield chunk
        raise LookupError("the source failed")

    with pytest.raises(LookupError, match="the source failed"):
        await service.upload("failed", failing())

    assert await unfinished(service) == []
    assert not await service.exists("failed")


async def test_a_cancelled_upload_leaves_no_parts_behind(service: S3StorageService) -> None:
    """Cancelled between two parts, the upload is ended at the store before the caller goes on."""
    is_waiting = anyio.Event()

    async def endless() -> AsyncIterator[bytes]:
        async for chunk in mebibytes(40):
            yield chunk
        is_waiting.set()
        await anyio.sleep_forever()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(service.upload, "cancelled", endless())
            await is_waiting.wait()
            group.cancel_scope.cancel()

    assert await unfinished(service) == []
    assert not await service.exists("cancelled")


async def test_an_upload_that_asyncio_cancels_ends_before_the_caller_goes_on(service: S3StorageService) -> None:
    """`asyncio.timeout` interrupts any await at once; a request that is being sent is waited for all the same."""
    is_sending, may_go_on = threading.Event(), threading.Event()

    def pause(**_: object) -> None:
        is_sending.set()
        assert may_go_on.wait(30)

    client = await anyio.to_thread.run_sync(lambda: service.client)
    client.meta.events.register("before-send.s3.PutObject", pause)
    upload = asyncio.ensure_future(service.upload("cancelled", b"content"))
    await anyio.to_thread.run_sync(is_sending.wait, 30)
    upload.cancel()
    await asyncio.wait([upload], timeout=0.2)
    was_done = upload.done()
    may_go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await upload

    assert not was_done
    assert await service.download("cancelled") == b"content"


async def test_parts_that_asyncio_cancels_are_taken_back(service: S3StorageService) -> None:
    """Also when the cancellation comes while the upload is being created, and nobody knows its id yet."""
    is_sending, may_go_on = threading.Event(), threading.Event()

    def pause(**_: object) -> None:
        is_sending.set()
        assert may_go_on.wait(30)

    client = await anyio.to_thread.run_sync(lambda: service.client)
    client.meta.events.register("before-send.s3.CreateMultipartUpload", pause)
    upload = asyncio.ensure_future(service.upload("cancelled", mebibytes(20)))
    await anyio.to_thread.run_sync(is_sending.wait, 30)
    upload.cancel()
    may_go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await upload

    assert await unfinished(service) == []
    assert not await service.exists("cancelled")


async def test_an_upload_in_parts_may_be_conditional_too(service: S3StorageService) -> None:
    """Whether there is an object is decided when the parts become one, and then the parts are gone."""
    await service.upload("once", b"first")

    with pytest.raises(ObjectExists):
        await service.upload("once", mebibytes(20), if_absent=True)

    assert await service.download("once") == b"first"
    assert await unfinished(service) == []


async def test_a_stream_is_never_held_whole_in_memory() -> None:
    """Two parts are held at most, however long the stream is."""
    tracemalloc.start()
    try:
        lengths = [len(part) async for part in cut(mebibytes(100), size=8 * MIB)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert lengths == [8 * MIB] * 12 + [4 * MIB]
    assert peak < 24 * MIB


@pytest.mark.parametrize(("size", "lengths"), [(0, [0]), (1, [1]), (8, [8]), (9, [8, 1]), (16, [8, 8])])
@pytest.mark.parametrize("chunk", [1, 3, 8, 100])
async def test_the_last_part_is_never_empty_unless_it_is_the_only_one(size: int, lengths: list[int], chunk: int) -> None:
    """Whatever the length of the chunks, the parts are whole, and there is at least one."""

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, size, chunk):
            yield bytes(min(chunk, size - start))

    assert [len(part) async for part in cut(stream(), size=8)] == lengths
    assert [len(part) async for part in cut(bytes(size), size=8)] == lengths
