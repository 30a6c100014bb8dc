"""Copies that the store makes: in one request, and in parts where an object is too large for one."""

from __future__ import annotations

import threading

import anyio
import pytest

from indiaai_core import BackendUnavailable, ObjectNotFound
from indiaai_storage_r2 import R2StorageService, copies
from making import ServiceMaker
from r2 import Answer, Fault, R2Server, refusal

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
LARGE = bytes(range(256)) * (48 * 1024)


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let objects be too large for one request that are so on no store."""
    monkeypatch.setattr(copies, "_MAX_WHOLE_BYTES", 6 * MIB)
    monkeypatch.setattr(copies, "_PART_BYTES", 5 * MIB)


def operations(server: R2Server) -> list[str]:
    """Return the requests that copied something, in words."""
    copied = [request for request in server.requests if "x-amz-copy-source" in request.headers]
    return ["part" if "partNumber" in request.query else "whole" for request in copied]


async def test_a_copy_keeps_what_is_known_of_the_object(server: R2Server, service: R2StorageService) -> None:
    """Content type, metadata, cache control and disposition go with the bytes, in one request."""
    await service.upload(
        "source", b"text", "text/plain", metadata={"case": "7"}, cache_control="no-cache", content_disposition="inline"
    )

    await service.copy("source", "target")

    source, target = await service.stat("source"), await service.stat("target")
    assert (target.content_type, target.metadata) == (source.content_type, source.metadata)
    assert (target.cache_control, target.content_disposition) == ("no-cache", "inline")
    assert operations(server) == ["whole"]


@pytest.mark.usefixtures("small_limit")
async def test_a_large_copy_is_made_in_the_parts_of_its_source(server: R2Server, service: R2StorageService) -> None:
    """The copy of an object of parts has its ETag, and so is compared when it is read; all that is known of it is kept."""
    await service.upload(
        "source", LARGE, "text/plain", metadata={"case": "7"}, cache_control="no-cache", content_disposition="inline"
    )

    await service.copy("source", "target")

    source, target = await service.stat("source"), await service.stat("target")
    assert await service.download("target") == LARGE
    assert (target.etag, target.size, target.metadata) == (source.etag, source.size, source.metadata)
    assert (target.content_type, target.cache_control, target.content_disposition) == ("text/plain", "no-cache", "inline")
    assert operations(server) == ["part"] * 3


@pytest.mark.usefixtures("small_limit")
async def test_a_large_object_of_another_tool_is_copied(server: R2Server, service: R2StorageService) -> None:
    """An object that carries none of our digests is copied in equal parts, and is compared from then on."""
    service.client.put_object(Bucket="bucket", Key="source", Body=LARGE, ContentType="text/plain", ContentLanguage="hi")

    await service.copy("source", "target")

    assert await service.download("target") == LARGE
    assert service.client.head_object(Bucket="bucket", Key="target")["ContentType"] == "text/plain"
    server.faults = [Fault("GET", flip=True) for _ in range(3)]
    with pytest.raises(BackendUnavailable, match="digest"):
        await service.download("target")


@pytest.mark.usefixtures("small_limit")
async def test_a_source_that_is_replaced_meanwhile_is_not_mixed(server: R2Server, service: R2StorageService) -> None:
    """R2 takes no conditions on the source of a part: the copy is given up, and leaves neither parts nor an object."""
    await service.upload("source", LARGE)
    answering, outcome = threading.Event(), []
    server.faults = [Fault("PUT", until=answering)]

    async def copy() -> None:
        with pytest.raises(BackendUnavailable, match="replaced") as raised:
            await service.copy("source", "target")
        outcome.append(raised.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(copy)
        with anyio.fail_after(20):
            while "part" not in operations(server):  # noqa: ASYNC110 - what is waited for happens in a server's thread
                await anyio.sleep(0.01)
        await anyio.to_thread.run_sync(lambda: service.client.put_object(Bucket="bucket", Key="source", Body=LARGE[::-1]))
        answering.set()

    assert outcome
    assert "/bucket/target" not in server.objects
    assert server.uploads == {}


async def test_a_source_that_is_replaced_before_its_copy_is_an_error(server: R2Server, service: R2StorageService) -> None:
    """The store copies the version that was looked at, or none."""
    await service.upload("source", b"content")
    server.faults = [Fault("PUT", answer=refusal(412, "PreconditionFailed"))]

    with pytest.raises(BackendUnavailable, match="replaced"):
        await service.copy("source", "target")

    assert "/bucket/target" not in server.objects


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("content", [b"content", LARGE], ids=["whole", "parts"])
async def test_an_error_behind_a_200_is_no_copy(server: R2Server, service: R2StorageService, content: bytes) -> None:
    """What is answered 200, with an error or with somebody else's page behind it, was not copied and is asked for again."""
    await service.upload("source", content)
    said = (b"<?xml version='1.0'?>\n<Error><Code>InternalError</Code></Error>", b"<html>Sign in</html>", b"")
    server.faults = [Fault("PUT", answer=Answer(200, {"Content-Type": "application/xml"}, body)) for body in said]

    await service.copy("source", "target")

    assert server.objects["/bucket/target"].content == content


async def test_a_copy_with_other_bytes_is_caught(server: R2Server, make_service: ServiceMaker) -> None:
    """An ETag that is not the source's fails the copy."""
    wrong = Answer(200, {}, f"<CopyObjectResult><ETag>&quot;{'0' * 32}&quot;</ETag></CopyObjectResult>".encode())
    service = make_service(server.endpoint, retry_seconds=0.1)
    await service.upload("source", b"content")
    server.faults = [Fault("PUT", answer=wrong) for _ in range(9)]

    with pytest.raises(BackendUnavailable, match="other bytes"):
        await service.copy("source", "target")


@pytest.mark.usefixtures("small_limit")
async def test_a_large_copy_that_fails_leaves_no_parts(server: R2Server, make_service: ServiceMaker) -> None:
    """When a part cannot be copied, the parts that were are removed."""
    service = make_service(server.endpoint, retry_seconds=0.1)
    await service.upload("source", LARGE)
    server.faults = [Fault("PUT", answer=refusal(500, "InternalError")) for _ in range(20)]

    with pytest.raises(BackendUnavailable, match="InternalError"):
        await service.copy("source", "target")

    assert server.uploads == {}


async def test_a_missing_source_is_named(service: R2StorageService) -> None:
    """A copy of nothing is ObjectNotFound with the source's key, also onto itself."""
    for target in ("target", "source"):
        with pytest.raises(ObjectNotFound) as raised:
            await service.copy("source", target)
        assert raised.value.key == "source"
