"""What is sent from where: files from their disk, streams from bounded memory, and what becomes of them meanwhile."""

from __future__ import annotations

import base64
import gc
import gzip
import hashlib
import io
import os
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from indiaai_core import StorageError
from indiaai_storage_r2 import R2StorageService, payloads, sources
from making import ServiceMaker
from operations import wait_until
from r2 import Answer, Fault, R2Server

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
LARGE = os.urandom(MIB) * 12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of three parts."""
    (tmp_path / "file").write_bytes(LARGE)
    return tmp_path / "file"


def parts_of(server: R2Server) -> int:
    """Return how many parts were put."""
    return len([request for request in server.requests if "partNumber" in request.query])


@pytest.mark.parametrize("buffering", [0, -1], ids=["raw", "buffered"])
@pytest.mark.parametrize("start", [0, 7, 9 * MIB], ids=["whole", "almost", "one request"])
async def test_a_file_is_sent_from_where_it_stands(
    server: R2Server, service: R2StorageService, path: Path, *, buffering: int, start: int
) -> None:
    """A file goes up from its position to its end, and stands there after it, open."""
    with path.open("rb", buffering=buffering) as file:
        file.seek(start)

        await service.upload("key", file)

        assert file.tell() == len(LARGE)
    assert server.objects["/bucket/key"].content == LARGE[start:]


async def test_what_was_written_and_not_flushed_is_sent(server: R2Server, service: R2StorageService, path: Path) -> None:
    """A file that was opened for both has its own buffer, and that is a part of it."""
    with path.open("r+b") as file:
        file.write(b"first")
        file.seek(0)

        await service.upload("key", file)

    assert server.objects["/bucket/key"].content == b"first" + LARGE[5:]


@pytest.mark.parametrize("make", [tempfile.TemporaryFile, tempfile.NamedTemporaryFile, tempfile.SpooledTemporaryFile])
async def test_temporary_files_are_sent(server: R2Server, service: R2StorageService, make: Any) -> None:
    """The files that frameworks keep uploads in are sent whole, in memory or on a disk."""
    with make() as file:
        file.write(LARGE)
        file.seek(0)

        await service.upload("key", file)
        at_end = file.tell()

    assert server.objects["/bucket/key"].content == LARGE
    assert at_end == len(LARGE)


async def test_a_file_that_changes_the_bytes_is_read_by_its_own_means(
    server: R2Server, service: R2StorageService, tmp_path: Path
) -> None:
    """What a file object reads is sent, and not what lies on the disk below it."""
    with gzip.open(tmp_path / "file.gz", "wb") as file:
        file.write(LARGE)

    with gzip.open(tmp_path / "file.gz") as compressed:
        await service.upload("key", compressed)  # type: ignore[arg-type] # a GzipFile is no BinaryIO to the stubs, and is one

    assert server.objects["/bucket/key"].content == LARGE


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such files")
@pytest.mark.parametrize("path", [Path("/proc/self/status")])
async def test_a_file_of_the_kernel_is_sent(server: R2Server, service: R2StorageService, path: Path) -> None:
    """A file that says it is empty and is not is read to its end."""
    with path.open("rb") as file:
        await service.upload("key", file)

    assert server.objects["/bucket/key"].content.startswith(b"Name:")


@pytest.mark.parametrize("change", ["shorter", "longer", "other"])
@pytest.mark.parametrize("size", [2 * MIB, 12 * MIB], ids=["one request", "parts"])
async def test_a_file_that_changes_meanwhile_is_an_error(
    server: R2Server, service: R2StorageService, path: Path, *, change: str, size: int
) -> None:
    """A file that is written to while it is sent is never stored as a mixture: the upload says so, and stores nothing."""
    os.truncate(path, size)

    def write() -> None:
        with path.open("r+b") as file:
            if change == "shorter":
                file.truncate(size // 2)
            else:
                file.seek(size - 5 if change == "other" else size)
                file.write(b"other")
        os.utime(path, ns=(1, 1))  # where the clock of the file system is too coarse to tell

    server.faults = [Fault("PUT", cut_body_after=MIB, then=write)]

    with path.open("rb") as file, pytest.raises(StorageError, match="was changed while it was uploaded"):
        await service.upload("key", file)

    assert (server.objects, server.uploads) == ({}, {})


async def test_a_file_that_changes_before_its_end_is_an_error(server: R2Server, service: R2StorageService, path: Path) -> None:
    """Parts that were all sent and acknowledged are not put together when the file is another by then."""
    answering = threading.Event()
    server.faults = [Fault("PUT"), Fault("PUT"), Fault("PUT", until=answering)]
    outcome = []

    async def upload() -> None:
        with path.open("rb") as file, pytest.raises(StorageError, match="was changed") as raised:
            await service.upload("key", file)
        outcome.append(raised.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upload)
        with anyio.fail_after(20):
            while parts_of(server) < 3:  # noqa: ASYNC110 - what is waited for happens in a server's thread
                await anyio.sleep(0.01)
        os.utime(path, ns=(1, 1))
        answering.set()

    assert outcome
    assert (server.objects, server.uploads) == ({}, {})


async def test_a_file_that_is_closed_meanwhile_is_sent(server: R2Server, service: R2StorageService, path: Path) -> None:
    """The upload has a descriptor of its own, and gives it back at the end."""
    answering = threading.Event()
    server.faults = [Fault("PUT", until=answering)]
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))

    async with anyio.create_task_group() as tasks:
        file = path.open("rb")
        file.seek(MIB)
        tasks.start_soon(service.upload, "key", file)
        with anyio.fail_after(20):
            while not parts_of(server):  # noqa: ASYNC110 - what is waited for happens in a server's thread
                await anyio.sleep(0.01)
        file.close()
        answering.set()
    await service.aclose()

    gc.collect()
    assert server.objects["/bucket/key"].content == LARGE[MIB:]
    assert wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before, seconds=10)  # the server closes its side in a thread


async def test_a_disk_that_fails_is_the_caller_s_to_know(
    service: R2StorageService, server: R2Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that cannot be read is that error, at once, and no store that does not answer."""

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with path.open("rb") as file:
        monkeypatch.setattr("indiaai_storage_r2.payloads._pread", fail)
        with pytest.raises(OSError, match="Input/output error"):
            await service.upload("key", file)

    assert (server.objects, server.uploads) == ({}, {})


