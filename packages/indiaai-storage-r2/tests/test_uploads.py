"""What `upload` takes, and what becomes of it when the caller goes away."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from indiaai_core import InvalidRequest, StorageError
from indiaai_storage_r2 import R2StorageService, multipart
from making import make_settings
from r2 import Fault, R2Server

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
PART = bytes(range(256)) * (20 * 1024)


class ShortReads(io.BytesIO):
    """A file that gives less than it is asked for, as a pipe or a socket does."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return 70,001 bytes at most."""
        return super().read(min(size or 0, 70_001))


async def stream(*chunks: Any) -> AsyncIterator[bytes]:
    """Give chunks, of whatever type."""
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    ("content", "parts"),
    [(PART[:-1], 0), (PART, 0), (PART + b"1", 2), (PART * 2, 2), (PART * 3 + b"1", 4)],
    ids=["shorter", "one", "longer", "two", "three and more"],
)
async def test_the_length_decides_on_parts(server: R2Server, service: R2StorageService, content: bytes, parts: int) -> None:
    """What fits into one part is one request; bytes, a file and a stream are cut alike, and none of them has an empty part."""
    for data in (content, memoryview(content), ShortReads(content), stream(content[:10], b"", content[10:])):
        server.requests.clear()

        await service.upload("key", data)

        assert server.objects["/bucket/key"].content == content
        assert len([request for request in server.requests if "partNumber" in request.query]) == parts


@pytest.mark.parametrize("data", ["text", 7, io.StringIO("text"), [b"bytes"]], ids=lambda data: type(data).__name__)
async def test_what_is_not_bytes_is_refused(server: R2Server, service: R2StorageService, data: Any) -> None:
    """Text, or a list, is an InvalidRequest that says what was expected, and nothing is stored."""
    with pytest.raises(InvalidRequest, match="expected bytes"):
        await service.upload("key", data)
    with pytest.raises(InvalidRequest, match="expected bytes"):
        await service.upload("key", stream(b"bytes", data))

    assert server.requests == []


async def test_a_stream_with_more_parts_than_r2_takes_is_refused(
    server: R2Server, service: R2StorageService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that is too long for its part size ends in an error that names the variable, and leaves no parts."""
    monkeypatch.setattr(multipart, "MAX_PARTS", 2)

    with pytest.raises(StorageError, match="R2_PART_SIZE_MIB"):
        await service.upload("key", stream(PART, PART, b"1"))

    assert (server.uploads, server.objects) == ({}, {})


@pytest.mark.parametrize("cancellations", [1, 3])
async def test_a_task_that_is_cancelled_leaves_no_parts(
    server: R2Server, service: R2StorageService, cancellations: int
) -> None:
    """Asyncio's own cancellation, which is said once and may be said again, does not keep the parts from being removed."""
    task = asyncio.create_task(service.upload("key", _endless()))
    with anyio.fail_after(20):
        while server.methods().count("PUT") < 2:  # noqa: ASYNC110 - what is waited for happens in a server's thread
            await anyio.sleep(0.01)

    for _ in range(cancellations):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await service.aclose()

    assert (server.uploads, server.objects) == ({}, {})


async def _endless() -> AsyncIterator[bytes]:
    yield PART * 2 + b"1"
    await anyio.sleep_forever()


async def test_a_service_that_is_closed_meanwhile_says_so(server: R2Server, service: R2StorageService) -> None:
    """An upload whose service is closed under it is an error of ours, and its parts are removed."""
    answering = threading.Event()
    server.faults = [Fault("PUT", until=answering)]
    outcome: list[Exception] = []

    async def upload() -> None:
        try:
            await service.upload("key", PART * 30)
        except StorageError as error:
            outcome.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upload)
        while server.methods().count("PUT") < 1:  # noqa: ASYNC110 - what is waited for happens in a server's thread
            await anyio.sleep(0.01)
        tasks.start_soon(service.aclose)
        await anyio.sleep(0.05)  # the closing has begun, and waits for the part that is on its way
        answering.set()

    assert "closed" in str(outcome[0])
    assert (server.uploads, server.objects) == ({}, {})


@pytest.mark.parametrize("cancellations", [1, 3])
async def test_an_upload_that_is_cancelled_at_its_end_is_whole_or_nothing(
    server: R2Server, service: R2StorageService, cancellations: int
) -> None:
    """Cancelled while the store puts the parts together, the object is there whole, and its parts are not."""
    answering = threading.Event()
    server.faults = [Fault("POST"), Fault("POST", until=answering)]
    task = asyncio.create_task(service.upload("key", PART * 2))
    with anyio.fail_after(20):
        while server.methods().count("POST") < 2:  # noqa: ASYNC110 - what is waited for happens in a server's thread
            await anyio.sleep(0.01)

    for _ in range(cancellations):
        task.cancel()
        await asyncio.sleep(0)
    answering.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await service.aclose()

    assert server.uploads == {}
    assert all(stored.content == PART * 2 for stored in server.objects.values())


def test_an_event_loop_that_ends_leaves_no_parts(server: R2Server) -> None:
    """When the loop is closed over an upload, as `asyncio.run` does, its parts are removed all the same."""
    service = R2StorageService(make_settings(server.endpoint))

    async def begin() -> None:
        task = asyncio.create_task(service.upload("key", _endless()))
        with anyio.fail_after(20):
            while server.methods().count("PUT") < 1:  # noqa: ASYNC110 - what is waited for happens in a server's thread
                await anyio.sleep(0.01)
        assert not task.done()

    asyncio.run(begin())
    asyncio.run(service.aclose())

    assert (server.uploads, server.objects) == ({}, {})
