"""A store that cuts, damages or mistakes its answers: no wrong bytes ever pass for the object."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio
import anyio.to_thread
import pytest

from indiaai_core import BackendUnavailable, StorageError
from indiaai_storage_s3 import S3Settings, S3StorageService

pytestmark = pytest.mark.anyio

CONTENT = b"0123456789" * 10_000
CRC32_OF_OTHER_BYTES = "AAAAAA=="


class Store(ThreadingHTTPServer):
    """Answers every GET with the content, in the way that a test asks for."""

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), Answer)
        self.sent = len(CONTENT)
        self.headers: dict[str, str] = {}
        self.is_silent = False

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    """One answer of a `Store`."""

    server: Store

    def do_GET(self) -> None:
        """Send as much of the content as the test wants."""
        self.send_response(200)
        for name, value in {"ETag": '"1"', "Content-Length": f"{len(CONTENT)}", **self.server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(CONTENT[: self.server.sent])
        self.wfile.flush()
        if self.server.is_silent:
            self.connection.recv(1)  # until the other side has had enough

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] # called by position
        """Say nothing."""


@contextmanager
def serving(store: Store) -> Iterator[None]:
    """Serve until the end of the block."""
    thread = threading.Thread(target=store.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        store.shutdown()
        store.server_close()
        thread.join()


@pytest.fixture
def store() -> Iterator[Store]:
    """A store that serves."""
    made = Store()
    with serving(made):
        yield made


@pytest.fixture
async def service(store: Store) -> AsyncIterator[S3StorageService]:
    """A service on it."""
    async with S3StorageService(S3Settings(bucket_name="bucket", endpoint_url=store.address)) as made:
        yield made


async def test_a_download_that_is_cut_is_no_object(service: S3StorageService, store: Store) -> None:
    """Half an answer is an error, and one that a retry may mend."""
    store.sent = len(CONTENT) // 2

    with pytest.raises(BackendUnavailable):
        await service.download("cut")


async def test_a_stream_that_is_cut_says_so_at_its_end(service: S3StorageService, store: Store) -> None:
    """What was given out so far was right, and the end of it is not passed off for the object's."""
    store.sent = len(CONTENT) // 2
    found = bytearray()

    async def read() -> None:
        async for chunk in service.stream("cut", chunk_size=10_000):
            found.extend(chunk)

    with pytest.raises(BackendUnavailable):
        await read()

    assert CONTENT.startswith(found)


async def test_a_flipped_bit_is_no_object(service: S3StorageService, store: Store) -> None:
    """Bytes that do not have the checksum that S3 keeps for them are not given out as a download."""
    store.headers = {"x-amz-checksum-crc32": CRC32_OF_OTHER_BYTES}

    with pytest.raises(BackendUnavailable):
        await service.download("flipped")


async def test_a_store_that_knows_no_ranges_is_found_out(service: S3StorageService) -> None:
    """Asked for a part, it answers with the whole: those are other bytes than the ones that were asked for."""
    with pytest.raises(StorageError, match="another range"):
        await anext(service.stream("whole", start=10, end=20))


async def test_a_check_is_given_up_when_its_time_is_over(service: S3StorageService, store: Store) -> None:
    """A store that takes connections and says nothing holds up nobody's start."""
    store.sent = 0
    store.is_silent = True
    await anyio.to_thread.run_sync(lambda: service.client)

    with pytest.raises(TimeoutError), anyio.fail_after(0.5):
        await service.check()

    await service.aclose()