async def test_parts_grow_where_there_would_be_too_many(
    server: R2Server, service: R2StorageService, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    """Where the length is known, no object has more parts than R2 takes; bytes and files alike."""
    monkeypatch.setattr(sources, "MAX_PARTS", 2)

    await service.upload("bytes", LARGE)
    with path.open("rb") as file:
        await service.upload("file", file)

    assert parts_of(server) == 4
    assert await service.download("bytes") == await service.download("file") == LARGE


async def test_only_the_first_part_is_known_by_its_header(server: R2Server, make_service: ServiceMaker) -> None:
    """Once the store's ETag is seen to be the part's MD5, parts are read once: the answer tells whether they arrived."""
    service = make_service(server.endpoint, parallel_parts=1)

    await service.upload("key", LARGE * 3)

    headers = ["content-md5" in request.headers for request in server.requests if "partNumber" in request.query]
    assert headers[0]
    assert not headers[-1]
    assert await service.download("key") == LARGE * 3


@pytest.mark.parametrize("etag", ['"of-another-form"', ""], ids=["another form", "empty"])
async def test_a_part_whose_answer_tells_nothing_is_sent_again(
    server: R2Server, make_service: ServiceMaker, plane: str, etag: str
) -> None:
    """A part that was sent without the header, because ETags were MD5s so far, and whose own is none, goes again with it."""
    service = make_service(server.endpoint, data_plane=plane, parallel_parts=1)
    server.faults = [Fault("PUT"), Fault("PUT", answer=Answer(200, {"ETag": etag}))]

    await service.upload("key", LARGE * 3)

    sent = [
        (request.query["partNumber"], "content-md5" in request.headers)
        for request in server.requests
        if "partNumber" in request.query
    ]
    assert sent[:3] == [("1", True), ("2", False), ("2", True)]
    assert server.objects["/bucket/key"].content == LARGE * 3


def test_no_digest_is_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte of a part goes through each digest once, also where MD5 and SHA-256 are both in the head of its request."""
    digested: list[object] = []
    digest_of = hashlib.md5

    def count(*content: bytes, **options: Any) -> Any:
        digested.append(content)
        return digest_of(*content, **options)

    payload = payloads.MemoryPayload(memoryview(b"content"))
    monkeypatch.setattr(hashlib, "md5", count)

    header, digests = payload.content_md5(), payload.digests()
    monkeypatch.undo()

    assert header == base64.b64encode(digests[0]).decode()
    assert digests == (digest_of(b"content").digest(), hashlib.sha256(b"content").digest())
    assert len(digested) == 1


async def test_no_more_parts_are_in_memory_than_are_sent_at_once(
    server: R2Server, make_service: ServiceMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stream, as many parts are held as may be on their way, and not one more."""
    alive, most = 0, 0

    class Counted(payloads.Buffer):
        def __init__(self, size: int) -> None:
            nonlocal alive, most
            super().__init__(size)
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    monkeypatch.setattr(sources, "Buffer", Counted)

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), 100_000):
            yield LARGE[start : start + 100_000]

    service = make_service(server.endpoint, parallel_parts=2)
    await service.upload("stream", stream())
    await service.upload("file", io.BytesIO(LARGE * 2))

    assert most <= 3  # the third is empty: the second goes before anything is written to it
    assert server.objects["/bucket/file"].content == LARGE * 2
